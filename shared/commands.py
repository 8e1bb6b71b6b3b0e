"""Sends an operator's commands to the aggregator, and waits for the answers.

A command is an entry of the stream `commands`. The aggregator carries it out once, however often it is sent with the
same id, and answers in the hash `command:{id}`.
"""

from __future__ import annotations

import time
import uuid

from shared.errors import MessageError, MtmcError
from shared.keys import Keys
from shared.lenient_reads import hash_at
from shared.operator_commands import Answer, OperatorCommand
from shared.redis_connection import Client

WAITING_MOST = 1_000
"""Commands that may wait for the aggregator."""
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.02, 0.25


class InvalidCommand(MtmcError):
    """A command that nobody can carry out; the message says why."""


class CommandsFull(MtmcError):
    """Too many commands wait: no aggregator carries them out."""

    exit_code = 1


def new_id() -> str:
    """An id that no other command has."""
    return uuid.uuid4().hex


def send(client: Client, keys: Keys, command: OperatorCommand) -> str:
    """Sends a command to the aggregator of a site; its id. It may be sent again, for example after a lost reply.

    Raises:
        InvalidCommand: it cannot be carried out by any site.
        CommandsFull: too many commands wait.
        RedisError: Redis is unreachable; the command may have been sent.
    """
    try:
        command.check()
    except MessageError as error:
        raise InvalidCommand(str(error)) from None
    if client.xlen(keys.commands) >= WAITING_MOST:
        raise CommandsFull(
            f"{WAITING_MOST} commands wait for the aggregator of site {keys.site}: is it running? See `mtmc status`"
        )
    client.xadd(keys.commands, dict(command.encode()), maxlen=WAITING_MOST, approximate=True)
    return command.id


def wait_for(client: Client, keys: Keys, command_id: str, seconds: float) -> Answer | None:
    """Waits for the answer to a command, up to `seconds`; None: there is none yet, and the command still waits.

    Raises:
        RedisError: Redis is unreachable.
    """
    deadline, wait_s = time.monotonic() + seconds, _FIRST_WAIT_S
    while True:
        answer = Answer.decode(hash_at(client, keys.command(command_id)))
        if answer is not None or time.monotonic() >= deadline:
            return answer
        time.sleep(wait_s)
        wait_s = min(2 * wait_s, _LONGEST_WAIT_S)
