from __future__ import annotations

import cv2
import numpy as np

from vision.video.mask import decode_mask


def test_grey_jpeg_artefacts_in_black_areas_stay_black() -> None:
    painted = np.zeros((96, 96), np.uint8)
    painted[37:, 41:] = 255
    encoded = cv2.imencode(".jpg", painted, [cv2.IMWRITE_JPEG_QUALITY, 50])[1].tobytes()
    as_read = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_GRAYSCALE)
    assert (as_read[painted == 0] > 0).any(), "this picture has no JPEG artefacts"
    assert ((decode_mask(encoded) > 0) == (painted > 0)).all()
