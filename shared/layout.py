"""Which camera can follow which, and how fast.

Row `i`, column `j` is for an object that leaves camera `i` and next appears in camera `j`. The time between is
`start in j − end in i` in seconds of site time. It is negative if `i` still sees the object, so a negative `dtmin`
means that the two views overlap.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from shared.calibration import Calibration
from shared.errors import LayoutError
from shared.text_file import read_text

_VECTORS = ("fps", "scales", "offset")
_MATRICES = ("compatibility", "dtmin", "dtmax")
_BLOCKS = _VECTORS + _MATRICES


@dataclass(frozen=True)
class Layout:
    """The transitions between `n` cameras.

    `compatible` is `(n, n)` bool, `dtmin` and `dtmax` are `(n, n)` float64 in seconds, `inf` and `-inf` allowed.
    `fps`, `scales` and `offset` are `(n,)` float64 or None: the values of a `run_live_mtmc.py` layout for video files.
    `fps` has no effect. `unknown` is `(n, n)` bool, symmetric, or None: pairs of cameras of which nothing is known;
    each step between them is possible, and whether their views overlap has to be learned.
    """

    cameras: tuple[str, ...]
    compatible: npt.NDArray[np.bool_]
    dtmin: npt.NDArray[np.float64]
    dtmax: npt.NDArray[np.float64]
    fps: npt.NDArray[np.float64] | None = None
    scales: npt.NDArray[np.float64] | None = None
    offset: npt.NDArray[np.float64] | None = None
    unknown: npt.NDArray[np.bool_] | None = None
    calibrations: Mapping[str, Calibration] = field(default_factory=dict)
    """Camera → where the ground is in its picture; cameras without a calibration are left out."""

    @classmethod
    def open(cls, cameras: tuple[str, ...]) -> Layout:
        """The layout without any knowledge: every step is possible, every pair of views may overlap."""
        n = len(cameras)
        return cls(
            cameras,
            compatible=np.ones((n, n), bool),
            dtmin=np.full((n, n), -math.inf),
            dtmax=np.full((n, n), math.inf),
            unknown=~np.eye(n, dtype=np.bool_),
        ).with_returns()

    @classmethod
    def closed(cls, cameras: tuple[str, ...]) -> Layout:
        """A layout in which an object can only return to the camera that it left; a base to add transitions to."""
        n = len(cameras)
        return cls(
            cameras, compatible=np.zeros((n, n), bool), dtmin=np.zeros((n, n)), dtmax=np.zeros((n, n))
        ).with_returns()

    def with_returns(self) -> Layout:
        """A copy in which an object may always return to the camera that it left, after any time."""
        compatible, dtmin, dtmax = self.compatible.copy(), self.dtmin.copy(), self.dtmax.copy()
        np.fill_diagonal(compatible, val=True)
        np.fill_diagonal(dtmin, 0.0)
        np.fill_diagonal(dtmax, math.inf)
        return replace(self, compatible=compatible, dtmin=dtmin, dtmax=dtmax)

    def with_transition(
        self, source: str, target: str, min_seconds: float, max_seconds: float, *, overlapping: bool = False
    ) -> Layout:
        """A copy with one more possible step; a step added twice spans both time windows.

        Raises:
            LayoutError: an unknown camera.
        """
        i, j = self._index(source), self._index(target)
        compatible, dtmin, dtmax = self.compatible.copy(), self.dtmin.copy(), self.dtmax.copy()
        unknown = self.pairs_unknown.copy()
        unknown[i, j] = unknown[j, i] = False
        lowest = -math.inf if overlapping else min_seconds
        known = bool(compatible[i, j]) and i != j
        dtmin[i, j] = min(lowest, dtmin[i, j]) if known else lowest
        dtmax[i, j] = max(max_seconds, dtmax[i, j]) if known else max_seconds
        compatible[i, j] = True
        return replace(self, compatible=compatible, dtmin=dtmin, dtmax=dtmax, unknown=unknown)

    def of(self, cameras: tuple[str, ...]) -> Layout:
        """The part of this layout for some of its cameras.

        Raises:
            LayoutError: the layout does not have one of them.
        """
        missing = [camera for camera in cameras if camera not in self.cameras]
        if missing:
            raise LayoutError(f"layout.cameras lacks {', '.join(missing)}; list every camera of the file, in its order")
        own = [self.cameras.index(camera) for camera in cameras]
        block = np.ix_(own, own)
        vectors = {name: vector[own] for name in _VECTORS if (vector := getattr(self, name)) is not None}
        unknown = self.pairs_unknown[block]
        return Layout(
            cameras,
            self.compatible[block],
            self.dtmin[block],
            self.dtmax[block],
            unknown=unknown,
            calibrations=self._calibrations_of(cameras),
            **vectors,
        )

    def over(self, cameras: tuple[str, ...]) -> Layout:
        """This layout for `cameras`; to and from cameras that it does not have, every step is possible.

        `fps`, `scales` and `offset` are left out.
        """
        wide = Layout.open(cameras)
        known = [i for i, camera in enumerate(cameras) if camera in self.cameras]
        own = [self.cameras.index(cameras[i]) for i in known]
        for name in ("compatible", "dtmin", "dtmax"):
            getattr(wide, name)[np.ix_(known, known)] = getattr(self, name)[np.ix_(own, own)]
        wide.pairs_unknown[np.ix_(known, known)] = self.pairs_unknown[np.ix_(own, own)]
        return replace(wide, calibrations=self._calibrations_of(cameras))

    def _calibrations_of(self, cameras: tuple[str, ...]) -> dict[str, Calibration]:
        return {camera: one for camera, one in self.calibrations.items() if camera in cameras}

    @property
    def pairs_unknown(self) -> npt.NDArray[np.bool_]:
        """`(n, n)` bool, symmetric: `unknown`, or all False."""
        return np.zeros(self.compatible.shape, np.bool_) if self.unknown is None else self.unknown

    @property
    def overlapping(self) -> npt.NDArray[np.bool_]:
        """`(n, n)` bool, symmetric: the views of the two cameras overlap."""
        one_way = self.compatible & (self.dtmin < 0)
        both: npt.NDArray[np.bool_] = one_way | one_way.T
        np.fill_diagonal(both, val=False)
        return both

    def _index(self, camera: str) -> int:
        try:
            return self.cameras.index(camera)
        except ValueError:
            raise LayoutError(
                f"the layout names the camera '{camera}', but the site has {', '.join(self.cameras)}"
            ) from None

    def to_dict(self) -> dict[str, Any]:
        """The layout as JSON-compatible values; infinities are the strings `inf` and `-inf`."""
        calibrations = {camera: one.to_dict() for camera, one in sorted(self.calibrations.items())}
        return {
            "cameras": list(self.cameras),
            "compatible": self.compatible.astype(int).tolist(),
            "dtmin": [[_plain(value) for value in row] for row in self.dtmin.tolist()],
            "dtmax": [[_plain(value) for value in row] for row in self.dtmax.tolist()],
            "unknown": self.pairs_unknown.astype(int).tolist(),
            **{name: vector.tolist() for name in _VECTORS if (vector := getattr(self, name)) is not None},
            **({"calibrations": calibrations} if calibrations else {}),
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Layout:
        """The reverse of `to_dict`."""
        cameras = tuple(data["cameras"])
        square = (len(cameras), len(cameras))  # also of no cameras
        dtmin = np.array([[float(value) for value in row] for row in data["dtmin"]], np.float64).reshape(square)
        dtmax = np.array([[float(value) for value in row] for row in data["dtmax"]], np.float64).reshape(square)
        compatible = np.array(data["compatible"], bool).reshape(square)
        # Layouts of earlier versions do not say what is unknown: all of it, if they allow everything.
        nothing = cls.open(cameras)
        allows_all = compatible.all() and (dtmin == nothing.dtmin).all() and (dtmax == nothing.dtmax).all()
        default = nothing.pairs_unknown & allows_all
        return cls(
            cameras,
            compatible=compatible,
            dtmin=dtmin,
            dtmax=dtmax,
            unknown=np.array(data.get("unknown", default), np.bool_).reshape(square),
            calibrations={camera: Calibration.from_dict(one) for camera, one in data.get("calibrations", {}).items()},
            **{name: np.array(data[name], np.float64) for name in _VECTORS if name in data},
        )


def _plain(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)


def parse_layout(text: str, cameras: tuple[str, ...], where: str = "layout") -> Layout:
    """Parses the text format of `run_live_mtmc.py`.

    Lines `fps`, `scales` and `offset`, each followed by one line of n numbers; `compatibility`, `dtmin` and `dtmax`,
    each followed by n lines of n numbers. `#` starts a comment; `inf` and `-inf` are numbers. `run_live_mtmc.py`
    ignored the diagonal, so a return to the same camera is always possible.

    Raises:
        LayoutError: the text is invalid; the message names `where`, the line, and what was expected.
    """
    n = len(cameras)
    lines = [(number, line.split("#", 1)[0].split()) for number, line in enumerate(text.splitlines(), start=1)]
    rows = iter([(number, words) for number, words in lines if words])
    found: dict[str, npt.NDArray[np.float64]] = {}
    for number, words in rows:
        name = words[0].rstrip(":").lower()
        if len(words) > 1 or name not in _BLOCKS:
            raise LayoutError(
                f"{where}, line {number}: expected the name of a block ({', '.join(_BLOCKS)}), not "
                f"'{' '.join(words)}'; every line of a block has {n} numbers, one for each camera"
            )
        if name in found:
            raise LayoutError(f"{where}, line {number}: the block '{name}' appears twice; remove one")
        count = 1 if name in _VECTORS else n
        block = [_numbers(next(rows, None), n, where, name, number) for _ in range(count)]
        found[name] = np.array(block, np.float64)
    missing = [name for name in _MATRICES if name not in found]
    if missing:
        raise LayoutError(f"{where}: {', '.join(missing)} missing; the blocks {', '.join(_MATRICES)} are required")
    _check(found, where)
    return Layout(
        cameras,
        compatible=found["compatibility"] != 0,
        dtmin=found["dtmin"],
        dtmax=found["dtmax"],
        **{name: found[name][0] for name in _VECTORS if name in found},
    ).with_returns()


def _numbers(row: tuple[int, list[str]] | None, n: int, where: str, name: str, start: int) -> list[float]:
    if row is None:
        raise LayoutError(f"{where}: the file ends inside '{name}' (line {start}); the site has {n} cameras")
    number, words = row
    if len(words) != n:
        raise LayoutError(
            f"{where}, line {number}: {len(words)} numbers in '{name}', but the site has {n} cameras; "
            "write one number for each camera"
        )
    try:
        values = [float(word) for word in words]
    except ValueError:
        raise LayoutError(f"{where}, line {number}: '{' '.join(words)}' in '{name}' is not {n} numbers") from None
    if any(math.isnan(value) for value in values):
        raise LayoutError(f"{where}, line {number}: nan in '{name}'; use inf or -inf for no bound")
    return values


def _check(found: dict[str, npt.NDArray[np.float64]], where: str) -> None:
    possible = found["compatibility"] != 0
    off_diagonal = ~np.eye(len(possible), dtype=bool)
    empty = np.argwhere(possible & off_diagonal & (found["dtmin"] > found["dtmax"]))
    if len(empty):
        i, j = empty[0]
        raise LayoutError(
            f"{where}: dtmin {found['dtmin'][i, j]:g} > dtmax {found['dtmax'][i, j]:g} at row {i + 1}, column {j + 1}"
        )
    for name in ("fps", "scales"):
        if name in found and (not np.isfinite(found[name]).all() or (found[name] <= 0).any()):
            raise LayoutError(
                f"{where}: '{name}' must be numbers greater than 0; write one such number for each camera"
            )
    if "offset" in found and not np.isfinite(found["offset"]).all():
        raise LayoutError(f"{where}: 'offset' must be finite numbers of seconds")


def columns_of(text: str) -> int:
    """The number of cameras of a layout text: the length of its first line of numbers; 0 if it has none."""
    lines = (line.split("#", 1)[0].split() for line in text.splitlines())
    return next((len(words) for words in lines if words and words[0].rstrip(":").lower() not in _BLOCKS), 0)


def read_layout(path: Path, cameras: tuple[str, ...]) -> Layout:
    """Reads a layout text file; see `parse_layout`.

    Raises:
        LayoutError: the file cannot be read, or is invalid.
    """
    try:
        text = read_text(path)
    except (OSError, UnicodeDecodeError) as error:
        raise LayoutError(f"{path}: cannot be read as UTF-8 text: {error}") from None
    return parse_layout(text, cameras, str(path))
