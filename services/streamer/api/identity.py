"""`/identities/{gid}`: one identity with its journey, where it is now, its crops, and why it has its tracks."""

from __future__ import annotations

from collections.abc import Sequence

from flask import Response
from pydantic import Field
from redis.exceptions import RedisError
from werkzeug.exceptions import NotFound

from services.streamer.api.crops import CropsOfTrack, crops_of
from services.streamer.api.events import Decision, decision_of
from services.streamer.api.identities import Identity, identity_fields
from services.streamer.api.models import Model, Number64, Text, iso_time
from services.streamer.api.operations import Operations, json_response
from services.streamer.api.parts import ApiParts
from services.streamer.api.tracks import Box, tracks_of
from shared.crops import read_crops
from shared.lenient_values import whole
from shared.names import read_names
from shared.site_state.explanation import Change, Explanation, TrackOfIdentity, read_explanation
from shared.site_state.identities import identity_record


class Sighting(Model):
    """One stay of the identity in one camera."""

    camera: Text
    track_id: Text
    first_seen_ns: Number64 = Field(description="site time, ns")
    first_seen: Text | None = Field(description="the same time in ISO 8601, UTC")
    last_seen_ns: Number64
    last_seen: Text | None = Field(description="until `ended` is true, when this was written")
    ended: bool
    moved_to: int | None = Field(description="gid of the identity that the track belongs to now, if it was split off")
    merged_from: int | None = Field(
        description="gid of the identity that the track joined, if that was merged into this one later"
    )
    decision: Decision | None = Field(description="why the track joined the identity; null: not known")


class IdentityChange(Model):
    """A merge or a split that the identity took part in."""

    kind: Text = Field(description="merged or split")
    time_ns: Number64 = Field(description="site time, ns")
    time: Text | None = Field(description="the same time in ISO 8601, UTC")
    gid: int
    other_gid: int = Field(description="merged: the gid that ceased to exist; split: the gid that the track left")
    camera: Text | None
    track_id: Text | None
    decision: Decision | None


class Rival(Model):
    """An identity that came second when a track joined this one."""

    gid: int
    name: Text | None
    times: int = Field(description="how many tracks it came second for")
    margin: float | None = Field(description="the smallest lead over it; null: unknown")
    camera: Text = Field(description="of the track with the smallest lead")
    track_id: Text


class PresentBox(Model):
    """Where the identity is in a camera's picture now."""

    camera: Text
    track_id: Number64
    tick: int | None
    time: Text | None = Field(description="site time of the picture in ISO 8601, UTC")
    box_xyxy: Box = Field(description="x_min, y_min, x_max, y_max in pixels of the source")


class IdentityDetail(Identity):
    """All that is known of one identity."""

    asked: int = Field(description="the gid in the address; another one than `gid` if it was merged into that")
    journey: list[Sighting] = Field(description="its stays in cameras, the oldest first")
    boxes: list[PresentBox] = Field(description="where it is now in the pictures of cameras")
    crops: list[CropsOfTrack] | None = Field(
        description="pictures of its tracks, the newest track first; null: the Redis for pictures does not answer"
    )
    rivals: list[Rival] = Field(description="the closest first")
    changes: list[IdentityChange] = Field(description="the oldest first, as far as `events` still has them")


def add(api: Operations, parts: ApiParts) -> None:
    """Adds the operation."""

    @api.get(
        "/identities/<int:gid>",
        "One identity: journey, positions, crops, explanation and rivals",
        IdentityDetail,
        tag="identities",
        not_found="there is no identity with this gid, or none any more",
        description="The gid of an identity that was merged answers with the surviving one: `gid` and the header "
        "`Content-Location` say which. It is no redirect, because a merge may be undone.",
    )
    def _identity(gid: int) -> Response:
        found = read_explanation(parts.client, parts.keys, gid, parts.changes) if gid < 2**63 else None
        if found is None:
            retention_s = parts.published.config.association.retention_seconds
            raise NotFound(
                f"there is no identity {gid}: it was never given, or nobody has seen it for {retention_s:g} s "
                "(association.retention_seconds)"
            )
        response = json_response(_detail(found, parts))
        response.headers["Content-Location"] = f"/api/v1/identities/{found.gid}"
        return response


def _detail(found: Explanation, parts: ApiParts) -> IdentityDetail:
    cameras = parts.site.current().cameras
    record = identity_record(found.gid, found.record)
    assert record is not None
    rivals = [track for track in found.tracks if track.reason is not None and (track.reason.runner_up or 0) > 0]
    names = read_names(
        parts.client, parts.keys, [found.gid, *(track.reason.runner_up or 0 for track in rivals if track.reason)]
    )
    open_cameras = {track.camera for track in found.tracks if not track.ended}
    shown = [camera for camera in cameras if camera.name in open_cameras]
    return IdentityDetail(
        **identity_fields(record, cameras, names),
        asked=found.asked,
        journey=[_sighting_of(track) for track in found.tracks],
        boxes=[
            PresentBox(
                camera=camera.camera,
                track_id=track.track_id,
                tick=camera.tick,
                time=camera.time,
                box_xyxy=track.box_xyxy,
            )
            for camera in (tracks_of(parts, shown) if shown else ())
            for track in camera.tracks
            if track.gid == found.gid
        ],
        crops=_crops(found, parts),
        rivals=_rivals(rivals, names),
        changes=[_change_of(change) for change in found.changes],
    )


def _crops(found: Explanation, parts: ApiParts) -> list[CropsOfTrack] | None:
    own: dict[str, list[int]] = {}
    for track in reversed(found.tracks):
        track_id = whole(track.track_id)
        if track_id is not None and track.moved_to is None:
            own.setdefault(track.camera, []).append(track_id)
    known = {camera.name for camera in parts.site.current().cameras}
    try:
        pages = [
            crops_of(
                camera,
                read_crops(parts.frames, parts.keys, camera, list(dict.fromkeys(track_ids))),
                dict.fromkeys(track_ids, found.gid),
            )
            for camera, track_ids in own.items()
            if camera in known
        ]
    except RedisError:
        if parts.frames is parts.client:
            raise
        return None
    return sorted((crops for page in pages for crops in page), key=lambda one: int(one.newest.time_ns), reverse=True)


def _rivals(tracks: Sequence[TrackOfIdentity], names: dict[int, str]) -> list[Rival]:
    by_gid: dict[int, list[TrackOfIdentity]] = {}
    for track in tracks:
        if track.reason is not None and track.reason.runner_up is not None:
            by_gid.setdefault(track.reason.runner_up, []).append(track)
    closest = {gid: min(them, key=_margin) for gid, them in by_gid.items()}
    return [
        Rival(
            gid=gid,
            name=names.get(gid),
            times=len(by_gid[gid]),
            margin=track.reason.margin if track.reason else None,
            camera=track.camera,
            track_id=track.track_id,
        )
        for gid, track in sorted(closest.items(), key=lambda item: (_margin(item[1]), item[0]))
    ]


def _margin(track: TrackOfIdentity) -> float:
    margin = track.reason.margin if track.reason else None
    return float("inf") if margin is None else margin


def _sighting_of(track: TrackOfIdentity) -> Sighting:
    return Sighting(
        camera=track.camera,
        track_id=track.track_id,
        first_seen_ns=str(track.first_ns),
        first_seen=iso_time(track.first_ns),
        last_seen_ns=str(track.last_ns),
        last_seen=iso_time(track.last_ns),
        ended=track.ended,
        moved_to=track.moved_to,
        merged_from=track.merged_from,
        decision=decision_of(track.reason),
    )


def _change_of(change: Change) -> IdentityChange:
    return IdentityChange(
        kind=change.kind,
        time_ns=str(change.time_ns),
        time=iso_time(change.time_ns),
        gid=change.gid,
        other_gid=change.other_gid,
        camera=change.camera or None,
        track_id=change.track_id or None,
        decision=decision_of(change.reason),
    )
