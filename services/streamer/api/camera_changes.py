"""`/cameras`: add, change and remove cameras of the running site, at once; `events` records each change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from pydantic import Field
from redis.exceptions import RedisError
from werkzeug.exceptions import Conflict, NotFound

from services.streamer.access.visitor import current_visitor
from services.streamer.api.camera_requests import (
    CalibrationOfRequest,
    CameraSettings,
    CameraSettingsPatch,
    MaskOfCamera,
    NewCamera,
    changed_camera,
    new_camera,
    request_id,
    settings_of,
)
from services.streamer.api.cameras import NO_CAMERA
from services.streamer.api.corrections import CommandId, who_asks
from services.streamer.api.models import Flag, Model, Query, Text
from services.streamer.api.operations import Operations
from services.streamer.api.parts import ApiParts
from services.streamer.api.problem_details import InvalidParameter, InvalidRequest
from shared.calibration import CalibrationError, point_errors
from shared.camera_calibrations import of_points
from shared.camera_config import CameraConfig
from shared.camera_record import Asked, CarriedOut
from shared.camera_settings import add_camera, change_camera, read_settings, remove_cameras
from shared.commands import CommandsFull, InvalidCommand, new_id
from shared.operator_commands import CameraKind

_TAG = "cameras"
_KINDS: dict[str, tuple[CameraKind, ...]] = {
    "added": ("camera_added",),
    "changed": ("camera_changed", "camera_paused", "camera_resumed"),
    "removed": ("camera_removed",),
}
"""What a request did → the kinds of its first note."""


class CameraChange(Model):
    """What a request did."""

    done: Literal["added", "changed", "removed", "nothing"] = Field(
        description="nothing: the camera had these settings already"
    )
    camera: Text
    id: Text | None = Field(description="id of the change, as in the field `command` of its event; null: none was made")
    settings: CameraSettings | None = Field(description="null: the site has no such camera now")


class PointError(Model):
    """How well one point pair fits."""

    at: list[float] = Field(description="[x, y] in fractions of the picture's width and height")
    metres: list[float] = Field(description="[x, y] on the ground, as given")
    error_m: float = Field(description="how far its place in the picture lands from these metres")
    error_px: float = Field(description="how far these metres land from its place in the picture, pixels")


class TriedCalibration(Model):
    """What point pairs give."""

    done: Literal["changed", "nothing", "tried"] = Field(
        description="changed: the camera has this calibration now; nothing: it had it already; tried: nothing changed"
    )
    camera: Text
    id: Text | None = Field(description="id of the change, as in the field `command` of its event; null: none was made")
    image_to_ground: list[list[float]] = Field(description="homography from pixels to metres; 3 by 3, by rows")
    width: int = Field(description="of the picture that its pixels are of")
    height: int
    error_m: float = Field(description="root mean square error of the points, metres")
    points: list[PointError] = Field(description="in the order of the request")


class CalibrationQuery(Query):
    """Parameters of a calibration."""

    try_: Flag = Field(default=False, alias="try", description="true: only say how well the points fit")


class RemovalQuery(Query):
    """Parameters of a removal."""

    id: CommandId | None = Field(
        None, description="chosen by the sender, to send the same request again without a second effect"
    )


def add(api: Operations, parts: ApiParts) -> None:
    """Adds the operations."""
    cameras = _Cameras(parts)

    @api.get(
        "/cameras/<camera>/settings",
        "The settings of a camera",
        CameraSettings,
        tag=_TAG,
        not_found=NO_CAMERA,
        description="Without anything that may contain a password.",
    )
    def _camera_settings(camera: str) -> CameraSettings:
        found = cameras.settings(camera)
        if found is None:
            raise NotFound(f"this site has no camera '{camera}', or its settings cannot be read")
        return found

    @api.change(
        "post",
        "/cameras",
        "Add a camera",
        CameraChange,
        tag=_TAG,
        body=NewCamera,
        description="A worker starts it within seconds. It stays until a site file with other content is published.",
    )
    def _add_camera(body: NewCamera) -> CameraChange:
        return cameras.add(body)

    @api.change(
        "patch",
        "/cameras/<camera>",
        "Change settings of a camera, or pause or resume it",
        CameraChange,
        tag=_TAG,
        body=CameraSettingsPatch,
        not_found=NO_CAMERA,
        description="Settings that are not given stay; null stands for the default. A worker restarts the camera with "
        "them within seconds, which ends its tracks.",
    )
    def _change_camera(camera: str, body: CameraSettingsPatch) -> CameraChange:
        return cameras.change(camera, body.root)

    @api.change(
        "delete",
        "/cameras/<camera>",
        "Remove a camera",
        CameraChange,
        tag=_TAG,
        query=RemovalQuery,
        not_found=NO_CAMERA,
        description="Objects seen there can still be recognised in other cameras.",
    )
    def _remove_camera(camera: str, query: RemovalQuery) -> CameraChange:
        return cameras.remove(camera, query.id)

    @api.change(
        "put",
        "/cameras/<camera>/mask",
        "Draw the mask of a camera",
        CameraChange,
        tag=_TAG,
        body=MaskOfCamera,
        not_found=NO_CAMERA,
        description="The same as a PATCH of `mask_polygons`. An image that the site file names stays, too.",
    )
    def _set_mask(camera: str, body: MaskOfCamera) -> CameraChange:
        return cameras.change(camera, {"mask_polygons": body.model_dump(mode="json")["polygons"], "id": body.id})

    @api.change(
        "delete",
        "/cameras/<camera>/mask",
        "Delete the drawn mask of a camera",
        CameraChange,
        tag=_TAG,
        query=RemovalQuery,
        not_found=NO_CAMERA,
        description="An image that the site file names stays.",
    )
    def _remove_mask(camera: str, query: RemovalQuery) -> CameraChange:
        return cameras.change(camera, {"mask_polygons": None, "id": query.id})

    @api.change(
        "put",
        "/cameras/<camera>/calibration",
        "Calibrate a camera by point pairs, or try it",
        TriedCalibration,
        tag=_TAG,
        body=CalibrationOfRequest,
        query=CalibrationQuery,
        not_found=NO_CAMERA,
        description="The answer says how far each point is off. 400: the points do not give a calibration; `errors` "
        "says why. It counts instead of a file that the site file names.",
    )
    def _set_calibration(camera: str, query: CalibrationQuery, body: CalibrationOfRequest) -> TriedCalibration:
        return cameras.calibrate(camera, body, is_trial=query.try_)

    @api.change(
        "delete",
        "/cameras/<camera>/calibration",
        "Delete the point pairs of a camera",
        CameraChange,
        tag=_TAG,
        query=RemovalQuery,
        not_found=NO_CAMERA,
        description="A calibration file that the site file names counts again.",
    )
    def _remove_calibration(camera: str, query: RemovalQuery) -> CameraChange:
        return cameras.change(camera, {"calibration_points": None, "id": query.id})


class _Cameras:
    """Changes the cameras of one site."""

    def __init__(self, parts: ApiParts) -> None:
        self._parts = parts

    def settings(self, name: str) -> CameraSettings | None:
        """The present settings; None: there is no such camera, or its settings cannot be read."""
        camera = read_settings(self._parts.client, self._parts.keys).get(name)
        return None if camera is None else _shown(camera)

    def add(self, body: NewCamera) -> CameraChange:
        """Adds a camera."""
        asked = self._asked(request_id(body.root))
        camera = new_camera(body.root)
        self._require_changeable()
        try:
            added = add_camera(self._parts.client, self._parts.keys, camera, asked=asked)
        except CarriedOut as error:
            return self._again(error, "added", camera.name)
        except (CommandsFull, InvalidCommand) as error:
            raise Conflict(str(error)) from None
        self._parts.site.expire()
        if not added:
            raise Conflict(f"the site already has a camera '{camera.name}'; choose another name, or remove it first")
        return CameraChange(done="added", camera=camera.name, id=asked.id, settings=_shown(camera))

    def change(self, name: str, given: Mapping[str, Any]) -> CameraChange:
        """Changes settings of a camera."""
        asked = self._asked(request_id(given))
        self._require_changeable()
        try:
            found = change_camera(
                self._parts.client,
                self._parts.keys,
                name,
                lambda before: changed_camera(before, given),
                asked=asked,
            )
        except CarriedOut as error:
            return self._again(error, "changed", name)
        except (CommandsFull, InvalidCommand) as error:
            raise Conflict(str(error)) from None
        if found is None:
            raise self._unknown(name)
        self._parts.site.expire()
        before, after = found
        if before.paused and not after.paused:
            self._delete_pictures(name)  # They are from before the pause.
        if before == after:
            return CameraChange(done="nothing", camera=name, id=None, settings=_shown(after))
        return CameraChange(done="changed", camera=name, id=asked.id, settings=_shown(after))

    def calibrate(self, name: str, body: CalibrationOfRequest, *, is_trial: bool) -> TriedCalibration:
        """Calibrates a camera, or says only how well the points fit."""
        points = body.sized(*self._picture_size(name, body))
        try:
            found = of_points(points)
        except CalibrationError as error:
            raise InvalidRequest([InvalidParameter(parameter="points", message=str(error))]) from None
        done: Literal["changed", "nothing", "tried"] = "tried"
        change_id = None
        if not is_trial:
            given = {"calibration_points": points.model_dump(mode="json"), "id": body.id}
            change = self.change(name, given)
            done, change_id = ("nothing" if change.done == "nothing" else "changed"), change.id
        pixels = np.array([pair.pixel for pair in points.points], np.float64)
        metres = np.array([pair.metres for pair in points.points], np.float64)
        errors = zip(body.points, *(one.tolist() for one in point_errors(found, pixels, metres)), strict=True)
        return TriedCalibration(
            done=done,
            camera=name,
            id=change_id,
            image_to_ground=found.image_to_ground.tolist(),
            width=found.width,
            height=found.height,
            error_m=round(found.error_m or 0.0, 4),
            points=[
                PointError(
                    at=list(pair.at), metres=list(pair.metres), error_m=round(error_m, 4), error_px=round(error_px, 2)
                )
                for pair, error_m, error_px in errors
            ],
        )

    def _picture_size(self, name: str, body: CalibrationOfRequest) -> tuple[int, int]:
        state = self._parts.camera(name)
        width, height = body.width or state.width, body.height or state.height
        if not width or not height:
            raise Conflict(f"camera {name} has sent no picture yet, so its size is unknown; give width and height")
        return width, height

    def remove(self, name: str, chosen_id: str | None) -> CameraChange:
        """Removes a camera."""
        asked = self._asked(chosen_id)
        self._require_changeable()
        kept_seconds = self._parts.published.config.association.replay_seconds
        try:
            unknown = remove_cameras(self._parts.client, self._parts.keys, [name], kept_seconds, asked=asked)
        except CarriedOut as error:
            return self._again(error, "removed", name)
        except (CommandsFull, InvalidCommand) as error:
            raise Conflict(str(error)) from None
        if unknown:
            raise self._unknown(name)
        self._delete_pictures(name)
        self._parts.site.expire()
        return CameraChange(done="removed", camera=name, id=asked.id, settings=None)

    @staticmethod
    def _asked(chosen_id: str | None) -> Asked:
        return Asked(who_asks(), chosen_id or new_id())

    def _require_changeable(self) -> None:
        if self._parts.published.config.clock.mode == "virtual":
            raise Conflict(
                "the site runs in virtual time, in which the cameras cannot be changed at runtime; change the site "
                "file and publish it"
            )

    def _again(self, error: CarriedOut, done: Literal["added", "changed", "removed"], name: str) -> CameraChange:
        """The response to a request that was carried out before."""
        answer = error.answer
        if answer.kind not in _KINDS[done] or answer.camera != name:
            raise Conflict(f"another request had the id '{answer.id}'; choose a new one")
        return CameraChange(done=done, camera=name, id=answer.id, settings=self.settings(name))

    def _unknown(self, name: str) -> NotFound | Conflict:
        if name in read_settings(self._parts.client, self._parts.keys):
            return Conflict(f"the settings of {name} cannot be read; remove the camera and add it again")
        return NotFound(f"this site has no camera '{name}'")

    def _delete_pictures(self, name: str) -> None:
        """Deletes its pictures now. One that is published meanwhile, or is in an unreachable Redis, expires anyway."""
        for client in {id(one): one for one in (self._parts.client, self._parts.frames)}.values():
            try:
                client.delete(self._parts.keys.frames(name))
            except RedisError:
                continue


def _shown(camera: CameraConfig) -> CameraSettings:
    return settings_of(camera, with_address=current_visitor().role == "operator")
