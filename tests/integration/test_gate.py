"""The gate against a model of the rules in the architecture's section "Clock and gate", on a real Redis."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from shared.config import ClockConfig
from shared.gate import CompletedCamera, Gate, Handled
from shared.keys import Keys
from shared.leases import Lease, Leases
from shared.messages import TrackBatch
from shared.redis_connection import Client, server_time_ns

CAMERAS = ("a", "b", "c")
SLOW_FPS = 0.001
"""A tick lasts 1000 s, so that the test decides when the clock ticks, by the origin that it passes."""
STALL_S = 500.0
LEASE_S = 60.0
_numbers = itertools.count()
EMPTY = TrackBatch().encode()


def origin_us(client: Client, tick: int) -> int:
    """The origin with which the clock is in the middle of `tick` now."""
    return server_time_ns(client) // 1000 - round((tick + 0.5) / SLOW_FPS * 1e6)


@dataclass
class Worker:
    """What the owner of a camera knows."""

    lease: Lease
    handled: int
    tick: int
    gate: int
    started: int | None = None

    def startable(self) -> int:
        return min(self.tick, self.gate)


@dataclass
class Model:
    """The rules."""

    lead: int
    tick: int = 0
    seen: dict[str, int] = field(default_factory=dict)
    late: set[str] = field(default_factory=set)
    """Live cameras whose last mark is older than `stall_seconds`."""
    written: dict[str, int] = field(default_factory=dict)
    entries: dict[str, int] = field(default_factory=dict)
    skipped: int = 0

    @property
    def gate(self) -> int:
        return min(self.seen.values(), default=self.tick) + self.lead

    def join(self, camera: str) -> None:
        before = self.seen.get(camera, self.written.get(camera, 0))
        self.seen[camera] = max(before, self.tick - 1, 0)
        self.late.discard(camera)

    def mark(self, camera: str, tick: int) -> None:
        if tick > self.written.get(camera, -1):
            self.written[camera] = tick
            self.entries[camera] = self.entries.get(camera, 0) + 1
        reached = max(tick, self.seen.get(camera, 0))
        self.seen[camera] = max(reached, self.tick - 1)
        self.skipped += self.seen[camera] - reached
        self.late.discard(camera)

    def retire(self, camera: str) -> None:
        self.seen.pop(camera, None)
        self.late.discard(camera)

    def advance(self, tick: int) -> set[str]:
        busy = {camera for camera, seen in self.seen.items() if seen < min(self.tick, self.gate)}
        stalled = busy & self.late
        for camera in stalled:
            del self.seen[camera]
        self.late &= busy - stalled
        self.tick = max(self.tick, tick)
        return stalled


class LiveSite(RuleBasedStateMachine):
    """Cameras of any speed, with an outdated view of the clock, that die, come back, and send their marks twice."""

    def __init__(self, client: Client, max_skew_ticks: int) -> None:
        super().__init__()
        self.client, self.keys = client, Keys(f"live{next(_numbers)}")
        clock = ClockConfig(target_fps=SLOW_FPS, max_skew_ticks=max_skew_ticks, stall_seconds=STALL_S)
        self.gate, self.leases = Gate(client, self.keys, clock), Leases(client, self.keys)
        clock_lease = self.leases.acquire("clock", 3600)
        assert clock_lease is not None
        self.clock_lease = clock_lease
        self.workers: dict[str, Worker] = {}
        self.model = Model(max(1, max_skew_ticks))
        client.hset(self.keys.cameras, mapping=dict.fromkeys(CAMERAS, "{}"))

    # -- rules: what may happen --------------------------------------------------------------------------

    @rule(camera=st.sampled_from(CAMERAS))
    def join(self, camera: str) -> None:
        if camera in self.workers:
            return
        lease = self.leases.acquire(f"camera:{camera}", LEASE_S)
        assert lease is not None
        tick, gate, handled = self.gate.join(camera, lease)
        self.model.join(camera)
        assert (tick, gate, handled) == (self.model.tick, self.model.gate, self.model.seen[camera])
        self.workers[camera] = Worker(lease, handled, tick, gate)

    @rule(camera=st.sampled_from(CAMERAS))
    def look(self, camera: str) -> None:
        if camera in self.workers:
            progress = self.gate.complete_tick(0, [], "0-0")
            self.workers[camera].tick, self.workers[camera].gate = progress.tick, progress.gate

    @rule(camera=st.sampled_from(CAMERAS))
    def start(self, camera: str) -> None:
        worker = self.workers.get(camera)
        if worker is None or worker.started is not None or worker.startable() <= worker.handled:
            return
        worker.started = worker.startable()
        if camera in self.model.seen:
            assert worker.started <= min(self.model.tick, self.model.gate), "starts a tick beyond the gate"

    @rule(cameras=st.lists(st.sampled_from(CAMERAS), unique=True, min_size=1), answered=st.booleans())
    def finish(self, cameras: list[str], answered: bool) -> None:
        """One call for all cameras of a tick; if the reply is lost, the same call is made again later."""
        busy = {camera: w for camera in cameras if (w := self.workers.get(camera)) and w.started is not None}
        for tick in {worker.started for worker in busy.values()}:
            assert tick is not None
            together = [camera for camera, worker in busy.items() if worker.started == tick]
            skipped = self.model.skipped
            for camera in together:
                self.model.mark(camera, tick)
            progress = self.gate.complete_tick(
                tick, [CompletedCamera(c, busy[c].lease, tick + 1, 0, EMPTY, 10_000) for c in together], "0-0"
            )
            assert progress.lost == frozenset()
            assert (progress.tick, progress.gate) == (self.model.tick, self.model.gate)
            assert progress.skipped == self.model.skipped - skipped
            for camera in together if answered else ():
                worker = busy[camera]
                worker.handled, worker.started = max(tick, progress.tick - 1), None
                worker.tick, worker.gate = progress.tick, progress.gate

    @initialize(cameras=st.sets(st.sampled_from(CAMERAS)))
    def begin(self, cameras: set[str]) -> None:
        for camera in sorted(cameras):
            self.join(camera)
        self.advance(2, set())

    @rule(camera=st.sampled_from(CAMERAS), ticks=st.integers(0, 4), answered=st.booleans())
    def work(self, camera: str, ticks: int, answered: bool) -> None:
        """A whole tick, during which the clock continues."""
        self.look(camera)
        self.start(camera)
        self.advance(ticks, set())
        self.finish([camera], answered)

    @rule(ticks=st.integers(-2, 4), late=st.sets(st.sampled_from(CAMERAS)))
    def advance(self, ticks: int, late: set[str]) -> None:
        """Time passes, or goes back; the cameras `late` have not marked for long."""
        long_ago = server_time_ns(self.client) // 1_000_000 - round(2000 * STALL_S)
        for camera in late & set(self.model.seen):
            self.client.zadd(self.keys.marked_at, {camera: long_ago})
            self.model.late.add(camera)
        tick = self.model.tick + ticks
        stalled = self.model.advance(tick)
        advanced = self.gate.advance(self.clock_lease, origin_us(self.client, tick))
        assert (advanced.tick, advanced.gate) == (self.model.tick, self.model.gate)
        assert set(advanced.stalled) == stalled

    @rule(camera=st.sampled_from(CAMERAS))
    def retire(self, camera: str) -> None:
        if worker := self.workers.pop(camera, None):
            self.gate.retire(camera, worker.lease, "released")
            worker.lease.release()
            self.model.retire(camera)

    @rule(camera=st.sampled_from(CAMERAS))
    def die(self, camera: str) -> None:
        """The worker dies: the lease expires, and an unsent tick is never sent."""
        if worker := self.workers.pop(camera, None):
            self.client.delete(worker.lease.key)

    @rule(camera=st.sampled_from(CAMERAS), dead=st.booleans())
    def take_over(self, camera: str, dead: bool) -> None:
        """Another worker takes over before the clock ticks again."""
        self.work(camera, 0, answered=True)
        if dead:
            self.die(camera)
        else:
            self.retire(camera)
        self.join(camera)

    # -- invariants --------------------------------------------------------------------------------------

    @invariant()
    def redis_holds_what_the_model_says(self) -> None:
        seen = {name.decode(): int(tick) for name, tick in self.client.zrange(self.keys.seen, 0, -1, withscores=True)}
        assert seen == self.model.seen
        progress = self.gate.complete_tick(0, [], "0-0")
        assert (progress.tick, progress.gate) == (self.model.tick, self.model.gate)
        assert int(self.client.hget(self.keys.skew, "skipped") or 0) == self.model.skipped
        for camera in CAMERAS:
            entries = self.client.xrange(self.keys.tracks(camera))
            assert [int(fields[b"seq"]) for _, fields in entries] == list(
                range(1, self.model.entries.get(camera, 0) + 1)
            )
            ticks = [int(fields[b"tick"]) for _, fields in entries]
            assert ticks == sorted(set(ticks)), "a tick is in the stream twice"

    @invariant()
    def the_clock_never_goes_back(self) -> None:
        ticks = [int(fields[b"tick"]) for _, fields in self.client.xrange(self.keys.ticks)]
        assert ticks == sorted(ticks)

    def teardown(self) -> None:
        """No live camera keeps waiting: only dead ones stall, one after the other as the gate reaches them."""
        self.advance(2, set())
        for _ in range(2 * len(CAMERAS)):
            self.advance(0, set(self.model.seen) - set(self.workers))
            for camera in self.workers:
                self.look(camera)
                self.start(camera)
                self.finish([camera], answered=True)
        for camera, worker in self.workers.items():
            assert worker.handled == self.model.tick, f"{camera} waits for the gate forever"


@pytest.mark.parametrize("max_skew_ticks", [0, 1, 2, 5])
def test_the_gate_keeps_the_rules_in_live_mode(redis_client: Client, max_skew_ticks: int) -> None:
    run_state_machine_as_test(
        lambda: LiveSite(redis_client, max_skew_ticks),  # type: ignore[arg-type]
        settings=settings(
            max_examples=50,
            stateful_step_count=30,
            deadline=None,
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        ),
    )


class VirtualSite(RuleBasedStateMachine):
    """Cameras and an aggregator of any speed."""

    def __init__(self, client: Client) -> None:
        super().__init__()
        self.client, self.keys = client, Keys(f"virtual{next(_numbers)}")
        clock = ClockConfig(mode="virtual", max_skew_ticks=5, stall_seconds=0.001)
        self.gate, self.leases = Gate(client, self.keys, clock), Leases(client, self.keys)
        clock_lease = self.leases.acquire("clock", 3600)
        assert clock_lease is not None
        self.clock_lease = clock_lease
        self.workers: dict[str, Worker] = {}
        self.tick = self.cycle = 0
        self.seen: dict[str, int] = {}
        self.ended: set[str] = set()
        self.handled_ticks: dict[str, list[int]] = {camera: [] for camera in CAMERAS}
        client.hset(self.keys.cameras, mapping=dict.fromkeys(CAMERAS, '{"paused": false}'))
        client.hset(self.keys.cameras, "never", '{"paused": true}')

    def waited_for(self) -> set[str]:
        return set(CAMERAS) - self.ended

    def all_have_handled(self) -> bool:
        return (
            bool(self.waited_for())
            and all(self.seen.get(camera, -1) >= self.tick for camera in self.waited_for())
            and self.cycle >= self.tick
        )

    @rule(camera=st.sampled_from(CAMERAS))
    def join(self, camera: str) -> None:
        if camera in self.workers or camera in self.ended:
            return
        lease = self.leases.acquire(f"camera:{camera}", LEASE_S, least_epoch=self.tick)
        assert lease is not None
        tick, gate, handled = self.gate.join(camera, lease)
        # The tick that the last owner did not finish must be handled; a new camera begins after this tick.
        expected = self.seen.get(camera, (self.handled_ticks[camera] or [self.tick])[-1])
        assert (tick, handled) == (self.tick, expected)
        self.seen[camera] = handled
        self.workers[camera] = Worker(lease, handled, tick, gate)

    @initialize(cameras=st.sets(st.sampled_from(CAMERAS)))
    def begin(self, cameras: set[str]) -> None:
        for camera in sorted(cameras):
            self.join(camera)
        self.advance()

    @rule(cameras=st.permutations(CAMERAS), count=st.integers(1, len(CAMERAS)), twice=st.booleans())
    def handle_some(self, cameras: list[str], count: int, twice: bool) -> None:
        for camera in cameras[:count]:
            self.handle(camera, twice)

    def handle(self, camera: str, twice: bool) -> None:
        worker = self.workers.get(camera)
        if worker is None:
            return
        progress = self.gate.complete_tick(0, [], "0-0")
        tick = min(progress.tick, progress.gate)
        if tick <= worker.handled:
            return
        assert tick == worker.handled + 1 == self.tick, "a tick was left out"
        completed = [CompletedCamera(camera, worker.lease, tick, 0, EMPTY, 10_000)]
        for _ in range(1 + twice):
            progress = self.gate.complete_tick(tick, completed, "0-0")
            assert (progress.tick, progress.skipped) == (self.tick, 0)
        worker.handled = self.seen[camera] = tick
        self.handled_ticks[camera].append(tick)

    @rule()
    def aggregate(self) -> None:
        """Runs every cycle that is due, as the aggregator does."""
        with self.client.pipeline(transaction=True) as pipe:
            self.gate.queue_handled(pipe)
            handled = Handled.parse(pipe.execute()[0])
        everybody = all(camera in self.seen for camera in self.waited_for())
        least = min([self.tick, *(self.seen[c] for c in self.waited_for())]) if everybody else -1
        assert (handled.upto, handled.tick) == (least, self.tick)
        if handled.upto > self.cycle:
            self.cycle = handled.upto
            self.client.xadd(self.keys.cycles, {"tick": self.cycle}, id=f"{self.cycle}-0")
            self.gate.wake()

    @rule()
    def advance(self) -> None:
        expected = self.tick + 1 if self.all_have_handled() else self.tick
        for camera in self.seen:
            self.client.zadd(self.keys.marked_at, {camera: 1})
        advanced = self.gate.advance(self.clock_lease, 0)
        self.tick = advanced.tick
        assert advanced.tick == expected
        assert advanced.stalled == ()
        assert advanced.gate <= advanced.tick + 1

    @rule(aggregated=st.booleans())
    def everybody_works(self, aggregated: bool) -> None:
        for camera in sorted(self.waited_for()):
            self.join(camera)
            self.handle(camera, twice=False)
        if aggregated:
            self.aggregate()
        self.advance()

    @rule(camera=st.sampled_from(CAMERAS[1:]))
    def end(self, camera: str) -> None:
        if (worker := self.workers.get(camera)) and worker.handled == self.tick:
            self.gate.retire(camera, worker.lease, "ended")
            del self.workers[camera]
            self.seen.pop(camera)
            self.ended.add(camera)

    @rule(camera=st.sampled_from(CAMERAS))
    def release(self, camera: str) -> None:
        if worker := self.workers.pop(camera, None):
            self.gate.retire(camera, worker.lease, "released")
            worker.lease.release()
            self.seen.pop(camera)

    @rule(camera=st.sampled_from(CAMERAS))
    def die(self, camera: str) -> None:
        if worker := self.workers.pop(camera, None):
            self.client.delete(worker.lease.key)

    @invariant()
    def every_tick_is_handled_once_and_in_order(self) -> None:
        for camera in CAMERAS:
            ticks = [int(fields[b"tick"]) for _, fields in self.client.xrange(self.keys.tracks(camera))]
            assert ticks == self.handled_ticks[camera]
            if ticks:
                assert ticks == list(range(ticks[0], ticks[-1] + 1))

    def teardown(self) -> None:
        """The site continues with the remaining cameras."""
        before = self.tick
        for _ in range(4):
            for camera in self.waited_for():
                self.join(camera)
                self.handle(camera, twice=False)
            self.aggregate()
            self.advance()
        if self.waited_for():
            assert self.tick >= before + 3, "no camera advances"


def test_the_gate_keeps_the_rules_in_virtual_mode(redis_client: Client) -> None:
    run_state_machine_as_test(
        lambda: VirtualSite(redis_client),  # type: ignore[arg-type]
        settings=settings(
            max_examples=100,
            stateful_step_count=40,
            deadline=None,
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        ),
    )
