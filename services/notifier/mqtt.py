"""Publishes events and the state of the site on an MQTT broker."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Mapping
from urllib.parse import urlsplit

import structlog
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from services.notifier.events import Event
from services.notifier.home_assistant import announcements
from services.notifier.metrics import NotifierMetrics
from shared.errors import MtmcError
from shared.notification_config import MqttConfig
from shared.site_state.states import SiteState

_log = structlog.get_logger()
NAME = "mqtt"
_PORTS = {"mqtt": 1883, "mqtts": 8883}
_ACKNOWLEDGED_S = 10.0
_RETRY_S = (1, 60)
_ONLINE, _OFFLINE = "online", "offline"


class Mqtt:
    """The connection to one broker; it reconnects by itself."""

    def __init__(self, config: MqttConfig, site: str, environment: Mapping[str, str], metrics: NotifierMetrics) -> None:
        """`environment` has the variable with the password.

        Raises:
            MtmcError: there is a user, but that variable is not set.
        """
        self.name, self.wanted = NAME, config.only
        self._site, self._metrics = site, metrics
        self._base = f"{config.topic}/{site}"
        self._discovery = config.home_assistant
        self._connected = threading.Event()
        self._published: dict[str, str] = {}
        """Retained topics → what the broker has."""
        self._state_lock = threading.Lock()
        parts = urlsplit(config.url)
        self._shown = f"{parts.scheme}://{parts.hostname}"
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id=f"mtmc-{site}-notifier")
        self._client.on_connect, self._client.on_disconnect = self._on_connect, self._on_disconnect
        self._client.reconnect_delay_set(*_RETRY_S)
        self._client.will_set(f"{self._base}/status", _OFFLINE, qos=1, retain=True)
        if config.user is not None:
            password = environment.get(config.password_env)
            if password is None:
                raise MtmcError(
                    f"mqtt: the environment variable {config.password_env} is not set; set it to the password of "
                    f"{config.user} for the notifier"
                )
            self._client.username_pw_set(config.user, password)
        if parts.scheme == "mqtts":
            self._client.tls_set()
        self._host, self._port = parts.hostname or "", parts.port or _PORTS[parts.scheme]

    def open(self) -> None:
        """See `Receiver.open`."""
        self._client.connect_async(self._host, self._port)
        self._client.loop_start()

    def send(self, event: Event, stop: threading.Event) -> bool:
        """See `Receiver.send`: until the broker has acknowledged it."""
        topic = f"{self._base}/events/{event.kind or 'unknown'}"
        while not stop.is_set():
            if not self._connected.wait(0.2):
                continue
            message = self._client.publish(topic, event.as_json(self._site), qos=1)
            with contextlib.suppress(RuntimeError, ValueError):  # the connection was lost
                message.wait_for_publish(_ACKNOWLEDGED_S)
            if message.is_published():
                return True
            self._metrics.failures.labels(self.name).inc()
        return False

    def publish_state(self, state: SiteState) -> None:
        """Publishes what has changed: the number of objects in view, and state and number of tracks of each camera."""
        if not self._connected.is_set():
            return
        topics = {f"{self._base}/objects": str(state.live_identities)}
        topics |= {f"{self._base}/problems": str(len(state.problems))}
        for camera in state.cameras:
            topics[f"{self._base}/cameras/{camera.name}/state"] = camera.state
            topics[f"{self._base}/cameras/{camera.name}/objects"] = str(camera.live_tracks or 0)
        if self._discovery is not None:
            topics |= {
                topic: json.dumps(content, sort_keys=True)
                for topic, content in announcements(self._discovery, self._base, state).items()
            }
        with self._state_lock:
            gone = self._published.keys() - topics.keys()
            changed = {topic: text for topic, text in topics.items() if self._published.get(topic) != text}
            self._published = topics
        for topic in gone:
            self._client.publish(topic, None, qos=1, retain=True)  # an empty message deletes a retained one
        for topic, text in changed.items():
            self._client.publish(topic, text, qos=1, retain=True)

    def close(self) -> None:
        """See `Receiver.close`."""
        if self._connected.is_set():
            last = self._client.publish(f"{self._base}/status", _OFFLINE, qos=1, retain=True)
            with contextlib.suppress(RuntimeError, ValueError):
                last.wait_for_publish(1.0)
        self._client.disconnect()
        self._client.loop_stop()

    # -- on the thread of the connection -------------------------------------------------------------------

    def _on_connect(
        self, client: paho.Client, _data: object, _flags: object, reason: ReasonCode, _properties: object
    ) -> None:
        if reason.is_failure:
            self._metrics.failures.labels(self.name).inc()
            _log.error("the MQTT broker refuses the connection, retrying", to=self._shown, reason=str(reason))
            return
        with self._state_lock:
            self._published = {}  # another broker, or one that lost its data, has none of it
        client.publish(f"{self._base}/status", _ONLINE, qos=1, retain=True)
        self._connected.set()
        _log.info("connected to the MQTT broker", to=self._shown)

    def _on_disconnect(
        self, _client: paho.Client, _data: object, _flags: object, reason: ReasonCode, _properties: object
    ) -> None:
        if self._connected.is_set() and reason.is_failure:
            _log.warning("lost the MQTT broker, retrying", to=self._shown, reason=str(reason))
        self._connected.clear()
