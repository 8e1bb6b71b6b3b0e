from __future__ import annotations

from typing import get_args

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import ModelError
from shared.head_names import HeadName
from tests.unit.vision.conformance import chosen_rows, grid_rows, query_rows, raw_yolox
from vision.inference.detector_heads.chosen_boxes import EndToEndHead
from vision.inference.detector_heads.class_names import COCO_CATEGORIES, COCO_NAMES
from vision.inference.detector_heads.facts import Facts
from vision.inference.detector_heads.head import Head
from vision.inference.detector_heads.recognition import recognise
from vision.inference.detector_heads.table import HEADS
from vision.inference.detector_heads.ultralytics import UltralyticsHead
from vision.inference.detector_heads.yolox import YoloxHead, yolox_grid

Array = npt.NDArray[np.float32]
TWO_NAMES = {"names": "{0: 'person', 1: 'car'}"}


def facts(output: Array, metadata: dict[str, str] | None = None, height: int = 64, width: int = 96) -> Facts:
    return Facts("dir/m.onnx", height, width, [[output[None]]], metadata=metadata or {})


def yolox(height: int = 64, width: int = 96, classes: int = 2) -> tuple[YoloxHead, Array]:
    head = recognise(facts(raw_yolox(classes, height, width), None, height, width)).head
    assert isinstance(head, YoloxHead)
    return head, np.zeros((len(head.cells), 5 + classes), np.float32)


def test_every_head_can_be_named_in_the_configuration() -> None:
    assert list(get_args(HeadName)) == [head.name for head in HEADS]


@pytest.mark.parametrize(
    ("output", "metadata", "head", "classes"),
    [
        (grid_rows(2).T, TWO_NAMES, "yolov8", 2),
        (grid_rows(80).T, {}, "yolov8", 80),
        (chosen_rows(2), TWO_NAMES, "end2end", 2),
        (chosen_rows(1, 126), {"names": "['person']", "end2end": "True"}, "end2end", 1),
        (query_rows(2), TWO_NAMES, "rtdetr-ultralytics", 2),
        (raw_yolox(1), {"names": "['person']"}, "yolox", 1),
        (raw_yolox(1), {}, "yolox", 1),
        (raw_yolox(80), {}, "yolox", 80),
        (raw_yolox(2), TWO_NAMES, "yolox", 2),
        (grid_rows(1, per_cell=3, objectness=0.1), {"names": "['person']"}, "yolov5", 1),
    ],
)
def test_a_head_is_recognised_from_the_model(output: Array, metadata: dict[str, str], head: str, classes: int) -> None:
    recognised = recognise(facts(output, metadata))

    assert recognised.head.name == head
    assert len(recognised.head.class_names) == classes
    assert str([1, *output.shape]) in recognised.why


def test_equal_numbers_of_classes_and_cells_are_read_by_the_names() -> None:
    """64 × 64 pixels have 84 cells, as many as position and scores of 80 classes."""
    names = {"names": str(list(COCO_NAMES))}
    raw = grid_rows(80, height=64, width=64)
    assert recognise(facts(raw.T, names, 64, 64)).head.name == "yolov8"
    assert recognise(facts(raw_yolox(80, 64, 64), names, 64, 64)).head.name == "yolox"
    assert recognise(facts(raw_yolox(80, 64, 64), None, 64, 64)).head.name == "yolox"


@pytest.mark.parametrize(
    ("output", "metadata"),
    [
        (np.zeros((8, 1000), np.float32), {}),
        (np.zeros((6, 300), np.float32), TWO_NAMES),
        (grid_rows(3).T, TWO_NAMES | {"task": "detect"}),
        (grid_rows(80, per_cell=3, objectness=0.1), TWO_NAMES),
    ],
)
def test_any_other_head_is_refused_with_its_shapes(output: Array, metadata: dict[str, str]) -> None:
    names = "2 class names" if metadata else "no class names"
    shape = f"\\[1, {output.shape[0]}, {output.shape[1]}\\]"

    with pytest.raises(ModelError, match=rf"dir/m\.onnx: unknown kind .*64, 96.*{names}.* output {shape}; .*supported"):
        recognise(facts(output, metadata))


@pytest.mark.parametrize(
    "names",
    ["{0: 'a', 2: 'b'}", "{0: ", "7", "__import__('os')", "'person'", "person,car", "{'person': 0}", "[['a', 'b']]"],
)
def test_class_names_that_cannot_be_read_are_refused(names: str) -> None:
    with pytest.raises(ModelError, match="is not a list of class names"):
        recognise(facts(grid_rows(80).T, {"names": names}))


def test_eighty_unnamed_classes_get_coco_names_and_others_are_numbered() -> None:
    assert recognise(facts(raw_yolox(80))).head.class_names == COCO_NAMES
    assert recognise(facts(raw_yolox(3))).head.class_names == ("class0", "class1", "class2")
    assert len(set(COCO_NAMES)) == 80
    assert (COCO_CATEGORIES[1], COCO_CATEGORIES[3], COCO_CATEGORIES[90]) == ("person", "car", "toothbrush")


def test_an_unknown_name_of_a_head_is_an_error_with_the_known_ones() -> None:
    with pytest.raises(ModelError, match=r"unknown head 'yolo'; choose one of yolov8, .*torchvision"):
        recognise(facts(grid_rows(80).T), "yolo")


def test_a_named_head_that_does_not_fit_is_an_error_with_both_shapes() -> None:
    with pytest.raises(ModelError, match=r"detector.head yolov5 needs the output \[B, N, 5\+C\].*output \[1, 6, 126\]"):
        recognise(facts(grid_rows(2).T, TWO_NAMES), "yolov5")


@pytest.mark.parametrize(
    ("name", "takes_bytes", "expected"),
    [
        ("yolov8", False, (True, 1 / 255, "centre")),
        ("yolov8", True, (True, 1.0, "centre")),
        ("yolov5", False, (True, 1 / 255, "centre")),
        ("end2end", False, (True, 1 / 255, "centre")),
        ("yolox", False, (False, 1.0, "corner")),
        ("yolox-decoded", False, (False, 1.0, "corner")),
        ("rtdetr", False, (True, 1 / 255, "stretched")),
        ("rtdetr-ultralytics", False, (True, 1 / 255, "stretched")),
        ("rfdetr", False, (True, 1 / 255, "stretched")),
        ("yolonas", False, (False, 1 / 255, "centre")),
        ("yolonas-flat", True, (True, 1.0, "centre")),
        ("yolonas-batch", True, (True, 1.0, "centre")),
        ("tf-ssd", True, (True, 1.0, "stretched")),
        ("torchvision", False, (True, 1 / 255, "corner")),
    ],
)
def test_each_head_gets_the_pictures_that_it_was_trained_with(
    name: str, takes_bytes: bool, expected: tuple[bool, float, str]
) -> None:
    kind: type[Head] = next(head for head in HEADS if head.name == name)
    pictures = kind(64, 96, ()).picture_format(takes_bytes=takes_bytes)

    place = "stretched" if pictures.stretched else "centre" if pictures.centred else "corner"
    assert (pictures.rgb, pictures.scale, place) == expected
    assert (pictures.channel_means != (0, 0, 0)) == (name == "rfdetr")


def test_the_grid_is_row_major_with_the_finest_stride_first() -> None:
    cells, strides = yolox_grid(64, 96)

    assert len(cells) == 8 * 12 + 4 * 6 + 2 * 3
    assert cells[:13].tolist() == [[x, 0] for x in range(12)] + [[0, 1]]
    assert cells[96 + 7].tolist() == [1, 1]
    assert (strides[0], strides[96], strides[-1]) == (8, 16, 32)


@given(
    cell=st.integers(0, 125),
    centre=st.tuples(st.floats(-1, 2), st.floats(-1, 2)),
    size=st.tuples(st.floats(2, 90), st.floats(2, 60)),
)
def test_a_box_written_into_a_yolox_cell_comes_back(
    cell: int, centre: tuple[float, float], size: tuple[float, float]
) -> None:
    head, output = yolox()
    stride = head.strides[cell, 0]
    output[cell] = [*centre, *np.log(np.array(size) / stride), 0.8, 0.1, 0.9]

    found = head.decode([output], 0.5)

    middle = (np.array(centre) + head.cells[cell]) * stride
    np.testing.assert_allclose(
        found.boxes_xyxy, [[*(middle - np.array(size) / 2), *(middle + np.array(size) / 2)]], atol=1e-3
    )
    np.testing.assert_allclose(found.scores, [0.72], rtol=1e-6)
    assert found.class_ids.tolist() == [1]


def test_a_yolox_cell_needs_objectness_and_class_together() -> None:
    head, output = yolox()
    output[0, 4:] = [0.9, 0.5, 0.1]
    output[1, 4:] = [0.4, 1.0, 0.1]
    output[2, 4:] = [0.8, 0.7, 0.1]

    np.testing.assert_allclose(head.decode([output], 0.5).scores, [0.56])


def test_nonsense_output_of_a_yolox_does_not_overflow() -> None:
    head, output = yolox()
    output[0] = [0, 0, 1000, 1000, 1, 1, 0]

    assert np.isfinite(head.decode([output], 0.5).boxes_xyxy).all()


def test_ultralytics_boxes_are_centre_and_size_with_the_best_class() -> None:
    head = UltralyticsHead(640, 640, ("person", "car"))
    output = np.array([[100, 50, 20, 10, 0.2, 0.7], [300, 200, 40, 80, 0.3, 0.1]], np.float32).T

    found = head.decode([output], 0.25)

    assert found.boxes_xyxy.tolist() == [[90, 45, 110, 55], [280, 160, 320, 240]]
    np.testing.assert_allclose(found.scores, [0.7, 0.3])
    assert found.class_ids.tolist() == [1, 0]
    assert found.boxes_xyxy.dtype == np.float32
    assert found.class_ids.dtype == np.int16


def test_end_to_end_boxes_are_used_unchanged() -> None:
    head = EndToEndHead(640, 640, ("person", "car"))
    output = np.array([[1, 2, 30, 40, 0.9, 1], [5, 6, 70, 80, 0.4, 0], [0, 0, 0, 0, 0, 0]], np.float32)

    found = head.decode([output], 0.3)

    assert found.boxes_xyxy.tolist() == [[1, 2, 30, 40], [5, 6, 70, 80]]
    assert found.class_ids.tolist() == [1, 0]
    assert head.decode([output], 0.3, {0}).class_ids.tolist() == [0]


@pytest.mark.parametrize("family", ["ultralytics", "yolox"])
def test_an_object_of_an_unwanted_class_is_not_reported_as_its_second_best_class(family: str) -> None:
    """A truck with a lower score as a car must not be reported as a car if only cars are wanted."""
    head: Head
    if family == "yolox":
        head, output = yolox()
        output[:2, 4:] = [[1, 0.5, 0.6], [1, 0.7, 0.1]]
    else:
        head = UltralyticsHead(640, 640, ("car", "truck"))
        output = np.array([[9, 9, 4, 4, 0.5, 0.6], [50, 50, 4, 4, 0.7, 0.1]], np.float32).T

    assert head.decode([output], 0.3).class_ids.tolist() == [1, 0]
    np.testing.assert_allclose(head.decode([output], 0.3, {0}).scores, [0.7])
    assert len(head.decode([output], 0.3, frozenset()).scores) == 0
    assert head.decode([output], 0.9).boxes_xyxy.shape == (0, 4)
