"""The help of every command: -h works, every option is described, and there is an example."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from typer.main import get_command

from cli.__main__ import app
from tests.command_line import CommandLine, command_line


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command below `command`, with its path of command words."""
    children = getattr(command, "commands", {})
    if not children:
        yield path, command
    for name, child in children.items():
        yield from commands(child, (*path, name))


TREE = dict(commands(get_command(app)))


@pytest.fixture
def mtmc(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return command_line(monkeypatch, capsys)


def test_the_tree_is_walked() -> None:
    assert {
        ("up",),
        ("cameras", "add"),
        ("inspect", "keys"),
        ("models", "pull"),
        ("config", "show"),
        ("status",),
    } <= set(TREE)


@pytest.mark.parametrize("path", TREE, ids=" ".join)
def test_every_command_shows_an_example_and_takes_h(path: tuple[str, ...], mtmc: CommandLine) -> None:
    done = mtmc(*path, "-h")
    assert done.returncode == 0
    assert done.stdout == mtmc(*path, "--help").stdout
    # An example is the command itself after "Example:"; a variable may precede it.
    examples = re.split(r"Examples?:", done.stdout)[1]
    assert re.search(rf"\bmtmc {' '.join(path)}\b", examples)


def test_every_option_has_a_help_text() -> None:
    silent = [
        (*path, option.name)
        for path, command in TREE.items()
        for option in command.params
        if not getattr(option, "help", None) and option.name not in ("log_level", "log_format")
    ]
    assert silent == []


@pytest.mark.parametrize("path", [(), ("cameras",), ("inspect",), ("models",), ("config",)], ids=" ".join)
def test_a_group_without_a_command_lists_its_commands(path: tuple[str, ...], mtmc: CommandLine) -> None:
    done = mtmc(*path)
    said = done.stdout + done.stderr
    children = {words[len(path)] for words in TREE if words[: len(path)] == path}
    assert all(re.search(rf"\b{child}\b", said) for child in children)


def test_every_output_option_has_the_same_three_spellings() -> None:
    outputs = {path: option.opts for path, command in TREE.items() for option in command.params if "-o" in option.opts}
    assert len(outputs) >= 7
    assert {tuple(spellings) for spellings in outputs.values()} == {("--out", "--output", "-o")}
