"""The API under `/api/v1`: one module for each resource, and what they have in common.

`operations` declares the routes, `document` generates the OpenAPI document from them and from the models of the
responses, `problem_details` is the form of every error. `docs/api.md` is for those who use the API.
"""

from __future__ import annotations

import json
from functools import cache

from flask import Blueprint, Response

from services.streamer.api import (
    camera_changes,
    cameras,
    corrections,
    crops,
    event_stream,
    events,
    floor_plan,
    geometry,
    identities,
    identity,
    identity_search,
    networks,
    site,
    sources,
    tracks,
)
from services.streamer.api.document import openapi_document
from services.streamer.api.operations import JSON, Operations
from services.streamer.api.parts import ApiParts
from services.streamer.api.wall import wall_json, wall_json_without_redis

PREFIX = "/api/v1"
_RESOURCES = (
    site,
    networks,
    cameras,
    tracks,
    crops,
    identities,
    identity,
    events,
    event_stream,
    geometry,
    floor_plan,
    corrections,
    sources,
    identity_search,
    camera_changes,
)


def api_blueprint(parts: ApiParts) -> Blueprint:
    """The routes of the API."""
    blueprint = Blueprint("api", __name__, url_prefix=PREFIX)
    operations = Operations(blueprint)
    for resource in _RESOURCES:
        resource.add(operations, parts)

    @cache
    def document() -> str:
        return json.dumps(openapi_document(operations.every, PREFIX), indent=1)

    @blueprint.get("/openapi.json")
    def _openapi() -> Response:
        return Response(document(), content_type=JSON, headers={"Cache-Control": "no-cache"})

    return blueprint


__all__ = ["ApiParts", "api_blueprint", "wall_json", "wall_json_without_redis"]
