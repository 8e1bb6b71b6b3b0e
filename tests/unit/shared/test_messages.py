from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from shared.errors import MessageError
from shared.messages import SCHEMA, TrackBatch, TrackEntry

GOLDEN = Path(__file__).resolve().parents[2] / "golden"
ARRAYS = ("track_id", "box_xyxy", "score", "class", "quality", "embedding_row", "embeddings", "ended")


def example() -> TrackBatch:
    """Two tracks, of which the second is embedded, and one that has ended: every value is exact in its dtype."""
    return TrackBatch(
        track_ids=np.array([1790000000000000, 1790000000000001], np.int64),
        boxes_xyxy=np.array([[10.5, 20.25, 110.5, 220.75], [-3.0, 0.0, 640.0, 480.0]], np.float32),
        scores=np.array([0.5, 0.875], np.float32),
        class_ids=np.array([2, 7], np.int16),
        qualities=np.array([0.25, 0.75], np.float32),
        embedding_rows=np.array([-1, 0], np.int32),
        embeddings=np.array([[0.6001, -0.8, 0.0, 0.0]], np.float16),
        ended=np.array([1789999999999999], np.int64),
        embedder="c0ffee",
        width=640,
        height=480,
    )


def as_json(batch: TrackBatch) -> dict[str, Any]:
    values = {name: getattr(batch, name) for name in batch.__dataclass_fields__}
    return {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in values.items()}


def fields_of(batch: TrackBatch, **changes: Any) -> dict[bytes, bytes]:
    fields = {
        "schema": SCHEMA,
        "seq": 5,
        "camera": "north",
        "tick": 12,
        "time_ns": 1_790_000_000_000_000_000,
        "n": len(batch),
        "payload": batch.encode(),
    } | changes
    return {name.encode(): value if isinstance(value, bytes) else str(value).encode() for name, value in fields.items()}


@st.composite
def batches(draw: st.DrawFn) -> TrackBatch:
    n = draw(st.integers(0, 6))
    rows = draw(st.integers(0, 4))
    dimension = draw(st.integers(1, 8)) if rows else draw(st.integers(0, 8))
    numbers = st.floats(-1e6, 1e6, width=32)
    whole = st.integers(-(2**63), 2**63 - 1)
    return TrackBatch(
        track_ids=np.array(draw(st.lists(whole, min_size=n, max_size=n, unique=True)), np.int64),
        boxes_xyxy=draw(npst.arrays(np.float32, (n, 4), elements=numbers)),
        scores=draw(npst.arrays(np.float32, n, elements=st.floats(0, 1, width=32))),
        class_ids=draw(npst.arrays(np.int16, n)),
        qualities=draw(npst.arrays(np.float32, n, elements=st.floats(0, 1, width=32))),
        embedding_rows=draw(npst.arrays(np.int32, n, elements=st.integers(-1, rows - 1))),
        embeddings=draw(npst.arrays(np.float16, (rows, dimension), elements=st.floats(-1, 1, width=16))),
        ended=np.array(draw(st.lists(whole, max_size=4)), np.int64),
        embedder=draw(st.text(max_size=8)),
        width=draw(st.integers(0, 2**31 - 1)),
        height=draw(st.integers(0, 2**31 - 1)),
    )


def assert_same(one: TrackBatch, other: TrackBatch) -> None:
    for name in one.__dataclass_fields__:
        left, right = getattr(one, name), getattr(other, name)
        if isinstance(left, np.ndarray):
            assert left.dtype == right.dtype, name
            assert (left.shape == right.shape) or left.size == right.size == 0, name
            np.testing.assert_array_equal(left.ravel(), right.ravel(), name)
        else:
            assert left == right, name


@given(batches())
def test_a_batch_survives_a_round_trip(batch: TrackBatch) -> None:
    assert_same(TrackBatch.decode(batch.encode()), batch)


def test_an_entry_survives_a_round_trip() -> None:
    entry = TrackEntry.decode(fields_of(example()))
    assert (entry.seq, entry.camera, entry.tick, entry.time_ns) == (5, "north", 12, 1_790_000_000_000_000_000)
    assert_same(entry.batch, example())


def test_the_bytes_of_schema_1_have_not_changed() -> None:
    golden = (GOLDEN / "track_entry_schema1.msgpack").read_bytes()
    assert SCHEMA == 1, "a new schema needs golden bytes of its own, and the old ones must still be read"
    assert example().encode() == golden
    content = json.loads((GOLDEN / "track_entry_schema1.json").read_text())
    assert as_json(TrackBatch.decode(golden)) == content | {"pose": "fixed"}, "entries of earlier versions have none"


def test_numbers_are_little_endian_for_any_input_order() -> None:
    batch = example()
    swapped = TrackBatch(**{**batch.__dict__, "track_ids": batch.track_ids.astype(">i8")})
    assert swapped.encode() == batch.encode()


def test_a_sliced_array_is_encoded_correctly() -> None:
    batch = example()
    wide = np.repeat(batch.boxes_xyxy, 2, axis=1)[:, ::2]
    assert TrackBatch(**{**batch.__dict__, "boxes_xyxy": wide}).encode() == batch.encode()


def refused(payload: bytes) -> str:
    with pytest.raises(MessageError) as caught:
        TrackBatch.decode(payload)
    return str(caught.value)


def changed(change: Callable[[dict[str, Any]], None]) -> bytes:
    packed = msgpack.unpackb(example().encode())
    change(packed)
    payload: bytes = msgpack.packb(packed)
    return payload


@settings(max_examples=300)
@given(st.binary(max_size=300))
def test_random_bytes_are_refused(payload: bytes) -> None:
    refused(payload)


@given(st.data())
def test_a_flipped_byte_is_refused_or_yields_a_valid_batch(data: st.DataObject) -> None:
    payload = bytearray(example().encode())
    for _ in range(data.draw(st.integers(1, 3))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    try:
        batch = TrackBatch.decode(bytes(payload))
    except MessageError:
        return
    assert len(batch.boxes_xyxy) == len(batch.scores) == len(batch.qualities) == len(batch)
    assert all(-1 <= row < len(batch.embeddings) for row in batch.embedding_rows.tolist())
    assert np.isfinite(batch.boxes_xyxy).all()


def test_every_truncation_is_refused() -> None:
    payload = example().encode()
    for length in range(len(payload)):
        refused(payload[:length])
    refused(payload + b"\x00")


@pytest.mark.parametrize(
    "claim", [b"\xc6\xff\xff\xff\xff", b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\x91" * 5000]
)
def test_a_huge_claimed_size_or_depth_does_not_use_memory(claim: bytes) -> None:
    refused(claim)
    refused(b"\x81\xa8track_id" + claim)


@pytest.mark.parametrize("name", [*ARRAYS, "dimension", "embedder", "width", "height"])
def test_a_missing_part_is_named(name: str) -> None:
    assert name in refused(changed(lambda packed: packed.pop(name)))


@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.parametrize("value", [None, 7, "text", [1, 2], {}, b"\x00", 1e300, True])
def test_a_part_of_a_wrong_kind_or_length_is_refused(name: str, value: Any) -> None:
    refused(changed(lambda packed: packed.update({name: value})))


@pytest.mark.parametrize("name", ["dimension", "width", "height"])
@pytest.mark.parametrize("value", [None, -1, -5, 2**63, float("inf"), float("nan"), 1e30, "many", [4], b"\xff"])
def test_a_number_of_a_wrong_kind_or_size_is_refused(name: str, value: Any) -> None:
    refused(changed(lambda packed: packed.update({name: value})))


@pytest.mark.parametrize("pose", ["fixed", "moving", "moved"])
def test_the_pose_of_the_camera_survives(pose: Any) -> None:
    assert TrackBatch.decode(TrackBatch(**{**example().__dict__, "pose": pose}).encode()).pose == pose


def test_an_entry_of_an_earlier_version_has_no_pose() -> None:
    assert "pose" not in msgpack.unpackb(example().encode())
    assert TrackBatch.decode(example().encode()).pose == "fixed"


@pytest.mark.parametrize("value", ["upside down", 1, None, [], b"moved"])
def test_an_unknown_pose_is_refused(value: Any) -> None:
    assert "pose" in refused(changed(lambda packed: packed.update({"pose": value})))


@pytest.mark.parametrize("name", ["track_id", "box_xyxy", "score", "class", "quality", "embedding_row"])
def test_one_element_too_many_is_refused(name: str) -> None:
    size = {"box_xyxy": 16, "track_id": 8, "class": 2}.get(name, 4)
    assert "differ in length" in refused(changed(lambda packed: packed.update({name: packed[name] + b"\x01" * size})))


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        ("track_ids", np.array([4, 4])),
        ("embedding_rows", np.array([0, 1])),
        ("embedding_rows", np.array([0, -2])),
        ("boxes_xyxy", np.array([[0, 0, np.nan, 1], [0, 0, 1, 1]])),
        ("boxes_xyxy", np.array([[0, 0, np.inf, 1], [0, 0, 1, 1]])),
        ("scores", np.array([np.nan, 1])),
        ("qualities", np.array([1, np.inf])),
        ("embeddings", np.array([[np.nan, 0, 0, 0]])),
    ],
)
def test_numbers_that_make_no_sense_are_refused(attribute: str, value: Any) -> None:
    refused(TrackBatch(**{**example().__dict__, attribute: value}).encode())


@pytest.mark.parametrize(
    "changes",
    [
        {"schema": 2},
        {"schema": b"one"},
        {"n": 3},
        {"n": b""},
        {"tick": -1},
        {"tick": 10**30},
        {"tick": b"nan"},
        {"seq": -1},
        {"time_ns": 2**63},
        {"camera": b"\xff\xfe"},
        {"payload": b""},
    ],
)
def test_an_entry_with_a_wrong_field_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(MessageError):
        TrackEntry.decode(fields_of(example(), **changes))


@pytest.mark.parametrize("name", [b"schema", b"seq", b"camera", b"tick", b"time_ns", b"n", b"payload"])
def test_a_missing_field_of_an_entry_is_named(name: bytes) -> None:
    fields = fields_of(example())
    del fields[name]
    with pytest.raises(MessageError, match=name.decode()):
        TrackEntry.decode(fields)


def test_an_unknown_schema_is_reported_differently_from_damage() -> None:
    with pytest.raises(MessageError, match=r"schema 9 .* same version"):
        TrackEntry.decode(fields_of(example(), schema=9))
