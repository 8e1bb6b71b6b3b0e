"""`mtmc run clock`."""

from __future__ import annotations

from services.clock.service import Clock
from shared.process import ServiceOptions, serve


def main(options: ServiceOptions) -> None:
    """Runs a clock, active or standby, until stopped.

    Raises:
        MtmcError: something that the user must fix.
    """
    serve("clock", options, lambda connected, _: Clock(connected.client, connected.site, connected.monitor))
