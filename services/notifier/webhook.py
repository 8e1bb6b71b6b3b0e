"""Posts events to an HTTP address, signed, until it accepts them."""

from __future__ import annotations

import hashlib
import hmac
import threading
import time
from collections.abc import Mapping
from urllib.parse import urlsplit

import requests
import structlog

from services.notifier.delivery import Refused
from services.notifier.events import Event
from services.notifier.metrics import NotifierMetrics
from shared.backoff import Backoff
from shared.errors import MtmcError
from shared.notification_config import WebhookConfig
from shared.version import mtmc_version

_log = structlog.get_logger()
_NEVER = frozenset({400, 405, 410, 411, 413, 414, 415, 422})
"""Answers that the same request will always get. Others are worth a retry: people mend 401, 403 and 404."""
_RETRY_S = (0.5, 60.0)


class Webhook:
    """One webhook."""

    def __init__(
        self, config: WebhookConfig, site: str, environment: Mapping[str, str], metrics: NotifierMetrics
    ) -> None:
        """`environment` has the variables that the configuration names.

        Raises:
            MtmcError: a variable is missing, or does not contain an address.
        """
        self.name, self.wanted = config.name, config.only
        self._url = config.url or _variable(config.url_env or "", environment, config.name)
        parts = urlsplit(self._url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise MtmcError(
                f"webhook {config.name}: {config.url_env} is not an http:// or https:// address; correct the variable"
            )
        self._shown = f"{parts.scheme}://{parts.hostname}"
        """Without path and query, which may contain a secret."""
        self._secret = _variable(config.secret_env, environment, config.name) if config.secret_env else None
        self._site, self._timeout_s, self._metrics = site, config.timeout_seconds, metrics
        self._session = requests.Session()

    def open(self) -> None:
        """See `Receiver.open`: every request has its own connection, or that of the one before."""

    def send(self, event: Event, stop: threading.Event) -> bool:
        """See `Receiver.send`."""
        body, backoff, logged = event.as_json(self._site).encode(), Backoff(*_RETRY_S), False
        while not stop.is_set():
            trouble = self._post(event, body)
            if trouble is None:
                if logged:
                    _log.info("a webhook accepts events again", webhook=self.name)
                return True
            self._metrics.failures.labels(self.name).inc()
            if not logged:
                _log.warning(
                    "a webhook does not accept events, retrying", webhook=self.name, to=self._shown, reason=trouble
                )
                logged = True
            stop.wait(backoff.next_s())
        return False

    def close(self) -> None:
        """See `Receiver.close`."""
        self._session.close()

    def _post(self, event: Event, body: bytes) -> str | None:
        """Why it did not arrive; None: it did.

        Raises:
            Refused: it never will.
        """
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"mtmc/{mtmc_version()}",
            "X-Mtmc-Event": event.kind,
            "X-Mtmc-Event-Id": event.entry_id,
        }
        if self._secret is not None:
            sent_at = str(int(time.time()))
            headers |= {"X-Mtmc-Time": sent_at, "X-Mtmc-Signature": signature(self._secret, sent_at, body)}
        try:
            answer = self._session.post(
                self._url, data=body, headers=headers, timeout=self._timeout_s, allow_redirects=False, stream=True
            )
            answer.close()
        except requests.Timeout:
            return f"no answer within {self._timeout_s:g} s"
        except requests.RequestException as error:
            return type(error).__name__  # its text has the address
        if answer.status_code in _NEVER:
            raise Refused(f"answer {answer.status_code}")
        return None if 200 <= answer.status_code < 300 else f"answer {answer.status_code}"


def signature(secret: str, sent_at: str, body: bytes) -> str:
    """`sha256=` and the HMAC-SHA256 (RFC 2104) of time, a dot and body, in hexadecimal digits.

    The time is part of it, so that a receiver can refuse an old request that somebody repeats.
    """
    digest = hmac.new(secret.encode(), sent_at.encode() + b"." + body, hashlib.sha256).hexdigest()
    return f"sha256={digest}"


def _variable(name: str, environment: Mapping[str, str], webhook: str) -> str:
    value = environment.get(name)
    if not value:
        raise MtmcError(f"webhook {webhook}: the environment variable {name} is not set; set it for the notifier")
    return value
