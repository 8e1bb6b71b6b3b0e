from __future__ import annotations

import pytest

from tests.command_line import command_line


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "give exactly one of SITE.yaml, --recording DIR and --demo"),
        (["--demo", "--recording", "x"], "not --recording and --demo"),
        (["--recording", "x"], "--recording needs --ground-truth DIR"),
        (["site.yaml"], "SITE.yaml needs --ground-truth DIR"),
        (["--demo", "--ground-truth", "x"], "--demo renders its own ground truth"),
        (["--recording", "x", "--ground-truth", "y", "--live"], "--live cannot be combined with --recording"),
        (["--recording", "x", "--ground-truth", "y", "--seed", "3"], "--seed cannot be combined with --recording"),
        (["--recording", "x", "--ground-truth", "y", "--seeds", "3"], "--seeds cannot be combined with --recording"),
        (["site.yaml", "--ground-truth", "y", "--no-layout"], "--no-layout cannot be combined with SITE.yaml"),
        (["--demo", "--seeds", "1-3", "--seed", "3"], "--seed cannot be combined with --seeds"),
        (["--demo", "--seeds", "1-3", "--live"], "--live cannot be combined with --seeds"),
        (["--demo", "--seeds", "3-1"], "--seeds 3-1: write numbers and ranges, as in 1-3 or 1,5,200-209"),
        (["--demo", "--seeds", "one"], "--seeds one: write numbers and ranges"),
        (["site.yaml", "--ground-truth", "y", "--as-recorded"], "--as-recorded cannot be combined with SITE.yaml"),
    ],
)
def test_options_that_cannot_be_combined_are_refused(
    words: list[str], message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    done = command_line(monkeypatch, capsys)("evaluate", *words)
    assert done.returncode == 2
    assert message in done.stderr


def test_the_help_names_every_field(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    help_text = command_line(monkeypatch, capsys)("evaluate", "--help").stdout
    for field in ("multi_camera", "bound", "live", "idf1", "--ground-truth"):
        assert field in help_text
