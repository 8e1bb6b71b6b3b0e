"""Where each track was and whether it moved, at common moments of all cameras. Pure.

One object cannot stand and move at once: two tracks that do are two objects, however alike they look, and tracks that
stop and start together are probably one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from association.ground import Ground
from association.track_table import TrackTable

SLOT_NS = 500_000_000
"""Time between two recorded moments. The first picture in each slot counts, so that moments agree between cameras."""
SLOTS = 64
"""Moments that are kept of a track."""
STANDS, MOVES, HAS_FOOT, SEEN, CUT_LEFT, CUT_RIGHT, CUT_BELOW = 1, 2, 4, 8, 16, 32, 64
"""Flags of a moment."""
_LOOK_BACK = (2, 3, 4)
"""A speed is measured against the newest of these earlier slots."""
_STANDING, _MOVING = 0.07, 0.35
"""Below and above these speeds an object stands or moves for certain: object sizes per second."""
_FOOT_HEIGHT = 0.1
"""An object stands on the ground this far above the lower edge of its box, as a share of the box's height."""
_EDGE_PX = 2.0
_WRONG = 0.02
"""Share of moments at which a standing or moving object is taken for the opposite."""
_INDEPENDENT = 0.25
"""Successive moments say the same: each counts as this part of an independent one."""
_LONGEST_GAP_NS = 600_000_000
"""The place at the start of a slot is interpolated between two pictures that are no further apart than this."""
_NEVER_NS = -(2**62)
_SAME_MOMENT_NS = 150_000_000
"""Newest pictures of different cameras that are no further apart show one moment."""
_FEWEST = 3
_CLIP = (-12.0, 5.0)
"""Bounds of the log-likelihood ratio."""

Ratios = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]


class Places(NamedTuple):
    """Where `n` tracks of one camera were; equal columns are equal moments."""

    has_foot: npt.NDArray[np.bool_]
    """`(n, SLOTS)`: whether the place is known."""
    feet: Ratios
    """`(n, SLOTS, 3)`: x, y and size of the object; nan where it is not known."""
    is_cut: npt.NDArray[np.bool_]
    """`(n, SLOTS)`: whether the border of the picture cuts the box, so that it must be in a region."""
    regions: Ratios
    """`(n, SLOTS, 5)`: least and largest x, least and largest y, and size; nan for other moments."""


class Recent(NamedTuple):
    """The tracks of one camera that were seen at one of the last `SLOTS` moments."""

    rows: Rows
    places: Places


class MotionHistory:
    """A ring of moments for each row of the table."""

    def __init__(self, table: TrackTable, ground: Ground | None = None) -> None:
        """`ground`: the calibrations; without one, all feet are pixels as seen."""
        self._table, self._ground = table, ground
        self._sizes: dict[int, tuple[int, int]] = {}
        """Camera → width and height of its pictures, pixels."""
        self.boxes: npt.NDArray[np.float32] = np.zeros((0, SLOTS, 4), np.float32)
        self._flags: npt.NDArray[np.uint8] = np.zeros((0, SLOTS), np.uint8)
        self._last: npt.NDArray[np.int64] = np.zeros(0, np.int64)
        """`(capacity,)` int64: number of the newest recorded slot; -1: none."""
        self.offsets_ns: dict[int, int] = {}
        """Camera → how late its pictures are, ns: this is taken from their times."""
        self._newest: npt.NDArray[np.float32] = np.zeros((0, 4), np.float32)
        """`(capacity, 4)`: box in the newest picture."""
        self._newest_ns: npt.NDArray[np.int64] = np.zeros(0, np.int64)
        """`(capacity,)`: time of that picture; `_NEVER_NS`: none."""
        self._recent: dict[int, Recent] | None = None
        self._index: npt.NDArray[np.intp] = np.zeros(0, np.intp)
        self._camera_slots: dict[int, int] = {}
        self.now = 0
        """Number of the newest slot of any camera."""

    def observe(
        self, camera: int, rows: Rows, time_ns: int, boxes: npt.NDArray[np.float32], width: int, height: int
    ) -> bool:
        """Record a picture, unless an earlier one of the same slot was recorded; whether it was.

        Boxes are recorded as they were at the start of the slot, so that pictures of different times can be compared.

        Args:
            camera: index of the camera.
            rows: `(n,)` intp.
            time_ns: site time of the picture, ns.
            boxes: `(n, 4)` float32 xyxy, pixels.
            width: of the picture, pixels; 0 if unknown.
            height: likewise.
        """
        time_ns -= self.offsets_ns.get(camera, 0)
        slot = time_ns // SLOT_NS
        self._grow()
        before, before_ns = self._newest[rows], self._newest_ns[rows]
        self._newest[rows], self._newest_ns[rows] = boxes, time_ns
        if self._camera_slots.get(camera, -1) >= slot:
            return False
        self._recent = None
        self._camera_slots[camera] = slot
        self._sizes[camera] = width, height
        self.now = max(self.now, slot)
        if not len(rows):
            return True
        skipped = np.clip(slot - self._last[rows], 1, SLOTS)
        places = np.arange(SLOTS)
        stale = ((slot - places) % SLOTS)[None, :] < skipped[:, None]
        self._flags[rows] = np.where(stale, 0, self._flags[rows])
        at = slot % SLOTS
        boxes = _interpolated(boxes, before, time_ns - slot * SLOT_NS, time_ns - before_ns)
        self.boxes[rows, at] = boxes
        self._last[rows] = slot
        sizes = _sizes(boxes)
        speeds = self._speeds(rows, slot, boxes, sizes)
        cuts = _cuts(boxes, width, height)
        is_cut = (cuts > 0) | (boxes[:, 1] < _EDGE_PX)
        flags = np.where(cuts > 0, cuts, HAS_FOOT) + np.where(speeds > _MOVING, MOVES, 0)
        self._flags[rows, at] = flags + np.where((speeds < _STANDING) & ~is_cut, STANDS, 0) + SEEN
        return True

    def _speeds(self, rows: Rows, slot: int, boxes: npt.NDArray[np.float32], sizes: Ratios) -> Ratios:
        """Speed of each box, in its sizes per second, growing and shrinking included; nan where it is not known."""
        speeds = np.full(len(rows), np.nan)
        for back in _LOOK_BACK:
            at = (slot - back) % SLOTS
            known = np.isnan(speeds) & ((self._flags[rows, at] & SEEN) > 0)
            before = self.boxes[rows, at]
            shift = np.hypot(*((boxes[:, :2] + boxes[:, 2:] - before[:, :2] - before[:, 2:]) / 2).T) / sizes
            growth = np.abs(np.log(sizes / _sizes(before)))
            speeds = np.where(known, np.maximum(shift, growth) / (back * SLOT_NS * 1e-9), speeds)
        return speeds

    def restart(self, camera: int) -> None:
        """Forget all moments of a camera: it shows another view."""
        self._grow()
        self._recent = None
        own = self._table.rows["camera"] == camera
        self._flags[own], self._newest_ns[own] = 0, _NEVER_NS

    def is_recent(self, rows: Rows) -> npt.NDArray[np.bool_]:
        """Which tracks were seen at one of the last `SLOTS` moments."""
        recent: npt.NDArray[np.bool_] = self._last[rows] > max(self.now - SLOTS, -1)
        return recent

    def flags(self, rows: Rows) -> npt.NDArray[np.uint8]:
        """The flags of the last `SLOTS` moments, `(n, SLOTS)` uint8; equal columns are equal moments."""
        last = self._last[rows][:, None]
        numbers = last - (last - np.arange(SLOTS)) % SLOTS
        return np.where((numbers > self.now - SLOTS) & (last >= 0), self._flags[rows], 0).astype(np.uint8)

    def recent(self) -> dict[int, Recent]:
        """Camera → its tracks that were seen at one of the last `SLOTS` moments; computed once for each moment."""
        if self._recent is None:
            every = np.flatnonzero(
                self._table.rows["used"][: len(self._last)] & self.is_recent(np.arange(len(self._last)))
            )
            cameras = self._table.rows["camera"][every]
            groups = {camera: every[cameras == camera] for camera in np.unique(cameras).tolist()}
            self._recent = {
                camera: Recent(rows, self._places(camera, self.flags(rows), self.boxes[rows]))
                for camera, rows in groups.items()
            }
            self._index = np.full(len(self._table.rows), -1, np.intp)
            for rows, _ in self._recent.values():
                self._index[rows] = np.arange(len(rows))
        return self._recent

    def index(self, rows: Rows) -> npt.NDArray[np.intp]:
        """Where tracks are among the recent ones of their camera, `(n,)`; -1: a track is not one of them."""
        self.recent()
        found, is_known = np.full(len(rows), -1), rows < len(self._index)
        found[is_known] = self._index[rows[is_known]]
        return found

    def feet(self, rows: Rows, ago: Sequence[int]) -> Ratios:
        """Where tracks stood so many moments ago, `(n, len(ago), 3)`, see `Places.feet`; nan for those not recent."""
        at, cameras = self.index(rows), self._table.rows["camera"][rows]
        feet = np.full((len(rows), len(ago), 3), np.nan)
        slots = (self.now - np.array(ago)) % SLOTS
        for camera, recent in self.recent().items():
            own = np.flatnonzero((cameras == camera) & (at >= 0))
            feet[own] = recent.places.feet[at[own][:, None], slots]
        return feet

    def is_shown(self, rows: Rows) -> npt.NDArray[np.bool_]:
        """Which tracks are in the newest pictures."""
        shown: npt.NDArray[np.bool_] = self._newest_ns[rows] > self._newest_ns.max() - _SAME_MOMENT_NS
        return shown

    def newest_places(self, camera: int, rows: Rows) -> Places:
        """Where tracks of a camera are in its newest picture, which shows them: places of one moment."""
        boxes = self._newest[rows]
        cuts = _cuts(boxes, *self._sizes.get(camera, (0, 0)))
        flags = np.where(cuts == 0, HAS_FOOT, cuts).astype(np.uint8)
        return self._places(camera, flags[:, None], boxes[:, None])

    def newest_feet(self, camera: int, rows: Rows) -> tuple[Ratios, bool]:
        """Where tracks of a camera stand in its newest picture, which shows them.

        Returns:
            `(n, 3)`: x, y and size of the object, nan where the border hides the foot; and whether they are metres on
            the ground, or else pixels.
        """
        boxes = self._newest[rows]
        feet = self._feet(camera, boxes)
        is_metric = self._ground is not None and camera in self._ground
        if self._ground is not None and is_metric:
            feet = self._ground.sized_on_ground(camera, feet)
        return np.where((_cuts(boxes, *self._sizes.get(camera, (0, 0))) == 0)[:, None], feet, np.nan), is_metric

    def _places(self, camera: int, flags: npt.NDArray[np.uint8], boxes: npt.NDArray[np.float32]) -> Places:
        has_foot, is_cut = (flags & HAS_FOOT) > 0, (flags & (CUT_LEFT | CUT_RIGHT | CUT_BELOW)) > 0
        feet, regions = np.full((*flags.shape, 3), np.nan), np.full((*flags.shape, 5), np.nan)
        feet[has_foot] = self._feet(camera, boxes[has_foot])
        x, y, sizes = self._feet(camera, boxes[is_cut]).T
        cuts = flags[is_cut]
        left, right = np.where(cuts & CUT_LEFT, -np.inf, x), np.where(cuts & CUT_RIGHT, np.inf, x)
        regions[is_cut] = np.stack([left, right, y, np.where(cuts & CUT_BELOW, np.inf, y), sizes], axis=-1)
        return Places(has_foot, feet, is_cut, regions)

    def _feet(self, camera: int, boxes: npt.NDArray[np.float32]) -> Ratios:
        """Foot and size of the objects in boxes of one camera, `(k, 4)` to `(k, 3)`, in pixels.

        Of a calibrated camera in the coordinates of the calibration, see `Ground.places`.
        """
        wide = boxes.astype(np.float64)
        heights = wide[:, 3] - wide[:, 1]
        feet = np.stack([(wide[:, 0] + wide[:, 2]) / 2, wide[:, 3] - _FOOT_HEIGHT * heights, _sizes(wide)], axis=-1)
        if self._ground is not None and camera in self._ground:
            feet = self._ground.places(camera, feet, *self._sizes.get(camera, (0, 0)))
        return feet

    def ratios(self, a: Rows, b: Rows) -> Ratios:
        """Log-likelihood ratio of "one object" against "two" from standing and moving, `(len(a), len(b))`."""
        flags_a, flags_b = self.flags(a), self.flags(b)
        stands_a, moves_a = ((flags_a & flag > 0).astype(np.float64) for flag in (STANDS, MOVES))
        stands_b, moves_b = ((flags_b & flag > 0).astype(np.float64) for flag in (STANDS, MOVES))
        both_move, both_stand = moves_a @ moves_b.T, stands_a @ stands_b.T
        only_a, only_b = moves_a @ stands_b.T, stands_a @ moves_b.T
        moments = both_move + both_stand + only_a + only_b
        share_a, share_b = (both_move + only_a + 0.5) / (moments + 1), (both_move + only_b + 0.5) / (moments + 1)
        by_chance = np.clip(share_a * share_b + (1 - share_a) * (1 - share_b), _WRONG, 1 - _WRONG)
        agree = (both_move + both_stand) * np.log((1 - _WRONG) / by_chance)
        ratios = _INDEPENDENT * (agree + (only_a + only_b) * np.log(_WRONG / (1 - by_chance)))
        return np.where(moments >= _FEWEST, np.clip(ratios, *_CLIP), 0.0)

    def cut(self, row: int, ended: int, time_ns: int) -> None:
        """Divide the moments of a track at a time: those before it go to the row of the part that ended."""
        self._grow()
        self._recent = None
        slots = self.now - (self.now - np.arange(SLOTS)) % SLOTS
        before = slots < time_ns // SLOT_NS
        self.boxes[ended], self._flags[ended] = self.boxes[row], np.where(before, self._flags[row], 0)
        self._last[ended] = min(int(self._last[row]), time_ns // SLOT_NS - 1)
        self._flags[row] = np.where(before, 0, self._flags[row])
        self._newest_ns[ended] = _NEVER_NS

    def forget(self, row: int) -> None:
        """Clear a row, which another track may use from now on."""
        self._recent = None
        if row < len(self._last):
            self._flags[row], self._last[row], self._newest_ns[row] = 0, -1, _NEVER_NS

    def renumber_rows(self, new_rows: Rows) -> None:
        """Take note that the track of row `i` is in row `new_rows[i]` now; -1: there is none."""
        kept = np.flatnonzero(new_rows[: len(self._last)] >= 0)
        before = self.boxes[kept], self._flags[kept], self._last[kept], self._newest[kept], self._newest_ns[kept]
        self.boxes, self._flags = self.boxes[:0], self._flags[:0]
        self._last, self._newest, self._newest_ns = self._last[:0], self._newest[:0], self._newest_ns[:0]
        self._grow()
        to = new_rows[kept]
        self.boxes[to], self._flags[to], self._last[to], self._newest[to], self._newest_ns[to] = before
        self._recent = None

    def _grow(self) -> None:
        more = len(self._table.rows) - len(self._last)
        if more > 0:
            self.boxes = np.concatenate([self.boxes, np.zeros((more, SLOTS, 4), np.float32)])
            self._flags = np.concatenate([self._flags, np.zeros((more, SLOTS), np.uint8)])
            self._last = np.concatenate([self._last, np.full(more, -1)])
            self._newest = np.concatenate([self._newest, np.zeros((more, 4), np.float32)])
            self._newest_ns = np.concatenate([self._newest_ns, np.full(more, _NEVER_NS)])

    def to_dict(self) -> dict[str, Any]:
        """The moments that still count, for a checkpoint."""
        rows = np.flatnonzero((self._last > self.now - SLOTS) | (self._newest_ns // SLOT_NS > self.now - SLOTS))
        return {
            "now": self.now,
            "cameras": sorted(self._camera_slots.items()),
            "sizes": [[camera, *size] for camera, size in sorted(self._sizes.items())],
            "rows": rows.astype("<i8").tobytes(),
            "boxes": self.boxes[rows].tobytes(),
            "flags": self._flags[rows].tobytes(),
            "last": self._last[rows].tobytes(),
            "newest": self._newest[rows].tobytes(),
            "newest_ns": self._newest_ns[rows].tobytes(),
            "offsets_ns": sorted(self.offsets_ns.items()),
        }

    def restore(self, data: Mapping[str, Any], camera_index: Sequence[int]) -> None:
        """Restore `to_dict`; camera `i` has index `camera_index[i]` now. The table is restored already."""
        self._grow()
        if not data:
            return
        self.now = data["now"]
        self._camera_slots = {
            camera_index[camera]: slot for camera, slot in data["cameras"] if camera_index[camera] >= 0
        }
        self._sizes = {
            camera_index[camera]: (width, height)
            for camera, width, height in data.get("sizes", ())
            if camera_index[camera] >= 0
        }
        rows = np.frombuffer(data["rows"], "<i8")
        self.boxes[rows] = np.frombuffer(data["boxes"], "<f4").reshape(-1, SLOTS, 4)
        self._flags[rows] = np.frombuffer(data["flags"], np.uint8).reshape(-1, SLOTS)
        self._last[rows] = np.frombuffer(data["last"], "<i8")
        if "newest" in data:
            self._newest[rows] = np.frombuffer(data["newest"], "<f4").reshape(-1, 4)
            self._newest_ns[rows] = np.frombuffer(data["newest_ns"], "<i8")
        self.offsets_ns = {
            camera_index[camera]: offset_ns
            for camera, offset_ns in data.get("offsets_ns", ())
            if camera_index[camera] >= 0
        }


def _cuts(boxes: npt.NDArray[np.float32], width: int, height: int) -> npt.NDArray[np.int64]:
    """Flags of the borders that cut boxes, `(n, 4)` to `(n,)`; width and height are 0 if unknown."""
    left, _, right, bottom = boxes.T
    cuts = np.where(left < _EDGE_PX, CUT_LEFT, 0)
    if width and height:
        cuts += np.where(right > width - _EDGE_PX, CUT_RIGHT, 0)
        cuts += np.where(bottom > height - _EDGE_PX, CUT_BELOW, 0)
    return cuts


def _interpolated(
    boxes: npt.NDArray[np.float32], before: npt.NDArray[np.float32], back_ns: int, gap_ns: npt.NDArray[np.int64]
) -> npt.NDArray[np.float32]:
    """Boxes as they were `back_ns` ago, from the newest ones and those of `gap_ns` ago, `(n, 4)`, `(n, 4)`, `(n,)`."""
    share = np.clip(back_ns / np.maximum(gap_ns, 1), 0.0, 1.0)
    share = np.where((gap_ns > 0) & (gap_ns <= _LONGEST_GAP_NS), share, 0.0)[:, None]
    return (boxes + share * (before.astype(np.float64) - boxes)).astype(np.float32)


def _sizes(boxes: npt.NDArray[np.floating]) -> Ratios:
    """Side of a square as large as each box, pixels, 1 or more: `(…, 4)` to `(…,)`."""
    area = (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])
    return np.sqrt(np.maximum(area.astype(np.float64), 1.0))
