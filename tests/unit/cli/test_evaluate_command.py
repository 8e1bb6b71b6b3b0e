from __future__ import annotations

import pytest

from launcher.site_run import runnable
from shared.config import SiteConfig
from shared.errors import MtmcError
from tests.command_line import command_line


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "evaluate what? Give one of SITE.yaml, --recording DIR and --demo"),
        (["--demo", "--recording", "x"], "not --recording and --demo"),
        (["--recording", "x"], "--recording needs --ground-truth DIR"),
        (["site.yaml"], "SITE.yaml needs --ground-truth DIR"),
        (["--demo", "--ground-truth", "x"], "--demo makes its own ground truth"),
        (["--recording", "x", "--ground-truth", "y", "--live"], "--live means nothing with --recording"),
        (["--recording", "x", "--ground-truth", "y", "--seed", "3"], "--seed means nothing with --recording"),
        (["site.yaml", "--ground-truth", "y", "--as-recorded"], "--as-recorded means nothing with SITE.yaml"),
    ],
)
def test_options_that_do_not_go_together_are_told(
    words: list[str], message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    done = command_line(monkeypatch, capsys)("evaluate", *words)
    assert done.returncode == 2
    assert message in done.stderr


def site(**camera: object) -> SiteConfig:
    return SiteConfig.model_validate(
        {
            "site": "room",
            "detector": {"model": "d.onnx"},
            "embedder": {"model": "e.onnx"},
            "cameras": [{"name": "gate", "source": "gate.mp4", **camera}],
        }
    )


def test_a_site_is_run_in_virtual_time_whatever_its_file_says() -> None:
    assert runnable(site(), None, live=False).clock.mode == "virtual"
    assert runnable(site(), None, live=True).clock.mode == "live"


@pytest.mark.parametrize(
    ("camera", "message"),
    [
        ({"source": "rtsp://10.0.0.7/1"}, "camera gate: only recordings can be evaluated"),
        ({"loop": True}, "camera gate loops and never ends; say how long with --seconds"),
        ({"paused": True}, "every camera of the site is paused"),
    ],
)
def test_a_site_that_cannot_be_evaluated_is_refused(camera: dict[str, object], message: str) -> None:
    with pytest.raises(MtmcError, match=message):
        runnable(site(**camera), None, live=False)


def test_a_loop_ends_after_so_many_seconds() -> None:
    assert runnable(site(loop=True), 5.0, live=False).cameras[0].loop


def test_the_help_names_every_field(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    help_text = command_line(monkeypatch, capsys)("evaluate", "--help").stdout
    for field in ("multi_camera", "bound", "live", "idf1", "--ground-truth"):
        assert field in help_text
