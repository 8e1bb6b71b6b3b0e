"""`mtmc models try`: draws what a detector finds in a picture."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from rich.console import Console

from cli.console import counted
from model_store.store import ModelStore
from model_store.trial import detector_file, drawn, read_picture, write_picture
from vision.inference.backends.model import WantedDevice
from vision.inference.detection import Detections, Detector
from vision.inference.plausibility import doubt
from vision.inference.selection import Thresholds

_ANY_SCORE = 0.001


def try_detector(
    word: str,
    picture: Path,
    out: Path,
    store: ModelStore,
    console: Console,
    *,
    head: str | None,
    size: tuple[int, int] | None,
    min_score: float,
    backend: WantedDevice,
    engine_cache: Path | None,
    as_json: bool,
) -> None:
    """Draws what the model `word` finds in `picture` to `out`, and prints what it is.

    `size` is `(height, width)` in pixels.

    Raises:
        MtmcError: the model cannot be used, or a file cannot be read or written.
    """
    image = read_picture(picture)
    path = detector_file(word, store)
    detector = Detector.load(path, head=head, size=size, device=backend, engine_cache=engine_cache)
    (found,) = detector.detect([image], [Thresholds(min_score)])
    write_picture(out, drawn(image, found, detector))
    height, width = image.shape[:2]
    problem = detector.objection or doubt([(found, width, height)])
    best = None if len(found) else _best_score(detector.detect([image], [Thresholds(_ANY_SCORE, max_detections=1)])[0])
    if as_json:
        console.out(json.dumps(_described(word, detector, found, problem)), highlight=False)
        return
    input_width, input_height = detector.input_size
    lines = [
        ("head", f"{detector.head}: {detector.family}"),
        ("because", detector.why),
        ("input", f"{input_width}×{input_height}, on {detector.device} ({detector.runtime})"),
        ("picture", f"{picture}, {width}×{height}"),
        ("found", _counted(found, detector, min_score)),
        ("drawn to", str(out)),
    ]
    if problem is not None:
        more = f"; the best score is {best:.3g}: lower --min-score" if best is not None else ""
        lines.append(("doubtful", f"{problem}{more}; compare --head, --size and the picture"))
    for key, value in lines:
        console.print(f"{key:<11}{value}", markup=False, soft_wrap=True)


def _best_score(found: Detections) -> float | None:
    return float(found.scores[0]) if len(found) else None


def _counted(found: Detections, detector: Detector, min_score: float) -> str:
    text = f"{counted(len(found), 'box', 'boxes')} with a score of at least {min_score:g}"
    classes = Counter(detector.class_names[number] for number in found.class_ids)
    if classes:
        text += ": " + ", ".join(f"{count} {name}" for name, count in classes.most_common())
    return text


def _described(word: str, detector: Detector, found: Detections, problem: str | None) -> dict[str, Any]:
    rows = zip(found.boxes_xyxy.tolist(), found.scores.tolist(), found.class_ids.tolist(), strict=True)
    width, height = detector.input_size
    return {
        "model": word,
        "head": detector.head,
        "why": detector.why,
        "input_width": width,
        "input_height": height,
        "boxes": [
            {"xyxy": box, "score": score, "class": number, "name": detector.class_names[number]}
            for box, score, number in rows
        ],
        "doubt": problem,
    }
