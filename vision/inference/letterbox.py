"""Fits pictures of any size into the input of a detector."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from vision.inference.detector_heads.head import Floats, PictureFormat

# Grey level of the padding with which Ultralytics, YOLOX and YOLO-NAS were trained.
_PADDING = 114


@dataclass(frozen=True)
class Placement:
    """Position and scale of a frame in the model's input, in pixels of the input."""

    frame_width: int
    frame_height: int
    scale_x: float
    scale_y: float
    left: int
    top: int

    def to_frame(self, boxes_xyxy: Floats) -> Floats:
        """Convert boxes `(N, 4)` float32 xyxy from pixels of the input to pixels of the frame, clipped to the frame."""
        offset = np.array([self.left, self.top] * 2, np.float32)
        scale = np.array([self.scale_x, self.scale_y] * 2, np.float32)
        limit = np.array([self.frame_width, self.frame_height] * 2, np.float32)
        boxes: Floats = np.clip((boxes_xyxy - offset) / scale, 0, limit)
        return boxes


def letterbox(frame: npt.NDArray[np.uint8], pictures: PictureFormat, out: Floats) -> Placement:
    """Write `frame` into `out` as large as fits, keeping its aspect ratio, and pad the rest with grey; or stretch it.

    Args:
        frame: `(height, width, 3)` uint8 BGR.
        pictures: channel order, scale and position that the model expects.
        out: `(3, input height, input width)` float32, overwritten.

    Returns:
        Where the frame is in `out`.
    """
    resized, placement = _resized(frame, pictures, out.shape[1], out.shape[2])
    height, width = resized.shape[:2]
    top, left = placement.top, placement.left
    scale = np.float32(pictures.scale)
    if not pictures.stretched:
        out[:] = _PADDING * scale
    # Channel by channel into the batch: cv2.dnn.blobFromImages was no faster here and needs a padded copy first.
    for channel, plane in enumerate(out[:, top : top + height, left : left + width]):
        np.multiply(resized[..., 2 - channel if pictures.rgb else channel], scale, out=plane)
    if any(pictures.channel_means) or set(pictures.channel_deviations) != {1.0}:
        out -= np.array(pictures.channel_means, np.float32).reshape(3, 1, 1)
        out /= np.array(pictures.channel_deviations, np.float32).reshape(3, 1, 1)
    return placement


def letterbox_bytes(frame: npt.NDArray[np.uint8], pictures: PictureFormat, out: npt.NDArray[np.uint8]) -> Placement:
    """As `letterbox`, for a device that converts the bytes itself.

    Args:
        frame: `(height, width, 3)` uint8 BGR.
        pictures: only the position is used.
        out: `(input height, input width, 3)` uint8 BGR, overwritten.
    """
    resized, placement = _resized(frame, pictures, out.shape[0], out.shape[1])
    height, width = resized.shape[:2]
    top, left = placement.top, placement.left
    out[:top], out[top + height :] = _PADDING, _PADDING
    out[:, :left], out[:, left + width :] = _PADDING, _PADDING
    out[top : top + height, left : left + width] = resized
    return placement


def _resized(
    frame: npt.NDArray[np.uint8], pictures: PictureFormat, input_height: int, input_width: int
) -> tuple[npt.NDArray[np.uint8], Placement]:
    height, width = frame.shape[:2]
    if pictures.stretched:
        inner_width, inner_height, left, top = input_width, input_height, 0, 0
    else:
        ratio = min(input_height / height, input_width / width)
        inner_width, inner_height = max(1, round(width * ratio)), max(1, round(height * ratio))
        left = (input_width - inner_width) // 2 if pictures.centred else 0
        top = (input_height - inner_height) // 2 if pictures.centred else 0
    resized = cv2.resize(frame, (inner_width, inner_height), interpolation=cv2.INTER_LINEAR)
    placement = Placement(width, height, inner_width / width, inner_height / height, left, top)
    return np.asarray(resized, np.uint8), placement
