"""`/models`: which networks the site runs, and what they find."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from model_store.manifest import ModelEntry, read_manifest
from services.streamer.api.models import Model, Text
from services.streamer.api.operations import Operations
from services.streamer.api.parts import ApiParts
from shared.camera_settings import read_settings

_TAG = "site"


class Network(Model):
    """One network of the site."""

    name: Text = Field(description="name of a known model, or of the file")
    what: Text | None = Field(description="what it is, for people; null: it is not a known model")
    of_demo: bool = Field(description="whether it comes with mtmc, for the synthetic demo only")
    preselected: bool = Field(description="whether the site file names none, so that mtmc chose it")


class Networks(Model):
    """The networks of the site. A camera may have a detector of its own."""

    detector: Network
    embedder: Network
    classes: list[Text] | None = Field(description="what the detector looks for; null: not known before a camera runs")


def add(api: Operations, parts: ApiParts) -> None:
    """Adds the operations."""
    known = {entry.file_name: entry for entry in read_manifest().models}

    @api.get("/models", "Which networks the site runs, and what they find", Networks, tag=_TAG)
    def _models() -> Networks:
        config = parts.published.config
        return Networks(
            detector=_network(config.detector.model, known, is_preselected="detector" in config.preselected),
            embedder=_network(config.embedder.model, known, is_preselected="embedder" in config.preselected),
            classes=_classes(parts),
        )


def _network(model: Path, known: dict[str, ModelEntry], *, is_preselected: bool) -> Network:
    entry = known.get(model.name)
    return Network(
        name=entry.name if entry else model.name,
        what=entry.what if entry else None,
        of_demo=entry is not None and entry.url is None,
        preselected=is_preselected,
    )


def _classes(parts: ApiParts) -> list[str] | None:
    own = {name for name, one in read_settings(parts.client, parts.keys).items() if one and one.detector}
    names: tuple[str, ...] = next(
        (one.class_names for one in parts.site.current().cameras if one.class_names and one.name not in own), ()
    )
    wanted = parts.published.config.detector.classes
    if wanted is None:
        return list(names) or None
    return [one if isinstance(one, str) else names[one] if one < len(names) else f"class{one}" for one in wanted]
