"""Models of several files: an .onnx whose weights are in files beside it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from shared.errors import ModelError
from vision.inference.backends.external_data import external_parts
from vision.inference.backends.onnx_runtime import OnnxModel, _engine_folder, onnx_checksum
from vision.inference.embedding import Embedder

PICTURE = ("batch", 3, 8, 4)
WEIGHTS = {"first": np.arange(12, dtype=np.float32).reshape(3, 4), "second": np.eye(4, dtype=np.float32)}
SIZES = {name: values.nbytes for name, values in WEIGHTS.items()}


def tensor(name: str, values: np.ndarray | None = None, **entries: str) -> TensorProto:
    """A tensor whose values are elsewhere: `location`, and `offset` and `length` if they are given."""
    stored = numpy_helper.from_array(WEIGHTS["first"] if values is None else values, name)
    stored.ClearField("raw_data")
    stored.data_location = TensorProto.EXTERNAL
    for key, value in entries.items():
        stored.external_data.add(key=key, value=value)
    return stored


def model_of(*tensors: TensorProto) -> onnx.ModelProto:
    """A model `[batch, 3, 8, 4]` → `[batch, 4]` with two matrices."""
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["mean"], axes=[2, 3], keepdims=0),
        helper.make_node("MatMul", ["mean", "first"], ["middle"]),
        helper.make_node("MatMul", ["middle", "second"], ["output"]),
    ]
    inputs = [helper.make_tensor_value_info("images", TensorProto.FLOAT, PICTURE)]
    outputs = [helper.make_tensor_value_info("output", TensorProto.FLOAT, ("batch", 4))]
    graph = helper.make_graph(nodes, "graph", inputs, outputs, list(tensors))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def write(
    path: Path, locations: Mapping[str, str], weights: Mapping[str, np.ndarray] = WEIGHTS, **entries: str
) -> Path:
    """Write the model to `path`, and each matrix to the file that `locations` names, one after the other."""
    files: dict[str, bytes] = {}
    tensors = []
    for name, location in locations.items():
        before = files.get(location, b"")
        place = {"offset": str(len(before)), "length": str(weights[name].nbytes)} | entries
        tensors.append(tensor(name, weights[name], location=location, **place))
        files[location] = before + weights[name].tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model_of(*tensors).SerializeToString())
    for location, content in files.items():
        (path.parent / location).parent.mkdir(parents=True, exist_ok=True)
        (path.parent / location).write_bytes(content)
    return path


ONE_PART = {"first": "m.onnx.data", "second": "m.onnx.data"}
TWO_PARTS = {"first": "weights/first.bin", "second": "second of them"}


@pytest.mark.parametrize("locations", [ONE_PART, TWO_PARTS])
def test_a_model_of_several_files_loads_and_its_checksum_covers_all_of_them(
    tmp_path: Path, locations: dict[str, str]
) -> None:
    path = write(tmp_path / "m.onnx", locations)
    model = OnnxModel.load(path, device="cpu")
    (vectors,) = model.run(np.ones((2, 3, 8, 4), np.float32))
    np.testing.assert_allclose(vectors, np.ones((2, 3)) @ WEIGHTS["first"])
    assert [part.location for part in external_parts(path)] == sorted(set(locations.values()))

    for location in set(locations.values()):
        part = path.parent / location
        content = part.read_bytes()
        part.write_bytes(content[:-1] + b"\x40")
        assert OnnxModel.load(path, device="cpu").checksum != model.checksum, location
        part.write_bytes(content)
    assert OnnxModel.load(path, device="cpu").checksum == model.checksum


def test_two_fine_tunes_with_the_same_onnx_have_other_checksums_and_engines(tmp_path: Path) -> None:
    tuned = {**WEIGHTS, "first": WEIGHTS["first"] * 2}
    one, other = write(tmp_path / "a" / "m.onnx", ONE_PART), write(tmp_path / "b" / "m.onnx", ONE_PART, tuned)
    assert one.read_bytes() == other.read_bytes()

    checksums = [Embedder.load(path, device="cpu").checksum for path in (one, other)]

    assert len(set(checksums)) == 2
    assert len({_engine_folder(tmp_path, checksum) for checksum in checksums}) == 2


def test_the_checksum_of_one_file_is_that_of_its_content(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(
        model_of(*(numpy_helper.from_array(values, name) for name, values in WEIGHTS.items())).SerializeToString()
    )
    assert onnx_checksum(path) == hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    # The word by which external data is found may be in any file.
    path.write_bytes(
        path.read_bytes() + helper.make_model(onnx.GraphProto(), producer_name="location").SerializeToString()
    )
    assert onnx_checksum(path) == hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    assert external_parts(path) == ()


def test_a_missing_part_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "m.onnx", TWO_PARTS)
    (tmp_path / "weights" / "first.bin").unlink()

    with pytest.raises(
        ModelError, match=r"m\.onnx: the file .*/weights/first\.bin with its weights is missing; copy it"
    ):
        OnnxModel.load(path, device="cpu")


def test_a_part_that_is_a_folder_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "m.onnx", ONE_PART)
    (tmp_path / "m.onnx.data").unlink()
    (tmp_path / "m.onnx.data").mkdir()

    with pytest.raises(ModelError, match=r"m\.onnx\.data with its weights is not a file"):
        OnnxModel.load(path, device="cpu")


@pytest.mark.parametrize("has_length", [True, False])
def test_a_part_that_is_cut_off_is_named_with_its_sizes(tmp_path: Path, has_length: bool) -> None:
    path = write(tmp_path / "m.onnx", ONE_PART)
    if not has_length:
        model = onnx.load(path, load_external_data=False)
        for stored in model.graph.initializer:
            del stored.external_data[2]
        path.write_bytes(model.SerializeToString())
    part = tmp_path / "m.onnx.data"
    assert OnnxModel.load(path, device="cpu")
    part.write_bytes(part.read_bytes()[:-1])

    whole = sum(SIZES.values())
    with pytest.raises(
        ModelError, match=rf"m\.onnx\.data with .* cut off: it has {whole - 1} bytes, .* needs {whole};"
    ):
        OnnxModel.load(path, device="cpu")


@pytest.mark.parametrize("location", ["../w", "a/../../w", "", "w\0", "{absolute}"])
def test_a_part_outside_of_the_folder_of_the_model_is_refused(tmp_path: Path, location: str) -> None:
    (tmp_path / "w").write_bytes(b"secret" * 100)
    path = tmp_path / "model" / "m.onnx"
    path.parent.mkdir()
    location = location.format(absolute=tmp_path / "model" / "w")
    path.write_bytes(model_of(tensor("first", location=location)).SerializeToString())

    with pytest.raises(ModelError, match=r"m\.onnx: its tensor first is in the file '.*', outside of"):
        OnnxModel.load(path, device="cpu")


def test_a_part_that_links_out_of_the_folder_is_refused_but_a_model_of_links_to_one_folder_loads(
    tmp_path: Path,
) -> None:
    stored = write(tmp_path / "stored" / "m.onnx", ONE_PART)
    linked = tmp_path / "linked"
    linked.mkdir()
    (linked / "m.onnx.data").symlink_to(stored.with_name("m.onnx.data"))
    (linked / "m.onnx").symlink_to(stored)
    assert OnnxModel.load(linked / "m.onnx", device="cpu").checksum == onnx_checksum(stored)

    (linked / "m.onnx").unlink()
    (linked / "m.onnx").write_bytes(stored.read_bytes())
    with pytest.raises(ModelError, match="outside of the model's folder"):
        onnx_checksum(linked / "m.onnx")


@pytest.mark.parametrize("entries", [{"offset": "-4"}, {"length": "many"}, {"offset": "9" * 5000}, {"length": "²"}])
def test_a_place_that_is_not_a_number_is_refused(tmp_path: Path, entries: dict[str, str]) -> None:
    path = write(tmp_path / "m.onnx", ONE_PART, **entries)

    with pytest.raises(ModelError, match=r"offset or the length of its tensor first in .* not a number"):
        OnnxModel.load(path, device="cpu")


def test_tensors_in_every_place_of_a_model_are_found(tmp_path: Path) -> None:
    def part(name: str) -> TensorProto:
        (tmp_path / name).write_bytes(bytes(SIZES["first"]))
        return tensor(name, location=name)

    def graph(name: str) -> onnx.GraphProto:
        return helper.make_graph([], name, [], [], [part(name)])

    sparse = onnx.SparseTensorProto(values=part("values"), indices=part("indices"))
    nodes = [
        helper.make_node("Constant", [], ["a"], value=part("constant")),
        helper.make_node("If", ["c"], ["b"], then_branch=graph("then"), else_branch=graph("else")),
        helper.make_node("Own", [], ["d"], graphs=[graph("graphs")], tensors=[part("tensors")]),
        helper.make_node("Constant", [], ["e"], sparse_value=sparse),
    ]
    model = model_of(part("initializer"))
    model.graph.node.extend(nodes)
    model.graph.sparse_initializer.add(values=part("sparse values"), indices=part("sparse indices"))
    inner = helper.make_node("Constant", [], ["f"], value=part("function"))
    model.functions.add(name="own", domain="own").node.append(inner)
    model.training_info.add(initialization=graph("training"))
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())

    found = {part.location for part in external_parts(path)}

    assert found == {file.name for file in tmp_path.iterdir()} - {"m.onnx"}
    assert len(found) == 12


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(st.data())
def test_a_damaged_file_is_no_model_or_an_error_of_ours(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "m.onnx"
    content = bytearray(write(path, ONE_PART).read_bytes())
    for at in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=4)):
        content[at] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))] + data.draw(st.binary(max_size=9)))

    try:
        parts = external_parts(path)
    except ModelError as error:
        assert "\n" not in str(error)  # noqa: PT017 (either outcome is right)
    else:
        assert {part.location for part in parts} <= {"m.onnx.data"}


def test_weights_inside_of_the_file_are_skipped(tmp_path: Path) -> None:
    looks_external = tensor("not one", location="nowhere").SerializeToString()
    inside = numpy_helper.from_array(np.frombuffer(looks_external, np.uint8), "first")
    path = tmp_path / "m.onnx"
    path.write_bytes(model_of(inside).SerializeToString())

    assert external_parts(path) == ()
