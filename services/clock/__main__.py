"""`mtmc run clock`."""

from __future__ import annotations

from services.clock.service import Clock
from shared.process import ServiceOptions, serve


def main(options: ServiceOptions) -> None:
    """Runs a clock, or a standby, until stopped.

    Raises:
        MtmcError: the user must mend something.
    """
    serve("clock", options, lambda connected, _: Clock(connected.client, connected.site, connected.monitor))
