"""Every default exists once: a library that names a setting of the site file has the site file's default for it."""

from __future__ import annotations

import importlib.util
import inspect
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import association
import vision
from shared import config, notification_config
from shared.config import DetectorConfig, EmbedderConfig, SiteConfig
from shared.config_fields import Section
from shared.notification_config import EventFilter
from vision.inference.embedding import Preprocessing
from vision.tracking.settings import TrackerSettings

SITE = SiteConfig.model_validate(
    {
        "site": "yard",
        "detector": {"model": "/d.onnx"},
        "embedder": {"model": "/e.onnx"},
        "cameras": [{"name": "a", "source": "rtsp://a"}],
    }
)

LIBRARY = """
from dataclasses import dataclass

@dataclass
class Settings:
    high_score: float = 0.6
    retries: int = 2

    @classmethod
    def of(cls, linkage="single"): ...

def suppress(boxes, nms_iou=0.65): ...
"""


def settings() -> dict[str, list[Any]]:
    """Setting → its default in each section that has it."""
    found: dict[str, list[Any]] = {}
    for section in (*vars(config).values(), *vars(notification_config).values()):
        # The fields of a filter have the names of what they select, which other things have as well.
        if inspect.isclass(section) and issubclass(section, Section) and section is not EventFilter:
            for name, field in section.model_fields.items():
                if not field.is_required():
                    found.setdefault(name, []).append(field.get_default(call_default_factory=True))
    return found


def callables(module: ModuleType) -> Iterator[tuple[str, Any]]:
    """The functions, classes and methods of a module."""
    for name, member in vars(module).items():
        if getattr(member, "__module__", None) != module.__name__:
            continue
        yield name, member
        if inspect.isclass(member):
            yield from ((f"{name}.{own}", getattr(member, own)) for own in vars(member) if own != "__init__")


def conflicts(module: ModuleType) -> list[str]:
    """Defaults that differ from those of the setting of the same name."""
    known = settings()
    found = []
    for name, member in callables(module):
        try:
            parameters = inspect.signature(member).parameters.values()
        except (TypeError, ValueError):  # not a callable, or one that does not tell
            continue
        found += [
            f"{module.__name__}.{name}: {parameter.name} = {parameter.default!r}, not {known[parameter.name]}"
            for parameter in parameters
            if parameter.default is not parameter.empty
            and parameter.name in known
            and parameter.default not in known[parameter.name]
        ]
    return found


def test_the_defaults_of_the_libraries_are_those_of_the_site_file() -> None:
    modules = [
        importlib.import_module(info.name)
        for package in (association, vision)
        for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    ]
    assert len(modules) > 20
    assert [conflict for module in modules for conflict in conflicts(module)] == []


def test_a_second_default_is_found_wherever_it_stands(tmp_path: Path) -> None:
    (tmp_path / "library.py").write_text(LIBRARY)
    spec = importlib.util.spec_from_file_location("library", tmp_path / "library.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert [conflict.partition(",")[0] for conflict in conflicts(module)] == [
        "library.Settings: high_score = 0.6",
        "library.Settings.of: linkage = 'single'",
        "library.suppress: nms_iou = 0.65",
    ]


def test_a_site_without_settings_of_its_own_gets_the_defaults_of_the_libraries() -> None:
    assert TrackerSettings.of(SITE) == TrackerSettings()
    assert Preprocessing.of(SITE.embedder) == Preprocessing()
    assert TrackerSettings().low_score == DetectorConfig(model="/d.onnx").min_score
    assert EmbedderConfig(model="/e.onnx") == SITE.embedder
