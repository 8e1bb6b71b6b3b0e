"""The files of known models: where they are, and whether they are intact."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from model_store.manifest import MANIFEST, ModelEntry, read_manifest
from shared.cache_folders import user_cache
from shared.errors import MtmcError

FileState: TypeAlias = Literal["here", "damaged", "partial", "missing"]


@dataclass(frozen=True)
class KnownModel:
    """A model, and the path of its file, which may not exist yet."""

    entry: ModelEntry
    path: Path

    @property
    def partial(self) -> Path:
        """The file of an unfinished download."""
        return self.path.with_name(f"{self.path.name}.partial")

    @property
    def is_shipped(self) -> bool:
        """Whether it comes with mtmc."""
        return self.entry.url is None

    @property
    def state(self) -> FileState:
        """The state of the file, judged by its size only; `fault_of` also verifies the content.

        Raises:
            MtmcError: the folder cannot be read.
        """
        try:
            if self.path.is_file():
                return "here" if self.path.stat().st_size == self.entry.size_bytes else "damaged"
            return "partial" if self.partial.is_file() else "missing"
        except OSError as error:
            raise MtmcError(
                f"{self.path}: cannot be read ({error.strerror}); set MTMC_MODELS to another folder"
            ) from None

    def fault_of(self, path: Path) -> str | None:
        """Compares the file at `path` with this model; returns what is wrong, or None if the file is intact.

        Raises:
            MtmcError: the file cannot be read.
        """
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
            raise MtmcError(f"{path}: cannot be read ({error.strerror}); give a readable file") from None
        found = digest.hexdigest()
        return None if found == expected else f"its {algorithm} is {found} instead of {expected}"


class ModelStore:
    """All known models: shipped ones are beside the manifest, downloaded ones in `folder`."""

    def __init__(self, folder: Path, manifest: Path = MANIFEST) -> None:
        """Reads the manifest; `folder` need not exist.

        Raises:
            MtmcError: the manifest is invalid.
        """
        self.folder = folder.expanduser().absolute()
        self.known = [
            KnownModel(entry, (self.folder if entry.url else manifest.parent) / entry.file_name)
            for entry in read_manifest(manifest).models
        ]
        """In the order of the manifest."""

    def named(self, name: str) -> KnownModel:
        """The model with this name.

        Raises:
            MtmcError: there is none; the message suggests similar names.
        """
        names = {model.entry.name: model for model in self.known}
        if name not in names:
            close = difflib.get_close_matches(name, names, n=3)
            meant = f"did you mean {' or '.join(close)}? See" if close else "see"
            raise MtmcError(f"{name}: unknown model; {meant} `mtmc models list`")
        return names[name]

    def found(self, word: str) -> tuple[KnownModel | None, Path]:
        """Resolves a word of the command line, a model name or a path, to a model and a file.

        For a path, the model is the one whose file has this name, or None.

        Raises:
            MtmcError: `word` is neither a known name nor a path.
        """
        path = Path(word)
        if "/" in word or (path.suffix and all(model.entry.name != word for model in self.known)):
            path = path.expanduser()
            return next((model for model in self.known if model.entry.file_name == path.name), None), path
        model = self.named(word)
        return model, model.path


def cache_folder(environment: Mapping[str, str]) -> Path:
    """The folder for downloaded models: `$MTMC_MODELS`, else one in the user's cache folder."""
    return Path(environment.get("MTMC_MODELS") or user_cache("models", environment))
