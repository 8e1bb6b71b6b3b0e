"""Every network of the kit is used rightly or refused with a reason; none is misread."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from shared.errors import ModelError
from tests.unit.vision.conformance import Network, networks
from tests.unit.vision.model_files import shared
from vision.inference.detection import Detector
from vision.inference.detector_heads.table import HEADS
from vision.inference.selection import Thresholds

KIT = list(networks())
MIN_SCORE = 0.3


@pytest.mark.parametrize("network", KIT, ids=lambda network: network.title)
def test_a_network_is_used_rightly_or_refused_with_a_reason(network: Network, tmp_path: Path) -> None:
    path = network.write(tmp_path)

    def load() -> Detector:
        return Detector.load(path, head=network.chosen, size=network.size, device="cpu", threads=1)

    if network.head is None:
        with pytest.raises(ModelError, match=f"(?s){network.refusal}") as refused:
            load()
        assert str(refused.value).startswith(str(path))
        return
    detector = load()
    assert detector.head == network.head, detector.why
    assert detector.input_size == (network.width, network.height)
    frames = [np.full((network.height, network.width, 3), level, np.uint8) for level in (0, 90)]
    rounding = 1.0 if network.half else 2e-3
    expected = network.expected(MIN_SCORE)
    boxes = np.clip(expected[:, :4], 0, [network.width, network.height] * 2)
    assert len(expected) == 3
    for found in detector.detect(frames, [Thresholds(MIN_SCORE, nms_iou=0.95)] * 2):
        np.testing.assert_allclose(found.boxes_xyxy, boxes, atol=rounding)
        np.testing.assert_allclose(found.scores, expected[:, 4], atol=2e-3)
        assert found.class_ids.tolist() == expected[:, 5].astype(int).tolist()


def stripped(network: Network, what: str) -> Network:
    """The network with less information in its file."""
    without = replace(network, chosen=None)
    if what in ("metadata", "everything"):
        without = replace(without, names=None, metadata={})
    if what == "all metadata but names":
        without = replace(without, metadata={})
    if what in ("names of outputs", "everything"):
        outputs = {f"out{number}": values for number, values in enumerate(network.outputs.values())}
        without = replace(without, outputs=outputs, input_name="in")
    return without


@pytest.mark.parametrize("what", ["metadata", "all metadata but names", "names of outputs", "everything"])
def test_a_file_that_says_less_is_refused_rather_than_misread(what: str, tmp_path: Path) -> None:
    refused = used = 0
    for network in KIT:
        if network.decode is None:
            continue
        less = stripped(network, what)
        try:
            detector = Detector.load(less.write(tmp_path), size=less.size, device="cpu", threads=1)
        except ModelError:
            refused += 1
            continue
        used += 1
        (found,) = detector.detect([np.zeros((less.height, less.width, 3), np.uint8)], [Thresholds(0.3, nms_iou=0.95)])
        expected = network.expected(MIN_SCORE)
        boxes = np.clip(expected[:, :4], 0, [network.width, network.height] * 2)
        np.testing.assert_allclose(found.boxes_xyxy, boxes, atol=1, err_msg=f"{network.title}: {detector.why}")
        assert len(set(found.class_ids)) == len(set(expected[:, 5])), network.title
    assert min(refused, used) > 10


def test_one_class_of_yolov5_is_not_read_as_corners() -> None:
    detector = Detector.load(shared("data", "awkward", "yolov5_one_class.onnx"), device="cpu", threads=1)
    (found,) = detector.detect([np.zeros((640, 640, 3), np.uint8)], [Thresholds(0.5)])
    np.testing.assert_allclose(found.boxes_xyxy, [[270, 220, 370, 420]], atol=0.01)
    np.testing.assert_allclose(found.scores, [0.9], atol=0.01)


def test_key_points_without_metadata_are_not_read_as_classes() -> None:
    path = shared("data", "awkward", "pose_without_metadata.onnx")
    with pytest.raises(ModelError, match=r"may be yolov8, yolov8-pose or yolov8-obb.*; set detector\.head"):
        Detector.load(path, device="cpu", threads=1)
    assert Detector.load(path, head="yolov8-pose", device="cpu", threads=1).class_names == ("class0",)


def test_the_kit_has_every_head_and_enough_networks() -> None:
    assert {network.head for network in KIT} == {None, *(head.name for head in HEADS)}
    assert len({network.title for network in KIT}) == len(KIT) >= 60
