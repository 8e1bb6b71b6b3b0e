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
from services.streamer.api import ApiParts, api_blueprint, wall_json
from services.streamer.api.problem_details import InvalidParameter, InvalidRequest, problem_response
from services.streamer.event_feed import EventFeed
from services.streamer.http_server import MAX_STREAMS
from services.streamer.metrics import StreamerMetrics
from services.streamer.pictures import Pictures
from services.streamer.placeholders import Placeholders
from services.streamer.site_reader import SiteReader
from services.streamer.viewing import BOUNDARY, mjpeg_parts, wall_messages
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
    events: EventFeed
    guard: Guard


def create_app(parts: Parts, max_streams: int = MAX_STREAMS) -> Flask:
    """The WSGI application of one streamer."""
    app = Flask(__name__)
    places = threading.BoundedSemaphore(max_streams)
    parts.guard.install(app)
    _add_pages(app, parts)
    _add_pictures(app, parts, places)
    app.register_blueprint(
        api_blueprint(ApiParts(parts.connected.site, parts.site, parts.events, parts.metrics, places))
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


def _add_pictures(app: Flask, parts: Parts, places: threading.BoundedSemaphore) -> None:
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
            abort(503, "this streamer has reached its limit of viewers; start another streamer, or try again later")

    def disconnect_check() -> Callable[[], bool]:
        """A function that returns whether the viewer has disconnected; usable after the request context has ended."""
        check: Callable[[], bool] = request.environ.get("waitress.client_disconnected", lambda: False)
        return check

    @app.get("/<camera>.mjpg")
    def _mjpeg(camera: str) -> Response:
        known(camera)
        take_place()
        watching.open(camera)
        left = disconnect_check()
        return stream(
            mjpeg_parts(camera, pictures, metrics, left),
            f"multipart/x-mixed-replace; boundary={BOUNDARY}",
            lambda: watching.close(camera),
        )

    @app.get("/<camera>.jpg")
    def _jpeg(camera: str) -> Response:
        known(camera)
        watching.touch([camera])
        picture = pictures.newest(camera, _FIRST_PICTURE_S)
        state = known(camera)
        headers = {"Cache-Control": "no-store", "X-Mtmc-State": state.state}
        if state.shows_pictures and picture is not None:
            jpeg, tag = picture.jpeg, f"{picture.tick}"
        else:
            jpeg, tag = parts.placeholders.jpeg(state, picture.jpeg if picture else None), ""
        if picture is not None:
            headers["X-Mtmc-Tick"] = str(picture.tick)
        response = Response(jpeg, mimetype="image/jpeg", headers=headers)
        if not tag:
            response.add_etag()
            return response
        response.set_etag(tag)
        response.make_conditional(request)
        return response

    @app.get("/wall.stream")
    def _wall() -> Response:
        take_place()
        metrics.wall_viewers.inc()
        left = disconnect_check()
        return stream(
            wall_messages(pictures, watching, metrics, parts.site, lambda: wall_json(parts.site.current()), left),
            "application/octet-stream",
            metrics.wall_viewers.dec,
        )


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
