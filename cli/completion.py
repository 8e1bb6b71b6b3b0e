"""Shell completion. It answers within a fraction of a second or offers nothing."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import typer

from shared.head_names import HeadName

if TYPE_CHECKING:
    from shared.keys import Keys
    from shared.redis_connection import Client

_REDIS_TIMEOUT_S = 0.4
_MAX_NAMES = 1000
SITE_FILE_ENDINGS = (".yaml", ".yml")
MODEL_FILE_ENDINGS = (".onnx",)


def site_file(incomplete: str) -> list[str]:
    """Site files, and folders that may contain one."""
    return _files(incomplete, SITE_FILE_ENDINGS)


def model_names(ctx: typer.Context, incomplete: str) -> list[str]:
    """Known models, except those already on the command line."""
    names: list[str] = []
    with _quiet():
        from model_store.manifest import read_manifest

        names = [entry.name for entry in read_manifest().models]
    return [name for name in names if name.startswith(incomplete) and name not in _words(ctx)]


def model_names_or_files(ctx: typer.Context, incomplete: str) -> list[str]:
    """Known models, and model files."""
    return model_names(ctx, incomplete) + _files(incomplete, MODEL_FILE_ENDINGS)


def head_names(incomplete: str) -> list[str]:
    """Heads of detectors."""
    return [name for name in get_args(HeadName) if name.startswith(incomplete)]


def _files(incomplete: str, endings: tuple[str, ...]) -> list[str]:
    typed, _, start = incomplete.rpartition("/")
    folder = typed + "/" if "/" in incomplete else ""
    with contextlib.suppress(OSError):
        found = [
            folder + entry.name + "/" * entry.is_dir()
            for entry in Path(folder or ".").expanduser().iterdir()
            if entry.name.startswith(start) and (entry.is_dir() or entry.suffix in endings)
        ]
        return sorted(name for name in found if start.startswith(".") or not name[len(folder) :].startswith("."))
    return []


def site_file_or_cameras(ctx: typer.Context, incomplete: str) -> list[str]:
    """Site files until a site is given as a file or with --site; then its cameras."""
    words = [word for word in _words(ctx) if word != incomplete]
    named = bool(ctx.params.get("site")) or any(word.endswith(SITE_FILE_ENDINGS) for word in words)
    if not named:
        return site_file(incomplete)
    return [name for name in _cameras(ctx, words) if name.startswith(incomplete) and name not in words]


def site_file_or_identities(ctx: typer.Context, incomplete: str) -> list[str]:
    """Site files until a site is given as a file or with --site; then the gids of its identities."""
    words = [word for word in _words(ctx) if word != incomplete]
    if not ctx.params.get("site") and not any(word.endswith(SITE_FILE_ENDINGS) for word in words):
        return site_file(incomplete)
    gids: list[int] = []
    with _quiet(), _site_of(ctx, words) as (client, keys):
        from shared.site_state.identities import list_gids

        gids = list_gids(client, keys)[:_MAX_NAMES]
    return [str(gid) for gid in gids if str(gid).startswith(incomplete) and str(gid) not in words]


def first_site_file(ctx: typer.Context, incomplete: str) -> list[str]:
    """Site files for the first word; nothing for the words of another program that follow."""
    return [] if [word for word in _words(ctx) if word != incomplete] else site_file(incomplete)


def site_names(ctx: typer.Context, incomplete: str) -> list[str]:
    """The sites published in the Redis that the command would use without a site file."""
    names: set[str] = set()
    with _quiet():
        from launcher.address import find_redis

        address = find_redis(ctx.params.get("redis_url"), None, None, None, os.environ)
        with _connected(address.url, address.password) as client:
            for key in client.scan_iter("mtmc:{*}:config", count=_MAX_NAMES):
                if match := re.fullmatch(r"mtmc:\{([^}]*)\}:config", key.decode()):
                    names.add(match[1])
    return sorted(name for name in names if name.startswith(incomplete))


def _cameras(ctx: typer.Context, words: list[str]) -> list[str]:
    names: list[str] = []
    with _quiet(), _site_of(ctx, words) as (client, keys):
        names += sorted(name.decode() for name in client.hkeys(keys.cameras)[:_MAX_NAMES])
    return names


@contextlib.contextmanager
def _site_of(ctx: typer.Context, words: list[str]) -> Iterator[tuple[Client, Keys]]:
    """The Redis of the site that the command line names, and its keys."""
    from launcher.address import find_redis, site_name
    from launcher.site_file import load_site_leniently
    from shared.keys import Keys

    path = next((Path(word) for word in words if word.endswith(SITE_FILE_ENDINGS)), None)
    site = load_site_leniently(path, os.environ)
    keys = Keys(site_name(site, ctx.params.get("site")))
    address = find_redis(ctx.params.get("redis_url"), site, path, ctx.params.get("state"), os.environ)
    with _connected(address.url, address.password) as client:
        yield client, keys


def _words(ctx: typer.Context) -> list[str]:
    words: Any = ctx.params.get("words") or []
    return [words] if isinstance(words, str) else list(words)


@contextlib.contextmanager
def _connected(url: str, password: str | None) -> Iterator[Client]:
    from shared.redis_connection import connect

    client = connect(url, password, timeout_s=_REDIS_TIMEOUT_S)
    try:
        yield client
    finally:
        client.close()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Suppresses errors: they would garble the line that the user is typing."""
    from redis.exceptions import RedisError

    from shared.errors import MtmcError

    with contextlib.suppress(MtmcError, RedisError, OSError):
        yield
