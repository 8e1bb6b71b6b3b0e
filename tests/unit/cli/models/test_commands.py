"""`mtmc models list`, `verify` and `benchmark`; `pull` needs a server and is tested in tests/integration."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from rich.console import Console

from cli.models.listing import list_models
from cli.models.verify import verify_models
from model_store.benchmark import load_network
from model_store.manifest import read_manifest
from model_store.store import ModelStore
from shared.errors import MtmcError
from tests.command_line import CommandLine, command_line
from tests.unit.vision.model_files import write_constant_model, write_external_model, write_mean_model

ROOT = Path(__file__).resolve().parents[4]


@pytest.fixture
def mtmc(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return command_line(monkeypatch, capsys)


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    """A shipped embedder and a downloadable detector; neither file exists yet."""

    def entry(name: str, content: bytes, **more: Any) -> dict[str, Any]:
        checksum = f"sha256:{hashlib.sha256(content).hexdigest()}"
        return {"name": name, "what": "x", "licence": "MIT", "size_bytes": len(content), "checksum": checksum, **more}

    entries = [
        entry("own", b"own content", kind="embedder"),
        entry("tiny", b"tiny content", kind="detector", url="https://models.example/tiny.onnx"),
    ]
    (tmp_path / "models.yaml").write_text(yaml.safe_dump({"models": entries}))
    (tmp_path / "cache").mkdir()
    return ModelStore(tmp_path / "cache", tmp_path / "models.yaml")


def verified(store: ModelStore, *words: str) -> tuple[int, list[str]]:
    """The exit code and the lines of `mtmc models verify`."""
    text = io.StringIO()
    code = verify_models(words, store, Console(file=text, width=80), as_json=False)
    return code, text.getvalue().splitlines()


def listed(store: ModelStore) -> list[str]:
    """The last column of `mtmc models list`."""
    text = io.StringIO()
    list_models(store, Console(file=text, width=200), as_json=False)
    return [line.split("MIT")[1].strip() for line in text.getvalue().splitlines() if "MIT" in line]


def test_the_list_shows_which_models_are_on_this_machine(store: ModelStore) -> None:
    own, tiny = store.known
    assert listed(store) == ["missing", "no"]
    own.path.write_bytes(b"own content")
    tiny.partial.touch()
    assert listed(store) == ["shipped", "partly"]
    tiny.path.write_bytes(b"tiny content")
    assert listed(store) == ["shipped", "yes"]
    tiny.path.write_bytes(b"tiny")
    assert listed(store) == ["shipped", "damaged"]


def test_the_list_has_every_model_with_its_size_and_licence(mtmc: CommandLine, tmp_path: Path) -> None:
    shown = mtmc("models", "list", MTMC_MODELS=str(tmp_path)).stdout
    for entry in read_manifest().models:
        (line,) = [line for line in shown.splitlines() if line.startswith(f"{entry.name} ")]
        assert f"{entry.size_bytes / 1e6:.1f} MB" in line
        assert entry.licence in line
    assert str(tmp_path) in shown
    assert "AGPL-3.0" in shown


def test_the_fields_of_the_list_as_json(mtmc: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "yolox_s.onnx").write_bytes(b"too short")
    done = mtmc("models", "list", "--json", MTMC_MODELS=str(tmp_path))
    content = json.loads(done.stdout)
    assert content["folder"] == str(tmp_path)
    models = {model["name"]: model for model in content["models"]}
    assert set(models["yolox_s"]) == {
        *("name", "kind", "what", "licence", "url", "size_bytes", "checksum", "checksum_by", "shipped", "state"),
        *("file", "site"),
    }
    assert (models["yolox_s"]["state"], models["yolox_nano"]["state"]) == ("damaged", "missing")
    assert (models["yolox_s"]["checksum_by"], models["vehicle-reid-0001"]["checksum_by"]) == ("others", "publisher")
    assert models["yolox_s"]["site"]["detector"]["model"] == str(tmp_path / "yolox_s.onnx")


def test_without_arguments_all_local_models_are_verified(store: ModelStore) -> None:
    own, tiny = store.known
    code, lines = verified(store)
    assert (code, len(lines)) == (1, 1)
    assert lines[0] == f"{own.path}: file not found; reinstall mtmc"
    own.path.write_bytes(b"own content")
    tiny.path.write_bytes(b"tiny content")
    assert verified(store) == (0, [f"{own.path}: ok", f"{tiny.path}: ok"])


def test_a_damaged_file_is_reported_with_the_command_that_fixes_it(store: ModelStore) -> None:
    _, tiny = store.known
    tiny.path.write_bytes(b"tiny contenT")
    code, (line,) = verified(store, "tiny")
    assert code == 1
    assert f"{tiny.path}: its sha256 is " in line
    assert line.endswith("; run: mtmc models pull tiny")
    tiny.path.write_bytes(b"tiny")
    assert "it has 4 bytes instead of 12" in verified(store, "tiny")[1][0]


def test_a_file_elsewhere_is_verified_by_its_name(store: ModelStore, tmp_path: Path) -> None:
    elsewhere = tmp_path / "tiny.onnx"
    elsewhere.write_bytes(b"tiny content")
    assert verified(store, str(elsewhere)) == (0, [f"{elsewhere}: ok"])
    elsewhere.write_bytes(b"other")
    code, (line,) = verified(store, str(elsewhere))
    # No advice: a pull would replace another file.
    assert (code, line) == (1, f"{elsewhere}: it has 5 bytes instead of 12")
    with pytest.raises(MtmcError, match=r"other\.onnx: no known model has a file of this name"):
        verified(store, str(tmp_path / "other.onnx"))


def test_verify_says_so_if_there_are_no_models(store: ModelStore, tmp_path: Path) -> None:
    fetched = yaml.safe_load((tmp_path / "models.yaml").read_text())["models"][1:]
    (tmp_path / "models.yaml").write_text(yaml.safe_dump({"models": fetched}))
    code, lines = verified(ModelStore(tmp_path / "cache", tmp_path / "models.yaml"))
    assert code == 0
    assert "no models in" in " ".join(lines)


def test_verify_exits_with_1_for_damage_and_with_2_for_an_unknown_name(mtmc: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "yolox_s.onnx").write_bytes(b"too short")
    damaged = mtmc("models", "verify", "yolox_s", "--json", MTMC_MODELS=str(tmp_path))
    assert damaged.returncode == 1
    (finding,) = json.loads(damaged.stdout)["files"]
    assert (finding["name"], finding["file"]) == ("yolox_s", str(tmp_path / "yolox_s.onnx"))
    assert "9 bytes instead of 35,858,002" in finding["fault"]
    wrong = mtmc("models", "verify", "yolox-s")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr.startswith("mtmc: yolox-s: unknown model; did you mean yolox_s")


def refusal(store: ModelStore, word: str | Path) -> str:
    """Why a benchmark of `word` is refused."""
    with pytest.raises(MtmcError) as refused:
        load_network(str(word), store, threads=1, backend="cpu")
    assert "\n" not in str(refused.value)
    return str(refused.value)


def timed(*words: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """`mtmc models benchmark WORDS…` in a separate process, because it configures logging."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MTMC_")}
    command = [sys.executable, "-m", "cli", "models", "benchmark", *words, "--seconds", "0", "--threads", "1"]
    return subprocess.run(
        command, cwd=ROOT, env={**clean, **environment}, capture_output=True, text=True, timeout=60, check=False
    )


def test_a_detector_is_described_and_timed_as_a_worker_runs_it(tmp_path: Path) -> None:
    names = {"names": "{0: 'car', 1: 'bus'}"}
    path = write_constant_model(
        tmp_path / "own.onnx", np.zeros((6, 42), np.float32), ("batch", 3, 32, 64), metadata=names
    )
    done = timed(path, "--json", "--batch", "1", "--batch", "3")
    assert (done.returncode, done.stderr) == (0, "")
    content = json.loads(done.stdout)
    assert (content["kind"], content["head"], content["classes"]) == ("detector", "yolov8", ["car", "bus"])
    assert (content["input_width"], content["input_height"], content["fixed_batch"]) == (64, 32, None)
    assert content["device"] in ("cpu", "cuda", "tensorrt")
    assert content["runtime"] == "onnxruntime"
    assert [timing["batch"] for timing in content["timings"]] == [1, 3]
    for timing in content["timings"]:
        assert timing["calls"] == 5
        assert 0 < timing["min_ms"] <= timing["median_ms"] <= timing["p90_ms"]


def test_an_embedder_is_recognised_and_its_input_size_can_be_given(store: ModelStore, tmp_path: Path) -> None:
    path = write_mean_model(tmp_path / "own.onnx", (2, 3, "height", "width"))
    assert "has a dynamic input size" in refusal(store, path)
    done = timed(path, "--size", "16x24")
    assert (done.returncode, done.stderr) == (0, "")
    assert "embedder   3 dimensions" in done.stdout
    assert "16×24, batch size 2" in done.stdout


def test_a_model_that_cannot_be_loaded_is_refused_in_one_line(store: ModelStore, tmp_path: Path) -> None:
    (tmp_path / "page.onnx").write_text("<html>")
    neither = write_constant_model(tmp_path / "neither.onnx", np.zeros((7, 9), np.float32), (1, 3, 32, 32))
    assert "is not an ONNX model" in refusal(store, tmp_path / "page.onnx")
    assert refusal(store, tmp_path / "none.onnx").count("no such model file") == 1
    write_external_model(tmp_path / "parted.onnx").unlink()
    assert refusal(store, tmp_path / "parted.onnx").count("parted.onnx.data with its weights is missing") == 1
    zeros = write_constant_model(tmp_path / "zeros.onnx", np.zeros((1, 9), np.float32), (1, 3, 32, 32))
    assert "and as an embedder: " in (reason := refusal(store, zeros))
    assert "returns only zeros" in reason
    both = refusal(store, neither)
    assert "unknown kind of detector" in both
    assert "; and as an embedder: " in both
    assert refusal(store, "tiny") == "tiny: is not downloaded; run: mtmc models pull tiny"
    assert "tinny: unknown model" in refusal(store, "tinny")


@pytest.mark.parametrize("size", ["4", "16x", "4x16", "16x4096", "ax16", "16x16x16"])
def test_an_invalid_size_is_refused(size: str, mtmc: CommandLine) -> None:
    done = mtmc("models", "benchmark", "any.onnx", "--size", size)
    assert done.returncode == 2
    assert "128x256" in done.stderr
