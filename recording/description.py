"""`recording.json`: the site of a recording, and how its ticks map to time and frames."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from recording.errors import RecordingError
from shared.config import SiteConfig
from shared.layout import Layout
from shared.text_file import read_text

FILE = "recording.json"
VERSION = 1


class FrameNumbers(BaseModel):
    """Maps ticks to frame numbers of the sources: `first + (tick − tick_of_first) · stride`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tick_of_first: int = Field(1, description="the tick at which the sources begin")
    first: int = Field(1, description="the number of their first frame")
    stride: int = Field(1, ge=1, description="frames per tick")


class MissingEntries(BaseModel):
    """A gap: entries of a camera that were trimmed before the recorder read them, or lost by Redis."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    camera: str
    after_tick: int
    next_tick: int


class Description(BaseModel):
    """The content of `recording.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["mtmc recording"] = "mtmc recording"
    version: int = VERSION
    made_by: str = Field(description="the command and the version of mtmc")
    site: dict[str, Any] = Field(description="the site's configuration, without Redis, layout, masks and credentials")
    layout: dict[str, Any] = Field(description="which camera can follow which; see `shared.layout`")
    origin_ns: int = Field(0, description="site time of tick 0, ns")
    frames: FrameNumbers = FrameNumbers()
    first_tick: int = Field(1, description="the first completely recorded tick")
    last_tick: int | None = Field(None, description="the last completely recorded tick; null: the recorder was killed")
    missing: tuple[MissingEntries, ...] = Field((), description="gaps between first_tick and last_tick")

    @classmethod
    def of(cls, site: SiteConfig, layout: Layout, made_by: str, **more: Any) -> Description:
        """Describe a site, with all credentials removed."""
        content = site.model_dump(mode="json", by_alias=True, exclude={"redis", "layout"})
        for camera, config in zip(content["cameras"], site.cameras, strict=True):
            camera["source"] = config.shown(camera["source"])
            camera["ffmpeg_options"] = {key: config.shown(value) for key, value in camera["ffmpeg_options"].items()}
            camera.pop("secrets", None)
            camera["mask"] = camera["calibration"] = None
        return cls(made_by=made_by, site=content, layout=layout.to_dict(), **more)

    def site_config(self) -> SiteConfig:
        """The recorded configuration."""
        return SiteConfig.model_validate(self.site)

    def site_layout(self) -> Layout:
        """The recorded layout."""
        return Layout.from_dict(self.layout)


def write_description(folder: Path, description: Description) -> None:
    """Write `recording.json` atomically."""
    path = folder / FILE
    draft = path.with_suffix(".json.new")
    with draft.open("w", encoding="utf-8") as file:
        json.dump(description.model_dump(mode="json"), file, indent=1)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def read_description(folder: Path) -> Description:
    """Read and validate `recording.json`.

    Raises:
        RecordingError: the file is missing or invalid.
    """
    path = folder / FILE
    try:
        content = json.loads(read_text(path))
    except FileNotFoundError:
        raise RecordingError(folder, f"is not a recording: it has no {FILE}") from None
    except NotADirectoryError:
        raise RecordingError(folder, "is not a folder; give the folder of a recording") from None
    except (OSError, ValueError) as error:
        raise RecordingError(path, f"cannot be read ({error})") from None
    version = content.get("version") if isinstance(content, dict) else None
    if not isinstance(version, int) or content.get("format") != "mtmc recording":
        raise RecordingError(path, "does not describe a recording")
    if version != VERSION:
        raise RecordingError(path, f"version {version} is not supported (supported: {VERSION}); update mtmc")
    try:
        description = Description.model_validate(content)
        description.site_config()
        description.site_layout()
    except (ValidationError, ValueError, KeyError, TypeError) as error:
        raise RecordingError(path, f"is invalid ({' '.join(str(error).split())})") from None
    return description
