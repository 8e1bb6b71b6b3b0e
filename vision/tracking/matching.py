"""Matches tracks to detections: box similarity and optimal one-to-one assignment.

All boxes are `(N, 4)` xyxy, pixels of the source frame.
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
    """Intersection over union of every track with every detection.

    Args:
        tracks_xyxy: `(T, 4)` float.
        detections_xyxy: `(D, 4)` float.
        margins_px: `(T, 2)` float, x and y, pixels, 0 or more. Both the track's box and the detection are enlarged by
            this on every side, so that boxes that no longer overlap can still match (buffered IoU: Yang et al., "Hard
            to Track Objects with Irregular Motions and Similar Appearances", WACV 2023).

    Returns:
        `(T, D)` float64 in [0, 1]; 0 for boxes without area.
    """
    tracks = np.asarray(tracks_xyxy, np.float64)
    detections = np.asarray(detections_xyxy, np.float64)
    overlap = track_areas = detection_areas = np.ones((1, 1))
    for low, high in ((0, 2), (1, 3)):
        extent = np.minimum(tracks[:, high, None], detections[:, high])
        extent -= np.maximum(tracks[:, low, None], detections[:, low])
        track_sizes = tracks[:, high, None] - tracks[:, low, None]
        detection_sizes = (detections[:, high] - detections[:, low])[None]
        if margins_px is not None:
            # Enlarging both boxes by m on every side adds exactly 2m to each width, to each overlap and to each gap.
            grown = 2.0 * margins_px[:, low, None]
            extent += grown
            track_sizes, detection_sizes = track_sizes + grown, detection_sizes + grown
        np.maximum(extent, 0.0, out=extent)
        overlap = overlap * extent
        track_areas, detection_areas = track_areas * track_sizes, detection_areas * detection_sizes
    union = track_areas + detection_areas - overlap
    similarity: npt.NDArray[np.float64] = np.zeros(overlap.shape)
    np.divide(overlap, union, out=similarity, where=union > 0.0)
    return similarity


def assign(similarity: npt.NDArray[np.float64], minimum: npt.NDArray[np.float64] | float) -> tuple[Rows, Rows]:
    """One-to-one pairs that maximise the sum of `similarity - minimum`.

    Pairs at or below `minimum` are never made. Leaving a pair out costs nothing, so a good pair is never given up just
    to match one more poor pair. Optimal (Jonker-Volgenant, as in `scipy.optimize.linear_sum_assignment`).

    Args:
        similarity: `(T, D)` float64.
        minimum: a pair needs a similarity above this; a number, or `(T, 1)`, one for each row.

    Returns:
        Row and column indices of the pairs, each `(P,)` intp.
    """
    gain = np.maximum(similarity - minimum, 0.0)
    rows, columns = linear_sum_assignment(gain, maximize=True)
    made = gain[rows, columns] > 0.0
    return rows[made], columns[made]
