"""`/identities`: the objects of the site across all cameras, newest first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from pydantic import Field

from services.streamer.api.models import (
    CURSOR,
    LIMIT,
    NEXT,
    CameraName,
    Cursor,
    Flag,
    Limit,
    Model,
    Number64,
    Query,
    Text,
    Time,
    as_text,
    cursor_of,
    iso_time,
    nanoseconds,
    position_of,
)
from services.streamer.api.operations import Operations
from services.streamer.api.parts import ApiParts
from shared.names import read_names
from shared.site_state.identities import IdentityRecord
from shared.site_state.states import CameraState

_TAG = "identities"
EXAMINED = 2_000
"""Records that one page reads at most, whatever the filters."""


class Position(Model):
    """Where an identity was last seen on the ground."""

    x: float = Field(description="metres, like `y` and `uncertainty`")
    y: float
    uncertainty: float | None
    speed: float | None = Field(description="m/s; null: unknown")


class Identity(Model):
    """One object across cameras."""

    gid: int
    name: Text | None = Field(description="the name that an operator gave to it")
    class_: Text | int | None = Field(
        alias="class", description="name, or number if the name is not known; null: unknown"
    )
    first_seen_ns: Number64 | None = Field(description="site time, ns")
    first_seen: Text | None = Field(description="the same time in ISO 8601, UTC")
    last_seen_ns: Number64 | None = Field(description="site time, ns; while it is in view, when its record changed")
    last_seen: Text | None
    present: bool = Field(description="whether it is in view of a camera")
    cameras: list[Text] = Field(description="those that saw it, as far as its tracks are remembered")
    tracks: int | None = Field(description="how many of its tracks are remembered")
    position: Position | None = Field(description="null: no calibrated camera sees it")


class IdentityPage(Model):
    """Identities."""

    identities: list[Identity] = Field(description="the newest, which has the highest gid, first")
    next: Cursor | None = Field(description=NEXT)


class IdentityFilters(Query):
    """Parameters that choose identities."""

    since: Time | None = Field(None, description="only those that were seen at this time or later, as in RFC 3339")
    until: Time | None = Field(None, description="only those that were seen at this time or earlier")
    camera: CameraName | None = Field(None, description="only those that this camera saw")
    class_: str | None = Field(None, alias="class", description="only this class, by name or number")
    present: Flag | None = Field(None, description="only those that are in view (true) or are not (false)")


class IdentitiesQuery(IdentityFilters):
    """Parameters of `/identities`."""

    name: str | None = Field(None, description="only those with this name; upper and lower case are the same")
    name_contains: str | None = Field(
        None, description="only those whose name contains this; upper and lower case are the same"
    )
    limit: Limit = Field(100, description=LIMIT)
    cursor: Cursor | None = Field(None, description=CURSOR)


def add(api: Operations, parts: ApiParts) -> None:
    """Adds the operation."""

    @api.get(
        "/identities",
        "The identities, newest first",
        IdentityPage,
        tag=_TAG,
        query=IdentitiesQuery,
        description="Those that are in view, or were within `association.retention_seconds`.",
    )
    def _identities(query: IdentitiesQuery) -> IdentityPage:
        cameras = parts.site.current().cameras
        is_wanted, below = wanted_by(query, cameras), position_of(query.cursor)
        if query.name is None and query.name_contains is None:
            found, rest = parts.identities.page(below, is_wanted, query.limit, EXAMINED)
        else:
            has_name = _has_name(query)
            named = sorted(
                (gid for gid, name in read_names(parts.client, parts.keys).items() if has_name(name)), reverse=True
            )
            gids = (gid for gid in named if below is None or gid < below)
            found, rest = parts.identities.page_of(gids, is_wanted, query.limit, EXAMINED)
        names = read_names(parts.client, parts.keys, [record.gid for record in found])
        return IdentityPage(
            identities=[Identity(**identity_fields(record, cameras, names)) for record in found],
            next=None if rest is None else cursor_of(rest),
        )


def _has_name(query: IdentitiesQuery) -> Callable[[str], bool]:
    wanted = None if query.name is None else query.name.casefold()
    part = (query.name_contains or "").casefold()
    return lambda name: part in name.casefold() and wanted in (None, name.casefold())


def wanted_by(query: IdentityFilters, cameras: Sequence[CameraState]) -> Callable[[IdentityRecord], bool]:
    """Whether the filters choose an identity."""
    since_ns = nanoseconds(query.since) if query.since else None
    until_ns = nanoseconds(query.until) if query.until else None

    def is_wanted(record: IdentityRecord) -> bool:
        if query.present is not None and record.present != query.present:
            return False
        if query.camera is not None and query.camera not in record.cameras:
            return False
        if query.class_ is not None and query.class_ not in (str(record.class_id), class_of(record, cameras)):
            return False
        # What is in view is seen now, although its record may be some time old.
        is_over = record.last_seen_ns is None or since_ns is None or record.last_seen_ns < since_ns
        if since_ns is not None and is_over and not record.present:
            return False
        return until_ns is None or (record.first_seen_ns is not None and record.first_seen_ns <= until_ns)

    return is_wanted


def class_of(record: IdentityRecord, cameras: Sequence[CameraState]) -> str | int | None:
    """The name of the class of an identity; its number, if none of its cameras says how that is called."""
    if record.class_id is None:
        return None
    for camera in cameras:
        if camera.name in record.cameras and 0 <= record.class_id < len(camera.class_names):
            return camera.class_names[record.class_id]
    return record.class_id


def identity_fields(
    record: IdentityRecord, cameras: Sequence[CameraState], names: Mapping[int, str]
) -> dict[str, object]:
    """The fields of `Identity`; `names`: gid → name."""
    place = record.place
    return {
        "gid": record.gid,
        "name": names.get(record.gid),
        "class_": class_of(record, cameras),
        "first_seen_ns": as_text(record.first_seen_ns),
        "first_seen": iso_time(record.first_seen_ns),
        "last_seen_ns": as_text(record.last_seen_ns),
        "last_seen": iso_time(record.last_seen_ns),
        "present": record.present,
        "cameras": list(record.cameras),
        "tracks": record.tracks,
        "position": None
        if place is None
        else Position(x=place.x, y=place.y, uncertainty=place.uncertainty, speed=place.speed),
    }
