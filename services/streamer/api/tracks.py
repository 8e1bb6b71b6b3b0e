"""`/tracks`: the tracks that each camera shows now, with their global ids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import Field
from redis.exceptions import ResponseError

from services.streamer.api.cameras import NO_CAMERA
from services.streamer.api.models import CameraName, Model, Number64, Query, Text, iso_time
from services.streamer.api.operations import Operations
from services.streamer.api.parts import ApiParts
from shared.errors import MessageError, redact
from shared.keys import Keys
from shared.lenient_values import whole
from shared.messages import TrackEntry
from shared.redis_connection import Client
from shared.site_state.shown_tracks import ShownTracks
from shared.site_state.states import CameraState

Box = Annotated[list[float], Field(min_length=4, max_length=4)]


class Track(Model):
    """One object in one camera."""

    track_id: Number64
    gid: int | None = Field(description="global id; null: none yet")
    box_xyxy: Box = Field(description="x_min, y_min, x_max, y_max in pixels of the source")
    score: float
    class_: Text | int = Field(alias="class", description="name, or number if the name is not known")
    quality: float = Field(description="how well the box shows the object's appearance, 0 to 1")


class CameraTracks(Model):
    """The tracks of one camera."""

    camera: Text
    tick: int | None = Field(description="tick of the last picture; once it is stale, the last handled tick")
    time_ns: Number64 | None = Field(description="site time of that tick, ns")
    time: Text | None = Field(description="the same time in ISO 8601, UTC")
    width: int | None = Field(description="pixels of the source; null: the last picture is stale, or there is none")
    height: int | None
    tracks: list[Track]
    error: Text | None = Field(None, description="why the tracks of this camera cannot be read")


class Tracks(Model):
    """The tracks of cameras."""

    cameras: list[CameraTracks]


class TracksQuery(Query):
    """Parameters of `/tracks`."""

    camera: CameraName | None = Field(None, description="only this camera")


def add(api: Operations, parts: ApiParts) -> None:
    """Adds the operation."""

    @api.get(
        "/tracks",
        "The tracks in the last picture of each camera, or of one",
        Tracks,
        tag="cameras",
        query=TracksQuery,
        not_found=NO_CAMERA,
        description="None once the picture is older than 1 s and two ticks.",
    )
    def _tracks(query: TracksQuery) -> Tracks:
        cameras = parts.site.current().cameras if query.camera is None else [parts.camera(query.camera)]
        return Tracks(cameras=tracks_of(parts, cameras))


def tracks_of(parts: ApiParts, cameras: Sequence[CameraState]) -> list[CameraTracks]:
    """The tracks that these cameras show now.

    Raises:
        RedisError: Redis is unreachable.
    """
    return _read_tracks(parts.client, parts.keys, cameras, parts.site.reader.tracks(cameras))


def _read_tracks(
    client: Client, keys: Keys, cameras: Sequence[CameraState], shown: Sequence[ShownTracks | None]
) -> list[CameraTracks]:
    """A camera whose entry is malformed has an `error`; the others are not affected."""
    with client.pipeline(transaction=False) as pipe:
        for camera, tracks in zip(cameras, shown, strict=True):
            oldest, newest = (tracks.entry_id, tracks.entry_id) if tracks else ("-", "+")
            pipe.xrevrange(keys.tracks(camera.name), newest, oldest, count=1)
            pipe.hgetall(keys.gids(camera.name))
        answers = pipe.execute(raise_on_error=False)
    return [
        _camera_tracks(camera, tracks, entries, gids)
        for camera, tracks, entries, gids in zip(cameras, shown, answers[::2], answers[1::2], strict=True)
    ]


def _camera_tracks(camera: CameraState, shown: ShownTracks | None, entries: Any, gids: Any) -> CameraTracks:
    try:
        for answer in (entries, gids):
            if isinstance(answer, ResponseError):
                raise MessageError(f"Redis refused: {answer}")
            if isinstance(answer, Exception):
                raise answer
        entry = TrackEntry.decode(entries[0][1]) if entries else None
    except MessageError as error:
        return _described(camera.name, None, error=redact(str(error)))
    if entry is None or shown is None:
        return _described(camera.name, entry)
    if not shown.fresh:
        return _described(camera.name, entry, is_stale=True)
    return _described(camera.name, entry, _tracks_in(entry, shown.ended, gids, camera.class_names))


def _described(
    camera: str,
    entry: TrackEntry | None,
    tracks: Sequence[Track] = (),
    *,
    is_stale: bool = False,
    error: str | None = None,
) -> CameraTracks:
    has_size = entry is not None and not is_stale
    return CameraTracks(
        camera=camera,
        tick=entry.tick if entry else None,
        time_ns=str(entry.time_ns) if entry else None,
        time=iso_time(entry.time_ns) if entry else None,
        width=(entry.batch.width or None) if entry and has_size else None,
        height=(entry.batch.height or None) if entry and has_size else None,
        tracks=list(tracks),
        error=error,
    )


def _tracks_in(
    entry: TrackEntry, ended: frozenset[int], gids: Mapping[bytes, bytes], class_names: Sequence[str]
) -> list[Track]:
    batch = entry.batch
    tracks = []
    for i, track_id in enumerate(batch.track_ids.tolist()):
        if track_id in ended:
            continue
        class_id = int(batch.class_ids[i])
        tracks.append(
            Track(
                track_id=str(track_id),
                gid=whole(gids.get(str(track_id).encode())),
                box_xyxy=[round(float(edge), 2) for edge in batch.boxes_xyxy[i]],
                score=round(float(batch.scores[i]), 4),
                class_=class_names[class_id] if 0 <= class_id < len(class_names) else class_id,
                quality=round(float(batch.qualities[i]), 4),
            )
        )
    return tracks
