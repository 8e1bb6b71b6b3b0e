"""The manifest of models, its entries, and the paths of their files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from model_store.manifest import MANIFEST, read_manifest, site_snippet
from model_store.store import ModelStore, cache_folder
from shared.config import EmbedderConfig, SiteConfig
from shared.errors import MtmcError
from tests.unit.vision.model_files import write_mean_model
from vision.inference.models import load_embedder

SHA256 = f"sha256:{'0' * 64}"
ENTRY: dict[str, Any] = {
    "name": "tiny",
    "kind": "detector",
    "what": "anything",
    "licence": "MIT",
    "url": "https://models.example/tiny.onnx",
    "size_bytes": 10,
    "checksum": SHA256,
}

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a manifest of entries like `ENTRY`, with the given changes."""

    def write(*changes: dict[str, Any]) -> Path:
        path = tmp_path / "models.yaml"
        path.write_text(yaml.safe_dump({"models": [{**ENTRY, **change} for change in changes]}))
        return path

    return write


def test_the_shipped_files_match_the_manifest() -> None:
    for model in ModelStore(Path("none")).known:
        if model.is_shipped:
            assert model.path.is_file(), model.path
            assert model.fault_of(model.path) is None


def test_all_shipped_weights_are_in_the_manifest() -> None:
    listed = {model.path.name for model in ModelStore(Path("none")).known if model.is_shipped}
    assert {path.name for path in MANIFEST.parent.glob("*.onnx")} == listed


def test_the_printed_snippet_of_every_model_is_valid_in_a_site_file() -> None:
    models = read_manifest().models
    names = {"vehicle-reid-0001", "person_reid_youtu", "person_reid_youtu_int8", "yolox_nano", "yolox_x"}
    assert names <= {entry.name for entry in models}
    for entry in models:
        printed = site_snippet(entry.section(Path("/models") / entry.file_name))
        other = {"embedder": {"model": "/e.onnx"}, "detector": {"model": "/d.onnx"}}
        cameras = [{"name": "gate", "source": "rtsp://nowhere"}]
        site = SiteConfig.model_validate({"site": "hall", "cameras": cameras, **other, **yaml.safe_load(printed)})
        section = getattr(site, entry.kind)
        assert section.model == Path("/models") / entry.file_name
        for key, value in entry.settings.items():
            assert getattr(section, key) == (tuple(value) if isinstance(value, list) else value)


@pytest.mark.parametrize("name", ["person_reid_youtu", "person_reid_youtu_int8"])
def test_an_embedder_for_people_gets_crops_as_its_publisher_prepares_them(tmp_path: Path, name: str) -> None:
    (entry,) = [entry for entry in read_manifest().models if entry.name == name]
    # The means of the channels of its input, in the published shape.
    path = write_mean_model(tmp_path / entry.file_name, (1, 3, 256, 128))
    embedder = load_embedder(EmbedderConfig.model_validate(entry.section(path)["embedder"]), threads=1)
    blue, green, red = 30, 90, 200
    picture = np.full((300, 200, 3), (blue, green, red), np.uint8)

    (vector,) = embedder.embed([(picture, np.array([[10, 10, 110, 290]], np.float32))])

    expected = (np.array([red, green, blue]) / 255 - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)
    np.testing.assert_allclose(vector, expected / np.linalg.norm(expected), atol=1e-4)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"name": "a/b"}, "models.0.name"),
        ({"kind": "tracker"}, "models.0.kind"),
        ({"url": "ftp://models.example/tiny.onnx"}, "models.0.url"),
        ({"size_bytes": 0}, "models.0.size_bytes"),
        ({"checksum": "md5:0"}, "models.0.checksum"),
        ({"checksum": f"sha384:{'0' * 64}"}, "models.0.checksum"),
        ({"settings": {"clases": ["car"]}}, "tiny: settings.clases"),
        ({"kind": "embedder", "settings": {"width": 3}}, "tiny: settings.width"),
        ({"size": 10}, "models.0.size: Extra inputs"),
        ({"name": "yolov8s"}, "yolov8s: this name is reserved for a model of Ultralytics"),
    ],
)
def test_a_wrong_entry_is_named_in_one_line(change: dict[str, Any], complaint: str, write: Write) -> None:
    with pytest.raises(MtmcError) as refused:
        read_manifest(write(change))
    assert "is not a valid list of models: " in str(refused.value)
    assert complaint in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_name_may_be_listed_only_once(write: Write) -> None:
    with pytest.raises(MtmcError, match="tiny is listed more than once"):
        read_manifest(write({}, {}))


def test_a_file_that_is_not_a_manifest_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(MtmcError, match=r"none\.yaml: cannot be read"):
        read_manifest(tmp_path / "none.yaml")
    for content in (b"models: [", b"\xff\xfe", b"- 1", b""):
        (tmp_path / "models.yaml").write_bytes(content)
        with pytest.raises(MtmcError) as refused:
            read_manifest(tmp_path / "models.yaml")
        assert "\n" not in str(refused.value)


def test_shipped_files_are_beside_the_manifest_and_others_in_the_folder(write: Write, tmp_path: Path) -> None:
    store = ModelStore(Path("cache"), write({}, {"name": "own", "url": None}))
    assert [model.path for model in store.known] == [Path.cwd() / "cache" / "tiny.onnx", tmp_path / "own.onnx"]
    assert [model.is_shipped for model in store.known] == [False, True]


def test_the_state_of_a_file_is_judged_by_its_size(write: Write, tmp_path: Path) -> None:
    (model,) = ModelStore(tmp_path, write({})).known
    assert model.state == "missing"
    model.partial.touch()
    assert model.state == "partial"
    model.path.write_bytes(b"0123")
    assert model.state == "damaged"
    model.path.write_bytes(b"0123456789")
    assert model.state == "here"


def test_a_word_is_a_name_before_it_is_a_path(write: Write, tmp_path: Path) -> None:
    store = ModelStore(tmp_path, write({}, {"name": "tiny.v2"}))
    tiny, second = store.known
    assert store.found("tiny") == (tiny, tiny.path)
    assert store.found("tiny.v2") == (second, second.path)
    assert store.found("/srv/tiny.onnx") == (tiny, Path("/srv/tiny.onnx"))
    assert store.found("tiny.onnx") == (tiny, Path("tiny.onnx"))
    assert store.found("./own") == (None, Path("own"))
    assert store.found("~/own.pt") == (None, Path.home() / "own.pt")
    with pytest.raises(MtmcError, match="tinny: unknown model; did you mean tiny"):
        store.found("tinny")
    with pytest.raises(MtmcError, match="zzz: unknown model; see `mtmc models list`"):
        store.found("zzz")


def test_the_cache_folder_is_the_users_choice_first() -> None:
    assert cache_folder({"MTMC_MODELS": "/m", "XDG_CACHE_HOME": "/c"}) == Path("/m")
    assert cache_folder({"XDG_CACHE_HOME": "/c"}) == Path("/c/mtmc/models")
    assert cache_folder({"MTMC_MODELS": "", "XDG_CACHE_HOME": ""}) == Path("~/.cache/mtmc/models").expanduser()
