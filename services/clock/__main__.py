"""`mtmc run clock`."""

from __future__ import annotations

import threading

from services.clock.service import Clock
from shared.process import ServiceOptions, serve


def main(options: ServiceOptions, stop: threading.Event) -> None:
    """Runs a clock, active or standby, until `stop` is set.

    Raises:
        MtmcError: something that the user must fix.
    """
    serve("clock", options, lambda connected, _: Clock(connected.client, connected.site, connected.monitor), stop)
