"""Declares the operations of the API: the routes, and what the OpenAPI document says of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import Any, Literal, TypeVar

from flask import Blueprint, Response, request
from pydantic import BaseModel, ValidationError
from werkzeug.exceptions import NotAcceptable, RequestEntityTooLarge, UnsupportedMediaType

from services.streamer.api.models import Model, Query
from services.streamer.api.problem_details import InvalidParameter, InvalidRequest

JSON, JPEG = "application/json", "image/jpeg"
MOST_BODY_BYTES = 32 * 1024
Handler = TypeVar("Handler", bound=Callable[..., Model | Response])


@dataclass(frozen=True)
class Header:
    """A request header that an operation reads."""

    name: str
    pattern: str
    description: str


@dataclass(frozen=True)
class Operation:
    """One GET, POST, PUT, PATCH or DELETE of the API."""

    name: str
    rule: str
    """Of Flask, without the prefix of the API."""
    tag: str
    summary: str
    answer: type[Model] | None
    """None: the response is not JSON."""
    media_type: str
    query: type[Query] | None
    headers: tuple[Header, ...]
    not_found: str
    """What a response 404 means; empty: there is none."""
    description: str
    method: str = "get"
    body: type[BaseModel] | None = None
    """Of a request that has one."""
    refusals: Mapping[int, str] | None = None
    """The errors of a question besides those of a GET: status → what it means."""
    takes_jpeg: bool = False
    """Whether the body is a JPEG."""
    may_wait: bool = False
    """Whether a response 202 may say that there is no answer yet."""

    @property
    def has_etag(self) -> bool:
        """Whether a response may say that nothing has changed."""
        return self.media_type == "image/jpeg"


class Operations:
    """The operations of one blueprint."""

    def __init__(self, blueprint: Blueprint) -> None:
        self._blueprint = blueprint
        self.every: list[Operation] = []

    def get(
        self,
        rule: str,
        summary: str,
        answer: type[Model] | None = None,
        *,
        tag: str,
        media_type: str = JSON,
        query: type[Query] | None = None,
        headers: tuple[Header, ...] = (),
        not_found: str = "",
        description: str = "",
    ) -> Callable[[Handler], Handler]:
        """Declares a GET. The function gets the parts of the path, and `query` if the operation has one."""

        def declare(handler: Handler) -> Handler:
            name = handler.__name__.lstrip("_")
            self.every.append(
                Operation(name, rule, tag, summary, answer, media_type, query, headers, not_found, description)
            )

            @wraps(handler)
            def view(**path: Any) -> Response:
                _check_request(media_type)
                arguments = path if query is None else {**path, "query": parsed(query)}
                if query is None:
                    _refuse_parameters()
                answered = handler(**arguments)
                return answered if isinstance(answered, Response) else json_response(answered)

            self._blueprint.add_url_rule(rule, name, view, methods=["GET"])
            return handler

        return declare

    def post(
        self, rule: str, summary: str, answer: type[Model], *, tag: str, body: type[BaseModel], description: str = ""
    ) -> Callable[[Handler], Handler]:
        """Declares a POST with a JSON body, whose answer may come later. The function gets the body, as `body`."""
        return self.change("post", rule, summary, answer, tag=tag, body=body, description=description, may_wait=True)

    def change(
        self,
        method: Literal["post", "put", "patch", "delete"],
        rule: str,
        summary: str,
        answer: type[Model],
        *,
        tag: str,
        body: type[BaseModel] | None = None,
        query: type[Query] | None = None,
        not_found: str = "",
        description: str = "",
        may_wait: bool = False,
        most_jpeg_bytes: int = 0,
    ) -> Callable[[Handler], Handler]:
        """Declares an operation that changes something.

        The function gets the parts of the path, and `body` and `query` if the operation has them. With
        `most_jpeg_bytes`, the body is a JPEG of at most so many bytes.
        """

        def declare(handler: Handler) -> Handler:
            name = handler.__name__.lstrip("_")
            said = (summary, answer, JSON, query, (), not_found, description)
            self.every.append(
                Operation(name, rule, tag, *said, method, body, may_wait=may_wait, takes_jpeg=most_jpeg_bytes > 0)
            )

            @wraps(handler)
            def view(**path: Any) -> Response:
                _check_request(JSON, most_jpeg_bytes or MOST_BODY_BYTES)
                arguments = path
                if query is None:
                    _refuse_parameters()
                else:
                    arguments = {**arguments, "query": parsed(query)}
                if body is not None:
                    arguments = {**arguments, "body": parsed_body(body)}
                elif most_jpeg_bytes:
                    arguments = {**arguments, "body": jpeg_body(most_jpeg_bytes)}
                answered = handler(**arguments)
                return answered if isinstance(answered, Response) else json_response(answered)

            self._blueprint.add_url_rule(rule, name, view, methods=[method.upper()])
            return handler

        return declare

    def question(
        self,
        rule: str,
        summary: str,
        answer: type[Model],
        *,
        tag: str,
        description: str,
        refusals: Mapping[int, str],
        body: type[BaseModel] | None = None,
        query: type[Query] | None = None,
        most_bytes: int = MOST_BODY_BYTES,
    ) -> Callable[[Handler], Handler]:
        """Declares a POST that changes nothing: what it asks has no place in an address.

        The function gets `query` if the operation has one, and `body`; without a model for it, that is a JPEG of at
        most `most_bytes`.
        """
        media_type = JPEG if body is None else JSON
        refused = {**refusals, 415: f"the body is not {media_type}"}

        def declare(handler: Handler) -> Handler:
            name = handler.__name__.lstrip("_")
            said = (summary, answer, JSON, query, (), "", description, "post", body)
            self.every.append(Operation(name, rule, tag, *said, refusals=refused, takes_jpeg=body is None))

            @wraps(handler)
            def view() -> Response:
                _check_request(JSON, most_bytes)
                if query is None:
                    _refuse_parameters()
                sent = jpeg_body(most_bytes) if body is None else parsed_body(body)
                asked = {} if query is None else {"query": parsed(query)}
                answered = handler(**asked, body=sent)
                return answered if isinstance(answered, Response) else json_response(answered)

            self._blueprint.add_url_rule(rule, name, view, methods=["POST"])
            return handler

        return declare


def jpeg_body(most_bytes: int) -> bytes:
    """The body of the present request, which is a JPEG by its header.

    Raises:
        UnsupportedMediaType: it is not.
        RequestEntityTooLarge: it has more than `most_bytes`, also in chunks.
    """
    request.max_content_length = most_bytes
    if request.mimetype != JPEG:
        raise UnsupportedMediaType(f"the body must be {JPEG}; set the header Content-Type")
    return request.get_data(cache=False)


def parsed_body(body: type[BaseModel]) -> BaseModel:
    """The JSON body of the present request.

    Raises:
        UnsupportedMediaType: it is not JSON by its header.
        InvalidRequest: it is not JSON, or a field is unknown or has a value that it cannot have.
    """
    if request.mimetype != JSON:
        raise UnsupportedMediaType(f"the body must be {JSON}; set the header Content-Type")
    try:
        return body.model_validate_json(request.get_data(cache=False))
    except ValidationError as error:
        raise InvalidRequest(
            InvalidParameter(
                parameter=".".join(map(str, item["loc"])) or "body", message=item["msg"].removeprefix("Value error, ")
            )
            for item in error.errors(include_url=False, include_input=False, include_context=False)
        ) from None


def json_response(content: Model, status: int = 200) -> Response:
    """A response that nobody may store."""
    headers = {"Cache-Control": "no-store"}
    return Response(content.model_dump_json(by_alias=True), status, headers=headers, content_type=JSON)


def _check_request(media_type: str, most_bytes: int = MOST_BODY_BYTES) -> None:
    """Refuses a request that wants another form of response, or has a large body."""
    accepted = request.accept_mimetypes
    if accepted and not accepted.quality(media_type):
        raise NotAcceptable(f"this resource is {media_type}, which the header Accept of the request excludes")
    if (request.content_length or 0) > most_bytes:
        raise RequestEntityTooLarge(f"the body of the request has more than {most_bytes} bytes")


def _refuse_parameters() -> None:
    if request.args:
        raise InvalidRequest(
            InvalidParameter(parameter=name, message="is not a parameter of this resource") for name in request.args
        )


def parsed(query: type[Query]) -> Query:
    """The query of the present request.

    Raises:
        InvalidRequest: a parameter is unknown, repeated, or has a value that it cannot have.
    """
    values: dict[str, Any] = {}
    errors: list[InvalidParameter] = []
    lists = {
        field.alias or name for name, field in query.model_fields.items() if "list[" in str(field.annotation).lower()
    }
    for name, given in request.args.lists():
        values[name] = given if name in lists else given[0]
        if len(given) > 1 and name not in lists:
            errors.append(InvalidParameter(parameter=name, message="is given more than once"))
    try:
        found = query.model_validate(values)
    except ValidationError as error:
        for item in error.errors(include_url=False, include_input=False, include_context=False):
            name, message = str(item["loc"][0]), item["msg"].removeprefix("Value error, ")
            if item["type"] == "extra_forbidden":
                message = "is not a parameter of this resource"
            errors.append(InvalidParameter(parameter=name, message=message))
    if errors:
        raise InvalidRequest(errors)
    return found
