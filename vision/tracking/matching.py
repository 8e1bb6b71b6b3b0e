"""Which track is which detection: similarities of boxes, and the best one-to-one assignment.

Boxes are `(N, 4)` xyxy in pixels of the source frame throughout.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

Floats = npt.NDArray[np.floating]
Rows = npt.NDArray[np.intp]


def iou_matrix(
    tracks_xyxy: Floats, detections_xyxy: Floats, margins_px: Floats | None = None
) -> npt.NDArray[np.float64]:
    """Intersection over union of every track with every detection: `(T, D)` float64, 0..1.

    `margins_px`, `(T, 2)` in x and y, not negative: how far to grow the track's box *and* the detection it is compared
    with on every side, so that boxes that no longer touch still compare (buffered IoU: Yang et al., "Hard to Track
    Objects with Irregular Motions and Similar Appearances", WACV 2023). Boxes without area compare as 0.
    """
    tracks = np.asarray(tracks_xyxy, np.float64)
    detections = np.asarray(detections_xyxy, np.float64)
    overlap = track_areas = detection_areas = np.ones((1, 1))
    for low, high in ((0, 2), (1, 3)):
        # Growing both boxes by m on every side widens each of them, and each overlap and gap, by exactly 2m.
        grown = np.zeros((1, 1)) if margins_px is None else 2.0 * margins_px[:, low, None]
        starts = np.maximum(tracks[:, low, None], detections[:, low])
        ends = np.minimum(tracks[:, high, None], detections[:, high])
        overlap = overlap * np.maximum(ends - starts + grown, 0.0)
        track_areas = track_areas * (tracks[:, high, None] - tracks[:, low, None] + grown)
        detection_areas = detection_areas * (detections[:, high] - detections[:, low] + grown)
    union = track_areas + detection_areas - overlap
    similarity: npt.NDArray[np.float64] = np.zeros(overlap.shape)
    np.divide(overlap, union, out=similarity, where=union > 0.0)
    return similarity


def assign(similarity: npt.NDArray[np.float64], minimum: float) -> tuple[Rows, Rows]:
    """One-to-one pairs (rows, columns) that maximise the sum of `similarity - minimum`.

    Pairs at or below `minimum` are never made: a pair costs nothing to leave out, so a good pair is not given up to
    save a bad one from staying single. Optimal (Jonker-Volgenant, as in `scipy.optimize.linear_sum_assignment`).
    """
    gain = np.maximum(similarity - minimum, 0.0)
    rows, columns = linear_sum_assignment(gain, maximize=True)
    made = gain[rows, columns] > 0.0
    return rows[made], columns[made]
