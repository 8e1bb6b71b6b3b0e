"""`/cameras/{camera}/crops`: the best and the newest crop of each track."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from flask import Response, request
from pydantic import Field
from werkzeug.exceptions import NotFound

from services.streamer.api.cameras import NO_CAMERA
from services.streamer.api.models import (
    CURSOR,
    LIMIT,
    NEXT,
    Cursor,
    Limit,
    Model,
    Number64,
    Query,
    Text,
    cursor_of,
    iso_time,
    position_of,
)
from services.streamer.api.operations import Operations
from services.streamer.api.parts import ApiParts
from shared.crops import CropInfo, TrackCrops, read_crops, read_jpeg, tracks_with_crops
from shared.lenient_reads import fields_at
from shared.lenient_values import whole

_TAG = "cameras"


class Crop(Model):
    """A small picture of an object, without annotations."""

    url: Text = Field(description="the JPEG")
    tick: int
    time_ns: Number64 = Field(description="site time of the picture, ns")
    time: Text | None = Field(description="the same time in ISO 8601, UTC")
    width: int = Field(description="pixels of the JPEG")
    height: int
    quality: float = Field(description="how well it shows the object's appearance, 0 to 1")


class CropsOfTrack(Model):
    """The crops of one track."""

    camera: Text
    track_id: Number64
    gid: int | None = Field(description="global id; null: none yet, or the track ended")
    best: Crop = Field(description="the one with the highest quality")
    newest: Crop


class CropPage(Model):
    """Crops of tracks."""

    crops: list[CropsOfTrack] = Field(description="the newest track first")
    next: Cursor | None = Field(description=NEXT)


class CropsQuery(Query):
    """Parameters of `/cameras/{camera}/crops`."""

    limit: Limit = Field(100, description=LIMIT)
    cursor: Cursor | None = Field(None, description=CURSOR)


class CropQuery(Query):
    """Parameters of a crop."""

    version: str | None = Field(None, max_length=32, description="ignored; another address for a newer crop")


def add(api: Operations, parts: ApiParts) -> None:
    """Adds the operations."""

    @api.get(
        "/cameras/<camera>/crops",
        "The best and the newest crop of each track of a camera",
        CropPage,
        tag=_TAG,
        query=CropsQuery,
        not_found=NO_CAMERA,
        description="Of at most 64 tracks, also of those that ended, for `association.retention_seconds`.",
    )
    def _crops(camera: str, query: CropsQuery) -> CropPage:
        name = parts.camera(camera).name
        below = position_of(query.cursor)
        every = tracks_with_crops(parts.frames, parts.keys, name)
        left = [track_id for track_id in every if below is None or track_id < below]
        some = left[: query.limit]
        gids = fields_at(parts.client, parts.keys.gids(name), [str(track_id) for track_id in some])
        known = {track_id: gid for track_id, text in zip(some, gids, strict=True) if (gid := whole(text)) is not None}
        found = read_crops(parts.frames, parts.keys, name, some)
        return CropPage(crops=crops_of(name, found, known), next=cursor_of(some[-1]) if len(left) > len(some) else None)

    @api.get(
        "/cameras/<camera>/crops/<int:track_id>/<any(best, newest):which>.jpg",
        "A crop as JPEG",
        tag=_TAG,
        media_type="image/jpeg",
        query=CropQuery,
        not_found="the camera or the crop does not exist",
    )
    def _crop(camera: str, track_id: int, which: str, query: CropQuery) -> Response:
        name = parts.camera(camera).name
        jpeg = read_jpeg(parts.frames, parts.keys, name, track_id, "best" if which == "best" else "newest")
        if jpeg is None:
            raise NotFound(f"track {track_id} of camera '{name}' has no crop")
        # A cache may keep it, but has to ask each time whether there is a newer one.
        response = Response(jpeg, content_type="image/jpeg", headers={"Cache-Control": "private, no-cache"})
        response.add_etag()
        response.make_conditional(request)
        return response


def crops_of(camera: str, found: Mapping[int, TrackCrops], gids: Mapping[int, int]) -> list[CropsOfTrack]:
    """The crops of some tracks of a camera; `gids`: track id → gid."""
    return [
        CropsOfTrack(
            camera=camera,
            track_id=str(track_id),
            gid=gids.get(track_id),
            best=_crop_of(camera, track_id, "best", crops.best),
            newest=_crop_of(camera, track_id, "newest", crops.newest),
        )
        for track_id, crops in found.items()
    ]


def _crop_of(camera: str, track_id: int, which: str, info: CropInfo) -> Crop:
    return Crop(
        url=f"/api/v1/cameras/{quote(camera)}/crops/{track_id}/{which}.jpg",
        tick=info.tick,
        time_ns=str(info.time_ns),
        time=iso_time(info.time_ns),
        width=info.width,
        height=info.height,
        quality=info.quality,
    )
