"""The Flask routes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import structlog
from flask import Flask, Response, abort, render_template, request
from redis.exceptions import RedisError
from werkzeug.exceptions import HTTPException

from services.streamer.access.guard import Guard
from services.streamer.answering import IN_LOOP
from services.streamer.api import ApiParts, api_blueprint
from services.streamer.api.problem_details import InvalidParameter, InvalidRequest, problem_response
from services.streamer.arrivals import Arrivals
from services.streamer.connections import CONNECTION
from services.streamer.event_feed import EventFeed, Subscription
from services.streamer.metrics import StreamerMetrics
from services.streamer.pictures import BOUNDARY, Pictures, picture_headers
from services.streamer.placeholders import Placeholders
from services.streamer.scaling import Scaling
from services.streamer.site_reader import SiteReader
from services.streamer.view_options import picture_options, wall_options
from services.streamer.viewing import Client, UnknownClient, mjpeg_parts
from services.streamer.wall_pictures import WallPictures
from services.streamer.wall_state import WallState
from services.streamer.wall_stream import wall_messages
from shared.monitoring.probes import answer
from shared.process import Connected
from shared.site_state.judging import redis_away
from shared.site_state.states import CameraState
from shared.watching import Watching

_log = structlog.get_logger()

_FIRST_PICTURE_S = 1.0
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' blob: data:; object-src 'none'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'self'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


@dataclass(frozen=True)
class Parts:
    """The parts of the streamer that the routes use."""

    connected: Connected
    site: SiteReader
    pictures: Pictures
    watching: Watching
    placeholders: Placeholders
    metrics: StreamerMetrics
    arrivals: Arrivals
    scaling: Scaling
    wall_state: WallState
    events: EventFeed
    guard: Guard


def create_app(parts: Parts, max_viewers: int) -> Flask:
    """The WSGI application of one streamer; one viewer more than `max_viewers` is refused."""
    app = Flask(__name__)
    places = threading.BoundedSemaphore(max_viewers)
    parts.guard.install(app)
    _add_pages(app, parts)
    _add_pictures(app, parts, max_viewers, places)
    app.register_blueprint(
        api_blueprint(
            ApiParts(
                parts.connected.site,
                parts.site,
                parts.events,
                parts.metrics,
                places,
                lambda: LoopClient(parts.arrivals),
            )
        )
    )
    _add_errors(app)

    @app.after_request
    def _secured(response: Response) -> Response:
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)
        return response

    return app


def _add_pages(app: Flask, parts: Parts) -> None:
    @app.get("/")
    def _index() -> Response:
        page = render_template("index.html", site=parts.connected.site.config.site, cameras=parts.site.camera_names)
        return Response(page, mimetype="text/html", headers={"Cache-Control": "no-cache"})

    @app.get("/metrics")
    @app.get("/healthz")
    @app.get("/readyz")
    def _monitoring() -> Response:
        answered = answer(parts.connected.monitor, request.path)
        headers = {"Cache-Control": "no-store"}
        return Response(answered.body, answered.status, headers, content_type=answered.content_type)


def _add_pictures(app: Flask, parts: Parts, max_viewers: int, places: threading.BoundedSemaphore) -> None:
    pictures, watching, metrics = parts.pictures, parts.watching, parts.metrics

    def known(camera: str) -> CameraState:
        try:
            state = parts.site.current().camera(camera)
        except RedisError:
            state = redis_away(camera) if camera in parts.site.camera_names else None
        if state is None:
            abort(404, f"this site has no camera '{camera}'")
        return state

    def stream(body: Iterable[bytes], content_type: str, on_close: Callable[[], None]) -> Response:
        request.environ[IN_LOOP] = True
        response = Response(
            () if request.method == "HEAD" else body,
            content_type=content_type,
            # X-Accel-Buffering keeps nginx from buffering the stream.
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )

        def ended() -> None:
            places.release()
            on_close()

        response.call_on_close(ended)
        return response

    def take_place() -> None:
        if not places.acquire(blocking=False):
            metrics.viewers_refused.inc()
            abort(
                503,
                f"this streamer has reached its limit of {max_viewers} viewers; start another streamer, raise "
                "streamer.max_viewers, or try again later",
            )

    def client() -> Client:
        connection: Client = request.environ.get(CONNECTION) or UnknownClient()
        return connection

    @app.get("/<camera>.mjpg")
    def _mjpeg(camera: str) -> Response:
        known(camera)
        options = picture_options(request.args)
        take_place()
        watching.open(camera)
        scaled = None if options.width is None else parts.scaling.open(camera, options.width)

        def left() -> None:
            watching.close(camera)
            if scaled is not None:
                parts.scaling.left(scaled)

        return stream(
            mjpeg_parts(camera, pictures, scaled, parts.arrivals, metrics, client(), options.fps),
            f"multipart/x-mixed-replace; boundary={BOUNDARY}",
            left,
        )

    @app.get("/<camera>.jpg")
    def _jpeg(camera: str) -> Response:
        known(camera)
        options = picture_options(request.args, with_fps=False)
        watching.touch([camera])
        picture = pictures.newest(camera, _FIRST_PICTURE_S)
        state = known(camera)
        headers = {"Cache-Control": "no-store", "X-Mtmc-State": state.state}
        if state.shows_pictures and picture is not None:
            jpeg, tag = picture.jpeg, f"{picture.tick}"
        else:
            jpeg, tag = parts.placeholders.jpeg(state, picture.jpeg if picture else None), ""
        if picture is not None:
            headers |= picture_headers(picture)
        if options.width is not None:
            jpeg = parts.scaling.once(jpeg, options.width)
            tag = tag and f"{tag}-{options.width}"
        response = Response(jpeg, mimetype="image/jpeg", headers=headers)
        if not tag:
            response.add_etag()
            return response
        response.set_etag(tag)
        response.make_conditional(request)
        return response

    @app.get("/wall.stream")
    def _wall() -> Response:
        options = wall_options(request.args)
        take_place()
        page = WallPictures(pictures, parts.scaling, options)
        metrics.wall_viewers.inc()
        parts.wall_state.opened()

        def left() -> None:
            metrics.wall_viewers.dec()
            parts.wall_state.left()
            page.close()

        return stream(
            wall_messages(
                pictures,
                page,
                watching,
                metrics,
                lambda: parts.site.camera_names,
                parts.wall_state,
                parts.arrivals,
                client(),
            ),
            "application/octet-stream",
            left,
        )


EVENTS = object()
"""The topic of new events."""


class LoopClient:
    """A client whose response runs in the event loop; to be made while its request is handled."""

    def __init__(self, arrivals: Arrivals) -> None:
        request.environ[IN_LOOP] = True
        self._arrivals = arrivals
        self._connection: Client = request.environ.get(CONNECTION) or UnknownClient()

    def has_left(self) -> bool:
        """Whether it has disconnected."""
        return self._connection.has_left()

    def wait(self, subscription: Subscription, longest_s: float) -> None:
        """Waits for news."""
        self._connection.wait_until_sent()
        self._arrivals.wait(EVENTS)


def _add_errors(app: Flask) -> None:
    def answer(status: int, message: str, errors: Sequence[InvalidParameter] = ()) -> Response:
        if request.path == "/api" or request.path.startswith("/api/"):
            return problem_response(status, message, errors)
        return Response(f"{message}\n", status, {"Cache-Control": "no-store"}, mimetype="text/plain")

    @app.errorhandler(HTTPException)
    def _http_error(error: HTTPException) -> Response:
        errors = error.errors if isinstance(error, InvalidRequest) else ()
        response = answer(error.code or 500, error.description or error.name, errors)
        for name, value in error.get_headers():
            if name == "Allow":
                response.headers[name] = value
        return response

    @app.errorhandler(RedisError)
    def _redis_error(error: RedisError) -> Response:
        response = answer(503, "Redis does not answer; retrying until it is back")
        response.headers["Retry-After"] = "1"
        return response
