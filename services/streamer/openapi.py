"""The OpenAPI document of `/api/v1`, written by hand; a test validates the real responses against it."""

from __future__ import annotations

from typing import Any

from shared.site_state.problems import PROBLEM_CODES
from shared.site_state.states import STATES

Schema = dict[str, Any]


def _object(properties: dict[str, Schema], optional: tuple[str, ...] = ()) -> Schema:
    return {
        "type": "object",
        "required": [name for name in properties if name not in optional],
        "properties": properties,
        "additionalProperties": False,
    }


def _or_null(kind: str, description: str = "") -> Schema:
    schema: Schema = {"type": [kind, "null"]}
    return {**schema, "description": description} if description else schema


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def _reference(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


_TEXT: Schema = {"type": "string"}
_COUNT: Schema = {"type": "integer", "minimum": 0}

_SITE = _object(
    {
        "site": _TEXT,
        "mode": {"type": "string", "enum": ["live", "virtual"]},
        "tick": _COUNT,
        "gate": {"type": "integer", "description": "the highest tick that a camera may start"},
        "skew_ticks": {"type": "integer", "description": "fastest minus slowest camera"},
        "skipped_ticks": {"type": "integer", "description": "ticks that cameras skipped to keep up"},
        "slowest": _or_null("string", "camera@tick"),
        "fastest": _or_null("string", "camera@tick"),
        "cameras": _COUNT,
        "cameras_live": {**_COUNT, "description": "cameras with the state live and without a warning"},
        "live_tracks": _COUNT,
        "live_identities": _COUNT,
        "tick_age_s": _or_null("number", "how long ago the current tick was published; null: unknown"),
        "cycle_lag_ticks": _or_null(
            "integer",
            "ticks that all cameras have handled since the aggregator's last cycle; null: none has handled one",
        ),
        "boxes": {**_COUNT, "description": "boxes that are shown now, of all cameras"},
        "boxes_without_gid": {**_COUNT, "description": "of these, boxes without a global id"},
        "well": {"type": "boolean", "description": "whether there is no problem"},
        "problems": {**_list(_reference("Problem")), "description": "the most important first"},
        "notices": {"type": "array", "items": {"type": "string"}, "description": "of the last day, and over"},
        "services": {
            **_list(_reference("Service")),
            "description": "the processes that sent a heartbeat within the last minute",
        },
    }
)

_PROBLEM = _object(
    {
        "code": {"type": "string", "enum": list(PROBLEM_CODES)},
        "about": {
            "type": "string",
            "description": "id of the service or name of the host, if it is about one of several; otherwise empty",
        },
        "text": {"type": "string", "description": "what is wrong, and what follows from it; for people"},
        "advice": {"type": "string", "description": "what to do; for people"},
        "seconds": _or_null("number", "how long it has been so; null: unknown"),
    }
)

_SERVICE = _object(
    {
        "id": _TEXT,
        "role": _TEXT,
        "host": _TEXT,
        "pid": _or_null("integer"),
        "ready": {"type": "boolean"},
        "problem": _or_null("string", "why it was not ready at its last heartbeat"),
        "heartbeat_age_s": {"type": "number"},
    }
)

_CAMERA = _object(
    {
        "name": _TEXT,
        "title": {"type": "string", "description": "what people call it; its name, if it has no title"},
        "state": {"type": "string", "enum": list(STATES)},
        "message": {"type": "string", "description": "the state and its cause, for people"},
        "warning": _or_null("string", "a problem of the site that concerns it although it shows pictures"),
        "owner": _or_null("string", "the worker that owns the camera"),
        "seen_tick": _or_null("integer", "last handled tick; null: the camera does not take part in the clock now"),
        "lag_ticks": _or_null("integer"),
        "fps": _or_null("number"),
        "width": _or_null("integer", "pixels of the source"),
        "height": _or_null("integer"),
        "error": _or_null("string", "the last error, without credentials"),
        "live_tracks": _or_null("integer", "tracks in the last picture; 0 once it is stale"),
        "picture_age_s": _or_null("number", "age of the newest picture, seconds"),
        "picture_url": _TEXT,
        "stream_url": _TEXT,
    }
)

_TRACK = _object(
    {
        "track_id": {"type": "string", "pattern": "^[0-9]+$", "description": "an integer below 2^53, as text"},
        "gid": _or_null("integer", "global id; null: none yet"),
        "box_xyxy": {
            **_list({"type": "number"}),
            "minItems": 4,
            "maxItems": 4,
            "description": "x_min, y_min, x_max, y_max in pixels of the source",
        },
        "score": {"type": "number"},
        "class": {"type": ["string", "integer"], "description": "name, or number if the name is not known"},
        "quality": {"type": "number"},
    }
)

_CAMERA_TRACKS = _object(
    {
        "camera": _TEXT,
        "tick": _or_null("integer", "tick of the last picture; once it is stale, the last handled tick"),
        "time_ns": _or_null("string", "site time of that tick, ns, as text because it exceeds 2^53"),
        "time": _or_null("string", "the same time in ISO 8601, UTC"),
        "width": _or_null("integer", "pixels of the source; null: the last picture is stale, or there is none"),
        "height": _or_null("integer"),
        "tracks": _list(_reference("Track")),
        "error": {"type": "string", "description": "why the tracks of this camera cannot be read"},
    },
    optional=("error",),
)

_ERROR = _object({"error": _object({"code": _TEXT, "message": _TEXT})})


def _get(summary: str, schema: str, errors: tuple[int, ...], parameters: list[Schema] | None = None) -> Schema:
    def answer(name: str, description: str) -> Schema:
        return {"description": description, "content": {"application/json": {"schema": _reference(name)}}}

    descriptions = {404: "there is no such camera", 503: "Redis does not answer"}
    return {
        "get": {
            "summary": summary,
            **({"parameters": parameters} if parameters else {}),
            "responses": {
                "200": answer(schema, summary),
                **{str(status): answer("Error", descriptions[status]) for status in errors},
            },
        }
    }


DOCUMENT: Schema = {
    "openapi": "3.1.0",
    "info": {"title": "mtmc streamer", "version": "1", "description": "The state of one site, read from Redis."},
    "paths": {
        "/api/v1/site": _get("The site as a whole", "Site", (503,)),
        "/api/v1/cameras": _get("All cameras and their states", "Cameras", (503,)),
        "/api/v1/tracks": _get(
            "The tracks in the last picture of each camera, or of one; none once it is older than 1 s and two ticks",
            "Tracks",
            (404, 503),
            [{"name": "camera", "in": "query", "required": False, "schema": _TEXT}],
        ),
    },
    "components": {
        "schemas": {
            "Site": _SITE,
            "Problem": _PROBLEM,
            "Service": _SERVICE,
            "Camera": _CAMERA,
            "Cameras": _object({"cameras": _list(_reference("Camera"))}),
            "Track": _TRACK,
            "CameraTracks": _CAMERA_TRACKS,
            "Tracks": _object({"cameras": _list(_reference("CameraTracks"))}),
            "Error": _ERROR,
        }
    },
}
