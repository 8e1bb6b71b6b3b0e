from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from model_store.manifest import MANIFEST, read_manifest
from shared.config import EmbedderConfig
from shared.errors import ModelError
from tests.unit.vision.model_files import shared, write_constant_model, write_mean_model
from vision.inference.backends.onnx_runtime import OnnxModel
from vision.inference.embedder_trial import fault
from vision.inference.embedding import (
    Embedder,
    Preprocessing,
    crop_batch,
    unit_rows,
)
from vision.inference.models import load_embedder

Frame = npt.NDArray[np.uint8]
RAW_BGR = Preprocessing(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0), channel_order="bgr", scale=1.0)
DEFAULT = Preprocessing()


def boxes(*rows: tuple[float, ...]) -> npt.NDArray[np.float32]:
    return np.array(rows, np.float32).reshape(-1, 4)


def halves() -> Frame:
    """A frame of 40 × 20 pixels (width × height): its left half blue, its right half red."""
    frame = np.zeros((20, 40, 3), np.uint8)
    frame[:, :20, 0] = frame[:, 20:, 2] = 200
    return frame


def write_reshaped(path: Path, shape: tuple[int, int]) -> Path:
    """A network `[batch, 3, 8, 4]` → the means of the channels in another `shape`."""
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["mean"], axes=[2, 3], keepdims=0),
        helper.make_node("Reshape", ["mean", "shape"], ["output"]),
    ]
    inputs = [helper.make_tensor_value_info("images", TensorProto.FLOAT, ("batch", 3, 8, 4))]
    outputs = [helper.make_tensor_value_info("output", TensorProto.FLOAT, (None, None))]
    graph = helper.make_graph(
        nodes, "graph", inputs, outputs, [numpy_helper.from_array(np.array(shape, np.int64), "shape")]
    )
    onnx.save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


def mean_embedder(path: Path, batch: int | str = "batch", preprocessing: Preprocessing = RAW_BGR) -> Embedder:
    return Embedder.load(write_mean_model(path, (batch, 3, 8, 4)), preprocessing, device="cpu", threads=1)


@pytest.mark.parametrize("batch", ["batch", 1, 2])
def test_boxes_of_several_frames_come_back_in_order(tmp_path: Path, batch: int | str) -> None:
    embedder = mean_embedder(tmp_path / "m.onnx", batch)
    green = np.full((50, 30, 3), (0, 90, 0), np.uint8)

    vectors = embedder.embed(
        [(halves(), boxes((2, 2, 18, 18), (22, 2, 38, 18))), (green, boxes()), (green, boxes((0, 0, 30, 50)))]
    )

    np.testing.assert_allclose(vectors, [[1, 0, 0], [0, 0, 1], [0, 1, 0]], atol=1e-6)
    assert (vectors.dtype, embedder.dimension) == (np.float32, 3)


def test_nothing_to_embed_gives_no_rows(tmp_path: Path) -> None:
    embedder = mean_embedder(tmp_path / "m.onnx")

    assert embedder.embed([]).shape == (0, 3)
    assert embedder.embed([(halves(), boxes())]).shape == (0, 3)


def test_a_box_without_visible_pixels_gets_the_zero_vector(tmp_path: Path) -> None:
    embedder = mean_embedder(tmp_path / "m.onnx")
    odd = boxes((5, 5, 5.5, 15), (10, 10, 5, 5), (-30, -30, -5, -5), (39.5, 0, 90, 20), (np.nan, 0, 9, 9), (0, 0, 9, 9))

    vectors = embedder.embed([(halves(), odd)])

    np.testing.assert_allclose(vectors, [[0, 0, 0]] * 5 + [[1, 0, 0]])


def test_a_black_crop_does_not_give_nan(tmp_path: Path) -> None:
    vectors = mean_embedder(tmp_path / "m.onnx").embed([(np.zeros((9, 9, 3), np.uint8), boxes((0, 0, 9, 9)))])

    assert vectors.tolist() == [[0, 0, 0]]


def test_boxes_are_clipped_to_their_frame(tmp_path: Path) -> None:
    embedder = mean_embedder(tmp_path / "m.onnx")

    outside, inside = embedder.embed([(halves(), boxes((-100, -7, 20, 300), (0, 0, 20, 20)))])

    assert outside.tolist() == inside.tolist()


@pytest.mark.parametrize(
    ("preprocessing", "expected"),
    [
        (RAW_BGR, (10, 20, 30)),
        (replace(RAW_BGR, channel_order="rgb"), (30, 20, 10)),
        (replace(RAW_BGR, mean=(1, 2, 3), std=(2, 4, 5), scale=0.1), (0, 0, 0)),
        (replace(RAW_BGR, mean=(1, 2, 3), std=(2, 4, 5), scale=0.1, channel_order="rgb"), (1, 0, -0.4)),
        (DEFAULT, ((30 / 255 - 0.485) / 0.229, (20 / 255 - 0.456) / 0.224, (10 / 255 - 0.406) / 0.225)),
    ],
)
def test_pixels_are_scaled_shifted_and_ordered(preprocessing: Preprocessing, expected: tuple[float, ...]) -> None:
    frame = np.full((30, 30, 3), (10, 20, 30), np.uint8)
    sized = Preprocessing(4, 6, preprocessing.mean, preprocessing.std, preprocessing.channel_order, preprocessing.scale)

    batch, shown = crop_batch([(frame, boxes((1.2, 3.4, 20, 25.5)))], sized)

    np.testing.assert_allclose(batch, np.broadcast_to(np.reshape(expected, (1, 3, 1, 1)), (1, 3, 6, 4)), atol=1e-5)
    assert shown.tolist() == [True]


def test_a_crop_shows_the_whole_box_stretched() -> None:
    batch, _ = crop_batch([(halves(), boxes((0, 0, 40, 20)))], replace(RAW_BGR, width=40, height=20))

    np.testing.assert_array_equal(batch[0].transpose(1, 2, 0), halves())


@given(st.lists(st.lists(st.floats(allow_nan=True, allow_infinity=True, width=32), min_size=3, max_size=3), max_size=5))
def test_every_vector_has_norm_one_or_zero(rows: list[list[float]]) -> None:
    vectors = np.array(rows, np.float32).reshape(-1, 3)

    units = unit_rows(vectors)

    sees = np.isfinite(vectors).all(axis=1) & (vectors != 0).any(axis=1)
    np.testing.assert_allclose(np.linalg.norm(units, axis=1), sees.astype(float), atol=1e-5)


def test_a_size_other_than_the_models_is_refused(tmp_path: Path) -> None:
    path = write_mean_model(tmp_path / "m.onnx", (1, 3, 8, 4))

    with pytest.raises(ModelError, match=r"m\.onnx: requires crops of 4×8 pixels \(width × height\), not 4×9"):
        Embedder.load(path, Preprocessing(width=4, height=9), device="cpu")
    assert Embedder.load(path, Preprocessing(width=4, height=8), device="cpu").preprocessing.height == 8
    assert Embedder.load(path, device="cpu").preprocessing.mean == DEFAULT.mean


def test_a_model_with_a_dynamic_size_needs_a_configured_size(tmp_path: Path) -> None:
    path = write_mean_model(tmp_path / "m.onnx", ("b", 3, "h", "w"))

    with pytest.raises(ModelError, match="for an embedder its width and height"):
        Embedder.load(path, DEFAULT, device="cpu")
    assert Embedder.load(path, Preprocessing(width=4, height=8), device="cpu").dimension == 3


def test_a_model_with_more_than_one_vector_per_crop_is_refused(tmp_path: Path) -> None:
    path = write_constant_model(tmp_path / "m.onnx", np.zeros((5, 6), np.float32), (1, 3, 8, 8))

    with pytest.raises(ModelError, match=r"outputs \[1, 5, 6\] for a batch of 1; an embedder must have a single out"):
        Embedder.load(path, device="cpu")


@pytest.mark.parametrize("batch", ["batch", 1, 2])
@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ((0, 0, 0), "returns only zeros"),
        ((1, np.nan, 0), r"returns values that are not finite \(NaN or infinity\)"),
        ((1, 0, np.inf), r"returns values that are not finite \(NaN or infinity\)"),
        ((1, 2, 3), "returns the same vector for different pictures"),
    ],
)
def test_an_embedder_that_tells_nothing_apart_is_refused(
    tmp_path: Path, batch: int | str, row: tuple[float, ...], reason: str
) -> None:
    path = write_constant_model(tmp_path / "m.onnx", np.array([row], np.float32), (batch, 3, 8, 4))

    with pytest.raises(ModelError, match=rf"m\.onnx: {reason}, so it can .*; compare embedder\.mean, std, scale and"):
        Embedder.load(path, device="cpu")


def test_an_embedder_whose_vectors_depend_on_the_other_crops_of_a_call_is_refused(tmp_path: Path) -> None:
    """As one that was exported in training mode, whose normalisation takes the mean of each call."""
    node, value, kind = onnx.helper.make_node, onnx.helper.make_tensor_value_info, onnx.TensorProto.FLOAT
    nodes = [
        node("ReduceMean", ["images"], ["mean"], axes=[2, 3], keepdims=0),
        node("ReduceMean", ["mean"], ["of_call"], axes=[0], keepdims=1),
        node("Sub", ["mean", "of_call"], ["around"]),
        node("Add", ["around", "little"], ["output"]),
    ]
    little = onnx.numpy_helper.from_array(np.full((1, 3), 1e-3, np.float32), "little")
    ends = [value("images", kind, ["batch", 3, 8, 8])], [value("output", kind, ["batch", 3])]
    graph = onnx.helper.make_graph(nodes, "g", *ends, [little])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())

    with pytest.raises(ModelError, match=r"depends on the other crops .*export it again in evaluation"):
        Embedder.load(tmp_path / "m.onnx", device="cpu")


def test_an_embedder_of_one_number_is_refused(tmp_path: Path) -> None:
    nothing, grey = np.zeros((1, 1), np.float32), np.ones((1, 1), np.float32)
    path = write_constant_model(tmp_path / "m.onnx", nothing, (1, 3, 8, 8), brightness=grey)

    with pytest.raises(ModelError, match="returns a single number for each crop"):
        Embedder.load(path, RAW_BGR, device="cpu")


def test_an_embedder_whose_vectors_differ_only_in_length_is_refused(tmp_path: Path) -> None:
    nothing, grey = np.zeros((1, 3), np.float32), np.ones((1, 3), np.float32)
    path = write_constant_model(tmp_path / "m.onnx", nothing, (1, 3, 8, 8), brightness=grey)

    with pytest.raises(ModelError, match="returns the same vector"):
        Embedder.load(path, RAW_BGR, device="cpu")


@pytest.mark.parametrize(
    ("shape", "reason"),
    [
        ((1, -1), r"outputs \[1, 9\] for a batch of 3; an embedder must have a single output"),
        ((-1, 1), r"has an output without one row per picture: \[3, 1\] for 1 picture"),
    ],
)
def test_an_embedder_with_a_wrong_number_of_vectors_is_refused(
    tmp_path: Path, shape: tuple[int, int], reason: str
) -> None:
    path = write_reshaped(tmp_path / "m.onnx", shape)

    with pytest.raises(ModelError, match=rf"m\.onnx: {reason}"):
        Embedder.load(path, device="cpu")


def test_the_trial_costs_a_call_of_three_crops_and_one_of_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    batches: list[int] = []
    run = OnnxModel._call

    def counted(self: OnnxModel, batch: npt.NDArray[np.float32]) -> list[npt.NDArray[np.float32]]:
        batches.append(len(batch))
        return run(self, batch)

    monkeypatch.setattr(OnnxModel, "_call", counted)
    mean_embedder(tmp_path / "m.onnx")
    assert batches == [1, 3, 1], "the call that proves that the device works, and the trial"


def test_shipped_embedders_pass_the_trial() -> None:
    for entry in read_manifest().models:
        if entry.kind == "embedder" and entry.url is None:
            config = EmbedderConfig.model_validate({"model": MANIFEST.with_name(entry.file_name), **entry.settings})
            assert load_embedder(config, threads=1).dimension > 100


@pytest.mark.parametrize("half", [False, True])
def test_vectors_that_differ_a_little_pass_the_trial(half: bool) -> None:
    kind = np.float16 if half else np.float32
    same = np.tile(np.random.default_rng(1).normal(size=512), (3, 1)).astype(kind).astype(np.float32)
    other = same.copy()
    other[2] = np.roll(other[2], 1) * 0.05 + same[2]

    assert fault(same, unit_rows(same)) == "returns the same vector for different pictures"
    assert fault(other, unit_rows(other)) is None


def test_two_crops_of_a_real_person_are_more_similar_than_crops_of_two_people() -> None:
    embedder = Embedder.load(shared("weights", "osnet_x0_25_msmt17.onnx"), threads=1)
    video = cv2.VideoCapture(str(shared("data", "ufes-four-cameras", "cam1.mp4")))
    video.set(cv2.CAP_PROP_POS_FRAMES, 100)
    first = video.read()[1]
    for _ in range(4):
        video.read()
    later = video.read()[1]
    standing, walking = (345, 15, 425, 360), (640, 25, 755, 355)

    one, other, one_later, other_later = embedder.embed(
        [(first, boxes(standing, walking)), (later, boxes(standing, walking))]
    )

    np.testing.assert_allclose(np.linalg.norm([one, other, one_later, other_later], axis=1), 1, atol=1e-5)
    assert embedder.dimension == 512
    assert one @ one_later > one @ other + 0.1
    assert other @ other_later > other @ one + 0.1
