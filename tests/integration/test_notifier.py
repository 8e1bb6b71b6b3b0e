"""The notifier against a real broker, and an HTTP server that fails, hangs and comes back."""

from __future__ import annotations

import http.server
import json
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion
from redis.exceptions import RedisError
from structlog.testing import capture_logs

from services.notifier.service import Notifier
from services.notifier.webhook import signature
from shared.config import SiteConfig
from shared.errors import LeaseLost, MtmcError
from shared.keys import Keys
from shared.process import Connected
from shared.redis_connection import Client, connect
from shared.site import publish_site, read_site
from tests.conftest import RedisProcess
from tests.free_ports import free_port

SITE = "yard"
SECRET = "a secret"  # noqa: S105
KEYS = Keys(SITE)
ENVIRONMENT = {"HOOK_SECRET": SECRET, "HOOK_URL": "http://127.0.0.1:9/path?token=hidden", "MTMC_MQTT_PASSWORD": "pw"}


def wait_for(condition: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


class Receiver:
    """An HTTP server that writes down what is posted, and answers as a test wants."""

    def __init__(self, port: int = 0) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.raw: list[bytes] = []
        self.answer: Callable[[int], int] = lambda _: 204
        """Number of the request → status; 0: no answer."""
        self._requests, self._stopped = 0, threading.Event()
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver._requests += 1
                status = receiver.answer(receiver._requests)
                if status == 0:
                    receiver._stopped.wait(20)
                    self.close_connection = True
                    return
                if status < 300:
                    receiver.bodies.append(json.loads(body))
                    receiver.headers.append(dict(self.headers))
                    receiver.raw.append(body)
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None: ...

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

        self._server = Server(("127.0.0.1", port), Handler)
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/events"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def ids(self) -> list[str]:
        return [body["id"] for body in self.bodies]

    def close(self) -> None:
        self._stopped.set()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


def publish(client: Client, **notifications: Any) -> None:
    config = {
        "site": SITE,
        "detector": {"model": "/d.onnx"},
        "embedder": {"model": "/e.onnx"},
        "cameras": [{"name": name, "source": "rtsp://nowhere"} for name in ("gate", "yard")],
        "notifications": notifications,
    }
    publish_site(client, SiteConfig.model_validate(config))


def hook(receiver: Receiver, name: str = "hook", **more: Any) -> dict[str, Any]:
    return {"name": name, "url": receiver.url, "timeout_seconds": 20, **more}


def happen(client: Client, number: int, kind: str = "appeared", gid: int = 1, camera: str = "gate") -> str:
    fields = {"kind": kind, "gid": gid, "camera": camera, "tick": number, "time_ns": 1_700_000_000 * 10**9}
    client.xadd(KEYS.events, fields, id=f"{number}-0")
    return f"{number}-0"


@contextmanager
def notifying(client: Client) -> Iterator[Notifier]:
    """A notifier on a thread; the block begins once it owns its role."""
    site = read_site(client, SITE)
    assert site is not None
    notifier, stop = Notifier(Connected(client, client, site), ENVIRONMENT), threading.Event()

    def run() -> None:
        while not stop.is_set():
            try:
                notifier.step()
            except (LeaseLost, RedisError):
                stop.wait(0.1)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield notifier
    finally:
        stop.set()
        thread.join(10)
        with suppress(RedisError):
            notifier.close()


def following(client: Client, *names: str) -> None:
    wait_for(lambda: all(client.hexists(KEYS.notified, name) for name in names))


# -- webhooks ------------------------------------------------------------------------------------------------------


def test_events_arrive_signed_in_order_from_the_first_one_after_the_start(
    redis_client: Client, receiver: Receiver
) -> None:
    happen(redis_client, 1)
    redis_client.hset(KEYS.identity(7), mapping={"class": 1, "cameras": "gate yard"})
    redis_client.hset(KEYS.camera("gate"), "class_names", '["person", "car"]')
    redis_client.hset(KEYS.names, "7", "Ärger")
    publish(redis_client, webhooks=[hook(receiver, secret_env="HOOK_SECRET")])  # noqa: S106
    with notifying(redis_client):
        following(redis_client, "hook")
        ids = [happen(redis_client, number, gid=7) for number in range(2, 30)]
        wait_for(lambda: len(receiver.bodies) == 28)
    assert receiver.ids == ids
    assert receiver.bodies[0] == {
        "id": "2-0",
        "site": SITE,
        "kind": "appeared",
        "gid": 7,
        "camera": "gate",
        "tick": 2,
        "time": "2023-11-14T22:13:20.000+00:00",
        "class": "car",
        "name": "Ärger",
    }
    headers = receiver.headers[0]
    assert headers["X-Mtmc-Signature"] == signature(SECRET, headers["X-Mtmc-Time"], receiver.raw[0])
    assert (headers["X-Mtmc-Event"], headers["X-Mtmc-Event-Id"]) == ("appeared", "2-0")
    assert redis_client.hget(KEYS.notified, "hook") == b"29-0"


def test_a_receiver_that_fails_gets_every_event_once_it_works(redis_client: Client, receiver: Receiver) -> None:
    publish(redis_client, webhooks=[hook(receiver, timeout_seconds=4)])
    receiver.answer = lambda number: (503, 0, 404, 204)[min(number, 4) - 1]
    with notifying(redis_client), capture_logs() as logs:
        following(redis_client, "hook")
        ids = [happen(redis_client, number) for number in (1, 2, 3)]
        wait_for(lambda: len(receiver.bodies) == 3)
    assert receiver.ids == ids
    assert [one["event"] for one in logs if "webhook" in one] == [
        "a webhook does not accept events, retrying",
        "a webhook accepts events again",
    ]


def test_a_receiver_that_hangs_holds_up_no_other(redis_client: Client, receiver: Receiver) -> None:
    other = Receiver()
    other.answer = lambda _: 0
    try:
        publish(redis_client, webhooks=[hook(other, "hangs", timeout_seconds=60), hook(receiver, "works")])
        with notifying(redis_client):
            following(redis_client, "hangs", "works")
            ids = [happen(redis_client, number) for number in (1, 2, 3)]
            wait_for(lambda: receiver.ids == ids)
            assert redis_client.hget(KEYS.notified, "hangs") == b"0-0"
            other._stopped.set()
    finally:
        other.close()


def test_an_event_that_a_receiver_refuses_is_left_out(redis_client: Client, receiver: Receiver) -> None:
    publish(redis_client, webhooks=[hook(receiver)])
    receiver.answer = lambda number: 422 if number == 1 else 200
    with notifying(redis_client):
        following(redis_client, "hook")
        happen(redis_client, 1)
        happen(redis_client, 2)
        wait_for(lambda: receiver.ids == ["2-0"])


def test_only_wanted_events_are_sent(redis_client: Client, receiver: Receiver) -> None:
    wanted = {"kinds": ["appeared"], "cameras": ["gate"], "classes": ["car"], "names": ["red"]}
    publish(redis_client, webhooks=[hook(receiver, only=wanted)])
    redis_client.hset(KEYS.camera("gate"), "class_names", '["person", "car"]')
    for gid, number, name in ((1, 1, "red"), (2, 0, "red"), (3, 1, "blue")):
        redis_client.hset(KEYS.identity(gid), mapping={"class": number, "cameras": "gate"})
        redis_client.hset(KEYS.names, str(gid), name)
    with notifying(redis_client):
        following(redis_client, "hook")
        happen(redis_client, 1, gid=2)
        happen(redis_client, 2, gid=3)
        happen(redis_client, 3, camera="yard")
        happen(redis_client, 4, kind="left")
        happen(redis_client, 5)
        wait_for(lambda: receiver.ids == ["5-0"])
        wait_for(lambda: redis_client.hget(KEYS.notified, "hook") == b"5-0")


def test_another_notifier_continues_where_the_last_one_stopped(redis_client: Client, receiver: Receiver) -> None:
    publish(redis_client, webhooks=[hook(receiver)])
    with notifying(redis_client):
        following(redis_client, "hook")
        happen(redis_client, 1)
        wait_for(lambda: receiver.ids == ["1-0"])
    happen(redis_client, 2)
    with notifying(redis_client), notifying(redis_client):
        happen(redis_client, 3)
        wait_for(lambda: len(receiver.ids) == 3)
    assert receiver.ids == ["1-0", "2-0", "3-0"], "a standby sends nothing"


def test_events_that_were_deleted_meanwhile_are_counted(redis_client: Client, receiver: Receiver) -> None:
    publish(redis_client, webhooks=[hook(receiver)])
    redis_client.hset(KEYS.notified, "hook", "3-0")
    for number in range(1, 11):
        happen(redis_client, number)
    redis_client.xtrim(KEYS.events, minid="8-0", approximate=False)
    with capture_logs() as logs, notifying(redis_client) as notifier:
        wait_for(lambda: receiver.ids == ["8-0", "9-0", "10-0"])
        assert notifier._metrics.lost.labels("hook")._value.get() == 4
    assert [one["events"] for one in logs if one["event"].startswith("events were deleted")] == [4]


@pytest.mark.parametrize("kept", ["900-0", "garbage", ""])
def test_a_position_that_cannot_be_right_begins_again(redis_client: Client, receiver: Receiver, kept: str) -> None:
    publish(redis_client, webhooks=[hook(receiver)])
    redis_client.hset(KEYS.notified, "hook", kept)
    happen(redis_client, 1)
    redis_client.xadd(KEYS.events, {b"\xff": b"\xfe"}, id="2-0")
    with notifying(redis_client):
        happen(redis_client, 3)
        wait_for(lambda: receiver.ids == ["1-0", "2-0", "3-0"])


def test_a_redis_that_stops_and_comes_back_loses_no_event(redis_process: RedisProcess, receiver: Receiver) -> None:
    client = connect(redis_process.url)
    publish(client, webhooks=[hook(receiver)])
    with notifying(client):
        following(client, "hook")
        happen(client, 1)
        wait_for(lambda: receiver.ids == ["1-0"])
        redis_process.restart()
        wait_for(lambda: _added(client, 2))
        wait_for(lambda: receiver.ids[-1] == "2-0")
    assert sorted(set(receiver.ids)) == ["1-0", "2-0"]
    client.close()


def _added(client: Client, number: int) -> bool:
    try:
        happen(client, number)
    except RedisError:
        return False
    return True


def test_an_address_with_a_secret_is_shown_nowhere(redis_client: Client) -> None:
    publish(redis_client, webhooks=[{"name": "hook", "url_env": "HOOK_URL", "timeout_seconds": 0.2}])
    with capture_logs() as logs, notifying(redis_client) as notifier:
        following(redis_client, "hook")
        happen(redis_client, 1)
        wait_for(lambda: notifier._metrics.failures.labels("hook")._value.get() >= 1)
        wait_for(lambda: any("webhook" in one for one in logs))
    assert "hidden" not in str(logs)
    assert "http://127.0.0.1" in str(logs)


def test_a_missing_secret_is_named_at_the_start(redis_client: Client, receiver: Receiver) -> None:
    publish(redis_client, webhooks=[hook(receiver, secret_env="MISSING")])  # noqa: S106
    missing = pytest.raises(MtmcError, match="webhook hook: the environment variable MISSING is not set")
    with missing, notifying(redis_client):
        pass


# -- MQTT ----------------------------------------------------------------------------------------------------------


class Broker:
    """Mosquitto, which a test can stop and start."""

    def __init__(self, folder: Path) -> None:
        self.port, self._folder = free_port(), folder
        settings = f"listener {self.port} 127.0.0.1\nallow_anonymous false\npassword_file {folder}/passwords\n"
        settings += f"persistence true\npersistence_location {folder}/\nuser root\n"
        (folder / "mosquitto.conf").write_text(settings)
        subprocess.run(["mosquitto_passwd", "-b", "-c", folder / "passwords", "mtmc", "pw"], check=True)
        self.start()

    def start(self) -> None:
        program = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
        self._process = subprocess.Popen([program, "-c", self._folder / "mosquitto.conf"], stderr=subprocess.DEVNULL)

    def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(10)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    made = Broker(tmp_path)
    yield made
    made.stop()


class Listener:
    """A subscriber of everything."""

    def __init__(self, port: int) -> None:
        self.messages: list[tuple[str, str]] = []
        self.subscribed = threading.Event()
        # The broker keeps what it subscribes to, also while it is restarted.
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id="listener", clean_session=False)
        self._client.username_pw_set("mtmc", "pw")
        self._client.on_connect = lambda client, *_: client.subscribe("#", qos=1)
        self._client.on_subscribe = lambda *_: self.subscribed.set()
        self._client.on_message = lambda _client, _data, message: self.messages.append(
            (message.topic, message.payload.decode())
        )
        self._client.reconnect_delay_set(1, 1)
        wait_for(lambda: self._connects(port))
        self._client.loop_start()
        assert self.subscribed.wait(30)

    def _connects(self, port: int) -> bool:
        try:
            self._client.connect("127.0.0.1", port)
        except OSError:
            return False
        return True

    @property
    def last(self) -> dict[str, str]:
        return dict(self.messages)

    def events(self) -> list[str]:
        return [json.loads(text)["id"] for topic, text in self.messages if "/events/" in topic]

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def mqtt(broker: Broker, **more: Any) -> dict[str, Any]:
    return {"url": f"mqtt://127.0.0.1:{broker.port}", "user": "mtmc", **more}


def test_a_broker_gets_events_states_and_what_home_assistant_needs(redis_client: Client, broker: Broker) -> None:
    publish(redis_client, mqtt=mqtt(broker, home_assistant="homeassistant"))
    listener = Listener(broker.port)
    with notifying(redis_client):
        following(redis_client, "mqtt")
        happen(redis_client, 1)
        wait_for(lambda: listener.events() == ["1-0"])
        wait_for(lambda: "mtmc/yard/cameras/gate/state" in listener.last)
        config = "homeassistant/sensor/mtmc_yard_gate_state/config"
        wait_for(lambda: config in listener.last)
        announced = json.loads(listener.last[config])
        assert announced["state_topic"] == "mtmc/yard/cameras/gate/state"
        wait_for(lambda: listener.last.get(announced["availability_topic"]) == "online")
        assert announced["unique_id"] == "mtmc_yard_gate_state"
        wait_for(lambda: listener.last.get("mtmc/yard/objects") == "0")
        assert ("mtmc/yard/events/appeared", "1-0") in [
            (topic, json.loads(text)["id"]) for topic, text in listener.messages if "/events/" in topic
        ]
    wait_for(lambda: listener.last["mtmc/yard/status"] == "offline")
    listener.close()


def test_events_during_an_outage_of_the_broker_arrive_after_it(redis_client: Client, broker: Broker) -> None:
    publish(redis_client, mqtt=mqtt(broker))
    listener = Listener(broker.port)
    with notifying(redis_client):
        following(redis_client, "mqtt")
        happen(redis_client, 1)
        wait_for(lambda: listener.events() == ["1-0"])
        broker.stop()
        ids = [happen(redis_client, number) for number in (2, 3, 4)]
        listener.subscribed.clear()
        broker.start()
        assert listener.subscribed.wait(30)
        wait_for(lambda: set(ids) <= set(listener.events()))
        assert [one for one in listener.events() if one in ids][: len(ids)] == ids
        wait_for(lambda: redis_client.hget(KEYS.notified, "mqtt") == b"4-0")
    listener.close()


def test_a_password_that_the_broker_refuses_is_reported(redis_client: Client, broker: Broker) -> None:
    publish(redis_client, mqtt=mqtt(broker, user="nobody"))
    with capture_logs() as logs, notifying(redis_client):
        wait_for(lambda: any("refuses the connection" in one["event"] for one in logs))
    assert "pw" not in str(logs)
