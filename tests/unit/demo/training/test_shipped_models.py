"""The models in `models/`, loaded as by a site, on a scene not used for training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from demo.appearance import CLASS_NAMES
from demo.training.detector_scores import detector_scores
from demo.training.embedder_scores import embedder_scores
from demo.training.pictures import Picture, read_scene, render_scene
from demo.training.places import DETECTOR, EMBEDDER
from demo.training.seeds import SCENES
from vision.inference.detection import Detector
from vision.inference.embedding import Embedder, Preprocessing
from vision.inference.selection import Thresholds

SEED = 4_000_000
_MEGABYTE = 1_000_000


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Sequence[Picture]:
    """About 50 pictures of one scene."""
    assert all(SEED not in seeds for seeds in SCENES.values())
    folder = tmp_path_factory.mktemp("pictures")
    render_scene(folder, SEED, seconds=40, every_ticks=20)
    return read_scene(folder, SEED)


@pytest.fixture(scope="module")
def detector() -> Detector:
    return Detector.load(DETECTOR, device="cpu", threads=2)


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    """With the settings of a site file that contains only the path."""
    return Embedder.load(EMBEDDER, device="cpu", threads=2)


@pytest.mark.parametrize(("path", "megabytes"), [(DETECTOR, 6), (EMBEDDER, 3)])
def test_a_shipped_model_is_small(path: Path, megabytes: int) -> None:
    assert path.stat().st_size <= megabytes * _MEGABYTE


def test_the_detector_names_its_classes_and_accepts_camera_pictures(detector: Detector) -> None:
    assert detector.class_names == CLASS_NAMES
    assert detector.input_size == (640, 384)


def test_the_detector_finds_the_same_in_one_picture_and_in_a_batch(
    detector: Detector, pictures: Sequence[Picture]
) -> None:
    frames = [picture.read() for picture in pictures[:5]]
    frames[1] = cv2.resize(frames[1], (320, 200))

    together = detector.detect(frames, [Thresholds()] * len(frames))

    for frame, found in zip(frames, together, strict=True):
        (alone,) = detector.detect([frame], [Thresholds()])
        np.testing.assert_array_equal(found.class_ids, alone.class_ids)
        np.testing.assert_allclose(found.boxes_xyxy, alone.boxes_xyxy, atol=0.05)
        np.testing.assert_allclose(found.scores, alone.scores, atol=1e-3)
    assert sum(map(len, together)) > 5


def test_the_detector_finds_vehicles_it_has_never_seen(detector: Detector, pictures: Sequence[Picture]) -> None:
    scores = detector_scores(detector, pictures)

    assert scores.objects > 150
    assert scores.map50 > 0.85


def test_the_embedder_fits_the_default_settings(embedder: Embedder) -> None:
    preprocessing, default = embedder.preprocessing, Preprocessing()
    assert (preprocessing.mean, preprocessing.std, preprocessing.scale) == (default.mean, default.std, default.scale)
    assert 128 <= embedder.dimension <= 256


def test_the_embedder_returns_the_same_vector_alone_and_in_a_batch(
    embedder: Embedder, pictures: Sequence[Picture]
) -> None:
    seen = max(pictures, key=lambda picture: len(picture.truth))
    together = embedder.embed([(seen.read(), seen.truth.boxes_xyxy)])

    alone = [embedder.embed([(seen.read(), box[None])])[0] for box in seen.truth.boxes_xyxy]

    assert len(together) > 3
    np.testing.assert_allclose(together, np.stack(alone), atol=1e-4)


def test_the_embedder_distinguishes_vehicles_as_its_thresholds_expect(
    embedder: Embedder, pictures: Sequence[Picture]
) -> None:
    found = embedder_scores(embedder, pictures)

    assert found.queries > 100
    assert found.rank1 > 0.8
    assert found.same_mean == pytest.approx(0.60, abs=0.07)
    assert found.different_mean == pytest.approx(0.25, abs=0.07)
    assert min(found.same_deviation, found.different_deviation) >= 0.1
