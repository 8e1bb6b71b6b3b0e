"""Keeps the lease while one cycle, or the loading of a large state, takes longer than the lease lasts."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator

from shared.errors import LeaseLost
from shared.leases import Lease
from shared.redis_connection import RETRYABLE

LONGEST_S = 10.0
"""After this long without progress the loop counts as hung, as for /healthz. Its lease expires, and a standby takes
over."""
_LOOK_EVERY_S = 0.2


class LeaseKeeper:
    """A thread that renews a lease while the loop works."""

    def __init__(self) -> None:
        self._lease: Lease | None = None
        self._until = 0.0
        self._is_closed = False
        self._thread: threading.Thread | None = None
        self._works = threading.Event()

    @contextlib.contextmanager
    def keeping(self, lease: Lease) -> Iterator[None]:
        """Within this, the lease is renewed, but not more than `LONGEST_S` after it began or the last `progressed`."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="lease keeper", daemon=True)
            self._thread.start()
        self.progressed()
        self._lease = lease
        self._works.set()
        try:
            yield
        finally:
            self._lease = None
            self._works.clear()

    def close(self) -> None:
        """Ends the thread."""
        self._is_closed = True
        self._works.set()

    def progressed(self) -> None:
        """Takes note that the loop does not hang."""
        self._until = time.monotonic() + LONGEST_S

    def _run(self) -> None:
        while not self._is_closed:
            self._works.wait()
            time.sleep(_LOOK_EVERY_S)
            lease = self._lease
            if lease is not None and time.monotonic() < self._until:
                # The loop itself notices when the lease is lost, or when Redis does not answer.
                with contextlib.suppress(LeaseLost, *RETRYABLE):
                    lease.renew_if_due()
