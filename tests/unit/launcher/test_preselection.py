"""Models for a site file that names none."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from launcher.site_file import load_site
from model_store.store import ModelStore
from shared.config import SiteConfig


@pytest.fixture
def models(tmp_path: Path) -> Path:
    return tmp_path / "models"


def pull(models: Path, name: str, at_s: int) -> Path:
    """Writes a file of the right size, as if it had been pulled at this time."""
    model = ModelStore(models).named(name)
    model.path.parent.mkdir(exist_ok=True)
    with model.path.open("wb") as file:
        file.truncate(model.entry.size_bytes)
    os.utime(model.path, (at_s, at_s))
    return model.path


def load(models: Path, notes: list[str] | None = None, settings: Any = None, **environment: str) -> SiteConfig:
    site_file = models.parent / "site.yaml"
    site_file.write_text(yaml.safe_dump({"site": "yard", **(settings or {})}))
    note = None if notes is None else notes.append
    return load_site(site_file, {"MTMC_MODELS": str(models), **environment}, note=note)


def test_without_pulled_models_those_of_the_demo_are_used(models: Path) -> None:
    notes: list[str] = []
    site = load(models, notes)
    assert (site.detector.model.name, site.embedder.model.name) == ("demo_detector.onnx", "demo_embedder.onnx")
    assert site.preselected == ("detector", "embedder")
    assert ["only the drawn vehicles of the demo" in one for one in notes] == [True, True]


def test_the_model_that_was_pulled_last_is_used_with_its_settings(models: Path) -> None:
    pull(models, "yolox_s", 1000)
    newest = pull(models, "yolox_nano", 2000)
    embedder = pull(models, "vehicle-reid-0001", 1500)
    (models / "yolox_m.onnx").write_bytes(b"damaged")
    site = load(models)
    assert (site.detector.model, site.embedder.model) == (newest, embedder)
    assert site.detector.classes == ("person", "bicycle", "car", "motorcycle", "bus", "truck")
    assert (site.embedder.width, site.embedder.scale) == (208, 1.0)


def test_what_the_file_or_the_environment_says_counts(models: Path, tmp_path: Path) -> None:
    own = tmp_path / "own.onnx"
    own.write_bytes(b"a network")
    pull(models, "yolox_s", 1000)
    site = load(models, settings={"detector": {"classes": ["car"]}, "embedder": {"model": "own.onnx"}})
    assert (site.detector.model.name, site.detector.classes) == ("yolox_s.onnx", ("car",))
    assert site.embedder.model == own
    assert site.preselected == ("detector",)
    site = load(models, MTMC__DETECTOR__MODEL=str(own), MTMC__EMBEDDER=f"{{model: {own}}}")
    assert (site.detector.model, site.embedder.model, site.preselected) == (own, own, ())
    assert site.detector.classes is None, "the settings of a known model are not those of another one"
