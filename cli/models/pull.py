"""`mtmc models pull`: downloads models, and prints the settings for the site file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from model_store.download import download
from model_store.manifest import site_snippet
from model_store.store import KnownModel, ModelStore
from shared.config_fields import is_published_detector
from shared.errors import MtmcError


def pull_models(
    names: Sequence[str], store: ModelStore, out: Console, err: Console, *, beside_site: bool = False
) -> None:
    """Downloads each model; prints settings for a site file to `out`, and everything else to `err`.

    `beside_site`: the site file is or will be in the store's folder, so it names the models without a path.

    Raises:
        MtmcError: a name is unknown, or a model cannot be downloaded, stored or verified. The models after it are
            pulled all the same.
    """
    wanted = [(name, None if is_published_detector(Path(name)) else store.named(name)) for name in names]
    failures: list[MtmcError] = []
    for name, model in wanted:
        try:
            if model is None:
                snippet = _pull_from_ultralytics(name, err)
            else:
                _pull(model, err)
                path = Path(model.path.name) if beside_site and not model.is_shipped else model.path
                snippet = f"# {name}: {model.entry.licence}\n{site_snippet(model.entry.section(path))}"
        except MtmcError as error:
            failures.append(error)
        else:
            out.print(snippet, markup=False, soft_wrap=True)
    if failures:
        for failure in failures[:-1]:
            _say(err, str(failure))
        raise failures[-1]


def _pull(model: KnownModel, err: Console) -> None:
    name = model.entry.name
    fault = model.fault_of(model.path) if model.path.is_file() else None
    is_sound = model.path.is_file() and fault is None
    if model.is_shipped and not is_sound:
        raise MtmcError(f"{name}: comes with mtmc, but {model.path} is missing or damaged; reinstall mtmc")
    if model.is_shipped:
        _say(err, f"{name} comes with mtmc: {model.path}")
    elif is_sound:
        _say(err, f"{name} is already downloaded and verified: {model.path}")
    else:
        if fault is not None:
            _say(err, f"{name}: {model.path} is not the published file: {fault}; it will be replaced")
        _fetch(model, err)
        _say(err, f"{name} downloaded and verified: {model.path}")


def _fetch(model: KnownModel, err: Console) -> None:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err, disable=not err.is_terminal) as bar:
        task = bar.add_task(model.entry.name, total=model.entry.size_bytes)
        download(
            model,
            lambda here: bar.update(task, completed=here),
            lambda reason, wait_s: _say(bar.console, f"{model.entry.name}: {reason}; retrying in {wait_s:.1f} s"),
        )


def _pull_from_ultralytics(name: str, err: Console) -> str:
    """Downloads weights of Ultralytics through its own package; returns the snippet for the site file."""
    from vision.inference.backends.published import published_weights

    _say(err, f"{name} downloaded: {published_weights(name)}")
    return f"# {name}: AGPL-3.0\n{site_snippet({'detector': {'model': name}})}"


def _say(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)
