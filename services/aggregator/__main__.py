"""`mtmc run aggregator`."""

from __future__ import annotations

from services.aggregator.service import Aggregator
from shared.process import ServiceOptions, serve


def main(options: ServiceOptions) -> None:
    """Runs an aggregator, active or standby, until stopped.

    Raises:
        MtmcError: something that the user must fix.
    """
    serve("aggregator", options, lambda connected, _: Aggregator(connected.client, connected.site, connected.monitor))
