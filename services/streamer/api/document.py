"""Generates the OpenAPI 3.1 document from the operations and the models of their responses."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from pydantic.json_schema import models_json_schema

from services.streamer.access.security_schemes import SECURITY, SECURITY_SCHEMES
from services.streamer.api.models import Model, Query
from services.streamer.api.operations import JPEG, JSON, Operation
from services.streamer.api.problem_details import MEDIA_TYPE, ProblemDetails
from shared.config_fields import NAME_PATTERN
from shared.version import mtmc_version

Schema = dict[str, Any]
_REFERENCE = "#/components/schemas/{model}"
_PARAMETER = re.compile(r"<(?:(?P<kind>[^:<>]+):)?(?P<name>\w+)>")
_PATH_SCHEMAS: dict[str, Schema] = {
    "camera": {"type": "string", "pattern": NAME_PATTERN, "maxLength": 64},
    "gid": {"type": "integer", "minimum": 0, "maximum": 2**63 - 1},
    "track_id": {"type": "integer", "minimum": 0, "maximum": 2**63 - 1},
    "command_id": {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$"},
    "which": {"type": "string", "enum": ["best", "newest"]},
}
_ERRORS = {
    400: "a parameter is unknown or cannot have this value",
    401: "the page needs a login, and the request has no valid token",
    403: "the token is that of a viewer, or another web site has sent the request",
    406: "the header `Accept` excludes the media type of this resource",
    413: "the body of the request is too large",
    429: "too many failed logins from this address",
    500: "an unexpected error, which is in the log of the streamer",
    503: "Redis does not answer, or the streamer is full; try again later",
}
_ERRORS_OF_CHANGES = {
    409: "the aggregator refused the command, or the site is in a state that rules it out; `detail` says why",
    415: "the body is not of the type that the request needs; `detail` says which",
}
_TAGS = {
    "site": "The site and its processes",
    "cameras": "Cameras, their tracks and crops",
    "identities": "Objects across cameras, and what happened to them",
    "corrections": "What operators correct",
    "geometry": "Where cameras look, and how objects get from one to another",
}


def openapi_document(operations: Sequence[Operation], prefix: str) -> Schema:
    """The document; `prefix` is that of every path."""
    answers = [operation.answer for operation in operations if operation.answer is not None]
    models: list[type[Model]] = list(dict.fromkeys([*answers, ProblemDetails]))
    bodies = [operation.body for operation in operations if operation.body is not None]
    _, definitions = models_json_schema([(model, "serialization") for model in models], ref_template=_REFERENCE)
    _, of_bodies = models_json_schema([(body, "validation") for body in bodies], ref_template=_REFERENCE)
    paths: dict[str, Schema] = {}
    for operation in operations:
        paths.setdefault(prefix + _path(operation.rule), {})[operation.method] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "mtmc",
            "version": mtmc_version(),
            "description": "One site of mtmc: its cameras, its identities, and what is wrong with it. "
            "Everything is in Redis, so every streamer of a site answers the same. A page that others can reach needs "
            "a token; what changes something needs one of an operator.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name, "description": description} for name, description in _TAGS.items()],
        "paths": paths,
        "security": SECURITY,
        "components": {
            "securitySchemes": SECURITY_SCHEMES,
            "schemas": {name: _open(_without_titles(schema)) for name, schema in definitions["$defs"].items()}
            | {name: _without_titles(schema) for name, schema in of_bodies.get("$defs", {}).items()},
            "responses": {
                f"Error{status}": {
                    "description": description,
                    "content": {MEDIA_TYPE: {"schema": {"$ref": _REFERENCE.format(model="ProblemDetails")}}},
                }
                for status, description in {**_ERRORS, **_ERRORS_OF_CHANGES, 404: "there is no such resource"}.items()
            },
        },
    }


def _path(rule: str) -> str:
    return _PARAMETER.sub(lambda found: "{" + found["name"] + "}", rule)


def _operation(operation: Operation) -> Schema:
    if operation.answer is None:
        schema: Schema = {"type": "string"}
        if operation.media_type == "image/jpeg":
            schema = {}  # In OpenAPI 3.1, binary content has no schema.
    else:
        schema = {"$ref": _REFERENCE.format(model=operation.answer.__name__)}
    listed = [*_ERRORS, *(_ERRORS_OF_CHANGES if operation.method != "get" else ())]
    errors = {status: {"$ref": f"#/components/responses/Error{status}"} for status in listed}
    if operation.not_found:
        errors[404] = {"$ref": "#/components/responses/Error404"}
    if operation.refusals is not None:
        errors = {status: reference for status, reference in errors.items() if status in _ERRORS}
        errors |= {status: _error(description) for status, description in operation.refusals.items()}
    description = " ".join(
        part for part in (operation.description, operation.not_found and f"404: {operation.not_found}.") if part
    )
    return {
        "operationId": operation.name,
        "tags": [operation.tag],
        "summary": operation.summary,
        **({"description": description} if description else {}),
        "parameters": [*_of_path(operation), *_of_query(operation.query), *_of_headers(operation)],
        **_of_body(operation),
        "responses": {
            "200": {"description": operation.summary, "content": {operation.media_type: {"schema": schema}}},
            **_accepted(operation, schema),
            **({"304": {"description": "it is still what `If-None-Match` names"}} if operation.has_etag else {}),
            **{str(status): reference for status, reference in sorted(errors.items())},
        },
    }


def _error(description: str) -> Schema:
    schema = {"$ref": _REFERENCE.format(model="ProblemDetails")}
    return {"description": description, "content": {MEDIA_TYPE: {"schema": schema}}}


def _of_body(operation: Operation) -> Schema:
    if operation.takes_jpeg:
        return {"requestBody": {"required": True, "content": {JPEG: {}}}}
    if operation.body is None:
        return {}
    schema = {"$ref": _REFERENCE.format(model=operation.body.__name__)}
    return {"requestBody": {"required": True, "content": {JSON: {"schema": schema}}}}


def _accepted(operation: Operation, schema: Schema) -> Schema:
    if not operation.may_wait:
        return {}
    return {"202": {"description": "there is no answer yet", "content": {JSON: {"schema": schema}}}}


def _of_path(operation: Operation) -> list[Schema]:
    names = [found["name"] for found in _PARAMETER.finditer(operation.rule)]
    return [{"name": name, "in": "path", "required": True, "schema": _PATH_SCHEMAS[name]} for name in names]


def _of_query(query: type[Query] | None) -> list[Schema]:
    if query is None:
        return []
    content = query.model_json_schema()
    parameters = []
    for name, schema in content.get("properties", {}).items():
        given = _without_null(_without_titles(schema))
        description = given.pop("description", "")
        given.pop("default", None) if given.get("default") in (None, []) else None
        parameters.append(
            {
                "name": name,
                "in": "query",
                "required": name in content.get("required", ()),
                "description": description,
                "schema": given,
            }
        )
    return parameters


def _of_headers(operation: Operation) -> list[Schema]:
    return [
        {
            "name": header.name,
            "in": "header",
            "required": False,
            "description": header.description,
            "schema": {"type": "string", "pattern": header.pattern},
        }
        for header in operation.headers
    ]


def _without_null(schema: Schema) -> Schema:
    """A query parameter cannot be null: it is left out."""
    choices = [choice for choice in schema.get("anyOf", ()) if choice != {"type": "null"}]
    if len(choices) != 1:
        return dict(schema)
    return {**choices[0], **{name: value for name, value in schema.items() if name != "anyOf"}}


def _open(schema: Schema) -> Schema:
    """Later versions may add fields to a response, so clients must not refuse them."""
    return {name: value for name, value in schema.items() if name != "additionalProperties" or value is not False}


def _without_titles(schema: Any) -> Any:
    """Pydantic's titles repeat the names of the fields."""
    if isinstance(schema, dict):
        is_text = isinstance(schema.get("title"), str)
        return {name: _without_titles(value) for name, value in schema.items() if name != "title" or not is_text}
    return [_without_titles(item) for item in schema] if isinstance(schema, list) else schema
