"""Errors of the API as problem details (RFC 9457)."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus

from flask import Response
from pydantic import Field
from werkzeug.exceptions import HTTPException

from services.streamer.api.models import Model, Text

MEDIA_TYPE = "application/problem+json"


class InvalidParameter(Model):
    """What is wrong with one parameter of a request."""

    parameter: Text
    message: Text


class ProblemDetails(Model):
    """An error, as in RFC 9457."""

    type: Text = Field("about:blank", description="always about:blank: the status says what kind of error it is")
    title: Text = Field(description="what the status means")
    status: int = Field(description="the status of the response")
    detail: Text = Field(description="what happened and what to do; for people")
    errors: list[InvalidParameter] = Field(description="what is wrong with each parameter, if that is the error")


class InvalidRequest(HTTPException):
    """Parameters of a request are wrong."""

    code = 400

    def __init__(self, errors: Iterable[InvalidParameter]) -> None:
        self.errors = list(errors)
        listed = "; ".join(f"{error.parameter}: {error.message}" for error in self.errors)
        super().__init__(f"the request has parameters that cannot be used: {listed}")


def problem_response(status: int, detail: str, errors: Iterable[InvalidParameter] = ()) -> Response:
    """The response for an error."""
    try:
        title = HTTPStatus(status).phrase
    except ValueError:
        title = "Error"
    problem = ProblemDetails(title=title, status=status, detail=detail, errors=list(errors))
    headers = {"Cache-Control": "no-store"}
    return Response(problem.model_dump_json(), status, headers, content_type=MEDIA_TYPE)
