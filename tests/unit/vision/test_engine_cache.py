"""Building a TensorRT engine takes minutes, so the cache folder must be passed to ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from model_store.benchmark import load_network
from model_store.store import ModelStore
from shared.config import SiteConfig
from site_checks.models import examine_models
from tests.small_site import small_site
from tests.unit.vision.fake_tensorrt import Options, install
from tests.unit.vision.model_files import write_mean_model
from vision.inference.backends.model import checksum_of
from vision.inference.backends.onnx_runtime import OnnxModel
from vision.inference.models import Models


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Options]:
    """The TensorRT options of each session."""
    asked: list[Options] = []
    install(monkeypatch.setattr, asked.append)
    return asked


@pytest.fixture
def site(tmp_path: Path) -> SiteConfig:
    return SiteConfig.model_validate(small_site(tmp_path, "ab"), context={"base": tmp_path})


def worker(site: SiteConfig, engines: Path) -> None:
    models = Models(site, threads=1, engine_cache=engines)
    assert [models.detector(camera).device for camera in site.cameras] == ["tensorrt"] * 2


def doctor(site: SiteConfig, engines: Path) -> None:
    assert [finding for finding in examine_models(site, 1, engines) if "on tensorrt" in finding.what]


def benchmarks(site: SiteConfig, engines: Path) -> None:
    for model in (site.embedder.model, site.detector.model):
        load_network(str(model), ModelStore(engines), threads=1, backend="tensorrt", engine_cache=engines)


@pytest.mark.parametrize("load", [worker, doctor, benchmarks])
def test_the_cache_folder_reaches_the_provider_options_of_every_network(
    asked: list[Options], site: SiteConfig, tmp_path: Path, load: Callable[[SiteConfig, Path], None]
) -> None:
    engines = tmp_path / "some" / "engines"
    load(site, engines)
    folders = [engines / checksum_of(model) for model in (site.embedder.model, site.detector.model)]
    assert {options["trt_engine_cache_path"] for options in asked} == {str(folder) for folder in folders}
    assert {options["trt_timing_cache_path"] for options in asked} == {str(folder) for folder in folders}
    assert {options["trt_engine_cache_enable"] for options in asked} == {"True"}
    assert {options["trt_timing_cache_enable"] for options in asked} == {"True"}
    assert all(folder.is_dir() for folder in folders)


def test_without_a_folder_nothing_is_cached(asked: list[Options], site: SiteConfig) -> None:
    assert Models(site, threads=1).device == "tensorrt"
    assert asked
    assert not [key for options in asked for key in options if "cache" in key]


def test_new_weights_in_a_file_of_the_same_name_do_not_use_the_old_engine(asked: list[Options], tmp_path: Path) -> None:
    for name in ("first", "second"):
        write_mean_model(tmp_path / "m.onnx", metadata={"trained": name})
        OnnxModel.load(tmp_path / "m.onnx", device="tensorrt", engine_cache=tmp_path / "engines")
    first, second = (options["trt_engine_cache_path"] for options in asked)
    assert first != second


def load_with_a_file_in_the_way(folder: Path, device: Any) -> tuple[str, Sequence[str]]:
    (folder / "engines").touch()
    with capture_logs() as logs:
        model = OnnxModel.load(
            write_mean_model(folder / "m.onnx"), device=device, engine_cache=folder / "engines" / "of-mtmc"
        )
    return model.device, [entry["folder"] for entry in logs if entry["log_level"] == "warning"]


def test_a_folder_that_cannot_be_written_is_a_warning(asked: list[Options], tmp_path: Path) -> None:
    device, warned = load_with_a_file_in_the_way(tmp_path, "tensorrt")
    assert device == "tensorrt"
    assert warned == [str(tmp_path / "engines" / "of-mtmc")]
    assert not [key for options in asked for key in options if "cache" in key]


def test_without_tensorrt_a_folder_that_cannot_be_written_is_no_warning(tmp_path: Path) -> None:
    assert load_with_a_file_in_the_way(tmp_path, "cpu") == ("cpu", [])
