"""Ownership of a role (`clock`, `aggregator`, `camera:…`): one owner at a time, by Redis time.

A lease is a key with an expiry whose value is `epoch:random`. Epochs of a role never repeat, even if Redis lost its
last writes, because a new one is at least Redis time in ms.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from typing import NamedTuple

import msgpack
import structlog
from redis.exceptions import ResponseError

from shared.errors import LeaseLost
from shared.keys import Keys
from shared.redis_connection import Client
from shared.replication import Replicas
from shared.scripts import Scripts

_log = structlog.get_logger()
REPLAY_SECONDS = 10.0
"""Length of the leases of a replay. The services whose roles it takes wait with shorter ones."""
_TOO_LONG = 1.5


class UnusableKey(NamedTuple):
    """A key on which a command would fail."""

    key: str
    problem: str
    """`type`: it has the type `found`; `id`: the last id of the stream, `found`, is not below that of the command;
    `number`: its field `found` is not an integer; `length`: it has only `found` bytes."""
    found: str

    def __str__(self) -> str:
        return {
            "type": f"{self.key} is of type {self.found}",
            "id": f"the last id of {self.key}, {self.found}, is equal or greater",
            "length": f"{self.key} has only {self.found} bytes",
            "number": f"the field {self.found} of {self.key} is not an integer",
        }[self.problem]


class UnusableKeys(ResponseError):
    """Commands would fail on these keys; none of the commands was run."""

    def __init__(self, keys: Sequence[UnusableKey]) -> None:
        super().__init__("; ".join(map(str, keys)))
        self.keys = tuple(keys)


class Lease:
    """One role that this process owns."""

    def __init__(
        self,
        scripts: Scripts,
        keys: Keys,
        role: str,
        value: str,
        ttl_seconds: float,
        replicas: Replicas | None = None,
    ) -> None:
        self._scripts, self._replicas = scripts, replicas
        self._keys, self.ttl_ms = keys, round(ttl_seconds * 1000)
        self.role, self.value, self.key = role, value, keys.lease(role)
        self._renewed_at = time.monotonic()

    @property
    def epoch(self) -> int:
        """The claim number: larger than that of every earlier owner."""
        return int(self.value.split(":", 1)[0])

    def note_renewed(self, sent_at: float) -> None:
        """Records that a script sent at `sent_at` (monotonic seconds) has also renewed the lease."""
        self._renewed_at = sent_at

    def due(self) -> bool:
        """Whether a third of the lease's time to live has passed since the last renewal."""
        return (time.monotonic() - self._renewed_at) * 3000 >= self.ttl_ms

    def expired(self) -> bool:
        """Whether the lease may have expired, by this process's own monotonic clock."""
        return (time.monotonic() - self._renewed_at) * 1000 >= self.ttl_ms

    def renew(self) -> None:
        """Extends the lease; takes it back if it expired and no other process has owned the role since.

        Raises:
            LeaseLost: another process has owned the role since.
        """
        sent_at = time.monotonic()
        if not self._scripts.run(
            "leases", [self.key, self._keys.epochs], ["renew", self.role, self.value, self.ttl_ms]
        ):
            raise LeaseLost(self.role)
        self.note_renewed(sent_at)

    def renew_if_due(self) -> None:
        """Renews the lease if it is `due`.

        Raises:
            LeaseLost: another process has owned the role since.
        """
        if self.due():
            self.renew()

    def release(self) -> None:
        """Releases the role, so that another process need not wait for the lease to expire."""
        self._scripts.run("leases", [self.key, self._keys.epochs], ["release", self.role, self.value])

    def commit(
        self,
        commands: Sequence[Sequence[str | bytes | int]],
        touched: Sequence[str],
        *,
        renew: bool = True,
        confirm: bool = False,
    ) -> None:
        """Runs all `commands` atomically if this process still owns the role, and none otherwise.

        An expired lease still counts as owned if no other process has owned the role since; it is then taken back.
        Without `renew` the expiry is left alone: for a caller that only reports on work whose owner renews the lease.
        With `confirm` it waits until a replica has the writes, see `Replicas`.

        Raises:
            LeaseLost: another process has owned the role since.
            UnusableKeys: commands would fail on these keys; nothing was done.
        """
        sent_at = time.monotonic()
        packed = msgpack.packb([[_argument(part) for part in command] for command in commands], use_bin_type=False)
        keys = [self.key, self._keys.epochs, *touched]
        run = self._replicas.run if confirm and self._replicas else self._scripts.run
        reply = run("fenced", keys, [self.value, self.role, self.ttl_ms if renew else 0, packed])
        if not reply:
            raise LeaseLost(self.role)
        if reply != 1:
            parts = [part.decode(errors="replace") for part in reply]
            raise UnusableKeys([UnusableKey(*parts[at : at + 3]) for at in range(0, len(parts), 3)])
        if renew:
            self.note_renewed(sent_at)


def _argument(part: str | bytes | int) -> str | bytes:
    return str(part) if isinstance(part, int) else part


class Leases:
    """Acquires leases for one process."""

    def __init__(self, client: Client, keys: Keys) -> None:
        self._scripts, self._keys, self._replicas = Scripts(client), keys, Replicas(client)
        self._too_long: dict[str, tuple[bytes, float]] = {}
        """Role → value of a lease that lasts too long, and since when (monotonic seconds); a renewal would end this."""

    def acquire(self, role: str, ttl_seconds: float, *, least_epoch: int | None = None) -> Lease | None:
        """The lease of `role`, or None while another process holds it.

        The new epoch is at least `least_epoch`; None means Redis time in ms. Virtual mode passes the time of the tick
        instead, so that a run can be repeated exactly.
        """
        least = "now" if least_epoch is None else str(least_epoch)
        ttl_ms = round(ttl_seconds * 1000)
        left_over = self._left_over(role, ttl_seconds)
        sent_at = time.monotonic()
        value = self._replicas.run(
            "leases",
            [self._keys.lease(role), self._keys.epochs],
            ["acquire", role, secrets.token_hex(8), ttl_ms, least, left_over],
        )
        if isinstance(value, list):
            held, left_ms = value
            self._note(role, held, left_ms, ttl_ms)
            return None
        self._too_long.pop(role, None)
        if left_over:
            _log.warning("took a role whose lease did not end", role=role)
        lease = Lease(self._scripts, self._keys, role, value.decode(), ttl_seconds, self._replicas)
        lease.note_renewed(sent_at)
        return lease

    def _note(self, role: str, held: bytes, left_ms: int, ttl_ms: int) -> None:
        """Remembers a lease that lasts too long.

        Somebody has set Redis's clock back, or another program has written it. An owner that is alive renews it soon.
        """
        if lasts_too_long(left_ms, ttl_ms):
            if self._too_long.get(role, (b"", 0.0))[0] != held:
                self._too_long[role] = held, time.monotonic()
        else:
            self._too_long.pop(role, None)

    def _left_over(self, role: str, ttl_seconds: float) -> bytes:
        held, since = self._too_long.get(role, (b"", 0.0))
        return held if held and time.monotonic() - since > ttl_seconds else b""


def lasts_too_long(left_ms: int, ttl_ms: int) -> bool:
    """Whether a lease with this PTTL lasts longer than any owner asks for; -1: it has no end.

    `ttl_ms` is the length that the caller would ask for.
    """
    return left_ms == -1 or left_ms > _TOO_LONG * max(ttl_ms, REPLAY_SECONDS * 1000)
