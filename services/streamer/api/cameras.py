"""`/cameras`: the cameras and their states."""

from __future__ import annotations

from urllib.parse import quote

from pydantic import Field

from services.streamer.api.models import Model, Text, rounded
from services.streamer.api.operations import Operations
from services.streamer.api.parts import ApiParts
from shared.site_state.states import STATES, CameraState, SiteState

_TAG = "cameras"
NO_CAMERA = "the site has no such camera"


class Camera(Model):
    """A camera. Its source is left out on purpose: it may contain a password."""

    name: Text
    title: Text = Field(description="what people call it; its name, if it has no title")
    state: Text = Field(json_schema_extra={"enum": list(STATES)})
    message: Text = Field(description="the state and its cause, for people")
    warning: Text | None = Field(description="a problem of the site that concerns it although it shows pictures")
    owner: Text | None = Field(description="the worker that owns the camera")
    seen_tick: int | None = Field(description="last handled tick; null: the camera does not take part in the clock now")
    lag_ticks: int | None = Field(description="how far it is behind the clock")
    fps: float | None = Field(description="ticks handled per second")
    width: int | None = Field(description="pixels of the source")
    height: int | None
    error: Text | None = Field(description="the last error, without credentials")
    live_tracks: int | None = Field(description="tracks in the last picture; 0 once it is stale")
    picture_age_s: float | None = Field(description="age of the newest picture, seconds")
    picture_url: Text
    stream_url: Text


class Cameras(Model):
    """All cameras."""

    cameras: list[Camera] = Field(description="in the order of the site file; those added later come last")


def add(api: Operations, parts: ApiParts) -> None:
    """Adds the operations."""

    @api.get("/cameras", "All cameras and their states", Cameras, tag=_TAG)
    def _cameras() -> Cameras:
        return cameras_of(parts.site.current())

    @api.get("/cameras/<camera>", "One camera and its state", Camera, tag=_TAG, not_found=NO_CAMERA)
    def _camera(camera: str) -> Camera:
        return _camera_of(parts.camera(camera))


def cameras_of(state: SiteState) -> Cameras:
    """`/cameras`."""
    return Cameras(cameras=[_camera_of(camera) for camera in state.cameras])


def _camera_of(camera: CameraState) -> Camera:
    return Camera(
        name=camera.name,
        title=camera.title or camera.name,
        state=camera.state,
        message=camera.message,
        warning=camera.warning,
        owner=camera.owner,
        seen_tick=camera.seen_tick,
        lag_ticks=camera.lag_ticks,
        fps=camera.fps,
        width=camera.width,
        height=camera.height,
        error=camera.error,
        live_tracks=camera.live_tracks,
        picture_age_s=rounded(camera.picture_age_s),
        picture_url=f"/{quote(camera.name)}.jpg",
        stream_url=f"/{quote(camera.name)}.mjpg",
    )
