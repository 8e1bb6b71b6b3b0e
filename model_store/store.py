"""Where the files of known models lie, and whether they are what they should be."""

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
    """A model, and where its file lies or would lie."""

    entry: ModelEntry
    path: Path

    @property
    def partial(self) -> Path:
        """What has been fetched of it so far."""
        return self.path.with_name(f"{self.path.name}.partial")

    @property
    def is_shipped(self) -> bool:
        """Whether it comes with mtmc."""
        return self.entry.url is None

    @property
    def state(self) -> FileState:
        """What there is of it, by a look at the size alone; whether the content is right, only `fault_of` tells.

        Raises:
            MtmcError: its folder cannot be read.
        """
        try:
            if self.path.is_file():
                return "here" if self.path.stat().st_size == self.entry.size_bytes else "damaged"
            return "partial" if self.partial.is_file() else "missing"
        except OSError as error:
            raise MtmcError(
                f"{self.path}: cannot be read ({error.strerror}); name another folder as MTMC_MODELS"
            ) from None

    def fault_of(self, path: Path) -> str | None:
        """What is wrong with the file at `path`, which should be this model's; None: nothing.

        Raises:
            MtmcError: it cannot be read.
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
            raise MtmcError(f"{path}: cannot be read ({error.strerror}); name a file that can be read") from None
        found = digest.hexdigest()
        return None if found == expected else f"its {algorithm} is {found} instead of {expected}"


class ModelStore:
    """Every model that is known: the shipped ones beside the manifest, the others in a folder for what was fetched."""

    def __init__(self, folder: Path, manifest: Path = MANIFEST) -> None:
        """Without a file yet, a model has its place in `folder` all the same.

        Raises:
            MtmcError: the manifest is none.
        """
        self.folder = folder.expanduser().absolute()
        self.known = [
            KnownModel(entry, (self.folder if entry.url else manifest.parent) / entry.file_name)
            for entry in read_manifest(manifest).models
        ]
        """In the order of the manifest."""

    def named(self, name: str) -> KnownModel:
        """The model of that name.

        Raises:
            MtmcError: there is none.
        """
        names = {model.entry.name: model for model in self.known}
        if name not in names:
            close = difflib.get_close_matches(name, names, n=3)
            meant = f"did you mean {' or '.join(close)}? See" if close else "see"
            raise MtmcError(f"{name}: no model of this name is known; {meant} `mtmc models list`")
        return names[name]

    def found(self, word: str) -> tuple[KnownModel | None, Path]:
        """What a person means by `word`: a model and its file, or any file, with the model that it is by its name.

        Raises:
            MtmcError: it is neither a known name nor a path.
        """
        path = Path(word)
        if "/" in word or (path.suffix and all(model.entry.name != word for model in self.known)):
            path = path.expanduser()
            return next((model for model in self.known if model.entry.file_name == path.name), None), path
        model = self.named(word)
        return model, model.path


def cache_folder(environment: Mapping[str, str]) -> Path:
    """`$MTMC_MODELS`, else the folder for models among the user's caches."""
    return Path(environment.get("MTMC_MODELS") or user_cache("models", environment))
