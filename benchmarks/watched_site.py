"""`mtmc up` with a viewer, whose memory, threads, files, keys and metrics are sampled."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
import xmlrpc.client
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil
import requests
from redis.exceptions import RedisError

from launcher.site_access import OpenSite, SiteChoice, open_site
from launcher.state_folder import LastStart, StateFolder
from launcher.supervisord_client import GONE, call
from shared.errors import MtmcError
from shared.redis_connection import Client
from shared.redis_server import any_free_port

ROOT = Path(__file__).resolve().parents[1]
_READY_S = 180.0
_STOP_S = 30.0
_REQUEST_S = 10.0

Series = dict[str, list[tuple[float, float]]]
"""Name of a quantity, such as `clock MiB` → `(seconds, value)`."""


class SiteFailed(Exception):
    """The site ended, or does not become ready."""


class WatchedSite:
    """A running `mtmc up`."""

    def __init__(self, site_file: Path, folder: Path, settings: Mapping[str, str]) -> None:
        """`folder`: for its state and output. `settings`: variables `MTMC__…`, which replace settings of the file."""
        folder.mkdir(parents=True)
        self._site_file, self._state = site_file, StateFolder(folder / "state")
        self._state.path.mkdir()
        # Not the port 6379: another site may start at the same time.
        self._state.save_last_start(LastStart(redis_port=any_free_port()))
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith("MTMC_")}
        self._environment |= settings
        self._port, self._output = any_free_port(), folder / "output.txt"
        command = [sys.executable, "-m", "cli", "up", str(site_file), "--port", str(self._port)]
        command += ["--state", str(self._state.path)]
        with self._output.open("w") as output:
            self._process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=self._environment,
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        self._stop = threading.Event()
        self._viewer = threading.Thread(target=self._view, daemon=True)
        self._pids: dict[str, int] = {}
        self.restarts = 0
        """How many processes have died, or were restarted."""
        self.series: Series = defaultdict(list)

    @contextlib.contextmanager
    def running(self) -> Iterator[OpenSite]:
        """Waits until the site has a tick, watches its page, and stops it at the end.

        Raises:
            SiteFailed: it has no tick within three minutes.
        """
        try:
            self._wait_until_ready()
            self._viewer.start()
            with open_site(self._choice, self._environment) as site:
                yield site
        finally:
            self._stop.set()
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()

    @property
    def _choice(self) -> SiteChoice:
        return SiteChoice(site_file=self._site_file, state=self._state.path)

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + _READY_S
        while time.monotonic() < deadline and self._process.poll() is None:
            with contextlib.suppress(MtmcError, RedisError), open_site(self._choice, self._environment) as site:
                if site.client.get(site.keys.tick):
                    return
            time.sleep(0.5)
        raise SiteFailed(f"the site does not start:\n{self._output.read_text()}")

    def sample(self, seconds: float, site: OpenSite) -> None:
        """Adds one value to each series, at `seconds`.

        Raises:
            SiteFailed: `mtmc up` has ended.
        """
        if self._process.poll() is not None:
            raise SiteFailed(f"mtmc up has ended:\n{self._output.read_text()}")
        for name, pid in self._processes().items():
            if self._pids.setdefault(name, pid) != pid:
                self.restarts += 1
                self._pids[name] = pid
            with contextlib.suppress(psutil.NoSuchProcess):
                process = psutil.Process(pid)
                self._add(seconds, f"{name} MiB", process.memory_info().rss / 2**20)
                self._add(seconds, f"{name} threads", process.num_threads())
                self._add(seconds, f"{name} files", process.num_fds())
        self._sample_redis(seconds, site)
        self._sample_metrics(seconds, site)
        for path in ("/api/v1/site", "/api/v1/cameras", "/api/v1/tracks"):
            self._get(f"http://127.0.0.1:{self._port}{path}")

    def _add(self, seconds: float, name: str, value: float) -> None:
        self.series[name].append((seconds, value))

    def _processes(self) -> dict[str, int]:
        """Name → pid of every process of the site."""
        pids = {"mtmc-up": self._process.pid}
        with contextlib.suppress(*GONE, xmlrpc.client.Fault):
            pids["supervisord"] = call(self._state.supervisor_socket, "getPID")
            pids |= {each["name"]: each["pid"] for each in call(self._state.supervisor_socket, "getAllProcessInfo")}
        return pids

    def _sample_redis(self, seconds: float, site: OpenSite) -> None:
        """`data` is what Redis stores for the site, without the logs, which grow until their caps."""
        logs = sum(memory_of(site.client, key) for key in (site.keys.assignments, site.keys.events))
        used = int(site.client.info("memory")["used_memory"])
        self._add(seconds, "redis-data MiB", (used - logs) / 2**20)
        self._add(seconds, "redis-logs MiB", logs / 2**20)
        self._add(seconds, "redis keys", int(site.client.dbsize()))
        with site.address.pictures(site.client) as frames:
            self._add(seconds, "pictures-data MiB", int(frames.info("memory")["used_memory"]) / 2**20)

    def _sample_metrics(self, seconds: float, site: OpenSite) -> None:
        """The number of series that each service exports: a label that is never deleted makes it grow."""
        for role, lines in self._metrics(site):
            self._add(seconds, f"{role} metrics", len(lines))

    def exported(self, site: OpenSite, word: str) -> list[str]:
        """The series of all services that contain `word`."""
        return [f"{role}: {line}" for role, lines in self._metrics(site) for line in lines if word in line]

    def _metrics(self, site: OpenSite) -> Iterator[tuple[str, list[str]]]:
        for service in site.client.zrange(site.keys.services, 0, -1):
            role, port = site.client.hmget(site.keys.service(service.decode()), "role", "metrics_port")
            text = self._get(f"http://127.0.0.1:{port.decode()}/metrics") if port else ""
            if role and text:
                yield role.decode(), [line for line in text.splitlines() if not line.startswith("#")]

    def _get(self, url: str) -> str:
        """The text at `url`; empty if it does not answer."""
        with contextlib.suppress(requests.RequestException):
            return requests.get(url, timeout=_REQUEST_S).text
        return ""

    def _view(self) -> None:
        """Watches the page with all cameras, so that pictures are drawn, published and sent."""
        while not self._stop.wait(1.0):
            url = f"http://127.0.0.1:{self._port}/wall.stream"
            with (
                contextlib.suppress(requests.RequestException),
                requests.get(url, stream=True, timeout=_REQUEST_S) as answer,
            ):
                for _ in answer.iter_content(65536):
                    if self._stop.is_set():
                        return


def memory_of(client: Client, key: str) -> int:
    """Bytes of a key; 0 if it does not exist."""
    return int(client.memory_usage(key, samples=0) or 0)
