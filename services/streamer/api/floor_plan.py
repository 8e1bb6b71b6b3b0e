"""`/floor-plan`: the picture under the map of the page, and where it lies on the ground."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from flask import Response, request
from pydantic import BeforeValidator, Field
from werkzeug.exceptions import NotFound

from services.streamer.api.models import Model, Query, Text
from services.streamer.api.operations import Operations
from services.streamer.api.parts import ApiParts
from services.streamer.api.problem_details import InvalidParameter, InvalidRequest
from shared.floor_plan import BYTES_MOST, SIDE_MOST, FloorPlan, delete_floor_plan, read_floor_plan, write_floor_plan
from shared.jpeg_size import jpeg_size

_TAG = "geometry"
_NONE = "the site has no floor plan"


def _number(value: Any) -> Any:
    """Stricter than pydantic, which also reads `nan` and `1_0`."""
    try:
        number = float(value) if "_" not in str(value) else math.nan
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError("must be a number")
    return number


_Metres = Annotated[float, Field(ge=-1e6, le=1e6), BeforeValidator(_number)]
_Width = Annotated[float, Field(ge=0.01, le=1e6), BeforeValidator(_number)]


class FloorPlanOfSite(Model):
    """The floor plan: a picture of the ground from above, its upper edge towards positive y."""

    url: Text
    x: float = Field(description="of its lower left corner on the ground, metres; likewise `y`")
    y: float
    width_m: float = Field(description="how wide it is on the ground, metres; likewise `height_m`")
    height_m: float


class FloorPlanState(Model):
    """The floor plan, if there is one."""

    plan: FloorPlanOfSite | None = Field(description="null: there is none")


class FloorPlanChange(Model):
    """What a request did."""

    done: Literal["removed", "nothing"] = Field(description="nothing: there was no floor plan")


class PlaceQuery(Query):
    """Where a floor plan lies."""

    x: _Metres = Field(0.0, description="of its lower left corner on the ground, metres")
    y: _Metres = Field(0.0, description="likewise")
    width_m: _Width = Field(description="how wide it is on the ground, metres")


class VersionQuery(Query):
    """Parameters of the picture."""

    version: str | None = Field(None, max_length=64, description="ignored; another address for a newer picture")


def add(api: Operations, parts: ApiParts) -> None:
    """Adds the operations."""

    @api.get("/floor-plan", "The picture under the map", FloorPlanState, tag=_TAG)
    def _floor_plan() -> FloorPlanState:
        plan = read_floor_plan(parts.client, parts.keys)
        return FloorPlanState(plan=None if plan is None else _shown(plan))

    @api.get(
        "/floor-plan.jpg",
        "The picture itself",
        tag=_TAG,
        media_type="image/jpeg",
        query=VersionQuery,
        not_found=_NONE,
    )
    def _floor_plan_picture(query: VersionQuery) -> Response:
        headers = {"Cache-Control": "private, no-cache"}
        plan = read_floor_plan(parts.client, parts.keys)
        if plan is None:
            raise NotFound(_NONE)
        response = Response(plan.jpeg, content_type="image/jpeg", headers=headers)
        response.add_etag()
        response.make_conditional(request)
        return response

    @api.change(
        "put",
        "/floor-plan",
        "Draw a picture under the map",
        FloorPlanOfSite,
        tag=_TAG,
        query=PlaceQuery,
        most_jpeg_bytes=BYTES_MOST,
        description=f"The body is a JPEG of at most {BYTES_MOST // 1024} KiB and {SIDE_MOST} pixels wide and high.",
    )
    def _set_floor_plan(query: PlaceQuery, body: bytes) -> FloorPlanOfSite:
        size = jpeg_size(body)
        if size is None:
            raise InvalidRequest([InvalidParameter(parameter="body", message="is not a JPEG")])
        if max(size) > SIDE_MOST:
            message = f"has {size[0]} by {size[1]} pixels; send at most {SIDE_MOST} each"
            raise InvalidRequest([InvalidParameter(parameter="body", message=message)])
        plan = FloorPlan(query.x, query.y, query.width_m, size, body)
        write_floor_plan(parts.client, parts.keys, plan)
        return _shown(plan)

    @api.change("delete", "/floor-plan", "Remove the picture under the map", FloorPlanChange, tag=_TAG)
    def _remove_floor_plan() -> FloorPlanChange:
        return FloorPlanChange(done="removed" if delete_floor_plan(parts.client, parts.keys) else "nothing")


def _shown(plan: FloorPlan) -> FloorPlanOfSite:
    return FloorPlanOfSite(
        url="/api/v1/floor-plan.jpg", x=plan.x, y=plan.y, width_m=plan.width_m, height_m=round(plan.height_m, 3)
    )
