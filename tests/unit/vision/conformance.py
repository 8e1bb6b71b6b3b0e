"""Tiny networks with the outputs of every kind of detector, each with what is right for it: its boxes, or a refusal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.unit.vision import reference_decoding as reference

Array: TypeAlias = npt.NDArray[Any]
HEIGHT, WIDTH = 64, 96
USUAL = (8, 16, 32)


@dataclass(frozen=True)
class Network:
    """One network. `outputs` are those of a picture, whatever it shows."""

    title: str
    outputs: Mapping[str, Array]
    head: str | None
    """The head that is right; None: the network must be refused."""
    decode: reference.Decode | None = None
    refusal: str = ""
    """Pattern of the reason."""
    names: int | None = None
    """Number of class names in the metadata."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    height: int = HEIGHT
    width: int = WIDTH
    batch: int | str | None = 1
    """Dimension of the batch; None: the outputs have none."""
    open_size: bool = False
    half: bool = False
    eight_bits: bool = False
    takes_bytes: bool = False
    channels_last: bool = False
    single_picture: bool = False
    """The input has no batch dimension."""
    takes_sizes: bool = False
    input_name: str = "images"
    chosen: str | None = None
    """`detector.head`."""
    size: tuple[int, int] | None = None
    """`detector.size`."""

    def write(self, folder: Path) -> Path:
        """Write the network to `folder`."""
        sides: list[int | str] = ["height", "width"] if self.open_size else [self.height, self.width]
        shape = [*sides, 3] if self.channels_last else [3, *sides]
        if not self.single_picture:
            shape = [self.batch or 1, *shape]
        kind = TensorProto.FLOAT16 if self.half else TensorProto.UINT8 if self.takes_bytes else TensorProto.FLOAT
        inputs = [helper.make_tensor_value_info(self.input_name, kind, shape)]
        nodes = [
            helper.make_node("Cast", [self.input_name], ["wide"], to=TensorProto.FLOAT),
            helper.make_node("ReduceMean", ["wide"], ["mean"], keepdims=0),
            helper.make_node("Mul", ["mean", "zero"], ["nothing"]),
            helper.make_node("Shape", [self.input_name], ["shape"]),
            helper.make_node("Gather", ["shape", "first"], ["pictures"], axis=0),
        ]
        constants = [_constant("zero", np.float32(0)), _constant("first", np.array([0], np.int64))]
        if self.takes_sizes:
            inputs.append(helper.make_tensor_value_info("orig_target_sizes", TensorProto.INT64, [self.batch, 2]))
            # Boxes are computed for the sizes given: in shares of the picture before, in pixels after.
            nodes += [
                helper.make_node("Cast", ["orig_target_sizes"], ["sizes"], to=TensorProto.FLOAT),
                helper.make_node("Concat", ["sizes", "sizes"], ["twice"], axis=1),
                helper.make_node("Unsqueeze", ["twice", "one"], ["scale"]),
            ]
            constants.append(_constant("one", np.array([1], np.int64)))
        outputs = []
        for name, values in self.outputs.items():
            made, held = self._output(name, values)
            nodes, constants = nodes + made, constants + held
            lead = [] if self.batch is None else [self.batch]
            of_type = helper.np_dtype_to_tensor_dtype(self._dtype(values))
            outputs.append(helper.make_tensor_value_info(name, of_type, [*lead, *([None] * values.ndim)]))
        graph = helper.make_graph(nodes, "network", inputs, outputs, constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        names = {} if self.names is None else {"names": str({i: f"kind{i}" for i in range(self.names)})}
        helper.set_model_props(model, names | dict(self.metadata))
        path = folder / "network.onnx"
        path.write_bytes(model.SerializeToString())
        return path

    def expected(self, min_score: float) -> Array:
        """Rows `x1 y1 x2 y2 score class` of the reference, best score first."""
        assert self.decode is not None
        rows = self.decode([self._stored(values) for values in self.outputs.values()], self.width, self.height)
        found = np.array([row for row in rows if row[4] >= min_score], np.float64).reshape(-1, 6)
        return found[np.argsort(-found[:, 4], kind="stable")]

    def _dtype(self, values: Array) -> np.dtype[Any]:
        return np.dtype(np.float16) if self.half and values.dtype == np.float32 else values.dtype

    def _stored(self, values: Array) -> Array:
        if self.eight_bits:
            whole, scale = _quantised(values)
            return whole.astype(np.float32) * scale
        return values.astype(self._dtype(values))

    def _output(self, name: str, values: Array) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
        lead = values if self.batch is None else values[None]
        node, held, made = helper.make_node, [], []
        if self.takes_sizes and values.shape[-1:] == (4,):
            held.append(_constant(f"{name}.held", lead / np.float32([self.width, self.height] * 2)))
            return [
                node("Mul", [f"{name}.held", "scale"], [f"{name}.pixels"]),
                node("Cast", [f"{name}.pixels"], [name], to=helper.np_dtype_to_tensor_dtype(self._dtype(values))),
            ], held
        if self.eight_bits:
            whole, scale = _quantised(values)
            held += [
                _constant(f"{name}.whole", whole[None]),
                _constant(f"{name}.scale", scale.reshape(-1)),
                _constant(f"{name}.zero", np.zeros(scale.size, np.int8)),
            ]
            parts = [f"{name}.whole", f"{name}.scale", f"{name}.zero"]
            made.append(node("DequantizeLinear", parts, [f"{name}.held"], axis=1))
        else:
            held.append(_constant(f"{name}.held", lead))
        held.append(_constant(f"{name}.shape", np.array(values.shape, np.int64)))
        source = f"{name}.held"
        if self.batch is not None:
            made += [
                node("Concat", ["pictures", f"{name}.shape"], [f"{name}.full"], axis=0),
                node("Expand", [source, f"{name}.full"], [f"{name}.each"]),
            ]
            source = f"{name}.each"
        if np.issubdtype(values.dtype, np.floating):
            made += [
                node("Add", [source, "nothing"], [f"{name}.sum"]),
                node("Cast", [f"{name}.sum"], [name], to=helper.np_dtype_to_tensor_dtype(self._dtype(values))),
            ]
        else:
            made.append(node("Identity", [source], [name]))
        return made, held


def _constant(name: str, values: Any) -> onnx.TensorProto:
    return numpy_helper.from_array(np.asarray(values), name)


def _quantised(values: Array) -> tuple[Array, Array]:
    """Each row of `(rows, columns)` in 8 bits, as a quantised network stores its weights: int8 and scales."""
    scale = np.maximum(np.abs(values).max(axis=1, keepdims=True), 1e-6).astype(np.float32) / np.float32(127)
    return np.round(values / scale).astype(np.int8), scale


# Three objects: corners in shares of the picture, and score. Their classes are spread over those of the model.
_OBJECTS = ((0.10, 0.15, 0.35, 0.60, 0.91), (0.45, 0.20, 0.70, 0.55, 0.78), (0.60, 0.60, 0.95, 0.95, 0.64))


def objects(classes: int, height: int = HEIGHT, width: int = WIDTH) -> Array:
    """`(3, 6)` float32: corners in pixels, score, class."""
    rows = np.array(_OBJECTS, np.float32)
    rows[:, :4] *= np.float32([width, height] * 2)
    return np.column_stack([rows, np.float32([0, classes - 1, classes // 2])]).astype(np.float32)


def cells(height: int, width: int, strides: tuple[int, ...] = USUAL) -> Array:
    """`(N, 3)` float32: centre of each cell and its stride, in pixels."""
    return np.array(
        [
            ((x + 0.5) * stride, (y + 0.5) * stride, stride)
            for stride in strides
            for y in range(height // stride)
            for x in range(width // stride)
        ],
        np.float32,
    )


def _centred(boxes: Array) -> Array:
    return np.hstack([(boxes[:, :2] + boxes[:, 2:4]) / 2, boxes[:, 2:4] - boxes[:, :2]])


def grid_rows(
    classes: int,
    *,
    height: int = HEIGHT,
    width: int = WIDTH,
    strides: tuple[int, ...] = USUAL,
    per_cell: int = 1,
    objectness: float | None = None,
    more: int = 0,
) -> Array:
    """`(N, 4 [+ 1] + classes + more)` float32 with centre and size: weak noise near every cell, and the objects.

    `objectness` is that of the noise; None: there is no such column. The values at the end are larger than 1.
    """
    rng = np.random.default_rng(7)
    places = np.repeat(cells(height, width, strides), per_cell, axis=0)
    count, lead = len(places), 4 if objectness is None else 5
    rows = np.zeros((count, lead + classes + more), np.float32)
    rows[:, :2] = places[:, :2] + rng.uniform(-3, 3, (count, 2))
    rows[:, 2:4] = places[:, 2:] * rng.uniform(0.5, 3, (count, 2))
    rows[:, lead : lead + classes] = rng.uniform(0, 0.05, (count, classes))
    if more:
        rows[:, lead + classes :] = rng.uniform(1.5, min(height, width), (count, more))
    for row in objects(classes, height, width):
        box = _centred(row[None, :4])[0]
        at = np.abs(places - np.float32([*box[:2], 16])).sum(axis=1).argmin()
        rows[at, :4] = box
        rows[at, lead + int(row[5])] = row[4]
        if objectness is not None:
            rows[at, 4] = 0.98 if objectness < 1 else 1
    if objectness is not None:
        rows[rows[:, 4] == 0, 4] = objectness
    return rows


def raw_yolox(classes: int, height: int = HEIGHT, width: int = WIDTH) -> Array:
    """`grid_rows` with objectness as YOLOX outputs them: offsets and log sizes."""
    rows, places = grid_rows(classes, height=height, width=width, objectness=0.02), cells(height, width)
    rows[:, :2] = rows[:, :2] / places[:, 2:] - (places[:, :2] / places[:, 2:] - 0.5)
    rows[:, 2:4] = np.log(rows[:, 2:4] / places[:, 2:])
    return rows


def chosen_rows(classes: int, rows: int = 30, more: int = 0) -> Array:
    """`(rows, 6 + more)` float32: corners, score, class, sorted by score; mostly weak boxes."""
    rng = np.random.default_rng(8)
    table = np.zeros((rows, 6 + more), np.float32)
    corner = rng.uniform(0, 40, (rows, 2))
    table[:, :4] = np.hstack([corner, corner + rng.uniform(4, 20, (rows, 2))])
    table[:, 4] = np.sort(rng.uniform(0.01, 0.2, rows))[::-1]
    table[:, 5] = rng.integers(0, classes, rows)
    table[:3, :6] = objects(classes)
    table[:, 6:] = rng.uniform(1.5, 60, (rows, more))
    return table


def query_rows(classes: int, rows: int = 30) -> Array:
    """`(rows, 4 + classes)` float32: centre and size in shares of the picture, and scores."""
    rng = np.random.default_rng(9)
    table = np.zeros((rows, 4 + classes), np.float32)
    table[:, :4] = rng.uniform(0.1, 0.6, (rows, 4))
    table[:, 4:] = rng.uniform(0, 0.2, (rows, classes))
    for number, row in enumerate(objects(classes)):
        table[7 * number + 2, :4] = _centred(row[None, :4])[0] / np.float32([WIDTH, HEIGHT] * 2)
        table[7 * number + 2, 4 + int(row[5])] = row[4]
    return table


def networks() -> Iterator[Network]:
    """The kit."""
    yield from _ultralytics()
    yield from _tasks()
    yield from _end_to_end()
    yield from _objectness()
    yield from _yolox()
    yield from _transformers()
    yield from _built_in_suppression()
    yield from _ssd()
    yield from _other_boxes()
    yield from _other_metadata()
    yield from _hopeless()


def _one(values: Array, name: str = "output0") -> dict[str, Array]:
    return {name: np.ascontiguousarray(values)}


def _ultralytics() -> Iterator[Network]:
    three, eighty = reference.yolov8(3), reference.yolov8(80)
    raw, task = _one(grid_rows(3).T), {"task": "detect"}
    large = _one(grid_rows(80, height=640, width=640).T)
    yield Network("v8, 640", large, "yolov8", eighty, names=80, metadata=task, height=640, width=640)
    yield Network("v8, 640, no metadata", large, "yolov8", eighty, height=640, width=640)
    yield Network("v8, names only", raw, "yolov8", three, names=3)
    yield Network("v8, half precision", raw, "yolov8", three, names=3, half=True)
    yield Network("v8, 8 bits", raw, "yolov8", three, names=3, eight_bits=True)
    sizes = {"imgsz": f"[{HEIGHT}, {WIDTH}]"}
    yield Network("v8, open", raw, "yolov8", three, names=3, metadata=task | sizes, batch="batch", open_size=True)
    yield Network("v8, open, size unknown", raw, None, refusal="set detector.size", names=3, open_size=True)
    yield Network(
        "v8, open, size chosen", raw, "yolov8", three, names=3, batch="batch", open_size=True, size=(HEIGHT, WIDTH)
    )
    yield Network("v8, another size chosen", raw, None, refusal="takes pictures of 64×96", names=3, size=(96, 64))
    yield Network("v8, fixed batch", raw, "yolov8", three, names=3, batch=3)
    turned = _one(grid_rows(3))
    yield Network("v8, transposed", turned, "yolov8", reference.yolov8(3, transposed=True), names=3)
    yield Network("v8, transposed, no metadata", _one(grid_rows(80)), "yolov8", reference.yolov8(80, transposed=True))
    yield Network("v8, 3 classes, no metadata", raw, None, refusal="yolov8.*yolov8-obb.*set detector.head")
    yield Network("v8, 3 classes, chosen", raw, "yolov8", three, chosen="yolov8")
    yield Network("v8, one class, no metadata", _one(grid_rows(1).T), "yolov8", reference.yolov8(1))
    fine, deep = (4, 8, 16, 32), (8, 16, 32, 64)
    yield Network("v8 P2", _one(grid_rows(3, strides=fine).T), "yolov8", three, names=3)
    large = _one(grid_rows(3, height=128, width=64, strides=deep).T)
    yield Network("v8 P6", large, "yolov8", three, names=3, height=128, width=64)
    yield Network("26 raw", raw, "yolov8", three, names=3, metadata=task | {"end2end": "False"})
    loose = raw["output0"].copy()
    loose[2:4, ::17] = -5
    yield Network("26 raw, weak boxes of any size", _one(loose), "yolov8", three, names=3, metadata=task)
    yield Network("v8, wrong names", raw, None, refusal="5 class names", names=5)
    small = raw["output0"] / np.float32([[96], [64], [96], [64], *[[1]] * 3])
    yield Network("v8, boxes in shares", _one(small), None, refusal="within 1.* pixels of the corner", names=3)
    logits = raw["output0"].copy()
    logits[4:] = logits[4:] * 20 - 10
    yield Network("v8, logits", _one(logits), None, refusal="scores would be -10", names=3)


def _tasks() -> Iterator[Network]:
    masks = {"output1": np.zeros((8, HEIGHT // 4, WIDTH // 4), np.float32)}
    segments = _one(grid_rows(2, more=8).T) | masks
    yield Network("seg", segments, "yolov8-seg", reference.yolov8(2), names=2, metadata={"task": "segment"})
    yield Network("seg, no metadata", segments, "yolov8-seg", reference.yolov8(2), batch="batch")
    pose, obb = _one(grid_rows(1, more=51).T), grid_rows(15, more=1).T
    shape = {"task": "pose", "kpt_shape": "[17, 3]"}
    yield Network("pose", pose, "yolov8-pose", reference.yolov8(1), names=1, metadata=shape)
    yield Network("pose, no metadata", pose, None, refusal="yolov8-pose.*set detector.head")
    yield Network("pose, names only", pose, None, refusal="yolov8-pose.*set detector.head", names=1)
    yield Network("pose, chosen", pose, "yolov8-pose", reference.yolov8(1), chosen="yolov8-pose")
    obb[-1] = np.random.default_rng(1).uniform(-0.7, 2.3, obb.shape[1])
    turned = _one(obb)
    yield Network("obb", turned, "yolov8-obb", reference.oriented(15), names=15, metadata={"task": "obb"})
    yield Network("obb, no metadata", turned, None, refusal="yolov8-obb.*set detector.head")
    yield Network("obb, names only", turned, None, refusal="yolov8-obb.*set detector.head", names=15)
    yield Network("obb, chosen", turned, "yolov8-obb", reference.oriented(15), chosen="yolov8-obb")
    right = obb.copy()
    right[-1] = np.abs(right[-1]) % 1
    yield Network("obb, angles like scores", _one(right), None, refusal="yolov8.*yolov8-obb.*set detector.head")


def _end_to_end() -> Iterator[Network]:
    three, true = _one(chosen_rows(3)), {"end2end": "True", "task": "detect"}
    decode = reference.end_to_end
    yield Network("v10", three, "end2end", decode, names=3, metadata=true)
    yield Network("v8 with nms", three, "end2end", decode, names=3, metadata={"args": "{'nms': True}"})
    two = _one(chosen_rows(2))
    yield Network("v10, two classes, names only", two, "end2end", decode, names=2)
    yield Network("v10, half precision", three, "end2end", decode, names=3, half=True, batch="batch")
    cells_many = _one(chosen_rows(3, len(cells(HEIGHT, WIDTH))))
    yield Network("v10, as many boxes as cells", cells_many, "end2end", decode, names=3, metadata=true)
    yield Network("v10, no metadata", two, None, refusal="end2end.*set detector.head")
    yield Network("v10, no metadata, chosen", two, "end2end", decode, chosen="end2end")
    wrong = chosen_rows(2)
    wrong[:, 4] = wrong[::-1, 4]
    yield Network("six columns, not sorted", _one(wrong), None, refusal="would not descend", names=2)
    masks = {"output1": np.zeros((8, HEIGHT // 4, WIDTH // 4), np.float32)}
    segments = _one(chosen_rows(3, more=8)) | masks
    yield Network("26 seg", segments, "end2end-seg", decode, names=3, metadata=true | {"task": "segment"})
    pose = _one(chosen_rows(1, more=51))
    shape = true | {"task": "pose", "kpt_shape": "(17, 3)"}
    yield Network("26 pose", pose, "end2end-pose", decode, names=1, metadata=shape)
    yield Network("26 pose, names only", pose, None, refusal="unknown kind.*1 class name", names=1)
    obb = chosen_rows(4, more=1)
    obb[:, :4] = _centred(obb[:, :4])
    obb[:, 6] = np.random.default_rng(2).uniform(-0.7, 2.3, len(obb))
    turned = _one(obb)
    yield Network(
        "26 obb", turned, "end2end-obb", reference.end_to_end_oriented, names=4, metadata=true | {"task": "obb"}
    )


def _objectness() -> Iterator[Network]:
    one, many = reference.yolov5(1), reference.yolov5(80)
    single = _one(grid_rows(1, height=640, width=640, per_cell=3, objectness=0.02))
    assert single["output0"].shape == (25200, 6)
    yield Network("v5, one class, 640", single, "yolov5", one, names=1, height=640, width=640)
    yield Network("v5, one class, 640, no metadata", single, "yolov5", one, height=640, width=640)
    raw = _one(grid_rows(80, per_cell=3, objectness=0.02), "output")
    yield Network("v5, no metadata", raw, "yolov5", many)
    yield Network("v7, half precision, any batch", raw, "yolov5", many, half=True, batch="batch")
    deep = _one(grid_rows(2, height=128, width=64, strides=(8, 16, 32, 64), per_cell=3, objectness=0.02))
    yield Network("v5 P6", deep, "yolov5", reference.yolov5(2), names=2, height=128, width=64)
    grids = {f"grid{stride}": np.zeros((3, HEIGHT // stride, WIDTH // stride, 85), np.float32) for stride in USUAL}
    yield Network("v5 with its grids", raw | grids, "yolov5", many)
    yield Network("v7 without its grid", grids, None, refusal="unknown kind of detector")
    masks = {"proto": np.zeros((8, HEIGHT // 4, WIDTH // 4), np.float32)}
    segments = _one(grid_rows(2, per_cell=3, objectness=0.02, more=8)) | masks
    yield Network("v5 seg", segments, "yolov5-seg", reference.yolov5(2), names=2)
    yield Network("v6", _one(grid_rows(80, objectness=1.0)), "yolov6", many)


def _yolox() -> Iterator[Network]:
    yield Network("YOLOX", _one(raw_yolox(80)), "yolox", reference.yolox, batch="batch")
    yield Network("YOLOX, one class", _one(raw_yolox(1)), "yolox", reference.yolox)
    yield Network("YOLOX, 416", _one(raw_yolox(3, 416, 416)), "yolox", reference.yolox, names=3, height=416, width=416)
    yield Network("YOLOX, half precision", _one(raw_yolox(2)), "yolox", reference.yolox, half=True)
    decoded = _one(grid_rows(80, objectness=0.02))
    yield Network("YOLOX decoded", decoded, "yolox-decoded", reference.yolov5(80))
    two = _one(grid_rows(2, objectness=0.02))
    yield Network("YOLOX decoded, names", two, "yolox-decoded", reference.yolov5(2), names=2)
    yield Network("YOLOX decoded, no names", two, None, refusal="yolov8.*yolox-decoded.*set detector.head")
    yield Network("YOLOX decoded, chosen", two, "yolox-decoded", reference.yolov5(2), chosen="yolox-decoded")


def _transformers() -> Iterator[Network]:
    decode = reference.shares
    two = _one(query_rows(2))
    yield Network("RT-DETR of Ultralytics, two classes", two, "rtdetr-ultralytics", decode, names=2)
    yield Network("RT-DETR of Ultralytics, two classes, no metadata", two, "rtdetr-ultralytics", decode)
    described = {"task": "detect", "description": "Ultralytics rtdetr-l model", "end2end": "False"}
    eighty = _one(query_rows(80))
    yield Network("RT-DETR of Ultralytics", eighty, "rtdetr-ultralytics", decode, names=80, metadata=described)
    yield Network("RT-DETR of Ultralytics, no metadata", eighty, "rtdetr-ultralytics", decode, half=True)
    for classes in (2, 5):
        table = chosen_rows(classes)
        table[:, :4] = _centred(table[:, :4]) / np.float32([WIDTH, HEIGHT] * 2)
        title, ranked = f"RT-DETR of Ultralytics 8.4, {classes} classes", _one(table)
        yield Network(title, ranked, "rtdetr-end2end", reference.sorted_shares, names=classes, metadata=described)
        yield Network(f"{title}, names only", ranked, "rtdetr-end2end", reference.sorted_shares, names=classes)
        yield Network(f"{title}, no metadata", ranked, None, refusal="rtdetr-end2end.*set detector.head")
    rows = chosen_rows(5)
    labels, boxes, scores = rows[:, 5].astype(np.int64), rows[:, :4], rows[:, 4]
    original = {"labels": labels, "boxes": boxes, "scores": scores}
    yield Network("RT-DETR", original, "rtdetr", reference.rtdetr, takes_sizes=True)
    yield Network("D-FINE", original, "rtdetr", reference.rtdetr, takes_sizes=True, batch="batch", names=5)
    yield Network("RT-DETR, half precision", original, "rtdetr", reference.rtdetr, takes_sizes=True, half=True)
    yield Network("RT-DETR without sizes", original, None, refusal="unknown kind of detector")
    queries = query_rows(91)
    logits = np.log(np.clip(queries[:, 4:], 1e-4, 0.99) / (1 - np.clip(queries[:, 4:], 1e-4, 0.99)))
    dets = {"dets": queries[:, :4], "labels": logits.astype(np.float32)}
    yield Network("RF-DETR", dets, "rfdetr", reference.rfdetr, input_name="input")
    masks = {"masks": np.zeros((30, 16, 24), np.float32)}
    yield Network("RF-DETR seg", dets | masks, "rfdetr", lambda out, w, h: reference.rfdetr(out[:2], w, h))
    unnamed = dict(zip(("out_a", "out_b"), dets.values(), strict=True))
    yield Network("RF-DETR, unnamed outputs", unnamed, None, refusal="rfdetr.*set detector.head")
    yield Network("RF-DETR, chosen", unnamed, "rfdetr", reference.rfdetr, chosen="rfdetr", half=True)


def _built_in_suppression() -> Iterator[Network]:
    rows = chosen_rows(4)
    picture = np.zeros((len(rows), 1), np.float32)
    v7 = {"output": np.hstack([picture, rows[:, :4], rows[:, 5:6], rows[:, 4:5]])}
    flat = np.hstack([picture, rows[:, :6]])
    yield Network("v7 end to end", v7, "yolov7-nms", reference.listed(6, 5), batch=None)
    yield Network(
        "YOLO-NAS flat", {"graph2_flat_predictions": flat}, "yolonas-flat", reference.listed(5, 6), batch=None
    )
    yield Network("YOLO-NAS flat, unnamed", {"out": flat}, "yolonas-flat", reference.listed(5, 6), batch=None)
    empty = {"out": np.zeros((0, 7), np.float32)}
    yield Network("a list without boxes", empty, None, refusal="yolov7-nms.*yolonas-flat", batch=None)
    count = np.array([20], np.int64)
    boxes, scores, numbers = rows[:, :4], rows[:, 4], rows[:, 5].astype(np.int64)
    tensorrt = {"num_dets": count.astype(np.int32), "det_boxes": boxes, "det_scores": scores}
    tensorrt |= {"det_classes": numbers.astype(np.int32)}
    yield Network("EfficientNMS", tensorrt, "efficientnms", reference.counted, batch="batch")
    unnamed = {f"out{i}": values for i, values in enumerate(tensorrt.values())}
    yield Network("EfficientNMS, unnamed", unnamed, None, refusal="efficientnms.*yolonas-batch.*set detector.head")
    yield Network("EfficientNMS, chosen", unnamed, "efficientnms", reference.counted, chosen="efficientnms", names=4)
    nas = {"graph2_num_predictions": count, "graph2_pred_boxes": boxes, "graph2_pred_scores": scores}
    nas |= {"graph2_pred_classes": numbers}
    yield Network("YOLO-NAS batch", nas, "yolonas-batch", reference.counted, takes_bytes=True)
    grid = grid_rows(3)
    centre, half = grid[:, :2], grid[:, 2:4] / 2
    corners = {"boxes": np.hstack([centre - half, centre + half]), "scores": grid[:, 4:]}
    yield Network("YOLO-NAS", corners, "yolonas", reference.corners_and_scores, input_name="input.1")
    sizes = {"boxes": grid[:, :4], "scores": grid[:, 4:]}
    yield Network("boxes with sizes, scores apart", sizes, None, refusal="left of or above")


def _ssd() -> Iterator[Network]:
    rows = chosen_rows(4)
    shares = (rows[:, :4] / np.float32([WIDTH, HEIGHT] * 2))[:, [1, 0, 3, 2]]
    tensorflow = {"detection_boxes": shares, "detection_classes": rows[:, 5] + 1, "detection_scores": rows[:, 4]}
    more = {"num_detections": np.float32(30), "raw_detection_boxes": np.zeros((50, 4), np.float32)}
    bytes_in = {"takes_bytes": True, "channels_last": True, "input_name": "input_tensor"}
    yield Network("TensorFlow", tensorflow | more, "tf-ssd", reference.tensorflow(0), **bytes_in)
    yield Network("TensorFlow, names", tensorflow, "tf-ssd", reference.tensorflow(1), names=4, **bytes_in)
    yield Network(
        "TensorFlow, open", tensorflow, "tf-ssd", reference.tensorflow(0), open_size=True, size=(64, 96), **bytes_in
    )
    yield Network("TensorFlow, too few names", tensorflow, None, refusal="classes would be 1 to 4", names=2, **bytes_in)
    yield Network("TensorFlow, floats", tensorflow, None, refusal="of unknown range")
    vision = {"boxes": rows[:, :4], "labels": rows[:, 5].astype(np.int64) + 1, "scores": rows[:, 4]}
    yield Network("torchvision", vision, "torchvision", reference.torchvision(0), batch=None)
    yield Network(
        "torchvision, one picture", vision, "torchvision", reference.torchvision(1), names=4, batch=None,
        single_picture=True,
    )  # fmt: skip


def _corners(rows: Array) -> Array:
    """`rows` with corners instead of centre and size."""
    centre, half = rows[:, :2], rows[:, 2:4] / 2
    return np.hstack([centre - half, centre + half, rows[:, 4:]]).astype(np.float32)


def _left_top(rows: Array) -> Array:
    """`rows` with the left upper corner and size instead of centre and size."""
    return np.hstack([rows[:, :2] - rows[:, 2:4] / 2, rows[:, 2:]]).astype(np.float32)


def _other_boxes() -> Iterator[Network]:
    """Outputs with the shape of a head, but boxes or values of another kind."""
    cells_once, cells_thrice = grid_rows(2, objectness=0.02), grid_rows(2, per_cell=3, objectness=0.02)
    for change, what in ((_corners, "corners"), (_left_top, "left upper corner and size")):
        seen = f"off their cells; they look like {what}"
        for names in (1, 80):
            rows = grid_rows(names)
            yield Network(f"v8, {names} classes, {what}", _one(change(rows).T), None, refusal=seen, names=names)
            yield Network(f"v8, {names} unnamed classes, {what}", _one(change(rows).T), None, refusal=seen)
        yield Network(f"v8, transposed, {what}", _one(change(rows)), None, refusal=seen)
        yield Network(f"v5, {what}", _one(change(cells_thrice)), None, refusal=seen)
        yield Network(f"YOLOX decoded, {what}", _one(change(cells_once)), None, refusal=seen, names=2)
    small = cells_once.copy()
    small[:, :4] /= np.float32([WIDTH, HEIGHT] * 2)
    shares = "as yolox, its offsets would be shares of the picture"
    yield Network("YOLOX decoded, in shares", _one(small), None, refusal=shares, names=2)
    queries = query_rows(5)
    beyond = "reach beyond the picture; they look like corners"
    yield Network("RT-DETR of Ultralytics, corners", _one(_corners(queries)), None, refusal=beyond, names=5)
    ranked = chosen_rows(5)
    ranked[:, :4] /= np.float32([WIDTH, HEIGHT] * 2)
    yield Network("end to end, corners in shares", _one(ranked), None, refusal=beyond, names=5)
    dets = {"dets": queries[:, :4], "labels": np.log(queries[:, 4:] + 1e-3)}
    yield Network("RF-DETR, corners", dets | {"dets": _corners(queries)[:, :4]}, None, refusal=beyond)
    yield Network("RF-DETR, scores", dets | {"labels": queries[:, 4:]}, None, refusal="logits would all be 0 to 1")
    turned = _one(query_rows(80, 300).T)
    yield Network("RT-DETR of Ultralytics, transposed", turned, None, refusal="rtdetr-ultralytics.*set detector.head")
    for title, rows, side, refusal in (
        ("v8", grid_rows(80).T, 4, "as yolov8-seg, all coefficients of its masks would be 0 to 1"),
        ("v8", grid_rows(80).T, 8, "as yolov8-seg, its masks would have 8×12 pixels, not 16×24"),
        ("v5", grid_rows(80, per_cell=3, objectness=0.02), 4, "as yolov5-seg, all coefficients of its masks"),
    ):
        layer = {"layer": np.ones((64, HEIGHT // side, WIDTH // side), np.float32)}
        yield Network(f"{title} with a layer of {side} pixels", _one(rows) | layer, None, refusal=refusal)
    rows = chosen_rows(4)
    vision = {"boxes": rows[:, :4], "labels": rows[:, 5].astype(np.int64), "scores": rows[:, 4]}
    yield Network(
        "torchvision, classes from 0", vision, None, refusal="count from 1, but boxes have class 0", names=4, batch=None
    )
    padded = chosen_rows(3)
    padded[20:] = -1
    yield Network("end to end, filled up with -1", _one(padded), "end2end", reference.end_to_end, names=3)
    logits = chosen_rows(3)
    logits[:, 4] -= 5
    yield Network("end to end, logits", _one(logits), None, refusal="its scores would be -4.*not 0 to 1", names=3)


def _other_metadata() -> Iterator[Network]:
    """Metadata as other exporters write it, half of it, or of a network that its boxes do not show to be right."""
    raw, chosen, three = _one(grid_rows(3).T), _one(chosen_rows(3)), reference.yolov8(3)
    as_json = {"names": '{"0": "person", "1": "car", "2": "bus"}'}
    yield Network("v8, names as JSON", raw, "yolov8", three, metadata=as_json)
    for names in ("", "null", "[]"):
        no_names = {"names": names, "task": "detect"}
        yield Network(f"v8, names {names!r}", raw, "yolov8", three, metadata=no_names)
    for task in ("Detect", "detection", "object-detection"):
        yield Network(f"v8, task {task}", raw, "yolov8", three, names=3, metadata={"task": task})
    yield Network(
        "v8, another task", raw, None, refusal="3 class names, task segment", names=3, metadata={"task": "segment"}
    )
    said = {"end2end": "true"}
    yield Network("v10, no names, JSON", chosen, "end2end", reference.end_to_end, metadata=said)
    yield Network("v8 that says end to end", raw, None, refusal="end to end in its metadata", names=3, metadata=said)
    dets = {"dets": query_rows(5)[:, :4], "labels": np.log(query_rows(5)[:, 4:] + 1e-3)}
    yield Network("RF-DETR, task", dets, "rfdetr", reference.rfdetr, metadata={"task": "detect"})
    pose = _one(grid_rows(2, more=51).T)
    shape = {"kpt_shape": "[17, 3]"}
    yield Network("pose, key points without names", pose, "yolov8-pose", reference.yolov8(2), metadata=shape)
    yield Network("pose, task alone", pose, None, refusal="yolov8-pose.*set detector.head", metadata={"task": "pose"})
    person = _one(grid_rows(1, more=51).T)
    yield Network("pose of people, task alone", person, "yolov8-pose", reference.yolov8(1), metadata={"task": "pose"})
    ours = {"task": "detect", "author": "Ultralytics"}
    tiny = _one(grid_rows(3, strides=(16, 32)).T)
    yield Network("v3-tiny", tiny, "yolov8", three, names=3, metadata=ours)
    untrained = grid_rows(3).T.copy()
    untrained[2:4, ::2] = -40
    yield Network("26 raw, untrained", _one(untrained), "yolov8", three, names=3, metadata=ours)
    beside = grid_rows(3)
    is_weak = beside[:, 4:].max(axis=1) < 0.3
    beside[is_weak] = _left_top(beside[is_weak])
    yield Network("26 raw, weak boxes beside their cells", _one(beside.T), "yolov8", three, names=3, metadata=ours)
    yield Network("sizes below 0", _one(untrained), None, refusal="would have sizes of -40 pixels", names=3)


def _hopeless() -> Iterator[Network]:
    yield Network("a classifier", _one(np.zeros(1000, np.float32)), None, refusal="unknown kind of detector")
    spoiled = grid_rows(3)
    spoiled[4, 4] = np.nan
    yield Network("NaN", _one(spoiled.T), None, refusal="gives NaN", names=3)
    yield Network(
        "another head chosen", _one(grid_rows(3).T), None, refusal=r"needs .*dets.*\[1, 7, 126\]", chosen="rfdetr"
    )
    yield Network("zeros", _one(np.zeros((126, 6), np.float32)), None, refusal="set detector.head")
    twice = {"a": grid_rows(3).T.copy(), "b": grid_rows(3).T.copy()}
    yield Network("two grids", twice, None, refusal="unknown kind of detector", names=3)
