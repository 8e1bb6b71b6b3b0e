"""People seen by several cameras carry one id, the same in every run: four cameras, real models, virtual time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from evaluation.ground_plane import PairCounts, count_pairs
from evaluation.tracks import PublishedTracks
from recording.rows import AssignmentRows, camera_tracks, gids_at
from shared.calibration_files import read_calibration
from shared.keys import Keys
from shared.messages import TrackEntry
from shared.redis_connection import Client
from tests.running_site import RunningSite

KEYS = Keys("room")
CAMERAS = [f"cam{i}" for i in range(4)]
OSNET = {"min_similarity": 0.6}


def play_to_the_end(
    start: Callable[..., RunningSite], site_file: Path, redis_url: str, client: Client
) -> list[tuple[int, str, int, int]]:
    """Plays the recordings in virtual time; the assignments (tick, camera, track_id, gid) in their order."""
    client.flushall()
    site = start(site_file, "--redis", redis_url)
    site.wait_for(lambda: all(client.hget(KEYS.camera(name), "state") == b"ended" for name in CAMERAS), 250)
    last = int(client.get(KEYS.tick))
    site.wait_for(lambda: client.xrevrange(KEYS.cycles, count=1)[0][0] == f"{last}-0".encode())
    assert site.end()[0] == 0
    fields = [fields for _, fields in client.xrange(KEYS.assignments)]
    return [(int(one[b"tick"]), one[b"camera"].decode(), int(one[b"track_id"]), int(one[b"gid"])) for one in fields]


def pairs_as_published(client: Client, assignments: list[tuple[int, str, int, int]], recordings: Path) -> PairCounts:
    """Truth by the feet on the floor, against the gids as they were published live at each tick."""
    rows = AssignmentRows.of((tick, CAMERAS.index(camera), track, gid, -1) for tick, camera, track, gid in assignments)
    published = []
    for index, camera in enumerate(CAMERAS):
        seen = camera_tracks(TrackEntry.decode(fields) for _, fields in client.xrange(KEYS.tracks(camera))).rows
        gids = gids_at(rows, index, seen.track_id, seen.tick)
        published.append(PublishedTracks.of(seen.tick, seen.time_ns, seen.track_id, seen.box_xyxy, gids))
    return count_pairs(published, [read_calibration(recordings / f"{camera}.calibration.json") for camera in CAMERAS])


@pytest.mark.timeout(600)
def test_virtual_time_gives_the_same_ids_twice_and_people_seen_by_several_cameras_carry_one(
    start: Callable[..., RunningSite],
    four_cameras_site: Callable[..., Path],
    shared_data: Path,
    tmp_path: Path,
    redis_url: str,
    redis_client: Client,
) -> None:
    site_file = four_cameras_site(tmp_path, clock={"mode": "virtual"}, association=OSNET)
    first = play_to_the_end(start, site_file, redis_url, redis_client)
    for camera in CAMERAS:
        ticks = [int(fields[b"tick"]) for _, fields in redis_client.xrange(KEYS.tracks(camera))]
        assert ticks == list(range(1, 270)), "every tick once: 268 frames, and the one that ends the tracks"

    pairs = pairs_as_published(redis_client, first, shared_data / "data" / "ufes-four-cameras")
    assert pairs.same > 1000
    assert pairs.different > 1000
    assert (pairs.same_share or 0) >= 0.85
    assert (pairs.different_share or 1) <= 0.06

    assert play_to_the_end(start, site_file, redis_url, redis_client) == first
