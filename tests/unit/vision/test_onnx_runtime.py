from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from structlog.testing import capture_logs

from shared.errors import InferenceFailed, ModelError
from tests.unit.vision.model_files import shared, write_constant_model, write_mean_model
from vision.inference.backends.onnx_runtime import OnnxModel

ROOT = Path(__file__).resolve().parents[3]


class CountedSession:
    """A session that records the shape of every batch."""

    def __init__(self, session: Any) -> None:
        self.session, self.shapes = session, []

    def run(self, names: Any, feed: dict[str, Any]) -> Any:
        self.shapes.append(next(iter(feed.values())).shape)
        return self.session.run(names, feed)


def pictures(count: int, height: int = 8, width: int = 4) -> Any:
    return np.random.default_rng(1).random((count, 3, height, width), np.float32)


def test_a_fixed_batch_runs_in_padded_pieces_and_the_padding_is_removed(tmp_path: Path) -> None:
    model = OnnxModel.load(write_mean_model(tmp_path / "m.onnx", (2, 3, 8, 4)), device="cpu")
    session = CountedSession(model._session)
    batch = pictures(5)

    (means,) = replace(model, _session=session).run(batch)

    np.testing.assert_allclose(means, batch.mean(axis=(2, 3)), rtol=1e-5)
    assert session.shapes == [(2, 3, 8, 4)] * 3
    assert model.batch_size == 2


def test_a_dynamic_batch_is_one_call_up_to_max_batch(tmp_path: Path) -> None:
    model = OnnxModel.load(write_mean_model(tmp_path / "m.onnx"), device="cpu", max_batch=4)
    session = CountedSession(model._session)
    counted = replace(model, _session=session)
    batch = pictures(6)

    counted.run(batch[:4])
    assert session.shapes == [(4, 3, 8, 4)]
    (means,) = counted.run(batch)

    assert session.shapes[1:] == [(4, 3, 8, 4), (2, 3, 8, 4)]
    np.testing.assert_allclose(means, batch.mean(axis=(2, 3)), rtol=1e-5)
    assert model.batch_size is None


def test_half_precision_is_converted_on_the_way_in_and_out(tmp_path: Path) -> None:
    model = OnnxModel.load(write_mean_model(tmp_path / "m.onnx", half=True), device="cpu")
    batch = pictures(3)

    (means,) = model.run(batch)

    assert model.input_dtype is np.float16
    assert means.dtype == np.float32
    np.testing.assert_allclose(means, batch.mean(axis=(2, 3)), atol=1e-3)


def test_a_model_reports_its_properties(tmp_path: Path) -> None:
    path = write_mean_model(tmp_path / "m.onnx", ("batch", 3, "h", "w"), metadata={"imgsz": "[64, 32]", "task": "x"})

    model = OnnxModel.load(path, device="cpu", threads=1)

    assert model.checksum == hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    assert model.device == "cpu"
    assert model.metadata == {"imgsz": "[64, 32]", "task": "x"}
    assert (model.input_name, model.input_shape) == ("images", (None, 3, None, None))
    assert model.output_shapes == ((None, 3),)
    assert model.blank().shape == (1, 3, 64, 32)
    assert model.picture_size((16, 8)) == (16, 8)


@pytest.mark.parametrize("metadata", [{}, {"imgsz": "[640"}, {"imgsz": "[]"}, {"imgsz": "'big'"}, {"imgsz": "0"}])
def test_an_unknown_dynamic_size_is_refused(tmp_path: Path, metadata: dict[str, str]) -> None:
    path = write_mean_model(tmp_path / "m.onnx", ("batch", 3, "h", "w"), metadata=metadata)

    with pytest.raises(ModelError, match="has a dynamic input size"):
        OnnxModel.load(path, device="cpu")
    assert OnnxModel.load(path, device="cpu", picture_size=(8, 4)).run(pictures(1))[0].shape == (1, 3)


def test_a_missing_file_is_a_one_line_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"absent\.onnx: no such model file; download it there") as caught:
        OnnxModel.load(tmp_path / "absent.onnx")
    assert "\n" not in str(caught.value)


def test_an_empty_file_and_a_folder_are_named_as_such(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").touch()
    with pytest.raises(ModelError, match=r"m\.onnx: is empty; download, copy or export it again"):
        OnnxModel.load(tmp_path / "m.onnx")
    with pytest.raises(ModelError, match=r"is a folder, not a model file"):
        OnnxModel.load(tmp_path)


def test_a_size_that_an_open_input_does_not_take_is_the_fault_of_the_size(tmp_path: Path) -> None:
    node, value = onnx.helper.make_node, onnx.helper.make_tensor_value_info
    nodes = [
        node("Transpose", ["images"], ["turned"], perm=[0, 1, 3, 2]),
        node("Concat", ["images", "turned"], ["both"], axis=3),
    ]
    sides = ["batch", 3, "height", "width"]
    kind = onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(nodes, "g", [value("images", kind, sides)], [value("both", kind, [None] * 4)])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())

    with pytest.raises(ModelError, match=r"cannot run on pictures of 64×96 pixels .*; set detector\.size .*multiple"):
        OnnxModel.load(tmp_path / "m.onnx", device="cpu", picture_size=(64, 96))
    assert OnnxModel.load(tmp_path / "m.onnx", device="cpu", picture_size=(64, 64)).batch_size is None


@pytest.mark.parametrize("content", [b"<html>not found</html>", b"PK\x03\x04weights of another kind" * 50])
def test_a_file_of_another_kind_is_a_one_line_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "weights.onnx"
    path.write_bytes(content)

    with pytest.raises(ModelError, match=r"weights\.onnx: .*export") as caught:
        OnnxModel.load(path)
    assert "\n" not in str(caught.value)


def test_the_reason_of_the_runtime_is_shown_whole_and_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_mean_model(tmp_path / "m.onnx")
    path.write_bytes(path.read_bytes().replace(b"ReduceMean", b"ReduceMoan"))

    with pytest.raises(ModelError, match=r"m\.onnx: cannot load the model: .* No Op registered for ReduceMoan"):
        OnnxModel.load(path, device="cpu")

    told = "\n".join(f"line {number} of the reason" for number in range(50))

    def fails(*_: Any, **__: Any) -> Any:
        raise RuntimeError(f"[ONNXRuntimeError] : 1 : FAIL : {told}")

    monkeypatch.setattr(onnxruntime, "InferenceSession", fails)
    with pytest.raises(ModelError) as caught:
        OnnxModel.load(path, device="cpu")
    assert f"cannot load the model: {told.replace(chr(10), ' ')}; export it again" in str(caught.value)


@pytest.mark.parametrize("picture", [("batch", 8, 4, 3), ("batch", 1, 8, 4)])
def test_a_model_whose_input_is_not_colour_pictures_is_refused_with_its_input(
    tmp_path: Path, picture: tuple[str, int, int, int]
) -> None:
    with pytest.raises(ModelError, match=f"{picture[1]}, {picture[2]}, {picture[3]}.*channels first"):
        OnnxModel.load(write_mean_model(tmp_path / "m.onnx", picture), device="cpu")


def test_an_output_without_a_row_per_picture_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"one row per picture: \[1, 3\] for 2 pictures"):
        OnnxModel.load(write_mean_model(tmp_path / "m.onnx", (2, 3, 8, 4), over_batch=True), device="cpu")


def test_a_picture_that_the_model_cannot_run_is_an_error_that_a_retry_may_end(tmp_path: Path) -> None:
    model = OnnxModel.load(write_mean_model(tmp_path / "m.onnx"), device="cpu")

    with pytest.raises(InferenceFailed, match=r"m\.onnx: 1 picture \(3, 9, 4\) failed on cpu") as failed:
        model.run(pictures(2, height=9))
    assert failed.value.exit_code == 1
    with pytest.raises(ValueError, match="batch is empty"):
        model.run(pictures(0))


class SmallMemory(CountedSession):
    """A session that fails with more than three pictures."""

    def run(self, names: Any, feed: dict[str, Any]) -> Any:
        outputs = super().run(names, feed)
        if self.shapes[-1][0] > 3:
            raise RuntimeError("out of memory")
        return outputs


def test_a_batch_too_large_for_the_memory_is_divided_until_it_fits(tmp_path: Path) -> None:
    model = OnnxModel.load(write_mean_model(tmp_path / "m.onnx"), device="cpu")
    session = SmallMemory(model._session)
    small = replace(model, _session=session)

    assert np.array_equal(small.run(pictures(13))[0], model.run(pictures(13))[0])
    assert [shape[0] for shape in session.shapes] == [13, 6, 3, 3, 3, 3, 1]
    session.shapes.clear()
    small.run(pictures(4))
    assert [shape[0] for shape in session.shapes] == [3, 1], "it remembers what fits"


def test_probing_for_a_gpu_prints_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = write_constant_model(tmp_path / "m.onnx", np.ones((2, 2), np.float32), (1, 3, 8, 8))

    with capture_logs():
        model = OnnxModel.load(path, device="auto")

    assert model.device in ("tensorrt", "cuda", "cpu")
    assert capfd.readouterr() == ("", "")


def test_the_number_of_threads_is_as_configured_and_they_do_not_spin_while_waiting(tmp_path: Path) -> None:
    model = OnnxModel.load(write_mean_model(tmp_path / "m.onnx"), device="cpu", threads=2)

    options = model._session.get_session_options()

    assert options.intra_op_num_threads == 2
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"


@pytest.mark.parametrize("name", ["yolox_nano", "yolov8n_int8", "osnet_x0_25_msmt17"])
def test_real_weights_load_and_run(name: str) -> None:
    model = OnnxModel.load(shared("weights", f"{name}.onnx"), threads=1)

    outputs = model.run(model.blank())

    assert [len(output) for output in outputs] == [1]
    assert np.isfinite(outputs[0]).all()


def test_the_runtime_leaves_no_trace_of_telemetry(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    load = "from vision.inference.backends.onnx_runtime import OnnxModel; from pathlib import Path; import sys"
    run = f"{load}; OnnxModel.load(Path(sys.argv[1]), device='cpu')"
    # Without the tests' environment, because the runtime sends no telemetry if it detects a CI.
    environment = {"PATH": os.environ["PATH"], "HOME": str(home)}
    model = write_mean_model(tmp_path / "m.onnx")
    subprocess.run([sys.executable, "-c", run, model], cwd=ROOT, env=environment, check=True)
    assert list(home.rglob("*")) == []


def test_the_memory_of_each_batch_size_is_not_kept(tmp_path: Path) -> None:
    model = OnnxModel.load(write_mean_model(tmp_path / "m.onnx"), device="cpu")
    assert not model._session.get_session_options().enable_mem_pattern
