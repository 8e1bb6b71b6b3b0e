"""The Lua scripts, loaded once per process and called by hash; `lua/README.md` lists them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from shared.redis_connection import Client

_FOLDER = Path(__file__).parent / "lua"
_PRELUDES = {
    **dict.fromkeys(("handled", "wake"), ("gate",)),
    **dict.fromkeys(("advance", "join", "retire"), ("renewal", "gate")),
    "complete_tick": ("renewal", "gate", "ids"),
    "fenced": ("renewal", "ids"),
    "leases": ("renewal",),
}
"""Script → the files that are prepended to it, because it uses their functions."""


@cache
def _source(name: str) -> bytes:
    return b"".join((_FOLDER / f"{part}.lua").read_bytes() for part in (*_PRELUDES.get(name, ()), name))


class Scripts:
    """Runs the scripts on one client. redis-py loads a script again if the server no longer has it."""

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

        A pipeline sends the whole text: by the time its replies say that the server no longer has a script, it is too
        late to load it, and redis-py's own check, SCRIPT EXISTS, costs another round trip each time.
        """
        if pipeline is not None:
            return pipeline.eval(_source(name), len(keys), *keys, *args)
        return self._script(name)(keys=list(keys), args=list(args))

    def queue(self, name: str, keys: Sequence[str], args: Sequence[str | bytes | int | float], pipeline: Any) -> None:
        """Queues `lua/{name}.lua` by its hash, for a caller that often sends it.

        The pipeline raises NoScriptError if the server does not have the script; `load` it then, and send all again.
        """
        pipeline.evalsha(self._script(name).sha, len(keys), *keys, *args)

    def load(self, name: str) -> None:
        """Loads a script into the server."""
        self._client.script_load(_source(name))

    def _script(self, name: str) -> Any:
        script = self._registered.get(name)
        if script is None:
            script = self._registered[name] = self._client.register_script(_source(name))
        return script
