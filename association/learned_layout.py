"""What a site has learned of its cameras: overlapping views, travel times, late pictures. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

OverlapSource = Literal["layout", "calibration", "learned", "unknown"]
"""Where it is known from that two views overlap; `unknown`: it is not known that they do."""


@dataclass(frozen=True)
class LearnedOverlap:
    """What is known of two views."""

    cameras: tuple[int, int]
    """Indices in the layout."""
    source: OverlapSource
    probability: float | None
    """That they overlap; None if the layout or a calibration says it."""
    tracks: int
    """Tracks, among those remembered, that were asked: the other view showed somebody at the same time."""
    found: int
    """Those of them that found themselves in the other view."""
    is_mapped: bool
    """Whether it is known which place in one picture is which in the other."""


@dataclass(frozen=True)
class LearnedStep:
    """What is known of the way from one camera to another, or back to the same one."""

    source: int
    target: int
    handovers: int
    """Newest handovers that the times are from."""
    seconds: tuple[float, float, float]
    """10 %, 50 % and 90 % quantile of the travel times."""


@dataclass(frozen=True)
class LearnedOffset:
    """How much later the pictures of a camera are than those of the cameras with which it sees something together."""

    camera: int
    seconds: float
    """Below 0: earlier."""
    deviation: float
    """Standard deviation of `seconds`."""
    corrected: float
    """What is taken from the times of its pictures, seconds."""


@dataclass(frozen=True)
class Similarities:
    """What a cosine similarity of two tracks says, once the means of their cameras are removed."""

    crops: int
    """Of each track."""
    different: float
    """At this similarity, two objects are 20 times likelier than one."""
    even: float
    same: float
    """At this similarity, one object is 20 times likelier than two."""


@dataclass(frozen=True)
class LearnedAppearance:
    """What has been learned of the embeddings of one embedder."""

    embedder: str
    """Checksum of its file."""
    dimensions: float
    """Effective dimensions: one over the mean square of the similarity of different objects."""
    pairs: float
    """Pairs of different objects that this is known from; the newest count most."""
    similarities: tuple[Similarities, ...]
    cameras: tuple[tuple[int, float], ...]
    """Camera, and how many crops its mean is known from; the newest count most."""


@dataclass(frozen=True)
class LearnedLayout:
    """All that a site has learned of its cameras."""

    overlaps: tuple[LearnedOverlap, ...]
    steps: tuple[LearnedStep, ...]
    offsets: tuple[LearnedOffset, ...] = ()
    appearance: tuple[LearnedAppearance, ...] = ()

    def to_dict(self, cameras: Sequence[str]) -> dict[str, Any]:
        """As JSON-compatible values, with the names of the cameras."""
        overlaps = [asdict(one) | {"cameras": [cameras[index] for index in one.cameras]} for one in self.overlaps]
        steps = [
            {
                "from": cameras[one.source],
                "to": cameras[one.target],
                "handovers": one.handovers,
                "seconds": [round(seconds, 2) for seconds in one.seconds],
            }
            for one in self.steps
        ]
        offsets = [asdict(one) | {"camera": cameras[one.camera]} for one in self.offsets]
        appearance = [
            asdict(one)
            | {"cameras": [{"camera": cameras[index], "crops": round(crops)} for index, crops in one.cameras]}
            for one in self.appearance
        ]
        return {"overlaps": overlaps, "steps": steps, "time_offsets": offsets, "appearance": appearance}
