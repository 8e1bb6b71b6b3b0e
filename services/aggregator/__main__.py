"""`mtmc run aggregator`."""

from __future__ import annotations

import threading

from services.aggregator.service import Aggregator
from shared.process import Connected, ServiceOptions, serve


def main(options: ServiceOptions, stop: threading.Event) -> None:
    """Runs an aggregator, active or standby, until `stop` is set.

    Raises:
        MtmcError: something that the user must fix.
    """
    serve("aggregator", options, _aggregator, stop)


def _aggregator(connected: Connected, _: ServiceOptions) -> Aggregator:
    return Aggregator(connected.client, connected.site, connected.monitor, connected.frames)
