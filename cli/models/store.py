"""Where the files of known models lie, and whether they are what they should be."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cli.models.manifest import PACKAGED, Manifest, ModelEntry, read_manifest
from shared.errors import MtmcError

SHIPPED = Path(__file__).resolve().parents[2] / "models" / "models.yaml"
"""Of the models that a checkout carries; they lie beside it."""


@dataclass(frozen=True)
class KnownModel:
    """A model, and where its file lies or would lie."""

    entry: ModelEntry
    path: Path

    @property
    def partial(self) -> Path:
        """What has been fetched of it so far."""
        return self.path.with_name(f"{self.path.name}.partial")

    @property
    def is_here(self) -> bool:
        """Whether there is a file of its name; what it holds only `fault` tells."""
        return self.path.is_file()

    def fault(self, path: Path | None = None) -> str | None:
        """What is wrong with its file, or with another one that should hold the same; None: nothing.

        Raises:
            MtmcError: it cannot be read.
        """
        path = path or self.path
        algorithm, expected = self.entry.checksum.split(":")
        digest = hashlib.new(algorithm)
        try:
            size = path.stat().st_size
            if size != self.entry.size_bytes:
                return f"it has {size:,} bytes instead of {self.entry.size_bytes:,}"
            with path.open("rb") as file:
                while chunk := file.read(1 << 20):
                    digest.update(chunk)
        except OSError as error:
            raise MtmcError(f"{path}: cannot be read ({error.strerror})") from None
        found = digest.hexdigest()
        return None if found == expected else f"its {algorithm} is {found} instead of {expected}"


class ModelStore:
    """Every model that is known: those of a manifest in `folder`, and those that the checkout carries."""

    def __init__(self, folder: Path, downloadable: Manifest, shipped: Path = SHIPPED) -> None:
        """`shipped` is the manifest of what the checkout carries; there need not be one.

        Raises:
            MtmcError: that manifest is none.
        """
        carried = read_manifest(shipped).models if shipped.is_file() else ()
        self._known = {
            entry.name: KnownModel(entry, where / entry.file_name)
            for where, entries in ((shipped.parent, carried), (folder, downloadable.models))
            for entry in entries
        }
        self.folder, self.ultralytics = folder, downloadable.ultralytics

    @classmethod
    def open(cls, environment: Mapping[str, str], manifest: Path | None = None, folder: Path | None = None) -> ModelStore:
        """The models of `manifest` (none: mtmc's own) in `folder` (none: the user's cache).

        Raises:
            MtmcError: a manifest is none.
        """
        return cls((folder or cache_folder(environment)).expanduser().absolute(), read_manifest(manifest or PACKAGED))

    @property
    def known(self) -> list[KnownModel]:
        """All of them."""
        return list(self._known.values())

    def get(self, name: str) -> KnownModel | None:
        """The model of that name, if there is one."""
        return self._known.get(name)

    def named(self, name: str) -> KnownModel:
        """The model of that name.

        Raises:
            MtmcError: there is none, or it is none of ours to fetch.
        """
        if name in self.ultralytics:
            raise MtmcError(
                f"{name}: the package ultralytics fetches it by itself when a site first uses it; write "
                f"'model: {name}' under 'detector', and install the extra: pip install 'mtmc[torch]'"
            )
        model = self._known.get(name)
        if model is None:
            close = difflib.get_close_matches(name, self._known, n=3)
            meant = f"close are {', '.join(close)}; " if close else ""
            raise MtmcError(f"{name}: no model of this name is known; {meant}see `mtmc models list`")
        return model

    def like(self, path: Path) -> KnownModel | None:
        """The model that the file at `path` is by its name, else by what it holds; None: none."""
        by_name = next((model for model in self.known if model.entry.file_name == path.name), None)
        return by_name or next((model for model in self.known if model.fault(path) is None), None)


def cache_folder(environment: Mapping[str, str]) -> Path:
    """`$MTMC_MODELS`, else the folder for it among the user's caches."""
    caches = Path(environment.get("XDG_CACHE_HOME") or "~/.cache")
    return Path(environment.get("MTMC_MODELS") or caches / "mtmc" / "models")
