"""The notifier: one process at a time sends the site's events; any number of others are standbys."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping

import structlog

from services.notifier.delivery import Delivery, Receiver
from services.notifier.metrics import NotifierMetrics
from services.notifier.mqtt import Mqtt
from services.notifier.webhook import Webhook
from shared.leases import Lease, Leases
from shared.process import Connected
from shared.site_state.reading import StateReader

_log = structlog.get_logger()
LEASE_SECONDS = 5.0
_STEP_S = 0.25
_STATE_EVERY_S = 1.0
_STOP_S = 2.0


class Notifier:
    """Owns the lease `notifier`, or waits for it."""

    def __init__(self, connected: Connected, environment: Mapping[str, str] = os.environ) -> None:
        """`environment` has the passwords and secrets.

        Raises:
            MtmcError: one of them is missing.
        """
        self._client, self._site, self._environment = connected.client, connected.site, environment
        self._leases = Leases(connected.client, connected.site.keys)
        self._metrics = NotifierMetrics(connected.monitor.registry)
        self._state = StateReader(connected.client, connected.frames, connected.site)
        self._lease: Lease | None = None
        self._deliveries: list[Delivery] = []
        self._mqtt: Mqtt | None = None
        self._state_at = 0.0
        self._receivers()  # so that a missing password is named at the start, also by a standby
        if not connected.site.config.notifications.wanted:
            _log.warning("nothing to do: the site has no section `notifications` (docs/notifications.md)")

    def step(self) -> None:
        """Renews the lease and publishes the state of the site; a standby tries to get the lease.

        Raises:
            LeaseLost: another notifier took over; from the next call on this one is a standby.
            RedisError: Redis is unreachable; the next call continues.
        """
        if self._lease is None and not self._acquire():
            time.sleep(_STEP_S)
            return
        assert self._lease is not None
        try:
            self._lease.renew_if_due()
        except Exception:
            if self._lease.expired():
                self._stand_by()
            raise
        if self._mqtt is not None and time.monotonic() >= self._state_at:
            self._state_at = time.monotonic() + _STATE_EVERY_S
            self._mqtt.publish_state(self._state.read())
        if not all(delivery.is_alive for delivery in self._deliveries):
            self._stand_by()
        time.sleep(_STEP_S)

    def problem(self) -> str | None:
        """None: a receiver that is away is counted, but the notifier does its work."""
        return None

    def close(self) -> None:
        """Stops sending, and releases the role.

        Raises:
            RedisError: Redis is unreachable; the lease will expire.
        """
        lease = self._lease
        self._stand_by()
        if lease is not None:
            lease.release()

    def _acquire(self) -> bool:
        self._lease = self._leases.acquire("notifier", LEASE_SECONDS)
        if self._lease is None:
            return False
        receivers = self._receivers()
        self._mqtt = next((one for one in receivers if isinstance(one, Mqtt)), None)
        self._deliveries = [
            Delivery(self._client, self._site.keys, self._lease, receiver, self._metrics) for receiver in receivers
        ]
        for delivery in self._deliveries:
            delivery.start()
        self._metrics.owner.set(1)
        _log.info("acquired the notifier", receivers=[receiver.name for receiver in receivers])
        return True

    def _stand_by(self) -> None:
        for delivery in self._deliveries:
            delivery.stop()
        for delivery in self._deliveries:
            delivery.join(_STOP_S)
        self._lease, self._mqtt, self._deliveries = None, None, []
        self._metrics.owner.set(0)

    def _receivers(self) -> list[Receiver]:
        config, site = self._site.config.notifications, self._site.config.site
        found: list[Receiver] = []
        if config.mqtt is not None:
            found.append(Mqtt(config.mqtt, site, self._environment, self._metrics))
        found += [Webhook(one, site, self._environment, self._metrics) for one in config.webhooks]
        return found
