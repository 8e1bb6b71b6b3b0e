"""Answers the questions of `shared/questions.py`, on threads of its own, so that the loop of the service goes on."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import structlog
from redis.exceptions import RedisError

from shared.errors import MtmcError
from shared.keys import Keys
from shared.lenient_reads import is_wrong_type
from shared.questions import KEPT_S, SCHEMA, Fields, is_id
from shared.redis_connection import Client

_log = structlog.get_logger()
_BLOCK_MS = 500
_RETRY_S = 0.5
_BUSY_S = 0.1


@dataclass(frozen=True)
class Kind:
    """A kind of questions that a process answers."""

    name: str
    answer: Callable[[Mapping[str, bytes]], Fields]
    """Called on a thread of its own with the fields of the question; returns those of the answer. It raises `MtmcError`
    with the reason if there is no answer."""
    at_once: int = 1
    """Further questions are left to other processes."""
    is_ready: Callable[[], bool] = lambda: True
    """While it says no, questions are left to other processes; called from any thread."""


class Answering:
    """Takes questions while the process can answer them. Nothing in them is trusted."""

    def __init__(self, client: Client, keys: Keys, name: str, kinds: Sequence[Kind]) -> None:
        """`client`: that of the Redis for pictures. `name` of this process: questions may be for it alone."""
        self._client, self._keys, self._name = client, keys, name
        self._streams: dict[bytes, Kind] = {}
        for kind in kinds:
            streams = keys.questions(kind.name), keys.questions(kind.name, name)
            self._streams |= dict.fromkeys([stream.encode() for stream in streams], kind)
        self._running = {kind.name: threading.BoundedSemaphore(kind.at_once) for kind in kinds}
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="questions", daemon=True)

    def start(self) -> None:
        """Starts to take questions; later calls change nothing."""
        if self._thread.ident is None:
            self._thread.start()

    def close(self) -> None:
        """Takes no more questions. Answers under way are not waited for."""
        self._closed.set()

    def _run(self) -> None:
        logged = ""
        while not self._closed.is_set():
            try:
                self._take()
            except RedisError as error:  # The loop of the service logs that Redis is away.
                if is_wrong_type(error):
                    self._delete_damaged()
                self._closed.wait(_RETRY_S)
            except Exception as error:  # noqa: BLE001 (the top of the thread that takes all questions)
                # After `close`, its connection may have been closed, too.
                if not self._closed.is_set() and type(error).__name__ != logged:
                    logged = type(error).__name__
                    _log.error("cannot take questions, retrying", **_described(error))
                self._closed.wait(_RETRY_S)

    def _take(self) -> None:
        """Waits for questions of the kinds for which there is a free place, and takes them."""
        free = [stream for stream, kind in self._streams.items() if kind.is_ready() and self._has_place(kind)]
        if not free:
            self._closed.wait(_BUSY_S)
            return
        # An entry that is still there has not been taken by anybody, however old it is.
        for stream, entries in self._client.xread(dict.fromkeys(free, "0-0"), count=1, block=_BLOCK_MS):
            for entry_id, fields in entries:
                self._take_one(stream, entry_id, fields)

    def _take_one(self, stream: bytes, entry_id: bytes, fields: Mapping[bytes, bytes]) -> None:
        kind = self._streams[stream]
        place = self._running[kind.name]
        if self._closed.is_set() or not kind.is_ready() or not place.acquire(blocking=False):
            return
        started = False
        try:
            if not self._client.xdel(stream, entry_id):
                return  # Another process was first.
            question = {name.decode(errors="replace"): value for name, value in fields.items()}
            question_id = question.get("id", b"").decode(errors="replace")
            if question.get("schema") != str(SCHEMA).encode() or not is_id(question_id):
                _log.warning("dropped a question of an unknown form", stream=stream.decode())
                return
            self._write(question_id, {"taken_by": self._name})
            threading.Thread(
                target=self._answer, args=(kind, question_id, question), name=kind.name, daemon=True
            ).start()
            started = True
        finally:
            if not started:
                place.release()

    def _answer(self, kind: Kind, question_id: str, question: Mapping[str, bytes]) -> None:
        try:
            answer = {"outcome": "done", **kind.answer(question)}
        except MtmcError as error:
            answer = {"outcome": "refused", "reason": str(error)}
        except Exception as error:  # noqa: BLE001 (the top of a thread: the asker must get an answer)
            _log.error("a question failed unexpectedly", kind=kind.name, **_described(error))
            reason = f"an unexpected error ({type(error).__name__}); see the log of {self._name}"
            answer = {"outcome": "refused", "reason": reason}
        finally:
            self._running[kind.name].release()
        try:
            self._write(question_id, answer)
        except RedisError as error:
            _log.warning("cannot send the answer to a question", kind=kind.name, reason=str(error))
        except Exception:
            # After `close`, its connection may have been closed, too.
            if not self._closed.is_set():
                raise

    def _write(self, question_id: str, fields: Fields) -> None:
        key = self._keys.answer(question_id)
        with self._client.pipeline(transaction=True) as pipe:
            pipe.hset(key, mapping=dict(fields))
            pipe.expire(key, KEPT_S)
            pipe.execute()

    def _has_place(self, kind: Kind) -> bool:
        """Whether another question of this kind can be answered now; only this thread takes places."""
        place = self._running[kind.name]
        if not place.acquire(blocking=False):
            return False
        place.release()
        return True

    def _delete_damaged(self) -> None:
        """Deletes the streams that another program has replaced by keys of another type."""
        for stream in self._damaged():
            _log.error("another program has damaged a key; it was deleted", key=stream.decode())
            self._client.delete(stream)

    def _damaged(self) -> Iterator[bytes]:
        for stream in self._streams:
            if self._client.type(stream) not in (b"stream", b"none"):
                yield stream


def _described(error: Exception) -> dict[str, str]:
    """An error for the log, without its text and variables: they may contain what was asked, such as a password."""
    frames = traceback.extract_tb(error.__traceback__)[::-1]
    return {"error": type(error).__name__, "where": " < ".join(f"{one.filename}:{one.lineno}" for one in frames[:5])}
