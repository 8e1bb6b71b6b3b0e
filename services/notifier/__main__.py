"""`mtmc run notifier`."""

from __future__ import annotations

import threading

from services.notifier.service import Notifier
from shared.process import ServiceOptions, serve


def main(options: ServiceOptions, stop: threading.Event) -> None:
    """Runs a notifier, active or standby, until `stop` is set.

    Raises:
        MtmcError: something that the user must fix.
    """
    serve("notifier", options, lambda connected, _: Notifier(connected), stop)
