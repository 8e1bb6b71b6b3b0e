"""The list of models: where each is published, size and checksum of its file, and the settings for a site file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, ValidationError, model_validator

from shared.config import DetectorConfig, EmbedderConfig
from shared.config_fields import Name, Section, is_published_detector
from shared.errors import MtmcError
from shared.text_file import read_text

MANIFEST = Path(__file__).resolve().parents[1] / "models" / "models.yaml"
"""The manifest of mtmc; at this place both in a checkout and in an installation."""

_CONFIGS: Mapping[str, type[Section]] = {"detector": DetectorConfig, "embedder": EmbedderConfig}
_CHECKSUM = r"^(sha256:[0-9a-f]{64}|sha384:[0-9a-f]{96}|sha512:[0-9a-f]{128})$"


class ModelEntry(Section):
    """One model. A model without a `url` is shipped: its file is beside the manifest."""

    name: Name
    kind: Literal["detector", "embedder"]
    what: str
    licence: str
    url: Annotated[str, Field(pattern=r"^https?://[^\s/]+/\S+$")] | None = None
    size_bytes: int = Field(gt=0)
    checksum: str = Field(pattern=_CHECKSUM, description="ALGORITHM:HEX")
    checksum_by: Literal["publisher", "others"] = Field("publisher", description="who vouches for the checksum")
    settings: dict[str, Any] = Field(default_factory=dict)

    @property
    def file_name(self) -> str:
        """The name of its file, in any folder."""
        return f"{self.name}.onnx"

    def section(self, path: Path) -> dict[str, Any]:
        """The section of a site file that uses this model, stored at `path`."""
        return {self.kind: {"model": str(path), **self.settings}}

    @model_validator(mode="after")
    def _settings_exist(self) -> ModelEntry:
        try:
            _CONFIGS[self.kind].model_validate({"model": self.file_name, **self.settings})
        except ValidationError as error:
            problem = error.errors(include_url=False)[0]
            key = ".".join(map(str, problem["loc"]))
            raise ValueError(f"{self.name}: settings.{key}: {problem['msg']}") from None
        return self


class Manifest(Section):
    """The models of one file."""

    models: tuple[ModelEntry, ...]

    @model_validator(mode="after")
    def _names_are_clear(self) -> Manifest:
        names = [entry.name for entry in self.models]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"{', '.join(twice)} is listed more than once")
        if taken := [name for name in names if is_published_detector(Path(name))]:
            raise ValueError(f"{', '.join(taken)}: this name is reserved for a model of Ultralytics")
        return self


def read_manifest(path: Path = MANIFEST) -> Manifest:
    """The manifest in the YAML file `path`.

    Raises:
        MtmcError: the file cannot be read, or is not a manifest.
    """
    try:
        return Manifest.model_validate(yaml.safe_load(read_text(path)))
    except OSError as error:
        raise MtmcError(f"{path}: cannot be read ({error.strerror}); reinstall mtmc") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise MtmcError(f"{path}: is not valid YAML ({' '.join(str(error).split())}); correct it") from None
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in problem["loc"])
        what = problem["msg"].removeprefix("Value error, ")
        raise MtmcError(f"{path}: is not a valid list of models: {where}{': ' if where else ''}{what}") from None


def site_snippet(section: dict[str, Any]) -> str:
    """The YAML text of a section of a site file."""
    text: str = yaml.dump(section, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10_000)
    return text.rstrip("\n")


class _Dumper(yaml.SafeDumper):
    """Lists in one line."""


_Dumper.add_representer(list, lambda dumper, items: dumper.represent_sequence("tag:yaml.org,2002:seq", items, True))
