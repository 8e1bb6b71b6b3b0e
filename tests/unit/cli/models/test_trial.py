"""`mtmc models try`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.unit.vision.model_files import write_constant_model

ROOT = Path(__file__).resolve().parents[4]
NAMES = {"names": "{0: 'person', 1: 'car', 2: 'bus'}"}
ROWS = np.array([[8, 4, 40, 24, 0.9, 1], [50, 20, 60, 30, 0.6, 0], [1, 1, 9, 9, 0.05, 0]], np.float32)


def tried(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """`mtmc models try WORDS…` in a separate process, because it configures logging."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MTMC_")}
    command = [sys.executable, "-m", "cli", "models", "try", *words]
    return subprocess.run(command, cwd=ROOT, env=clean, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """Grey, twice the size of the model's input."""
    path = tmp_path / "street.png"
    cv2.imwrite(str(path), np.full((64, 128, 3), 90, np.uint8))
    return path


def test_the_picture_shows_the_boxes_and_the_text_says_which_head_and_why(tmp_path: Path, picture: Path) -> None:
    model = write_constant_model(tmp_path / "m.onnx", ROWS, (1, 3, 32, 64), metadata=NAMES)
    out = tmp_path / "found.png"

    done = tried(model, picture, "-o", out)

    assert (done.returncode, done.stderr) == (0, "")
    assert "head       end2end: Ultralytics v10 and 26" in done.stdout
    assert "because    output [1, 3, 6] is [B, N, 6]" in done.stdout
    assert "found      2 boxes with a score of at least 0.25: 1 car, 1 person" in done.stdout
    assert "doubtful" not in done.stdout
    drawn = cv2.imread(str(out))
    assert drawn.shape == (64, 128, 3)
    changed = np.abs(drawn.astype(int) - 90).max(axis=2) > 30
    assert changed[30:47, 16].all(), "the left side of the car, in pixels of the picture"
    assert not changed[2:6, 2:6].any(), "below the minimum score"


def test_the_fields_as_json(tmp_path: Path, picture: Path) -> None:
    model = write_constant_model(tmp_path / "m.onnx", ROWS, (1, 3, "h", "w"), metadata=NAMES)
    done = tried(model, picture, "-o", tmp_path / "o.jpg", "--size", "64x32", "--min-score", "0.7", "--json")
    content = json.loads(done.stdout)
    assert (content["head"], content["input_width"], content["input_height"]) == ("end2end", 64, 32)
    (box,) = content["boxes"]
    assert (box["xyxy"], box["class"], box["name"]) == ([16, 8, 80, 48], 1, "car")
    assert set(content) == {"model", "head", "why", "input_width", "input_height", "boxes", "doubt"}
    assert content["doubt"] is None


def test_a_chosen_head_that_the_outputs_contradict_is_doubted(tmp_path: Path, picture: Path) -> None:
    rows = ROWS[[2, 1, 0]]
    model = write_constant_model(tmp_path / "m.onnx", rows, (1, 3, "h", "w"), metadata=NAMES)
    done = tried(model, picture, "-o", tmp_path / "o.jpg", "--size", "32", "--head", "end2end")
    assert (done.returncode, done.stderr) == (0, "")
    assert "input      32×32" in done.stdout
    assert "detector.head is end2end; output [1, 3, 6]; but as end2end, its scores would not descend" in done.stdout
    assert "doubtful   its scores would not descend; compare --head" in done.stdout


def test_a_detector_that_finds_nothing_is_doubted_with_its_best_score(tmp_path: Path, picture: Path) -> None:
    model = write_constant_model(tmp_path / "m.onnx", ROWS[2:], (1, 3, 32, 64), metadata=NAMES)
    done = tried(model, picture, "-o", tmp_path / "o.jpg")
    assert done.returncode == 0
    assert "doubtful   finds nothing in 1 picture; the best score is 0.05: lower --min-score" in done.stdout


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["none.onnx", "street.png", "-o", "o.jpg"], "none.onnx: no such model file"),
        (["m.onnx", "none.png", "-o", "o.jpg"], "none.png: cannot be read (No such file or directory)"),
        (["m.onnx", "m.onnx", "-o", "o.jpg"], "m.onnx: is not a picture"),
        (["m.onnx", "street.png", "-o", "o.txt"], "o.txt: is not the name of a picture; end it with .jpg or .png"),
        (["m.onnx", "street.png", "-o", "no/o.jpg"], "o.jpg: cannot be written (No such file or directory)"),
        (["m.onnx", "street.png", "-o", "o.jpg", "--head", "yolo"], "there is no such head; give one of yolov8,"),
        (["m.onnx", "street.png", "-o", "o.jpg", "--head", "yolox"], "detector.head yolox needs the output"),
        (["m.onnx", "street.png", "-o", "o.jpg", "--size", "64x64"], "takes pictures of 32×64 pixels"),
        (["demo_embedder", "street.png", "-o", "o.jpg"], "demo_embedder: is an embedder; name a detector"),
        (["m.onnx", "street.png"], "Missing option"),
    ],
)
def test_what_cannot_be_tried_is_an_error_in_one_line(
    words: list[str], expected: str, tmp_path: Path, picture: Path
) -> None:
    write_constant_model(tmp_path / "m.onnx", ROWS, (1, 3, 32, 64), metadata=NAMES)
    arguments = [tmp_path / word if "." in word else word for word in words]
    done = tried(*arguments)
    assert done.returncode == 2
    assert expected in " ".join(done.stderr.split()).replace("│ ", "")
    assert "Traceback" not in done.stderr
