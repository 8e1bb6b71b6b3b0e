"""Every command that there is: its help comes at once, by -h as well, and shows an example."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from typer.main import get_command

from cli.__main__ import app
from tests.command_line import CommandLine, command_line


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command below `command`, with the words that lead to it."""
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
    # An example is the command itself, behind the word that says so; a variable may stand before it.
    examples = re.split(r"Examples?:", done.stdout)[1]
    assert re.search(rf"\bmtmc {' '.join(path)}\b", examples)


def test_every_option_says_what_it_is() -> None:
    silent = [
        (*path, option.name)
        for path, command in TREE.items()
        for option in command.params
        if not getattr(option, "help", None) and option.name not in ("log_level", "log_format")
    ]
    assert silent == []


@pytest.mark.parametrize("path", [(), ("cameras",), ("inspect",), ("models",), ("config",)], ids=" ".join)
def test_a_group_by_itself_shows_its_commands(path: tuple[str, ...], mtmc: CommandLine) -> None:
    done = mtmc(*path)
    said = done.stdout + done.stderr
    children = {words[len(path)] for words in TREE if words[: len(path)] == path}
    assert all(re.search(rf"\b{child}\b", said) for child in children)
