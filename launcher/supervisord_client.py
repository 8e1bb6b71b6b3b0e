"""Calls supervisord by XML-RPC over its unix socket."""

from __future__ import annotations

import http.client
import socket
import xmlrpc.client
from pathlib import Path
from typing import Any

GONE = (OSError, http.client.HTTPException, xmlrpc.client.ProtocolError)
"""The exceptions of a call while supervisord is not running."""
_TIMEOUT_S = 10.0


def call(address: Path, method: str, *arguments: Any) -> Any:
    """Calls `supervisor.{method}` and returns its result.

    Raises:
        OSError, HTTPException or ProtocolError (`GONE`): supervisord does not answer.
        Fault: supervisord reported an error.
    """
    with xmlrpc.client.ServerProxy("http://localhost", transport=_UnixTransport(address)) as server:
        return getattr(server.supervisor, method)(*arguments)


class _UnixTransport(xmlrpc.client.Transport):
    """XML-RPC over a unix socket."""

    def __init__(self, address: Path) -> None:
        super().__init__()
        self._address = address

    def make_connection(self, _host: Any) -> http.client.HTTPConnection:
        """Replaces the TCP connection of the base class, which later closes `_connection`."""
        connection = _UnixConnection(self._address)
        self._connection = ("localhost", connection)
        return connection


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, address: Path) -> None:
        super().__init__("localhost", timeout=_TIMEOUT_S)
        self._address = address

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._address))
