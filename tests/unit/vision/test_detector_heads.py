from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import ModelError
from vision.inference.detector_heads import (
    COCO_NAMES,
    EndToEndHead,
    UltralyticsHead,
    YoloxHead,
    recognise,
    yolox_grid,
)

TWO_NAMES = {"names": "{0: 'person', 1: 'car'}"}


def blank(*shape: int) -> list[npt.NDArray[np.float32]]:
    return [np.zeros(shape, np.float32)]


def yolox(height: int = 64, width: int = 96, classes: int = 2) -> tuple[YoloxHead, npt.NDArray[np.float32]]:
    cells = len(yolox_grid(height, width)[0])
    head = recognise("m", height, width, blank(1, cells, 5 + classes), {})
    assert isinstance(head, YoloxHead)
    return head, np.zeros((cells, 5 + classes), np.float32)


@pytest.mark.parametrize(
    ("size", "shape", "metadata", "family", "classes"),
    [
        (640, (1, 84, 8400), {}, UltralyticsHead, 80),
        (640, (1, 6, 8400), TWO_NAMES, UltralyticsHead, 2),
        (640, (1, 6, 300), TWO_NAMES, UltralyticsHead, 2),
        (640, (1, 300, 6), TWO_NAMES, EndToEndHead, 2),
        (640, (1, 8400, 6), {"names": "['person']", "end2end": "True"}, EndToEndHead, 1),
        (640, (1, 8400, 6), {"names": "['person']"}, YoloxHead, 1),
        (640, (1, 8400, 6), {}, YoloxHead, 1),
        (416, (1, 3549, 85), {}, YoloxHead, 80),
        (416, (4, 3549, 7), TWO_NAMES, YoloxHead, 2),
        (64, (1, 84, 84), {"names": str(list(COCO_NAMES))}, UltralyticsHead, 80),
        (64, (1, 84, 85), {"names": str(list(COCO_NAMES))}, YoloxHead, 80),
        (64, (1, 84, 85), {}, YoloxHead, 80),
    ],
)
def test_a_head_is_recognised_from_the_model(
    size: int, shape: tuple[int, ...], metadata: dict[str, str], family: type, classes: int
) -> None:
    head = recognise("m", size, size, blank(*shape), metadata)

    assert type(head) is family
    assert len(head.class_names) == classes


@pytest.mark.parametrize(
    ("outputs", "metadata"),
    [
        (blank(1, 1000), {}),
        (blank(1, 25200, 85), {}),
        (blank(1, 300, 6), {}),
        (blank(1, 56, 8400), {"names": "{0: 'person'}"}),
        (blank(1, 84, 8400), TWO_NAMES),
        (blank(1, 84, 8400) + blank(1, 32, 160, 160), {}),
        ([], {}),
    ],
)
def test_any_other_head_is_refused_with_its_shapes(
    outputs: list[npt.NDArray[np.float32]], metadata: dict[str, str]
) -> None:
    shapes = ", ".join(str(list(output.shape)) for output in outputs)
    expected = rf"dir/m\.onnx: .*640, 640.* output {re.escape(shapes)}; .*4\+C.*N, 6.*8400, 5\+C"

    with pytest.raises(ModelError, match=expected):
        recognise("dir/m.onnx", 640, 640, outputs, metadata)


@pytest.mark.parametrize("names", ["{0: 'a', 2: 'b'}", "{0: ", "7", "__import__('os')"])
def test_class_names_that_cannot_be_read_are_refused(names: str) -> None:
    with pytest.raises(ModelError, match="is not a list of class names"):
        recognise("m", 640, 640, blank(1, 84, 8400), {"names": names})


def test_eighty_unnamed_classes_get_coco_names_and_others_are_numbered() -> None:
    assert recognise("m", 416, 416, blank(1, 3549, 85), {}).class_names == COCO_NAMES
    assert recognise("m", 416, 416, blank(1, 3549, 8), {}).class_names == ("class0", "class1", "class2")
    assert len(set(COCO_NAMES)) == 80


def test_a_yolox_with_built_in_decoding_is_refused_and_not_decoded_twice() -> None:
    cells, strides = yolox_grid(416, 416)
    outputs = blank(1, 3549, 85)
    outputs[0][0, :, :2] = (cells + 0.3) * strides

    with pytest.raises(ModelError, match="decode_in_inference"):
        recognise("m", 416, 416, outputs, {})


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

    found = head.decode(output, 0.5)

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

    np.testing.assert_allclose(head.decode(output, 0.5).scores, [0.56])


def test_nonsense_output_of_a_yolox_does_not_overflow() -> None:
    head, output = yolox()
    output[0] = [0, 0, 1000, 1000, 1, 1, 0]

    assert np.isfinite(head.decode(output, 0.5).boxes_xyxy).all()


def test_ultralytics_boxes_are_centre_and_size_with_the_best_class() -> None:
    head = UltralyticsHead(640, 640, ("person", "car"))
    output = np.array([[100, 50, 20, 10, 0.2, 0.7], [300, 200, 40, 80, 0.3, 0.1]], np.float32).T

    found = head.decode(output, 0.25)

    assert found.boxes_xyxy.tolist() == [[90, 45, 110, 55], [280, 160, 320, 240]]
    np.testing.assert_allclose(found.scores, [0.7, 0.3])
    assert found.class_ids.tolist() == [1, 0]
    assert found.boxes_xyxy.dtype == np.float32
    assert found.class_ids.dtype == np.int16


def test_end_to_end_boxes_are_used_unchanged() -> None:
    head = EndToEndHead(640, 640, ("person", "car"))
    output = np.array([[1, 2, 30, 40, 0.9, 1], [5, 6, 70, 80, 0.4, 0], [0, 0, 0, 0, 0, 0]], np.float32)

    found = head.decode(output, 0.3)

    assert found.boxes_xyxy.tolist() == [[1, 2, 30, 40], [5, 6, 70, 80]]
    assert found.class_ids.tolist() == [1, 0]
    assert head.decode(output, 0.3, {0}).class_ids.tolist() == [0]


@pytest.mark.parametrize("family", ["ultralytics", "yolox"])
def test_an_object_of_an_unwanted_class_is_not_reported_as_its_second_best_class(family: str) -> None:
    """A truck with a lower score as a car must not be reported as a car if only cars are wanted."""
    if family == "yolox":
        head, output = yolox()
        output[:2, 4:] = [[1, 0.5, 0.6], [1, 0.7, 0.1]]
    else:
        head = UltralyticsHead(640, 640, ("car", "truck"))
        output = np.array([[9, 9, 4, 4, 0.5, 0.6], [50, 50, 4, 4, 0.7, 0.1]], np.float32).T

    assert head.decode(output, 0.3).class_ids.tolist() == [1, 0]
    np.testing.assert_allclose(head.decode(output, 0.3, {0}).scores, [0.7])
    assert len(head.decode(output, 0.3, frozenset()).scores) == 0
    assert head.decode(output, 0.9).boxes_xyxy.shape == (0, 4)
