"""Asks a worker or the aggregator something that changes nothing of the site, and waits for the answer.

A question is an entry of the stream `questions:{kind}`. Exactly one process takes it: the one that deletes the entry.
It writes into the hash `answer:{id}` that it has taken it, and then the answer. Both are in the Redis for pictures,
because questions have pictures and passwords in them, which must not get into a file of the site's Redis.
`shared/answering.py` is the other side.
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Mapping

from redis.exceptions import ResponseError

from shared.errors import MtmcError
from shared.keys import Keys
from shared.lenient_reads import hash_at
from shared.redis_connection import RETRYABLE, Client

SCHEMA = 1
KEPT_S = 60
"""Questions that nobody takes, and answers that nobody reads, are deleted after this long."""
WAITING_MOST = 16
"""Questions of a kind that may wait to be taken."""
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.02, 0.2
_ID = re.compile(r"[0-9a-f]{32}")

Fields = Mapping[str, str | int | float | bytes]


class NotTaken(MtmcError):
    """No process has taken the question in time."""

    exit_code = 1


class NotAnswered(MtmcError):
    """The process that has taken the question did not answer in time."""

    exit_code = 1


class Refused(MtmcError):
    """The question cannot be answered; the message says why, and what to do."""


def is_id(text: str) -> bool:
    """Whether a text can be the id of a question."""
    return _ID.fullmatch(text) is not None


def ask(
    client: Client, keys: Keys, kind: str, fields: Fields, *, worker: str = "", take_s: float, answer_s: float
) -> dict[str, bytes]:
    """Asks, and waits up to `take_s` until a process takes the question, then up to `answer_s` for its answer.

    `client` is that of the Redis for pictures. `worker`: the only worker that may answer; empty: any. No trace of
    question and answer is left in Redis.

    Raises:
        NotTaken: nobody has taken it.
        NotAnswered: the process that has taken it does not answer; it has died, or the answer takes longer.
        Refused: there is no answer to this question.
        RedisError: Redis is unreachable.
    """
    stream, question_id = keys.questions(kind, worker), uuid.uuid4().hex
    question: Fields = {"schema": SCHEMA, "id": question_id, **fields}
    try:
        entry_id = _send(client, stream, question)
    except ResponseError as error:
        if isinstance(error, RETRYABLE):
            raise
        # Another program has replaced the stream, or appended an id that nothing can follow.
        client.delete(stream)
        entry_id = _send(client, stream, question)
    answer_key = keys.answer(question_id)
    taken = _wait_for(client, answer_key, "taken_by", take_s)
    # Who deletes the entry has the question; if that is the asker, nobody answers it any more.
    if not taken and client.xdel(stream, entry_id):
        raise NotTaken(f"nobody has taken the request within {take_s:g} s")
    answer = _wait_for(client, answer_key, "outcome", answer_s)
    client.delete(answer_key)
    match answer.get("outcome"):
        case b"done":
            return answer
        case None:
            by = taken.get("taken_by", b"").decode(errors="replace") or "the process"
            raise NotAnswered(f"{by} has taken the request, and has not answered within {answer_s:g} s")
        case _:
            raise Refused(answer.get("reason", b"").decode(errors="replace") or "no reason was given")


def _send(client: Client, stream: str, question: Fields) -> bytes:
    """Appends a question; its entry id."""
    if client.xlen(stream) >= WAITING_MOST:
        raise NotTaken(f"{WAITING_MOST} requests of this kind wait already")
    with client.pipeline(transaction=True) as pipe:
        pipe.xadd(stream, dict(question))
        pipe.expire(stream, KEPT_S)
        entry_id: bytes = pipe.execute()[0]
    return entry_id


def _wait_for(client: Client, key: str, field: str, seconds: float) -> dict[str, bytes]:
    """The hash once it has a field; empty if that does not happen within `seconds`."""
    deadline, wait_s = time.monotonic() + seconds, _FIRST_WAIT_S
    while True:
        found = {name.decode(errors="replace"): value for name, value in hash_at(client, key).items()}
        if field in found:
            return found
        if time.monotonic() >= deadline:
            return {}
        time.sleep(wait_s)
        wait_s = min(2 * wait_s, _LONGEST_WAIT_S)
