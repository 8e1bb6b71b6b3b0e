"""Why a stream cannot be opened or read, as a phrase for people; never contains the address or its password."""

from __future__ import annotations

import errno
import socket
import ssl
from dataclasses import dataclass

import av
import requests

_PROBE_S = 2.0
_DEFAULT_PORTS = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443}
_REFUSED = "refused the connection; check the port, and that the camera serves this protocol"
_TLS = ("rtsps", "https")
_UNAUTHORIZED, _NO_SUCH_TRANSPORT, _SERVER_ERROR = 401, 461, 500
_OTHER_CLIENT_ERROR = 499
"""Stands for all statuses from 400 on that FFmpeg does not tell apart."""
_STATUS_OF = {
    av.error.HTTPBadRequestError: 400,
    av.error.HTTPUnauthorizedError: _UNAUTHORIZED,
    av.error.HTTPForbiddenError: 403,
    av.error.HTTPNotFoundError: 404,
    av.error.HTTPTooManyRequestsError: 429,
    av.error.HTTPOtherClientError: _OTHER_CLIENT_ERROR,
    av.error.HTTPServerError: _SERVER_ERROR,
}
_MEANINGS = {
    _UNAUTHORIZED: "refused user and password (401); check them, and that the account may watch this stream",
    403: "denies access (403); check the permissions of the account, and the camera's list of allowed hosts",
    404: "has no stream at this path (404); check the path of the address",
    429: "answered too many requests (429); lower clock.target_fps, or the number of viewers",
    _NO_SUCH_TRANSPORT: "does not support this transport (461); set transport to auto, tcp or udp",
    _OTHER_CLIENT_ERROR: "refused the request; check the path, and try another transport",
}


@dataclass(frozen=True)
class Attempt:
    """One attempt to open or read a stream."""

    name: str
    """The address as it may be shown."""
    scheme: str
    host: str
    """Host and, if given, port."""
    has_login: bool
    timeout_s: float
    took_s: float


def opening_failed(attempt: Attempt, error: Exception) -> str:
    """Why `attempt` to open a stream failed with `error`."""
    name = attempt.name
    if isinstance(error, av.error.ExitError | TimeoutError) or attempt.took_s >= attempt.timeout_s:
        return f"{name} did not answer within {attempt.timeout_s:g} s; check address and network"
    if isinstance(error, ConnectionRefusedError):
        return f"{name} {_REFUSED}"
    if isinstance(error, requests.exceptions.ProxyError):
        return f"{name} cannot be reached through the HTTP proxy; check http_proxy and no_proxy of the worker"
    if isinstance(error, requests.TooManyRedirects):
        return f"{name} redirects in a circle; check the path of the address"
    if isinstance(error, requests.exceptions.SSLError) and "CERTIFICATE_VERIFY_FAILED" in str(error):
        return f"{name} has a certificate that is not trusted; remove tls_verify, or install its authority"
    if isinstance(error, ConnectionResetError | BrokenPipeError | av.error.EOFError):
        return f"{name} closed the connection; check the path, and whether the camera allows another viewer"
    if (status := _status(error)) is not None:
        return f"{name} {status_reason(status, has_login=attempt.has_login)}"
    if found := _network_reason(attempt):
        return f"{name} {found}"
    if isinstance(error, av.error.InvalidDataError):
        return f"{name} does not send a video that can be decoded; check the path of the stream"
    return f"{name} cannot be opened; check address, path, user and password, and that it is a video stream"


def reading_failed(attempt: Attempt, error: Exception | None) -> str:
    """Why a stream that was open ended with `error`; None: it just ended."""
    if isinstance(error, av.error.ExitError | TimeoutError) or attempt.took_s >= attempt.timeout_s:
        return no_picture(attempt.name, attempt.timeout_s)
    return f"{attempt.name} ended or was interrupted"


def no_picture(name: str, for_s: float) -> str:
    """The reason of a stream that is open but silent."""
    return f"{name} sent no picture for {for_s:g} s"


def only_damaged(name: str, for_s: float) -> str:
    """The reason of a stream whose packets cannot be decoded."""
    hint = "check the network, or use transport: tcp" if name.startswith("rtsp") else "check what the camera sends"
    return f"{name} sends data, but no intact picture for {for_s:g} s; {hint}, and how often it sends key frames"


def status_reason(status: int, *, has_login: bool) -> str:
    """What a status of HTTP or RTSP means for the person who configures the camera."""
    if status == _UNAUTHORIZED and not has_login:
        return "requires a user and a password (401); write them in the address, as USER:PASSWORD@HOST"
    if status >= _SERVER_ERROR:
        return f"answered with an error of its own ({status}); restart the camera"
    return _MEANINGS.get(status, f"refused the request ({status}); check the path of the address")


def _status(error: Exception) -> int | None:
    """The status code of an error that FFmpeg reports for HTTP and RTSP, as far as it says."""
    if getattr(error, "errno", None) == errno.EPROTONOSUPPORT:
        return _NO_SUCH_TRANSPORT
    return next((status for kind, status in _STATUS_OF.items() if isinstance(error, kind)), None)


def _network_reason(attempt: Attempt) -> str | None:
    """Looks for a cause that FFmpeg reports as a general I/O error: name resolution, routing or TLS."""
    host, colon, port = attempt.host.rpartition(":")
    if not colon or not port.isdigit():
        host, port = attempt.host, str(_DEFAULT_PORTS.get(attempt.scheme, 554))
    host = host.strip("[]")
    try:
        with socket.create_connection((host, int(port)), _PROBE_S) as plain:
            if attempt.scheme not in _TLS:
                return None
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            with context.wrap_socket(plain, server_hostname=host):
                return None
    except (UnicodeError, OverflowError):
        return "has a host name or port that is not valid; check the address"
    except socket.gaierror:
        return "cannot be found: its host name is unknown; check the address and the DNS"
    except ssl.SSLError:
        return "does not accept a TLS connection; use rtsp:// or http:// instead, or check the port"
    except ConnectionRefusedError:
        return _REFUSED
    except TimeoutError:
        return "did not answer; check address and network"
    except OSError as error:
        return f"cannot be reached ({(error.strerror or 'network error').lower()}); check address and network"
