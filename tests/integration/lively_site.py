"""A site in Redis with some of everything that the API shows, written as workers, clock and aggregator would."""

from __future__ import annotations

import json

import numpy as np

from services.camera_worker.crop_publisher import CropPublisher, Crops
from shared.calibration import Calibration
from shared.layout import Layout
from shared.redis_connection import Client, connect
from shared.site import publish_site
from tests.integration.streamer_site import (
    KEYS,
    SLOW,
    numbered_jpeg,
    publish_picture,
    set_status,
    site_config,
    track_entry,
    wait_until,
)

T0 = 1_700_000_000_000_000_000
"""2023-11-14T22:13:20Z"""
S = 10**9
CAMERAS = ("north", "south", "gate")
TERMS = "appearance=4.500 motion=0.000 position=3.900 class=0.000 prior=0.300"
BOXES: dict[str, list[list[object]]] = {
    "north": [[7, 2, 5, 28, 55, "person"], [None, 2, 5, 28, 55, "car"]],
    "south": [[8, 2, 5, 28, 55, "person"]],
    "gate": [],
}
"""What is in the picture of each camera."""
TRACK, OLD_TRACK, OTHER_TRACK = 2**53 - 1, 1_690_000_000_000_001, 1_690_000_000_000_002


def publish_lively_site(redis_url: str) -> None:
    """A site whose cameras north and south overlap; an object that leaves them comes to the gate in 5 to 20 s."""
    layout = Layout.closed(CAMERAS).with_transition("north", "south", 0, float("inf"), overlapping=True)
    layout = layout.with_transition("north", "gate", 5, 20)
    calibration = Calibration(np.array([[0.01, 0, -3.2], [0, 0.02, -1.0], [0, 0.001, 1.0]]), 640, 360, error_m=0.25)
    client = connect(redis_url)
    layout = Layout(**{**vars(layout), "calibrations": {"north": calibration}})
    publish_site(client, site_config(list(CAMERAS)), layout)
    client.close()


def fill(client: Client) -> None:
    """Identity 7 is in view; 5 left, 4 was merged into 5; 8 was split off 7; 7 has a name."""
    _processes(client)
    _cameras(client)
    identity(client, 7, 1, 0, 40, ["north", "south"], present=True, x="12.30", y="4.50", uncertainty="0.60", speed="")
    identity(client, 5, 0, 2, 20, ["gate"])
    identity(client, 8, 1, 30, 31, ["south"])
    client.hset(KEYS.aliases, mapping={"4": "5"})
    client.hset(KEYS.names, mapping={"7": "Anna", "5": "blue van"})
    new = {"score": "-3.200", "terms": "appearance=-1.700 prior=-1.500", "runner_up": 5, "margin": "3.200"}
    sighting(client, 7, "north", OLD_TRACK, 0, 0, **new)
    sighting(client, 7, "north", OLD_TRACK, 0, 10, ended=1)
    sighting(client, 7, "south", OTHER_TRACK, 12, 13, score="2.000", terms="appearance=2.0", runner_up=5, margin="0.4")
    sighting(client, 7, "north", TRACK, 15, 40, score="8.700", terms=TERMS, runner_up=0, margin="8.700")
    sighting(client, 5, "gate", 11, 2, 20, ended=1)
    event(client, 1, "appeared", 7, 0, camera="north", title="North gate", track_id=OLD_TRACK, **new)
    event(client, 2, "appeared", 5, 2, camera="gate", track_id=11)
    event(client, 3, "handover", 7, 12, camera="south", from_camera="north", track_id=OTHER_TRACK)
    event(client, 4, "merged", 5, 15, other_gid=4, score="3.100", terms=TERMS, runner_up=7, margin="1.100")
    event(client, 5, "left", 5, 20)
    event(client, 6, "split", 8, 30, other_gid=7, camera="south", track_id=OTHER_TRACK, score="-2.500")
    gap = {"kind": "gap", "tick": 301, "time_ns": T0 + 31 * S, "camera": "gate", "after_seq": 3, "next_seq": 9}
    client.xadd(KEYS.events, gap, id="7-0")
    cycle = {"tick": 400, "time_ns": T0 + 40 * S, "events": 7, "next_gid": 9, "cursor": ""}
    client.xadd(KEYS.cycles, cycle, id="400-0")
    client.set(KEYS.learned_layout, json.dumps(learned()))


def _processes(client: Client) -> None:
    client.set(KEYS.tick, 400)
    client.zadd(KEYS.seen, {"north": 397, "south": 400, "gate": 399})
    skew = {"tick": 400, "gate": 401, "slowest": "north@397", "fastest": "south@400", "skew": 3, "skipped": 12}
    client.hset(KEYS.skew, mapping={**skew, "stalled": "", "late": 2})
    now_ms = client.time()[0] * 1000
    for role, problem in (("clock", ""), ("aggregator", "it is ill")):
        client.zadd(KEYS.services, {f"{role}-1": now_ms + 3_600_000})
        process = {"role": role, "host": "box", "pid": 7, "problem": problem, "started_ms": now_ms - 100_000}
        process |= {"metrics_host": "127.0.0.1", "metrics_port": 9101}
        client.hset(KEYS.service(f"{role}-1"), mapping=process | ({"not_ready_s": "4.0"} if problem else {}))
    worker = {"host": "box", "pid": 9, "labels": "door", "device": "cpu", "backend": "onnxruntime", "embedder": "ab12"}
    client.hset(KEYS.worker("worker-1"), mapping={**worker, "cameras": "gate north south", "fps": "9.8", "gpu": ""})


def _cameras(client: Client) -> None:
    for number, camera in enumerate(CAMERAS):
        set_status(client, camera, class_names='["person", "car"]', width=1280, height=720, **SLOW)
        publish_picture(client, camera, 397, numbered_jpeg(number), boxes=BOXES[camera])
    client.xadd(KEYS.tracks("north"), track_entry("north", [TRACK, 5]))
    client.xadd(KEYS.tracks("south"), track_entry("south", [OTHER_TRACK]))
    client.xadd(KEYS.tracks("gate"), track_entry("gate", [1], payload=b"rubbish"))
    client.hset(KEYS.gids("north"), mapping={str(TRACK): "7"})
    client.hset(KEYS.gids("south"), mapping={str(OTHER_TRACK): "8"})
    publisher = CropPublisher(client, KEYS, retention_seconds=3600)
    image = np.random.default_rng(1).integers(0, 255, (720, 1280, 3), np.uint8)
    for camera, tracks in (("north", [TRACK, OLD_TRACK]), ("south", [OTHER_TRACK])):
        boxes = np.array([[10, 20, 110, 220]] * len(tracks), np.float32)
        publisher.offer(Crops(camera, 390, T0 + 39 * S, image, tracks, boxes, [0.7] * len(tracks)))
    wait_until(lambda: publisher.published == 3, "the crops")
    publisher.close()


def identity(
    client: Client, gid: int, class_id: int, first_s: int, last_s: int, cameras: list[str], **fields: object
) -> None:
    """Writes a record; times in seconds after T0."""
    record = {"gid": gid, "class": class_id, "first_seen_ns": T0 + first_s * S, "last_seen_ns": T0 + last_s * S}
    record |= {"cameras": " ".join(cameras), "tracks": len(cameras), "present": 0}
    record |= {name: int(value) if isinstance(value, bool) else value for name, value in fields.items()}
    client.hset(KEYS.identity(gid), mapping={name: str(value) for name, value in record.items()})


def sighting(client: Client, gid: int, camera: str, track: int, first_s: int, last_s: int, **fields: object) -> None:
    """Appends to a journey."""
    times = {"first_ns": T0 + first_s * S, "last_ns": T0 + last_s * S, "first_tick": first_s, "last_tick": last_s}
    entry = {"camera": camera, "track_id": track, "ended": 0} | times | fields
    client.xadd(KEYS.sightings(gid), {name: str(value) for name, value in entry.items()})


def event(client: Client, number: int, kind: str, gid: int, at_s: int, **fields: object) -> None:
    """Appends the event `number`."""
    entry = {"kind": kind, "tick": at_s * 10, "time_ns": T0 + at_s * S, "gid": gid, "reason": "a test"} | fields
    client.xadd(KEYS.events, {name: str(value) for name, value in entry.items()}, id=f"{number}-0")


def learned() -> dict[str, object]:
    """What an aggregator has learned."""
    overlap = {"cameras": ["north", "south"], "source": "layout", "probability": None, "tracks": 0, "found": 0}
    step = {"from": "north", "to": "gate", "handovers": 4, "seconds": [6.0, 8.5, 12.0]}
    offset = {"camera": "south", "seconds": 0.31, "deviation": 0.02, "corrected": 0.31}
    overlaps = [{**overlap, "is_mapped": True}]
    return {"tick": 390, "overlaps": overlaps, "steps": [step], "time_offsets": [offset], "appearance": []}
