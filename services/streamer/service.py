"""The streamer: assembles its parts, and keeps the placeholders and the key `viewers` up to date."""

from __future__ import annotations

import time

import structlog
from redis.exceptions import RedisError

from services.streamer.access.credentials import Credentials
from services.streamer.access.guard import Guard
from services.streamer.access.rules import AccessRules
from services.streamer.api import wall_json
from services.streamer.api.event_stream import encoded_event
from services.streamer.app import EVENTS, Parts, create_app
from services.streamer.arrivals import Arrivals
from services.streamer.event_feed import EventFeed
from services.streamer.http_server import HttpServer
from services.streamer.metrics import SiteCollector, StreamerMetrics
from services.streamer.picture_reader import PictureReader
from services.streamer.pictures import Pictures
from services.streamer.placeholders import Placeholders
from services.streamer.redis_check import RedisCheck
from services.streamer.scaling import Scaling
from services.streamer.site_reader import SiteReader
from services.streamer.wall_pictures import ANY_CAMERA, WALL_TOPICS
from services.streamer.wall_state import WallState
from shared.process import Connected, ServiceOptions
from shared.scripts import Scripts
from shared.site_state.judging import redis_away
from shared.site_state.states import CameraState, SiteState
from shared.watching import Watching

_log = structlog.get_logger()
_STEP_S = 0.2


class Streamer:
    """Serves as soon as it is created; all state is in Redis."""

    def __init__(self, connected: Connected, options: ServiceOptions) -> None:
        """Opens the port.

        Raises:
            MtmcError: the port cannot be opened; the message says why.
        """
        config = connected.site.config.streamer
        self._keys = connected.site.keys
        self._arrivals = arrivals = Arrivals()
        self._scaling = Scaling(config.jpeg_quality, arrivals.announce)
        self._watching, self._pictures = Watching(), Pictures(self._shown)
        self._placeholders = Placeholders(config.jpeg_quality)
        self._site, self._scripts = SiteReader(connected, options), Scripts(connected.client)
        self._redis_check = RedisCheck(self._site.clients)
        self._metrics = metrics = StreamerMetrics(self._watching, connected.monitor.registry)
        metrics.registry.register(SiteCollector(self._site.current))
        is_live = connected.site.config.clock.mode == "live"
        self._reader = PictureReader(
            connected.frames, self._keys, self._pictures, self._watching, metrics, is_live=is_live
        )
        self._wall_state = WallState(lambda: wall_json(self._site.current()), lambda: arrivals.announce(*WALL_TOPICS))
        self._events = EventFeed(connected.client, self._keys, encoded_event, lambda: arrivals.announce(EVENTS))
        credentials = Credentials(self._site.clients["Redis"], self._keys)
        self._guard = guard = Guard(AccessRules.of(config, options), credentials, connected.site.config.site)
        self.parts = Parts(
            connected=connected,
            site=self._site,
            pictures=self._pictures,
            watching=self._watching,
            placeholders=self._placeholders,
            metrics=metrics,
            arrivals=arrivals,
            scaling=self._scaling,
            wall_state=self._wall_state,
            events=self._events,
            guard=guard,
        )
        host = options.host if options.host is not None else config.host
        port = options.port if options.port is not None else config.port
        self._server = HttpServer(
            create_app(self.parts, config.max_viewers),
            host,
            port,
            max_streams=config.max_viewers,
            arrivals=arrivals,
            on_cut_off=metrics.viewers_cut_off.inc,
        )
        self._reader.start()
        self._wall_state.start()
        self._server.start()
        _log.info("serving", url=self.url)
        guard.announce()

    @property
    def url(self) -> str:
        """The URL for clients on this machine."""
        return self._server.url

    def problem(self) -> str | None:
        """What keeps it from serving: its HTTP server, Redis or the Redis for pictures; None if all is well."""
        if not self._server.is_serving:
            return "its HTTP server has stopped; restart this streamer"
        return self._redis_check.problem()

    def step(self) -> None:
        """Updates the placeholders of the open cameras, and writes which cameras are watched for the workers.

        Raises:
            RedisError: Redis is unreachable; the placeholders show it already.
        """
        self._watching.wait_for_change(_STEP_S)
        error = self._judge()
        self._guard.refresh()
        self._forget_removed()
        self._watching.write(self._scripts, self._keys)
        if error is not None:
            raise error

    def _shown(self, camera: str) -> None:
        """Tells the viewers of `camera` that there is something new; called in the thread that has it."""
        self._arrivals.announce(camera, ANY_CAMERA)
        self._scaling.arrived(camera, self._pictures.shown(camera), self._pictures.pictured(camera))

    def _judge(self) -> RedisError | None:
        opened = self._watching.opened()
        if not opened:
            return None
        state: SiteState | None
        error: RedisError | None = None
        try:
            state = self._site.current()
            judged_at = state.read_at
        except RedisError as refused:
            state, error = self._site.last, refused
            judged_at = time.monotonic()
        for name in opened:
            camera = state.camera(name) if state is not None else None
            if error is not None:
                camera = redis_away(name)
            if camera is None:
                camera = CameraState(name, "ended", "this camera was removed from the site")
            if camera.shows_pictures:
                self._pictures.end_placeholder(name)
                continue
            last = self._pictures.newest(name)
            jpeg = self._placeholders.jpeg(camera, last.jpeg if last else None)
            self._pictures.put_placeholder(name, jpeg, judged_at)
        return error

    def _forget_removed(self) -> None:
        """Drops what is kept of each camera that was removed from the site and that nobody has open."""
        state = self._site.last
        if state is None:
            return
        for name in self._pictures.forget_all_but({*self._watching.cameras(), *(each.name for each in state.cameras)}):
            self._reader.forget(name)
            self._placeholders.forget(name)
            self._metrics.forget(name)

    def close(self) -> None:
        """Ends all streams, then stops the server; takes a second at most."""
        self._pictures.close()
        self._events.close()
        self._wall_state.close()
        self._reader.close()
        self._server.close()
        self._scaling.close()
        self._site.close()
