"""Imports the output of any tracker as a recording."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from recording.camera_texts import CameraTexts, read_camera_texts
from recording.description import Description, FrameNumbers
from recording.errors import RecordingError
from recording.mot_forms import Form
from recording.mot_text import MotRows, read_features
from recording.writing import RecordingWriter
from shared.config import SiteConfig
from shared.layout import Layout, read_layout
from shared.messages import TrackBatch, TrackEntry
from shared.progress import ReportProgress, ignore_progress
from shared.version import made_by
from vision.tracking.quality import box_quality

_UNBOUNDED = 2**31 - 1
"""Width and height used for frames of unknown size, so that no box touches the right or lower border."""


@dataclass(frozen=True)
class MotSource:
    """One camera of an import."""

    camera: str
    tracks: Path
    """Text with one box per line; see `recording.mot_forms`."""
    features: Path | None = None
    """`.npy` file with one embedding per line of `tracks`; None: no embeddings."""


@dataclass(frozen=True)
class ImportOptions:
    """How the text is converted."""

    fps: float
    """Frames per second of the text."""
    stride: int = 1
    """Frames per tick; frames in between are skipped."""
    first_frame: int | None = None
    """Number of the first frame, 0 or 1; it becomes tick 1. None: 0 if a file has a frame 0, else 1."""
    layout: Path | None = None
    """None: every step between cameras is possible, and any two views may overlap."""
    size: tuple[int, int] | None = None
    """Width and height of the frames, pixels; None: unknown."""
    site: str = "imported"
    max_lost_seconds: float = 2.5
    """A track ends this long after its last box, as it would in a tracker; seconds."""
    form: Form | None = None
    """Of all files; None: the content decides."""


@dataclass(frozen=True)
class Imported:
    """Counts of an imported recording."""

    ticks: int
    boxes: int
    tracks: int
    embeddings: int
    clipped: int
    """Number of confidences outside [0, 1], which were clipped."""
    left_out: int
    """Number of boxes of ground truth that do not count, and were left out."""
    texts: CameraTexts
    """How the files were read."""


def import_mot(
    sources: Sequence[MotSource],
    options: ImportOptions,
    folder: Path,
    progress: ReportProgress = ignore_progress,
) -> Imported:
    """Write a new recording to `folder`; `progress` counts cameras.

    Raises:
        MtmcError: a file is invalid, or the folder cannot be written.
    """
    cameras = tuple(source.camera for source in sources)
    layout = read_layout(options.layout, cameras) if options.layout else Layout.open(cameras)
    site = _site(cameras, options)
    paths = {source.camera: source.tracks for source in sources}
    texts = read_camera_texts(paths, form=options.form, first_frame=options.first_frame)
    options = replace(options, first_frame=texts.first_frame)
    read = [_read(source, texts, options) for source in sources]
    widths = {features.shape[1] for _, features in read if features is not None}
    if len(widths) > 1:
        raise RecordingError(
            folder, f"the features have {' and '.join(map(str, sorted(widths)))} columns; use those of one model"
        )
    last_tick = max((int(_ticks(rows, options).max()) for rows, _ in read if len(rows)), default=0)
    if not last_tick:
        raise RecordingError(folder, "nothing to import: the text files contain no boxes")
    frames = FrameNumbers(tick_of_first=1, first=texts.first_frame, stride=options.stride)
    description = Description.of(site, layout, made_by("import-mot"), frames=frames)
    with RecordingWriter(folder, description) as writer:
        for done, (source, (rows, features)) in enumerate(zip(sources, read, strict=True), start=1):
            _write(writer, source.camera, rows, features, options, last_tick)
            progress(done, len(sources))
        writer.finish(last_tick)
    return Imported(
        ticks=last_tick,
        boxes=sum(len(rows) for rows, _ in read),
        tracks=sum(len(np.unique(rows.object_id)) for rows, _ in read),
        embeddings=sum(int(_embedded(features).sum()) for _, features in read if features is not None),
        clipped=sum(int(((rows.confidence < 0) | (rows.confidence > 1)).sum()) for rows, _ in read),
        left_out=sum(int((~_counts(paths[camera], rows)).sum()) for camera, rows in texts.rows.items()),
        texts=texts,
    )


def _site(cameras: Sequence[str], options: ImportOptions) -> SiteConfig:
    return SiteConfig.model_validate(
        {
            "site": options.site,
            "clock": {"target_fps": options.fps / options.stride, "mode": "virtual"},
            "detector": {"model": "imported"},
            "embedder": {"model": "imported"},
            "tracker": {"max_lost_seconds": options.max_lost_seconds},
            "cameras": [{"name": camera, "source": "imported"} for camera in cameras],
        }
    )


def _read(
    source: MotSource, texts: CameraTexts, options: ImportOptions
) -> tuple[MotRows, npt.NDArray[np.float16] | None]:
    """The boxes of every `stride`-th frame, sorted by frame and id, and their embeddings."""
    rows = texts.rows[source.camera]
    features = read_features(source.features, texts.totals[source.camera]) if source.features else None
    order = np.lexsort((rows.object_id, rows.frame))
    order = order[(rows.frame[order] - texts.first_frame) % options.stride == 0]
    order = order[_counts(source.tracks, rows)[order]]
    return rows.select(order), None if features is None else features[texts.positions[source.camera][order]]


def _counts(path: Path, rows: MotRows) -> npt.NDArray[np.bool_]:
    """`(N,)` bool: the boxes that are objects, and are not flagged off as in ground truth.

    Raises:
        RecordingError: all boxes of objects have a 0 in the seventh column.
    """
    objects = ~rows.is_region
    is_flag = bool(np.isin(rows.confidence, (0, 1)).all())
    if not is_flag or not objects.any():
        return objects
    counts = objects & (rows.confidence != 0)
    if not counts.any():
        raise RecordingError(
            path,
            f"line {rows.line[objects][0]}: column 7 is 0 in all lines. As a flag of ground truth it means that no box "
            "counts, as a confidence that every box is wrong; write 1, or the confidences",
        )
    return counts


def _ticks(rows: MotRows, options: ImportOptions) -> npt.NDArray[np.int64]:
    assert options.first_frame is not None
    ticks: npt.NDArray[np.int64] = (rows.frame - options.first_frame) // options.stride + 1
    return ticks


def _embedded(features: npt.NDArray[np.float16]) -> npt.NDArray[np.bool_]:
    known: npt.NDArray[np.bool_] = np.any(features, axis=1)
    return known


def _write(
    writer: RecordingWriter,
    camera: str,
    rows: MotRows,
    features: npt.NDArray[np.float16] | None,
    options: ImportOptions,
    last_tick: int,
) -> None:
    fps = options.fps / options.stride
    ticks = _ticks(rows, options)
    lost_ticks = int(np.floor(options.max_lost_seconds * fps + 1e-6)) + 1
    track_ids, at = np.unique(rows.object_id[::-1], return_index=True)
    ended_ticks = ticks[::-1][at] + lost_ticks
    by_end = np.argsort(ended_ticks, kind="stable")
    ends = np.searchsorted(ended_ticks[by_end], np.arange(1, last_tick + 2))
    bounds = np.searchsorted(ticks, np.arange(1, last_tick + 2))
    width, height = options.size or (0, 0)
    all_boxes, all_scores = rows.box_xyxy, np.clip(rows.confidence, 0, 1)
    nothing = np.zeros((0, 0), np.float16)
    embedded: npt.NDArray[np.bool_] = np.zeros(len(rows), np.bool_)
    if features is not None:
        embedded = _embedded(features)
    for tick in range(1, last_tick + 1):
        here = slice(bounds[tick - 1], bounds[tick])
        boxes, scores, known = all_boxes[here], all_scores[here], embedded[here]
        batch = TrackBatch(
            track_ids=rows.object_id[here],
            boxes_xyxy=boxes,
            scores=scores,
            class_ids=rows.class_id[here],
            qualities=box_quality(boxes, scores, width or _UNBOUNDED, height or _UNBOUNDED),
            embedding_rows=np.where(known, np.cumsum(known) - 1, -1).astype(np.int32),
            embeddings=nothing if features is None or not known.any() else features[here][known],
            ended=track_ids[by_end[ends[tick - 1] : ends[tick]]],
            embedder="" if features is None else f"imported-{features.shape[1]}",
            width=width,
            height=height,
        )
        writer.add(TrackEntry(tick, camera, tick, round(tick * 1e9 / fps), batch))
