from __future__ import annotations

import cv2
import numpy as np
import pytest

from shared.errors import MaskError
from vision.video.mask import camera_mask, decode_mask


def test_grey_jpeg_artefacts_in_black_areas_stay_black() -> None:
    painted = np.zeros((96, 96), np.uint8)
    painted[37:, 41:] = 255
    encoded = cv2.imencode(".jpg", painted, [cv2.IMWRITE_JPEG_QUALITY, 50])[1].tobytes()
    as_read = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_GRAYSCALE)
    assert (as_read[painted == 0] > 0).any(), "this picture has no JPEG artefacts"
    assert ((decode_mask(encoded) > 0) == (painted > 0)).all()


def test_polygons_hide_what_is_in_them_and_an_image_hides_more() -> None:
    assert camera_mask(None, ()) is None
    left, low = ((0, 0), (0.25, 0), (0.25, 1), (0, 1)), ((0, 1), (1, 1), (0.5, 0.5))
    mask = camera_mask(None, (left, low))
    assert mask is not None
    rows, columns = mask.shape

    def shown(of: np.ndarray, x: float, y: float) -> bool:
        return bool(of[int(y * rows), int(x * columns)])

    assert [shown(mask, x, 0.3) for x in (0.01, 0.24, 0.26, 0.99)] == [False, False, True, True]
    assert [shown(mask, 0.5, y) for y in (0.45, 0.55, 0.99)] == [True, False, False]
    painted = np.full((4, 4), 255, np.uint8)
    painted[:, 3] = 0
    both = camera_mask(cv2.imencode(".png", painted)[1].tobytes(), (left,))
    assert both is not None
    assert [shown(both, x, 0.3) for x in (0.2, 0.3, 0.7, 0.8)] == [False, True, True, False]


def test_polygons_over_everything_are_refused() -> None:
    with pytest.raises(MaskError, match="covers the whole picture"):
        camera_mask(None, (((0, 0), (1, 0), (1, 1), (0, 1)),))
