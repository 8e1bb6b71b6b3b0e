"""`mtmc demo`: renders the synthetic site once, then runs it like any other site."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from cli.progress import progress
from cli.up import UpOptions, up
from demo.cache import cache_name, rendered_site
from demo.errors import DemoError
from demo.site import DETECTOR, EMBEDDER, DemoSite
from launcher.programs import usable_cores


@dataclass(frozen=True)
class DemoOptions:
    """What the command line says."""

    site: DemoSite
    output: Path | None = None
    """Render into this folder, and run nothing."""
    workers: int | None = None
    port: int | None = None
    cache: Path = Path(".mtmc")
    log_level: str = "INFO"


def demo(options: DemoOptions, environment: Mapping[str, str], console: Console) -> int:
    """Runs the demo until a signal comes; the exit code.

    Raises:
        MtmcError: the user must mend something.
    """
    if options.output is None:
        check_models(options.site.models)
    folder = options.output or options.cache / cache_name(options.site)
    with progress(f"rendering {options.site.seconds:g} s") as told:
        site_file = rendered_site(folder, options.site, processes=usable_cores(), progress=told)
    console.print(f"the site: {site_file}, with the truth beside it", markup=False, soft_wrap=True)
    if options.output is not None:
        return 0
    return up(
        UpOptions(site_file, options.workers, None, options.port, log_level=options.log_level), environment, console
    )


def check_models(folder: Path) -> None:
    """Before anything is rendered in vain.

    Raises:
        DemoError: the demo's networks are missing.
    """
    missing = [name for name in (DETECTOR, EMBEDDER) if not (folder / name).is_file()]
    if missing:
        raise DemoError(
            f"the demo's networks are missing: there is no {' and no '.join(missing)} in {folder}; install mtmc anew, "
            "or name a folder that holds them with --models"
        )
