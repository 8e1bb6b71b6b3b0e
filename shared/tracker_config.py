"""The settings of the tracker, also under the names that `run_live_mtmc.py` gave them."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import Field, SerializationInfo, SerializerFunctionWrapHandler, model_serializer, model_validator

from shared.config_fields import Score, Seconds, Section


def _former(current: str, meaning: str = "") -> Any:
    """An option of the tracker of `run_live_mtmc.py`; validation moves its value to the setting `current`."""
    return Field(
        None,
        exclude=True,
        repr=False,
        description=f"another name of {current}, from run_live_mtmc.py{meaning}",
        json_schema_extra={"deprecated": True},
    )


_FORMER_TRACKER_OPTIONS = {
    "track_conf_thresh": "high_score",
    "new_track_conf_thresh": "new_track_score",
    "track_match_thresh": "match_iou",
    "lost_track_keep_seconds": "max_lost_seconds",
}
"""Option of the tracker of `run_live_mtmc.py` → setting."""


class TrackerConfig(Section):
    """The tracker of one camera (as in ByteTrack: strong detections first, weak ones only to continue tracks)."""

    high_score: Score = Field(0.5, description="detections from this score up are matched first; weaker ones second")
    new_track_score: Score = Field(
        0.5, description="minimum score of a detection that starts a track; has no effect below high_score"
    )
    match_iou: Annotated[float, Field(ge=0, lt=1)] | None = Field(
        None,
        description="a detection that is matched first needs a higher IoU with the predicted box of its track; null: "
        "0.33, or down to 0.2 where predictions are less certain: below 10 pictures per second, while the camera "
        "moves, and for an object that was hidden; and place, size and class must agree",
    )
    max_lost_seconds: Seconds = Field(2.5, description="a track ends after this long without a detection")
    min_hits: int = Field(2, ge=1, le=100, description="number of detections that confirm a track")
    sure_score: Score = Field(
        0.95, description="a detection with a higher score confirms a track alone, which matters at low rates; 1: none"
    )
    track_conf_thresh: Score | None = _former("high_score")
    new_track_conf_thresh: Score | None = _former("new_track_score")
    track_match_thresh: Annotated[float, Field(ge=0.001, le=1)] | None = _former(
        "match_iou", "; its value is 1 − match_iou"
    )
    lost_track_keep_seconds: Seconds | None = _former("max_lost_seconds")

    @model_validator(mode="after")
    def _under_current_names(self) -> Self:
        """Moves the options of `run_live_mtmc.py` to the settings that replace them."""
        given = self.model_fields_set
        former = [name for name in _FORMER_TRACKER_OPTIONS if getattr(self, name) is not None]
        twice = [(name, current) for name in former if (current := _FORMER_TRACKER_OPTIONS[name]) in given]
        if twice:
            pairs = " and ".join(f"{name} is another name of {current}" for name, current in twice)
            raise ValueError(f"{pairs}; set only one of the two")
        for name in former:
            current, value = _FORMER_TRACKER_OPTIONS[name], getattr(self, name)
            if name == "track_match_thresh":
                value = round(1 - value, 9)
            object.__setattr__(self, current, value)  # The model is frozen.
            object.__setattr__(self, name, None)
            given.add(current)
        given.difference_update(_FORMER_TRACKER_OPTIONS)
        return self

    @model_serializer(mode="wrap")
    def _without_usual_match_iou(
        self, handler: SerializerFunctionWrapHandler, info: SerializationInfo
    ) -> dict[str, Any]:
        """Published settings without it stay as earlier versions know them."""
        written: dict[str, Any] = handler(self)
        if info.mode == "json" and self.match_iou is None:
            written.pop("match_iou", None)
        return written
