"""All Lua is in one folder, listed in its README."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
LUA = ROOT / "shared" / "lua"


def test_the_readme_lists_exactly_the_scripts() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", (LUA / "README.md").read_text(), re.MULTILINE)
    assert sorted(rows) == sorted(path.stem for path in LUA.glob("*.lua"))


def test_no_python_module_contains_lua() -> None:
    packages = [path for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith((".", "tests", "build"))]
    modules = [path for package in packages for path in package.rglob("*.py")]
    assert len(modules) > 100
    assert [path for path in modules if "redis.call(" in path.read_text() or ".eval(" in _code(path)] == []


def _code(path: Path) -> str:
    """All modules except those that use torch's `eval()`, and except the module that runs scripts."""
    return "" if path == ROOT / "shared" / "scripts.py" else path.read_text().replace(".eval()", "")
