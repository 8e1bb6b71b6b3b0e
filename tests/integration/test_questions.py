"""Questions in a real Redis: each is answered by exactly one process, or the asker knows why not."""

from __future__ import annotations

import errno
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

import pytest
from structlog.testing import capture_logs

from shared.answering import Answering, Kind
from shared.keys import Keys
from shared.questions import Fields, NotAnswered, NotTaken, Refused, ask
from shared.redis_connection import Client
from tests.integration.streamer_site import wait_until

KEYS = Keys("hall")
SECRET = "geh3im"  # noqa: S105


def answering(
    client: Client, name: str, answer: Callable[[Mapping[str, bytes]], Fields], at_once: int = 1
) -> Answering:
    started = Answering(client, KEYS, name, [Kind("greet", answer, at_once)])
    started.start()
    return started


def asked(
    client: Client, worker: str = "", take_s: float = 60, answer_s: float = 60, **fields: str
) -> dict[str, bytes]:
    return ask(client, KEYS, "greet", fields, worker=worker, take_s=take_s, answer_s=answer_s)


def test_each_question_is_answered_once_however_many_workers_there_are(redis_client: Client) -> None:
    answered: Counter[bytes] = Counter()

    def greet(question: Mapping[str, bytes]) -> Fields:
        answered[question["who"]] += 1
        return {"greeting": b"hello " + question["who"]}

    workers = [answering(redis_client, f"worker-{number}", greet) for number in range(3)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda number: asked(redis_client, who=f"{number}")["greeting"], range(24)))
    assert found == [f"hello {number}".encode() for number in range(24)]
    assert set(answered.values()) == {1}
    assert len(answered) == 24
    assert asked(redis_client, "worker-2", who="you")["greeting"] == b"hello you"
    with pytest.raises(NotTaken):
        asked(redis_client, "worker-9", take_s=0.1)
    for worker in workers:
        worker.close()
    assert not redis_client.keys("*answer*")


def test_a_worker_that_dies_while_at_work_is_named_and_one_that_is_busy_takes_no_more(redis_client: Client) -> None:
    forever = threading.Event()
    worker = answering(redis_client, "worker-1", lambda _: {"done": int(forever.wait(60))})
    with pytest.raises(NotAnswered, match=r"worker-1 has taken the request, and has not answered within 0\.2 s"):
        asked(redis_client, answer_s=0.2)
    with pytest.raises(NotTaken, match=r"within 0\.2 s"):
        asked(redis_client, take_s=0.2)
    assert not redis_client.xlen(KEYS.questions("greet")), "what was given up is not answered later"
    forever.set()
    assert asked(redis_client)["done"] == b"1"
    worker.close()


def test_errors_say_why_and_the_log_has_nothing_of_the_question(redis_client: Client) -> None:
    def fail(question: Mapping[str, bytes]) -> Fields:
        if question["who"] == b"nobody":
            raise Refused("there is nobody")
        raise ValueError(f"cannot greet {question['who']!r}")

    with capture_logs() as logs:
        worker = answering(redis_client, "worker-1", fail)
        with pytest.raises(Refused, match="there is nobody"):
            asked(redis_client, who="nobody")
        with pytest.raises(Refused, match=r"unexpected error \(ValueError\); see the log of worker-1"):
            asked(redis_client, who=SECRET)
        worker.close()
    (logged,) = [entry for entry in logs if entry["log_level"] == "error"]
    assert (logged["error"], "test_questions.py" in logged["where"]) == ("ValueError", True)
    assert SECRET not in str(logs)


def test_damaged_questions_stop_nobody(redis_client: Client) -> None:
    redis_client.set(KEYS.questions("greet"), "a string")
    redis_client.set(KEYS.questions("greet", "worker-1"), "a string")
    worker = answering(redis_client, "worker-1", lambda _: {})
    wait_until(lambda: not redis_client.exists(KEYS.questions("greet")), "the repair")
    for fields in ({"what": "is this"}, {"schema": 2, "id": "0" * 32}, {"schema": 1, "id": "\xff*"}):
        redis_client.xadd(KEYS.questions("greet"), fields)
    assert asked(redis_client)["outcome"] == b"done"
    redis_client.xadd(KEYS.questions("greet"), {"what": "is this"}, id="18446744073709551615-18446744073709551615")
    assert asked(redis_client)["outcome"] == b"done"
    assert not redis_client.xlen(KEYS.questions("greet"))
    worker.close()


def test_nothing_is_left_in_redis_if_the_asker_dies(redis_client: Client) -> None:
    with pytest.raises(NotTaken):
        asked(redis_client, take_s=0)
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(asked, redis_client, take_s=4)
        wait_until(lambda: redis_client.xlen(KEYS.questions("greet")), "the question")
        assert 0 < redis_client.ttl(KEYS.questions("greet")) <= 60
        with pytest.raises(NotTaken):
            asking.result()
    worker = answering(redis_client, "worker-1", lambda _: {"greeting": "hello"})
    redis_client.xadd(KEYS.questions("greet"), {"schema": 1, "id": "1" * 32})
    wait_until(lambda: redis_client.hget(KEYS.answer("1" * 32), "greeting"), "an answer that nobody reads")
    assert 0 < redis_client.ttl(KEYS.answer("1" * 32)) <= 60
    worker.close()


def test_a_connection_that_is_closed_after_the_worker_is_no_error_of_an_answer_under_way(
    redis_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, closed, threads = threading.Event(), threading.Event(), list[threading.Thread]()

    def greet(_: Mapping[str, bytes]) -> Fields:
        threads.append(threading.current_thread())
        begun.set()
        assert closed.wait(60)
        return {}

    def pipeline(**_: bool) -> None:
        raise OSError(errno.EBADF, "Bad file descriptor")  # as from a socket that was closed while it is read

    worker = answering(redis_client, "worker-1", greet)
    redis_client.xadd(KEYS.questions("greet"), {"schema": 1, "id": "1" * 32})
    assert begun.wait(60)
    worker.close()
    monkeypatch.setattr(redis_client, "pipeline", pipeline)
    closed.set()
    threads[0].join(60)  # an error of the thread fails the test
    assert not threads[0].is_alive()
