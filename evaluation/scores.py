"""Computes HOTA, IDF1 and MOTA with TrackEval, for single cameras and for all cameras as one sequence.

HOTA: Luiten et al., "HOTA: A Higher Order Metric for Evaluating Multi-Object Tracking", IJCV 2021, averaged over its 19
thresholds. IDF1: Ristani et al., "Performance Measures and a Data Set for Multi-Target, Multi-Camera Tracking", 2016.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from evaluation.matching import CameraMatch
from evaluation.tracks import NO_GID
from recording.rows import Ids
from shared.errors import MtmcError

TRACKEVAL = "trackeval==1.3.0"
_MOST_IDS = 8_000
"""Limit on the number of ids, because TrackEval allocates square matrices of that size."""


class ScoresUnavailable(MtmcError):
    """TrackEval is not installed, or there is too much to score."""


@dataclass(frozen=True)
class CameraScores:
    """Scores of one camera, 0 to 1; MOTA may be negative."""

    hota: float
    deta: float
    assa: float
    idf1: float
    mota: float
    idsw: int
    """Number of identity switches."""


@dataclass(frozen=True)
class SiteScores:
    """Scores of all cameras together, 0 to 1."""

    idf1: float
    idp: float
    idr: float
    hota: float
    assa: float


@dataclass(frozen=True)
class IdentifiedCamera:
    """One camera with the ids to score."""

    match: CameraMatch
    ids: Ids
    """`(n,)` int64, one for each row of the camera's tracks; `NO_GID`: the box was published without an id."""


def require_scores() -> None:
    """Raise ScoresUnavailable, with the command to install it, if TrackEval is missing."""
    _metrics()


def camera_scores(camera: IdentifiedCamera) -> CameraScores | None:
    """Scores of a single camera; None if there are neither true nor published boxes.

    Raises:
        ScoresUnavailable: TrackEval is missing, or there are too many ids.
    """
    return pooled_scores([camera])


def pooled_scores(sequences: Sequence[IdentifiedCamera]) -> CameraScores | None:
    """Combined scores of several independent sequences, pooled as in MOTChallenge.

    None if there are neither true nor published boxes.

    Raises:
        ScoresUnavailable: TrackEval is missing, or there are too many ids.
    """
    metrics = _metrics()
    prepared = [as_sequence([sequence]) for sequence in sequences]
    if not any(one["num_gt_dets"] or one["num_tracker_dets"] for one in prepared):
        return None
    hota, clear, identity = (
        metric.combine_sequences({str(number): metric.eval_sequence(one) for number, one in enumerate(prepared)})
        for metric in metrics
    )
    return CameraScores(
        hota=float(np.mean(hota["HOTA"])),
        deta=float(np.mean(hota["DetA"])),
        assa=float(np.mean(hota["AssA"])),
        idf1=float(identity["IDF1"]),
        mota=float(clear["MOTA"]),
        idsw=int(clear["IDSW"]),
    )


def site_scores(cameras: Sequence[IdentifiedCamera]) -> SiteScores | None:
    """Multi-camera scores: all cameras are concatenated to one sequence in which ids are global.

    All ids count, including those of objects seen by only one camera. None if there are neither true nor published
    boxes.

    Raises:
        ScoresUnavailable: TrackEval is missing, or there are too many ids.
    """
    hota, _, identity = _metrics()
    sequence = as_sequence(cameras)
    if not sequence["num_gt_dets"] and not sequence["num_tracker_dets"]:
        return None
    by_hota, by_identity = hota.eval_sequence(sequence), identity.eval_sequence(sequence)
    return SiteScores(
        idf1=float(by_identity["IDF1"]),
        idp=float(by_identity["IDP"]),
        idr=float(by_identity["IDR"]),
        hota=float(np.mean(by_hota["HOTA"])),
        assa=float(np.mean(by_hota["AssA"])),
    )


def as_sequence(cameras: Sequence[IdentifiedCamera]) -> dict[str, Any]:
    """Convert to the input format of TrackEval's metrics.

    If several boxes of a picture have the same id, the box of the oldest track keeps it. Each of the others gets an id
    of its own, so that it counts as an error, because TrackEval requires unique ids per picture.

    Raises:
        ScoresUnavailable: there are too many ids.
    """
    truth, published, similarities = [], [], []
    lowest = -1
    for camera in cameras:
        for tick in camera.match.ticks:
            ids = camera.ids[tick.rows]
            given = ids != NO_GID
            ids, repeated = ids[given].copy(), np.zeros(int(given.sum()), np.bool_)
            repeated[np.setdiff1d(np.arange(len(ids)), np.unique(ids, return_index=True)[1])] = True
            ids[repeated] = lowest - np.arange(int(repeated.sum()))
            lowest -= int(repeated.sum())
            truth.append(tick.identities)
            published.append(ids)
            similarities.append(tick.iou[:, given])
    sequence: dict[str, Any] = {"similarity_scores": similarities, "num_timesteps": len(similarities)}
    for name, per_tick in (("gt", truth), ("tracker", published)):
        dense, count = _dense(per_tick)
        sequence |= {f"{name}_ids": dense, f"num_{name}_ids": count, f"num_{name}_dets": sum(map(len, dense))}
    ids_in_all = sequence["num_gt_ids"] + sequence["num_tracker_ids"]
    if ids_in_all > _MOST_IDS:
        raise ScoresUnavailable(f"{ids_in_all} ids are too many to score at once ({_MOST_IDS}); score fewer seconds")
    return sequence


def _dense(per_tick: Sequence[Ids]) -> tuple[list[npt.NDArray[np.intp]], int]:
    """The ids of each tick renumbered from 0 without gaps, and the number of different ids."""
    unique, dense = np.unique(np.concatenate([np.zeros(0, np.int64), *per_tick]), return_inverse=True)
    ends = np.cumsum([len(ids) for ids in per_tick])
    return np.split(dense.astype(np.intp), ends[:-1]) if len(ends) else [], len(unique)


def _metrics() -> tuple[Any, Any, Any]:
    """The metrics HOTA, CLEAR and Identity."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # TrackEval prints notes about optional dependencies.
            from trackeval.metrics import CLEAR, HOTA, Identity
    except ImportError as error:
        raise ScoresUnavailable(
            f"scores need the package {error.name}: pip install --no-deps {TRACKEVAL} (--no-deps because its "
            "dependency opencv-python would replace the OpenCV of mtmc)"
        ) from None
    quiet = {"PRINT_CONFIG": False}
    return HOTA(), CLEAR(quiet), Identity(quiet)
