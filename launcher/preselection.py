"""Chooses the models of a site file that names none: those that were pulled last, or those that come with mtmc."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from model_store.store import KnownModel, ModelStore, cache_folder
from shared.config import MODEL_SECTIONS, ModelSectionName
from shared.config_file import ENV_PREFIX


@dataclass(frozen=True)
class Preselection:
    """The settings of a site file, with a model in each of its sections `detector` and `embedder`."""

    written: dict[str, Any]
    sections: tuple[ModelSectionName, ...]
    """The sections whose model was chosen here."""
    notes: tuple[str, ...]
    """For people: which models, and why."""


def preselected(written: dict[str, Any], environment: Mapping[str, str]) -> Preselection:
    """Adds the models that are missing in `written`, as read from a site file.

    Raises:
        MtmcError: the list of models, or the folder of downloaded ones, cannot be read.
    """
    missing = [name for name in MODEL_SECTIONS if _names_no_model(written, name, environment)]
    if not missing:
        return Preselection(written, (), ())
    store = ModelStore(cache_folder(environment))
    chosen = {name: _newest(store, name) for name in missing}
    sections: dict[str, Any] = {
        name: {**model.entry.section(model.path)[name], **(written.get(name) or {})} for name, model in chosen.items()
    }
    notes = tuple(f"{name}: the file names no model, so {_described(model)}" for name, model in chosen.items())
    return Preselection({**written, **sections}, tuple(missing), notes)


def _names_no_model(written: Mapping[str, Any], name: ModelSectionName, environment: Mapping[str, str]) -> bool:
    section = written.get(name)
    if section is not None and (not isinstance(section, dict) or "model" in section):
        return False
    variable = f"{ENV_PREFIX}{name.upper()}"
    return variable not in environment and f"{variable}__MODEL" not in environment


def _newest(store: ModelStore, kind: ModelSectionName) -> KnownModel:
    """The model of this kind that was pulled last; if there is none, the one that comes with mtmc."""
    of_kind = [model for model in store.known if model.entry.kind == kind]
    pulled = [model for model in of_kind if not model.is_shipped and model.state == "here"]
    if pulled:
        return max(pulled, key=lambda model: model.path.stat().st_mtime_ns)
    return next(model for model in of_kind if model.is_shipped)


def _described(model: KnownModel) -> str:
    if model.is_shipped:
        return f"{model.entry.name} is used, which knows only the drawn vehicles of the demo; see `mtmc models list`"
    return f"{model.entry.name} is used, which was pulled last"
