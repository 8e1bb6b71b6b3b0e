"""The Lua scripts, loaded once per process and sent by their hash."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from shared.redis_connection import Client

_FOLDER = Path(__file__).parent / "lua"
_WITH_GATE = frozenset({"advance", "complete_tick", "join", "retire", "handled", "wake"})


@cache
def _source(name: str) -> bytes:
    body = (_FOLDER / f"{name}.lua").read_bytes()
    return (_FOLDER / "gate.lua").read_bytes() + body if name in _WITH_GATE else body


class Scripts:
    """Runs the project's scripts on one client; a server that forgot them is told again by the driver."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._registered: dict[str, Any] = {}

    def run(
        self,
        name: str,
        keys: Sequence[str],
        args: Sequence[str | bytes | int | float],
        pipeline: Any = None,
    ) -> Any:
        """Runs `lua/{name}.lua`, or queues it on `pipeline`.

        A pipeline carries the whole text: its answers come too late to tell the server of a script that it forgot, and
        the driver's own way costs a round trip more, with SCRIPT EXISTS, each time.
        """
        if pipeline is not None:
            return pipeline.eval(_source(name), len(keys), *keys, *args)
        script = self._registered.get(name)
        if script is None:
            script = self._registered[name] = self._client.register_script(_source(name))
        return script(keys=list(keys), args=list(args))
