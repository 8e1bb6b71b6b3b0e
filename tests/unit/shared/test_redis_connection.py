"""How answers of a server that refuses writes become errors.

redis-py calls the method of its parser that `connect` overrides, but promises it nowhere: these tests fail when a
release of redis-py stops calling it, and then the range in pyproject.toml has to exclude that release.
"""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager

import pytest
from redis.exceptions import NoPermissionError, ResponseError

from shared.redis_connection import Client, IsReplica, WritesRefused, connect, refusal


@contextmanager
def server_that_answers_set_with(line: str) -> Iterator[str]:
    """A server that answers SET with an error and everything else as if all were well; its URL."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while head := self.rfile.readline():
                words = [self.rfile.read(int(self.rfile.readline()[1:]) + 2)[:-2] for _ in range(int(head[1:]))]
                answers = {b"SET": f"-{line}", b"PING": "+PONG"}
                self.wfile.write(f"{answers.get(words[0], '+OK')}\r\n".encode())

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"redis://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def answering() -> Iterator[Callable[[str], Client]]:
    """A client of a server that answers SET with an error."""
    with ExitStack() as stack:

        def start(line: str) -> Client:
            return stack.enter_context(closing(connect(stack.enter_context(server_that_answers_set_with(line)))))

        yield start


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("MISCONF Errors writing to the AOF file.", "it cannot write to its disk; free disk space there (MISCONF"),
        ("OOM command not allowed when used memory > 'maxmemory'.", "its memory is full; raise its maxmemory (OOM "),
        ("NOREPLICAS Not enough good replicas to write.", "too few of its replicas are connected; start them (NOREP"),
        (
            "ERR Error running script (call to f_1): @user_script:1: -OOM command not allowed. script: f_1",
            "its memory is full; raise its maxmemory (OOM command not allowed)",
        ),
    ],
)
def test_a_server_that_takes_no_writes_is_an_error_of_its_own(
    answering: Callable[[str], Client], line: str, message: str
) -> None:
    client = answering(line)
    with pytest.raises(WritesRefused) as refused:
        client.set("key", "value")
    assert str(refused.value).startswith(message)


@pytest.mark.parametrize(
    "line",
    [
        "READONLY You can't write against a read only replica.",
        "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)",
    ],
)
def test_a_replica_is_a_lost_connection(answering: Callable[[str], Client], line: str) -> None:
    client = answering(line)
    with pytest.raises(IsReplica, match="it is a replica; use the address of the primary"):
        client.set("key", "value")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "ERR The user executing the script can't run this command or subcommand script: 80c9, on @user_script:1.",
            "The user executing the script can't run this command or subcommand",
        ),
        (
            "ERR ACL failure in script: User u has no permissions to run the 'hset' command script: on @user_script:1.",
            "User u has no permissions to run the 'hset' command",
        ),
    ],
)
def test_a_command_in_a_script_that_the_user_may_not_run_is_a_missing_permission(
    answering: Callable[[str], Client], line: str, message: str
) -> None:
    with pytest.raises(NoPermissionError) as error:
        answering(line).set("key", "value")
    assert str(error.value) == message


def test_other_errors_stay_what_they_are(answering: Callable[[str], Client]) -> None:
    client = answering("WRONGTYPE Operation against a key holding the wrong kind of value")
    with pytest.raises(ResponseError) as error:
        client.set("key", "value")
    assert not isinstance(error.value, WritesRefused)


@pytest.mark.parametrize(
    ("info", "refused"),
    [
        ({"maxmemory": 100, "used_memory": 99}, False),
        ({"maxmemory": 100, "used_memory": 100}, True),
        ({"maxmemory": 100, "used_memory": 110, "mem_not_counted_for_evict": 20}, False),
        ({"maxmemory": 0, "used_memory": 110}, False),
        ({"aof_last_write_status": "err"}, True),
        ({"aof_last_write_status": "ok"}, False),
    ],
)
def test_info_shows_whether_redis_refuses_writes(info: dict[str, object], refused: bool) -> None:
    assert (refusal(info) is not None) == refused
