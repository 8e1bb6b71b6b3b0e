from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.config import SiteConfig
from shared.errors import ModelError
from tests.unit.vision.conformance import Network, grid_rows
from tests.unit.vision.model_files import shared, write_constant_model, write_mean_model
from vision.inference.backends.onnx_runtime import OnnxModel
from vision.inference.detection import Detector, resolve_classes
from vision.inference.detector_heads.class_names import COCO_NAMES
from vision.inference.detector_heads.head import PictureFormat
from vision.inference.detector_heads.yolox import yolox_grid
from vision.inference.letterbox import letterbox
from vision.inference.models import Models
from vision.inference.selection import Thresholds

Frame = npt.NDArray[np.uint8]
NAMES = {"names": "{0: 'person', 1: 'car'}"}
EVERYTHING = Thresholds(min_score=0.1)


def end_to_end(path: Path, rows: list[list[float]], batch: int | str = "batch", **metadata: str) -> Detector:
    """A detector with 64 × 64 input that finds `rows` in every picture; a white picture adds 0.5 to every score."""
    output = np.array(rows, np.float32)
    brightness = np.zeros_like(output)
    brightness[:, 4] = 0.5
    size: tuple[int | str, ...] = (batch, 3, 64, 64) if "imgsz" not in metadata else (batch, 3, "h", "w")
    shape = None if "imgsz" not in metadata else (batch, "n", "k")
    write_constant_model(path, output, size, brightness=brightness, output_shape=shape, metadata=NAMES | metadata)
    return Detector.load(path, device="cpu", threads=1)


def grey(width: int, height: int, level: int = 0) -> Frame:
    return np.full((height, width, 3), level, np.uint8)


def test_boxes_come_back_in_pixels_of_each_frame_and_stay_within_it(tmp_path: Path) -> None:
    detector = end_to_end(tmp_path / "m.onnx", [[16, 24, 48, 40, 0.9, 0], [-5, 0, 80, 64, 0.8, 1]])

    wide, tall, same = detector.detect([grey(128, 64), grey(32, 64), grey(64, 64)], [EVERYTHING] * 3)

    assert wide.boxes_xyxy.tolist() == [[32, 16, 96, 48], [0, 0, 128, 64]]
    assert tall.boxes_xyxy.tolist() == [[0, 24, 32, 40], [0, 0, 32, 64]]
    assert same.boxes_xyxy.tolist() == [[16, 24, 48, 40], [0, 0, 64, 64]]
    assert (wide.boxes_xyxy.dtype, wide.scores.dtype, wide.class_ids.dtype) == (np.float32, np.float32, np.int16)


@pytest.mark.parametrize("batch", ["batch", 1, 2])
def test_every_frame_has_its_own_result_and_its_own_thresholds(tmp_path: Path, batch: int | str) -> None:
    rows = [[1.0, 1, 9, 9, 0.3, 0], [20, 20, 40, 40, 0.2, 1]]
    detector = end_to_end(tmp_path / "m.onnx", rows, batch)
    frames = [grey(64, 64, 0), grey(64, 64, 255), grey(64, 64, 255)]

    dark, bright, cars = detector.detect(
        frames, [Thresholds(0.25), Thresholds(0.25), Thresholds(0.25, class_ids=frozenset({1}))]
    )
    (one,) = detector.detect(frames[1:2], [Thresholds(0.25, max_detections=1)])

    np.testing.assert_allclose(dark.scores, [0.3], atol=1e-4)
    np.testing.assert_allclose(bright.scores, [0.8, 0.7], atol=1e-4)
    assert (bright.class_ids.tolist(), cars.class_ids.tolist(), one.class_ids.tolist()) == ([0, 1], [1], [0])
    assert (len(dark), len(bright), len(cars)) == (1, 2, 1)


def test_frames_of_all_cameras_are_one_model_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    detector = end_to_end(tmp_path / "m.onnx", [[1, 1, 9, 9, 0.3, 0]])
    calls: list[tuple[int, ...]] = []
    call = OnnxModel._call

    def counted(model: OnnxModel, batch: Any) -> Any:
        calls.append(batch.shape)
        return call(model, batch)

    monkeypatch.setattr(OnnxModel, "_call", counted)

    assert len(detector.detect([grey(64, 64), grey(99, 33), grey(10, 70)], [EVERYTHING] * 3)) == 3
    assert calls == [(3, 3, 64, 64)]
    assert detector.detect([], []) == []
    with pytest.raises(ValueError, match="1 frames but 2 thresholds"):
        detector.detect([grey(64, 64)], [EVERYTHING] * 2)


def test_a_model_with_dynamic_sizes_is_recognised_from_its_output_for_a_blank_picture(tmp_path: Path) -> None:
    detector = end_to_end(tmp_path / "m.onnx", [[16, 24, 48, 40, 0.9, 0]], imgsz="[48, 64]")

    assert detector.input_size == (64, 48)
    (found,) = detector.detect([grey(128, 96)], [EVERYTHING])
    assert found.boxes_xyxy.tolist() == [[32, 48, 96, 80]]


def test_a_detector_reports_its_properties(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    detector = end_to_end(path, [[1, 1, 9, 9, 0.3, 0]])

    assert detector.class_names == ("person", "car")
    assert detector.device == "cpu"
    assert detector.checksum == OnnxModel.load(path, device="cpu").checksum


def test_a_model_that_is_not_a_detector_is_refused_by_name(tmp_path: Path) -> None:
    path = write_constant_model(tmp_path / "classifier.onnx", np.zeros((4, 4), np.float32), (1, 3, 64, 64))

    with pytest.raises(ModelError, match=r"classifier\.onnx: unknown kind of detector: .*\[1, 4, 4\]"):
        Detector.load(path, device="cpu")


def test_overlapping_boxes_of_a_grid_are_suppressed_and_those_of_an_end_to_end_model_are_not(tmp_path: Path) -> None:
    cells, _ = yolox_grid(64, 64)
    output = np.zeros((len(cells), 7), np.float32)
    output[9] = [0.5, 0.5, np.log(3), np.log(3), 1, 0.9, 0]
    output[10] = [-0.4, 0.5, np.log(3), np.log(3), 1, 0.8, 0]
    yolox = Detector.load(write_constant_model(tmp_path / "x.onnx", output, (1, 3, 64, 64)), device="cpu")
    rows = [[0, 0, 24, 24, 0.9, 0.0], [1, 0, 25, 24, 0.8, 0]]

    (found,) = yolox.detect([grey(64, 64)], [Thresholds(0.25, nms_iou=0.65)])
    (both,) = yolox.detect([grey(64, 64)], [Thresholds(0.25, nms_iou=0.99)])

    np.testing.assert_allclose(found.boxes_xyxy, [[0, 0, 24, 24]], atol=1e-3)
    assert len(both) == 2
    assert len(end_to_end(tmp_path / "e.onnx", rows).detect([grey(64, 64)], [EVERYTHING])[0]) == 2


@pytest.mark.parametrize(
    ("pictures", "colour", "top"),
    [
        (PictureFormat(True, 1 / 255, True), (30 / 255, 20 / 255, 10 / 255), 8),
        (PictureFormat(False, 1, False), (10, 20, 30), 0),
    ],
)
def test_a_frame_keeps_its_aspect_ratio_within_grey_padding(
    pictures: PictureFormat, colour: tuple[float, float, float], top: int
) -> None:
    frame = np.full((50, 100, 3), (10, 20, 30), np.uint8)
    out = np.full((3, 32, 32), np.nan, np.float32)

    placement = letterbox(frame, pictures, out)

    np.testing.assert_allclose(
        out[:, top : top + 16], np.broadcast_to(np.reshape(colour, (3, 1, 1)), (3, 16, 32)), rtol=1e-6
    )
    padding = np.delete(out, np.s_[top : top + 16], axis=1)
    np.testing.assert_allclose(padding, np.full_like(padding, 114 * pictures.scale), rtol=1e-6)
    assert (placement.left, placement.top) == (0, top)


def test_a_frame_can_be_stretched_and_normalised() -> None:
    frame = np.full((50, 100, 3), (10, 20, 30), np.uint8)
    out = np.full((3, 32, 32), np.nan, np.float32)
    pictures = PictureFormat(
        True, 1 / 255, False, stretched=True, channel_means=(0.1, 0.2, 0.3), channel_deviations=(0.5, 1.0, 2.0)
    )

    placement = letterbox(frame, pictures, out)

    expected = [(30 / 255 - 0.1) / 0.5, 20 / 255 - 0.2, (10 / 255 - 0.3) / 2]
    np.testing.assert_allclose(out, np.broadcast_to(np.reshape(expected, (3, 1, 1)), out.shape), rtol=1e-5)
    whole = placement.to_frame(np.array([[0, 0, 32, 32]], np.float32))
    np.testing.assert_allclose(whole, [[0, 0, 100, 50]], atol=1e-4)


def test_a_batch_that_the_file_promises_but_does_not_take_becomes_single_calls(tmp_path: Path) -> None:
    """The input is open, but the constant output has one row: the export has fixed the batch inside."""
    boxes = np.array([[8, 8, 20, 24], [30, 8, 60, 24]], np.float32)
    scores, numbers = np.array([0.9, 0.8], np.float32), np.array([1, 0], np.int64)
    outputs = {"boxes": boxes, "labels": numbers, "scores": scores}
    network = Network("one", outputs, "torchvision", batch=None)
    path = network.write(tmp_path)
    model = onnx.load(path)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "batch"
    onnx.save(model, path)

    detector = Detector.load(path, device="cpu", threads=1)

    for found in detector.detect([grey(96, 64)] * 3, [EVERYTHING] * 3):
        assert found.boxes_xyxy.tolist() == boxes.tolist()
        assert found.class_ids.tolist() == [1, 0]


def test_a_list_of_one_pictures_boxes_is_refused_for_a_fixed_batch_of_several(tmp_path: Path) -> None:
    outputs = {"boxes": np.ones((2, 4), np.float32), "labels": np.ones(2, np.int64), "scores": np.ones(2, np.float32)}
    path = Network("two", outputs, None, batch=None).write(tmp_path)
    model = onnx.load(path)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 2
    onnx.save(model, path)

    with pytest.raises(ModelError, match="export it with batch size 1"):
        Detector.load(path, head="torchvision", device="cpu")


def test_cameras_share_a_detector_unless_head_or_size_differ(tmp_path: Path) -> None:
    network = Network("open", {"o": grid_rows(3).T.copy()}, "yolov8", names=3, open_size=True, batch="batch")
    model = network.write(tmp_path)
    own = [
        {},
        {"min_score": 0.4},
        {"model": model, "size": [64, 96]},
        {"model": model, "head": "yolov8", "size": [64, 96]},
    ]
    site = SiteConfig.model_validate(
        {
            "site": "hall",
            "detector": {"model": model, "size": [64, 96], "backend": "cpu"},
            "embedder": {"model": write_mean_model(tmp_path / "e.onnx"), "backend": "cpu"},
            "cameras": [{"name": f"c{i}", "source": "a.mp4", "detector": each} for i, each in enumerate(own)],
        }
    )
    models = Models(site, threads=1)
    first, second, third, fourth = (models.detector(camera) for camera in site.cameras)
    assert first is second is third
    assert fourth is not first
    assert (fourth.head, fourth.why.startswith("detector.head is yolov8")) == ("yolov8", True)
    assert first.input_size == (96, 64)


@given(width=st.integers(1, 2000), height=st.integers(1, 2000), centred=st.booleans())
def test_a_box_around_the_whole_frame_survives_the_round_trip(width: int, height: int, centred: bool) -> None:
    out = np.empty((3, 32, 48), np.float32)

    placement = letterbox(grey(width, height), PictureFormat(True, 1, centred), out)

    seen = np.argwhere(out[0] == 0)
    (top, left), (bottom, right) = seen.min(axis=0), seen.max(axis=0) + 1
    back = placement.to_frame(np.array([[left, top, right, bottom]], np.float32))
    np.testing.assert_allclose(back, [[0, 0, width, height]], rtol=1e-5, atol=1e-3)
    assert max(right - left - 48, bottom - top - 32) == 0 or min(right - left, bottom - top) == 1


def test_classes_are_given_by_name_in_any_case_or_by_number() -> None:
    assert resolve_classes(["Person", "TRUCK", 2, " 5 "], COCO_NAMES) == {0, 7, 2, 5}
    assert resolve_classes([], COCO_NAMES) == frozenset()
    assert resolve_classes(["7"], ("a", "7")) == {1}


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("perosn", "unknown class 'perosn'; did you mean person\\? The model has 80 classes, .* from 0 to 79"),
        (80, "unknown class '80'; the model has 80 classes"),
        (-1, "unknown class '-1'"),
        ("zzz", "unknown class 'zzz'; the model has 80 classes, .*: person, bicycle, .*, …"),
    ],
)
def test_an_unknown_class_is_reported_with_suggestions(wanted: int | str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        resolve_classes(["car", wanted], COCO_NAMES)


@pytest.mark.parametrize("weights", ["yolox_nano", "yolov8n_int8"])
def test_real_people_are_detected_at_their_positions(weights: str) -> None:
    detector = Detector.load(shared("weights", f"{weights}.onnx"), threads=1)
    people = Thresholds(0.3, class_ids=resolve_classes(["person"], detector.class_names))
    video = cv2.VideoCapture(str(shared("data", "intel-samples", "one-by-one-person-detection.mp4")))
    video.set(cv2.CAP_PROP_POS_FRAMES, 400)
    frame = video.read()[1]
    mirrored = np.ascontiguousarray(frame[:, ::-1])

    found, other, empty = detector.detect([frame, mirrored, grey(300, 500, 114)], [people] * 3)

    np.testing.assert_allclose(found.boxes_xyxy, [[383, 5, 547, 377]], atol=12)
    np.testing.assert_allclose(other.boxes_xyxy, [[768 - 547, 5, 768 - 383, 377]], atol=12)
    assert found.scores[0] > 0.8
    assert len(empty) == 0
