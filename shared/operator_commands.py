"""An operator's command to the aggregator, and the answer, as they are in Redis.

`docs/identities.md` describes the commands, `docs/keys.md` the fields; `shared/commands.py` sends them.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from shared.camera_calibrations import parsed_calibration
from shared.config_fields import NAME_PATTERN
from shared.errors import MessageError
from shared.lenient_values import text_fields, whole

SCHEMA = 1
Kind = Literal[
    "merge",
    "split",
    "name",
    "unname",
    "forget",
    "undo",
    "camera_added",
    "camera_changed",
    "camera_paused",
    "camera_resumed",
    "camera_removed",
]
CameraKind = Literal["camera_added", "camera_changed", "camera_paused", "camera_resumed", "camera_removed"]
"""A note of a change of a camera that was made already: the aggregator only records it as an event."""
CAMERA_KINDS: frozenset[str] = frozenset(get_args(CameraKind))
Outcome = Literal["done", "refused"]
ANSWERED_FOR_S = 3_600
"""How long an answer is kept."""
NAME_LENGTH, BY_LENGTH = 64, 64
_SHOWN = 100
"""Characters of a wrong value that a message shows."""
_CAMERA_LENGTH, _TITLE_LENGTH, _SETTINGS_LENGTH, _CALIBRATION_LENGTH = 64, 100, 1_000, 4_000
TRACKS_MOST = 100
"""Tracks that one command may split off."""
_TRACKS_LENGTH = 10_000
_TOO_MANY_TRACKS = f"a command can split off at most {TRACKS_MOST} tracks"
_GIDS_END = 2**53
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_CAMERA = re.compile(NAME_PATTERN)
_FIELDS: dict[Kind, tuple[str, ...]] = {
    "merge": ("gid", "other_gid"),
    "split": ("gid", "tracks"),
    "name": ("gid", "name"),
    "unname": ("gid",),
    "forget": ("gid",),
    "undo": (),
    **dict.fromkeys(get_args(CameraKind), ("camera",)),
}
"""The fields that each kind requires."""
TrackName = tuple[str, int]
"""Camera and track id."""


@dataclass(frozen=True)
class OperatorCommand:
    """What an operator asks the aggregator to do."""

    id: str
    """Chosen by the sender: letters, digits, `-` and `_`, at most 64. The same id again is the same command."""
    kind: Kind
    by: str
    """Who asks."""
    gid: int = 0
    other_gid: int = 0
    """`merge`: the identity that is the same object."""
    tracks: tuple[TrackName, ...] = ()
    """`split`: the tracks that are another object."""
    name: str = ""
    """`name`: the name. `merge`: the name of the result; empty: see `docs/identities.md`."""
    undoes: str = ""
    """`undo`: id of the command to undo; empty: the last correction that is not undone."""
    camera: str = ""
    """`camera_…`: the camera."""
    title: str = ""
    """`camera_…`: of the camera, if it has one."""
    settings: str = ""
    """`camera_changed`: names of the changed settings, with spaces between them."""
    calibration: str = ""
    """`camera_…`: if its point pairs changed, what they give now (`shared/camera_calibrations.py`)."""

    @property
    def is_note(self) -> bool:
        """Whether it says what was done to a camera, instead of asking for something."""
        return self.kind in CAMERA_KINDS

    def encode(self) -> dict[str, str | int]:
        """The fields of the stream entry; those that are empty are left out."""
        tracks = " ".join(f"{camera}/{track_id}" for camera, track_id in self.tracks)
        fields: dict[str, str | int] = {"schema": SCHEMA, "id": self.id, "kind": self.kind, "by": self.by}
        given: dict[str, str | int] = {"gid": self.gid, "other_gid": self.other_gid, "tracks": tracks}
        given |= {"name": self.name, "undoes": self.undoes}
        given |= {"camera": self.camera, "title": self.title, "settings": self.settings}
        given |= {"calibration": self.calibration}
        return fields | {name: value for name, value in given.items() if value}

    @classmethod
    def decode(cls, fields: Mapping[bytes, bytes]) -> OperatorCommand:
        """The inverse of `encode`.

        Raises:
            MessageError: the entry is not a command; the message says why.
        """
        try:
            text = {name.decode(): value.decode() for name, value in fields.items()}
        except UnicodeDecodeError:
            raise MessageError("it is not UTF-8") from None
        if text.get("schema") != str(SCHEMA):
            raise MessageError(f"its schema is {text.get('schema', '')[:_SHOWN]!r}, but only {SCHEMA} is known")
        kind = next((one for one in get_args(Kind) if one == text.get("kind")), None)
        if kind is None:
            raise MessageError(
                f"its kind is {text.get('kind', '')[:_SHOWN]!r}, but it must be one of {', '.join(get_args(Kind))}"
            )
        gids = [whole(text.get(name, "0")) for name in ("gid", "other_gid")]
        if gids[0] is None or gids[1] is None:
            raise MessageError("a gid is not a whole number")
        if len(text.get("tracks", "")) > _TRACKS_LENGTH:
            raise MessageError(_TOO_MANY_TRACKS)
        tracks = tuple(parsed_track(one) for one in text.get("tracks", "").split(" ") if one)
        given = (text.get(name, "") for name in ("name", "undoes", "camera", "title", "settings", "calibration"))
        command = cls(text.get("id", ""), kind, text.get("by", ""), gids[0], gids[1], tracks, *given)
        command.check()
        return command

    @staticmethod
    def is_id(text: str) -> bool:
        """Whether a text can be the id of a command."""
        return _ID.fullmatch(text) is not None

    def check(self) -> None:
        """Checks every field.

        Raises:
            MessageError: a field is missing or invalid; the message says which.
        """
        if not self.is_id(self.id):
            raise MessageError("its id must have 1 to 64 letters, digits, '-' or '_'")
        if not self.by or not _is_line(self.by, BY_LENGTH):
            raise MessageError(f"'by' must say who asks, in one line of at most {BY_LENGTH} characters")
        for name in _FIELDS[self.kind]:
            if not getattr(self, name):
                raise MessageError(f"a command of the kind {self.kind} needs '{name}'")
        if not all(0 <= gid < _GIDS_END for gid in (self.gid, self.other_gid)):
            raise MessageError("a gid must be 1 or more")
        if not _is_line(self.name, NAME_LENGTH):
            raise MessageError(
                f"a name is one line of at most {NAME_LENGTH} characters, without spaces at its beginning or end"
            )
        if self.undoes and not self.is_id(self.undoes):
            raise MessageError("'undoes' is not the id of a command")
        if len(self.tracks) > TRACKS_MOST:
            raise MessageError(_TOO_MANY_TRACKS)
        if self.camera and (len(self.camera) > _CAMERA_LENGTH or not _CAMERA.fullmatch(self.camera)):
            raise MessageError("'camera' is not the name of a camera")
        if len(self.title) > _TITLE_LENGTH or len(self.settings) > _SETTINGS_LENGTH:
            raise MessageError(
                f"'title' may have {_TITLE_LENGTH} characters at most, and 'settings' {_SETTINGS_LENGTH}"
            )
        if self.calibration:
            if len(self.calibration) > _CALIBRATION_LENGTH:
                raise MessageError(f"'calibration' may have {_CALIBRATION_LENGTH} characters at most")
            parsed_calibration(self.calibration)


@dataclass(frozen=True)
class Answer:
    """What became of a command."""

    id: str
    kind: str
    outcome: Outcome
    reason: str
    """Why it was refused; empty if it was carried out."""
    gid: int
    """The identity that survived, was split off, was named or was forgotten; 0: none."""
    other_gid: int
    """The gid that ceased to exist, or the identity that the tracks left; 0: none."""
    undoes: str
    """`undo`: id of the command that was undone."""
    tick: int
    """The cycle that carried it out or refused it."""
    time_ns: int
    """Site time of the cycle."""
    camera: str = ""
    """`camera_…`: the camera."""

    def encode(self) -> dict[str, str | int]:
        """The fields of the hash `command:{id}`; `camera` is left out if it is empty."""
        return {name: value for name, value in vars(self).items() if value or name != "camera"}

    @classmethod
    def decode(cls, fields: Mapping[bytes, bytes]) -> Answer | None:
        """The inverse of `encode`; None if it is something else."""
        text = text_fields(fields)
        numbers = [whole(text.get(name)) for name in ("gid", "other_gid", "tick", "time_ns")]
        gid, other_gid, tick, time_ns = numbers
        outcome = next((one for one in get_args(Outcome) if one == text.get("outcome")), None)
        if outcome is None or gid is None or other_gid is None or tick is None or time_ns is None:
            return None
        command_id, kind, reason, undoes = (text.get(name, "") for name in ("id", "kind", "reason", "undoes"))
        return cls(command_id, kind, outcome, reason, gid, other_gid, undoes, tick, time_ns, text.get("camera", ""))


def encode_commands(commands: Sequence[OperatorCommand]) -> str:
    """Commands as the field `commands` of an entry of `cycles`."""
    return json.dumps([command.encode() for command in commands])


def decode_commands(text: bytes) -> list[OperatorCommand]:
    """The inverse of `encode_commands`.

    Raises:
        MessageError: the text is something else.
    """
    try:
        every = [{name.encode(): str(value).encode() for name, value in fields.items()} for fields in json.loads(text)]
    except (ValueError, TypeError, AttributeError, RecursionError):
        raise MessageError("it is not a list of commands") from None
    return [OperatorCommand.decode(fields) for fields in every]


def parsed_track(text: str) -> TrackName:
    """A track from `CAMERA/TRACK_ID`.

    Raises:
        MessageError: it is something else.
    """
    camera, slash, number = text.rpartition("/")
    track_id = whole(number)
    if not slash or not _CAMERA.fullmatch(camera) or track_id is None or track_id < 0:
        raise MessageError(f"{text[:_SHOWN]!r} is not a track: write CAMERA/TRACK_ID")
    return camera, track_id


def _is_line(text: str, longest: int) -> bool:
    if len(text) > longest or text != text.strip():
        return False
    return all(unicodedata.category(one)[0] not in "CZ" or one == " " for one in text)
