"""`mtmc config import`: converts a configuration of `run_live_mtmc.py` to an equivalent site file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from cli.config.import_file import import_file
from launcher.site_file import load_site
from legacy_config.writing import relative_to
from shared.errors import ConfigError, MtmcError
from tests.unit.cli.test_command_line import mtmc

LIVE = """
OUTPUT_DIR: output
SYSTEM: {GPU_IDS: [0, 1]}
MOT:
  DETECTOR: models/yolo.onnx
  REID_ONNX: %(absolute)s
  MIN_FRAMES: 3
MTMC: {CAMERA_LAYOUT: layout.txt}
EXPRESS:
  CAMERAS:
    - {video: "a # b: c.mp4", name: "Süd #1", tracked_classes: [0], detection_mask: mask.png}
    - {video: "rtsp://me:${CAMERA_PASSWORD}@box/1?a=b#c"}
LIVE: {MIN_TRACK_FRAMES: 9, CLUSTER_INTERVAL: 0}
"""
ENVIRONMENT = {"CAMERA_PASSWORD": "hunter2", "MTMC__CLOCK__TARGET_FPS": "99"}


@pytest.fixture
def live(tmp_path: Path) -> Path:
    """A configuration in a checkout of `run_live_mtmc.py`, and the files that it names."""
    folder = tmp_path / "repo" / "config"
    (folder.parent / "models").mkdir(parents=True)
    for name in ("models/yolo.onnx", "models/reid.onnx", "a # b: c.mp4", "mask.png"):
        (folder.parent / name).touch()
    folder.mkdir()
    block = "0 1\n1 0\n"
    (folder.parent / "layout.txt").write_text(f"compatibility\n{block}dtmin\n{block}dtmax\n{block}")
    (folder / "live.yaml").write_text(LIVE % {"absolute": folder.parent / "models" / "reid.onnx"})
    return folder / "live.yaml"


def without_name(file: Path) -> dict[str, Any]:
    environment = {"CAMERA_PASSWORD": "hunter2"}
    return load_site(file, environment).model_dump(exclude={"site"})


def test_the_written_site_file_describes_the_same_site(live: Path) -> None:
    for target in (live.parent / "site.yaml", live.parent.parent / "site.yaml", live.parents[2] / "site.yaml"):
        message = import_file(live, target, None, ENVIRONMENT)
        assert f"mtmc config check {target}" in message
        assert without_name(target) == without_name(live)
        assert load_site(target, ENVIRONMENT).site == "live"


def test_relative_paths_stay_relative_and_absolute_paths_absolute(live: Path) -> None:
    target = live.parents[2] / "site.yaml"
    import_file(live, target, None, ENVIRONMENT)
    site = yaml.safe_load(target.read_text())
    assert site["detector"]["model"] == "repo/models/yolo.onnx"
    assert site["embedder"]["model"] == str(live.parents[1] / "models" / "reid.onnx")
    assert site["cameras"][0]["source"] == "repo/a # b: c.mp4"
    assert site["layout"]["file"] == "repo/layout.txt"


@pytest.mark.parametrize(
    ("path", "folder", "expected"),
    [("/a/b/c.mp4", "/a/d", "../b/c.mp4"), ("/a/b/c.mp4", "/a", "b/c.mp4"), ("/a/c.mp4", "/d", "/a/c.mp4")],
)
def test_a_path_with_nothing_in_common_is_absolute(path: str, folder: str, expected: str) -> None:
    assert relative_to(Path(path), Path(folder)) == expected


def test_without_an_output_file_the_text_has_absolute_paths(live: Path) -> None:
    site = yaml.safe_load(import_file(live, None, None, ENVIRONMENT))
    assert site["cameras"][0]["source"] == str(live.parents[1] / "a # b: c.mp4")


def test_the_file_is_readable_and_comments_what_was_changed(live: Path) -> None:
    import_file(live, live.parent / "site.yaml", None, ENVIRONMENT)
    text = (live.parent / "site.yaml").read_text()
    for line in (
        "# Ignored keys: OUTPUT_DIR",
        "  - name: S_d_1  # was 'Süd #1'",
        "      classes: [0]",
        "    source: rtsp://me:${CAMERA_PASSWORD}@box/1?a=b#c",
        "  min_track_frames: 9  # counts embeddings: one at each of 5 ticks, then one every embedder.refresh_seconds",
        "  cluster_interval_seconds: 0.001  # was 0, which means at every tick",
        "  host: 127.0.0.1  # run_live_mtmc.py listened on every interface, as 0.0.0.0 does",
        "  target_fps: 15  # default of run_live_mtmc.py",
        "  gpus: [0, 1]  # `mtmc up` runs one worker per GPU",
    ):
        assert line in text.splitlines(), text
    sections = [line.rstrip(":") for line in text.splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert sections == [
        "cameras",
        "detector",
        "embedder",
        "tracker",
        "association",
        "clock",
        "layout",
        "streamer",
        "worker",
    ]


def test_an_existing_file_is_only_overwritten_with_force(live: Path) -> None:
    target = live.parent / "site.yaml"
    target.write_text("precious")
    with pytest.raises(MtmcError, match=r"site.yaml: already exists; use --force to overwrite"):
        import_file(live, target, None, ENVIRONMENT)
    assert target.read_text() == "precious"
    import_file(live, target, None, ENVIRONMENT, force=True)
    assert "cameras:" in target.read_text()
    with pytest.raises(MtmcError, match=r"live.yaml: is the input file itself"):
        import_file(live, live, None, ENVIRONMENT, force=True)
    with pytest.raises(MtmcError, match="cannot be written"):
        import_file(live, live.parent / "no folder" / "site.yaml", None, ENVIRONMENT)


def test_passwords_in_plain_text_cause_a_note(live: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import_file(live, None, None, ENVIRONMENT)
    assert "contain passwords" not in capsys.readouterr().err
    live.write_text(live.read_text().replace("${CAMERA_PASSWORD}", "hunter2"))
    import_file(live, None, None, ENVIRONMENT)
    note = capsys.readouterr().err
    assert "note: the source URLs of cam_1 contain passwords; write them as ${VARIABLE} or ${file:PATH}" in note
    assert "hunter2" not in note


def test_a_private_file_stays_private(live: Path) -> None:
    live.chmod(0o600)
    import_file(live, live.parent / "site.yaml", None, ENVIRONMENT)
    assert (live.parent / "site.yaml").stat().st_mode & 0o777 == 0o600


def test_an_invalid_configuration_writes_no_site_file(live: Path) -> None:
    live.write_text(live.read_text().replace("MIN_FRAMES: 3", "MIN_FRAMES: 0"))
    with pytest.raises(ConfigError, match=r"MOT.MIN_FRAMES = 0: "):
        import_file(live, live.parent / "site.yaml", None, ENVIRONMENT)
    assert not (live.parent / "site.yaml").exists()


def test_a_site_file_is_not_a_configuration_of_run_live_mtmc(tmp_path: Path) -> None:
    (tmp_path / "site.yaml").write_text("site: hall\n")
    with pytest.raises(MtmcError, match=r"is not a configuration of run_live_mtmc.py"):
        import_file(tmp_path / "site.yaml", None, None, {})


def test_the_command_line_passes_every_option_on(live: Path, tmp_path: Path) -> None:
    moved = tmp_path / "live.yaml"
    live.rename(moved)
    words = ["config", "import", moved, "-o", tmp_path / "site.yaml", "--root", live.parents[1]]
    done = mtmc(*words, CAMERA_PASSWORD="hunter2")  # noqa: S106
    assert done.returncode == 0, done.stderr
    assert "review it" in done.stdout
    assert "ignored keys: OUTPUT_DIR (" in done.stderr
    assert "hunter2" not in (tmp_path / "site.yaml").read_text()
    assert mtmc(*words, CAMERA_PASSWORD="hunter2").returncode == 2  # noqa: S106
    shown = mtmc("config", "import", moved, "--root", tmp_path / "gone")
    assert shown.returncode == 2
    assert "--root" in shown.stderr
    help_text = mtmc("config", "import", "--help").stdout
    assert "Example:" in help_text
