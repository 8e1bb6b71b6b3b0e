"""`/commands`: what operators correct. The aggregator carries it out, exactly once, and says what became of it."""

from __future__ import annotations

from typing import Annotated, Literal, assert_never

from flask import Response
from pydantic import Field, RootModel
from werkzeug.exceptions import Conflict, NotFound

from services.streamer.access.visitor import current_visitor
from services.streamer.api.models import Model, Number64, Text, iso_time
from services.streamer.api.operations import Operations, json_response
from services.streamer.api.parts import ApiParts
from services.streamer.api.problem_details import InvalidParameter, InvalidRequest
from shared.commands import CommandsFull, InvalidCommand, new_id, send, wait_for
from shared.errors import MessageError
from shared.operator_commands import BY_LENGTH, NAME_LENGTH, TRACKS_MOST, Answer, OperatorCommand, parsed_track

_TAG = "corrections"
WAIT_S = 3.0
"""How long a request waits for the aggregator."""
_Gid = Annotated[int, Field(ge=1, lt=2**53)]
_Name = Annotated[str, Field(min_length=1, max_length=NAME_LENGTH, description="one line of text")]
_Track = Annotated[str, Field(pattern="^[A-Za-z0-9][A-Za-z0-9_.-]*/[0-9]{1,19}$")]
CommandId = Annotated[str, Field(pattern="^[A-Za-z0-9_-]{1,64}$")]


class _Correction(Model):
    """What every correction has."""

    id: CommandId | None = Field(
        None, description="chosen by the sender, to send the same command again without a second effect"
    )


class Merge(_Correction):
    """Two identities become one; the older gid stays."""

    kind: Literal["merge"]
    gid: _Gid
    other_gid: _Gid = Field(description="the identity that is the same object")
    name: _Name | None = Field(None, description="the name of the result; null: see docs/identities.md")


class Split(_Correction):
    """Tracks leave an identity, and become a new one together."""

    kind: Literal["split"]
    gid: _Gid
    tracks: list[_Track] = Field(min_length=1, max_length=TRACKS_MOST, description="as CAMERA/TRACK_ID")


class Name(_Correction):
    """An identity gets a name."""

    kind: Literal["name"]
    gid: _Gid
    name: _Name


class Unname(_Correction):
    """An identity loses its name."""

    kind: Literal["unname"]
    gid: _Gid


class Forget(_Correction):
    """Everything about an identity is deleted; this cannot be undone."""

    kind: Literal["forget"]
    gid: _Gid


class Undo(_Correction):
    """A correction is taken back."""

    kind: Literal["undo"]
    undoes: CommandId | None = Field(None, description="id of the command; null: the last one that is not undone")


class Command(RootModel[Annotated[Merge | Split | Name | Unname | Forget | Undo, Field(discriminator="kind")]]):
    """A correction. `docs/identities.md` says what each does."""


class CommandState(Model):
    """What became of a command."""

    id: Text
    outcome: Literal["done", "refused", "waiting"] = Field(description="waiting: the aggregator has not answered yet")
    kind: Text | None
    reason: Text = Field(description="why it was refused; for people")
    gid: int | None = Field(description="the identity that survived, was split off, was named or was forgotten")
    other_gid: int | None = Field(description="the gid that ceased to exist, or the identity that the tracks left")
    undoes: Text | None = Field(description="undo: id of the command that was undone")
    camera: Text | None = Field(description="the camera that was added, changed, paused, resumed or removed")
    tick: int | None = Field(description="the cycle that carried it out or refused it")
    time_ns: Number64 | None
    time: Text | None = Field(description="the same time in ISO 8601, UTC")


def add(api: Operations, parts: ApiParts) -> None:
    """Adds the operations."""

    @api.post(
        "/commands",
        "Correct an identity: merge, split, name, unname, forget, undo",
        CommandState,
        tag=_TAG,
        body=Command,
        description="Waits for the aggregator for a few seconds. 202: it has not answered; see `/commands/{id}`.",
    )
    def _correct(body: Command) -> Response:
        command = _command_of(body)
        try:
            send(parts.client, parts.keys, command)
        except InvalidCommand as error:
            raise InvalidRequest([InvalidParameter(parameter="body", message=str(error))]) from None
        except CommandsFull as error:
            raise Conflict(str(error)) from None
        answer = wait_for(parts.client, parts.keys, command.id, WAIT_S)
        if answer is None:
            return json_response(_waiting(command.id), 202)
        match answer.outcome:
            case "done":
                return json_response(_state_of(answer))
            case "refused":
                raise Conflict(answer.reason)
            case never:
                assert_never(never)

    @api.get(
        "/commands/<command_id>",
        "What became of a command",
        CommandState,
        tag=_TAG,
        not_found="no command has this id",
        description="An answer is kept for an hour. Until there is one, every id that can be one is `waiting`.",
    )
    def _command(command_id: str) -> CommandState:
        if not OperatorCommand.is_id(command_id):
            raise NotFound("no command has this id: it has letters, digits, '-' and '_', at most 64")
        answer = wait_for(parts.client, parts.keys, command_id, 0)
        return _waiting(command_id) if answer is None else _state_of(answer)


def _command_of(body: Command) -> OperatorCommand:
    given = body.root.model_dump(exclude_none=True, exclude={"id"})
    try:
        given |= {"tracks": tuple(parsed_track(text) for text in given.get("tracks", ()))}
    except MessageError as error:
        raise InvalidRequest([InvalidParameter(parameter="tracks", message=str(error))]) from None
    return OperatorCommand(body.root.id or new_id(), by=who_asks(), **given)


def who_asks() -> str:
    """The visitor, for the record."""
    return current_visitor().name[:BY_LENGTH].strip() or "anybody"


def _state_of(answer: Answer) -> CommandState:
    return CommandState(
        id=answer.id,
        outcome=answer.outcome,
        kind=answer.kind,
        reason=answer.reason,
        gid=answer.gid or None,
        other_gid=answer.other_gid or None,
        undoes=answer.undoes or None,
        camera=answer.camera or None,
        tick=answer.tick,
        time_ns=str(answer.time_ns),
        time=iso_time(answer.time_ns),
    )


def _waiting(command_id: str) -> CommandState:
    return CommandState(
        id=command_id,
        outcome="waiting",
        kind=None,
        reason="",
        gid=None,
        other_gid=None,
        undoes=None,
        camera=None,
        tick=None,
        time_ns=None,
        time=None,
    )
