"""One file over HTTP: goes on where an earlier try ended, and gets its name once it is what it should be.

What was fetched lies in `FILE.partial`. No validator such as an ETag is kept beside it, because size and checksum of
the whole are known beforehand: pieces of two different files do not pass for one, and then all is fetched anew.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import shutil
from collections.abc import Callable, Iterator
from io import FileIO
from urllib.parse import urlsplit

import requests
from tenacity import RetryCallState, Retrying, retry_if_exception_type, wait_exponential
from tenacity.wait import wait_base

from model_store.store import KnownModel
from shared.errors import MtmcError

_CONNECT_S, _SILENCE_S = 10, 30
_CHUNK_BYTES = 1 << 14
"""What a cut loses at most."""
_FRUITLESS_TRIES = 3
"""In a row without a new byte, before it is given up."""
_WAIT = wait_exponential(multiplier=0.5, max=10)
_PASSING_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

ReportBytes = Callable[[int], None]
"""Called with the number of bytes that are here."""
ReportRetry = Callable[[str, float], None]
"""Called with what went wrong, and the seconds until the next try."""


class _Passing(Exception):
    """It may work at the next try."""


def download(model: KnownModel, progress: ReportBytes, on_retry: ReportRetry, wait: wait_base = _WAIT) -> None:
    """Fetches the file of a model, in place of one that may be there. `wait` is between two tries.

    Raises:
        MtmcError: it cannot be fetched or stored, or is not what it should be.
    """
    with _translating_errors(model), _exclusive(model) as file:
        transfer = _Transfer(model, file, progress)
        for attempt in Retrying(
            retry=retry_if_exception_type(_Passing),
            wait=wait,
            stop=lambda _: transfer.fruitless >= _FRUITLESS_TRIES,
            before_sleep=lambda state: _report(state, on_retry),
            reraise=True,
        ):
            with attempt:
                transfer.go_on()
        os.fsync(file.fileno())
        model.partial.replace(model.path)


class _Transfer:
    """The way of one file from its server into the partial file."""

    def __init__(self, model: KnownModel, file: FileIO, progress: ReportBytes) -> None:
        self._model, self._file, self._progress = model, file, progress
        self._whole = model.entry.size_bytes
        self._pieced = self._size > 0
        """Whether what is here came in several pieces, perhaps of several files."""
        self._furthest = self._size
        self.fruitless = 0

    def go_on(self) -> None:
        """Fetches what is missing, and looks whether the whole is right.

        Raises:
            _Passing: it came to an end before.
            MtmcError: another try would end in the same way.
        """
        self.fruitless += 1
        if self._size < self._whole:
            self._fetch()
        fault = self._model.fault_of(self._model.partial)
        if fault is None:
            return
        pieced = self._pieced
        self._start_over()
        if pieced:
            raise _Passing("its pieces do not fit together")
        raise self._refusal(fault)

    def _fetch(self) -> None:
        # What a server packs for the way would have another size than the file.
        headers = {"Accept-Encoding": "identity", "User-Agent": "mtmc"}
        if self._size:
            headers["Range"] = f"bytes={self._size}-"
        url = self._model.entry.url
        assert url is not None
        try:
            with requests.get(url, headers=headers, stream=True, timeout=(_CONNECT_S, _SILENCE_S)) as reply:
                self._accept(reply)
                for chunk in reply.iter_content(_CHUNK_BYTES):
                    self._append(chunk)
        except requests.exceptions.SSLError as error:
            raise self._failure(f"no safe connection ({_reason(error)})") from None
        except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
            raise _Passing(_reason(error)) from None
        except requests.RequestException as error:
            raise self._failure(_reason(error)) from None
        if self._size < self._whole:
            raise _Passing("the connection was cut")

    def _accept(self, reply: requests.Response) -> None:
        """Makes the partial file ready for the body of `reply`, or refuses it."""
        status = reply.status_code
        if status in _PASSING_STATUSES:
            raise _Passing(f"the server says {status} {reply.reason}")
        if status == 416:  # the server's file is shorter than what is here
            self._start_over()
            raise _Passing("the server does not have the rest")
        if status not in (200, 206):
            raise self._failure(f"the server says {status} {reply.reason}")
        if reply.headers.get("Content-Type", "").startswith("text/html"):
            raise self._refusal("it is a web page")
        if status == 200:
            total = reply.headers.get("Content-Length")
        else:
            content_range = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", reply.headers.get("Content-Range", ""))
            if content_range is None or int(content_range[1]) != self._size:
                self._start_over()
                raise _Passing("the server sent another piece than it was asked for")
            total = content_range[2]
        if total is not None and total.isdecimal() and int(total) != self._whole:
            raise self._refusal(f"it has {int(total):,} bytes instead of {self._whole:,}")
        if status == 200:
            self._start_over()
        else:
            self._pieced = True

    def _append(self, chunk: bytes) -> None:
        if self._size + len(chunk) > self._whole:
            self._start_over()
            raise self._refusal(f"it has more than {self._whole:,} bytes")
        rest = memoryview(chunk)
        while rest:  # a nearly full disk takes a part of it, and refuses the next one
            rest = rest[self._file.write(rest) :]
        self._progress(self._size)
        if self._size > self._furthest:
            self._furthest, self.fruitless = self._size, 0

    def _start_over(self) -> None:
        self._file.truncate(0)
        self._file.seek(0)
        self._pieced = False
        self._progress(0)

    @property
    def _size(self) -> int:
        return self._file.tell()

    def _refusal(self, fault: str) -> MtmcError:
        entry = self._model.entry
        wanted = "the file that was published"
        if entry.checksum_by == "others":  # the publisher gives no checksum
            wanted = "the file that others got from there"
        return MtmcError(
            f"{entry.name}: what {entry.url} gives is not {wanted}: {fault}; nothing of it was kept. "
            "Look whether a proxy answers with a page of its own"
        )

    def _failure(self, reason: str) -> MtmcError:
        return _failure(self._model, reason)


def _failure(model: KnownModel, reason: str) -> MtmcError:
    entry = model.entry
    host = urlsplit(entry.url or "").hostname
    kept = model.partial.stat().st_size if model.partial.is_file() else 0
    partly = f" ({kept / entry.size_bytes:.0%} of it is here, and the next pull goes on from there)" if kept else ""
    return MtmcError(
        f"{entry.name} cannot be fetched from {host}: {reason}{partly}; mend the network (HTTPS_PROXY names a proxy), "
        f"or fetch {entry.url} on another machine and put it at {model.path}"
    )


@contextlib.contextmanager
def _exclusive(model: KnownModel) -> Iterator[FileIO]:
    """The partial file, its end ready to be written, for this process alone; without anything in it, it goes."""
    model.path.parent.mkdir(parents=True, exist_ok=True)
    with model.partial.open("ab", buffering=0) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            mine = os.path.samestat(os.fstat(file.fileno()), model.partial.stat())
        except (BlockingIOError, FileNotFoundError):
            mine = False  # the other one has it, or has just given it its name
        if not mine:
            raise MtmcError(
                f"{model.entry.name}: another process is fetching it to {model.path} right now; wait for it"
            )
        try:
            _need_room(model, file.tell())
            yield file
        finally:
            if file.tell() == 0:
                model.partial.unlink(missing_ok=True)


def _need_room(model: KnownModel, here: int) -> None:
    free, missing = shutil.disk_usage(model.path.parent).free, model.entry.size_bytes - here
    if free < missing:
        raise OSError(errno.ENOSPC, f"{missing / 1e6:,.1f} MB are missing, {free / 1e6:,.1f} MB are free")


@contextlib.contextmanager
def _translating_errors(model: KnownModel) -> Iterator[None]:
    try:
        yield
    except _Passing as error:
        raise _failure(model, str(error)) from None
    except OSError as error:
        folder = model.path.parent
        if error.errno in _NO_ROOM:
            raise MtmcError(
                f"{model.entry.name}: {folder} has no room for it ({error.strerror}); make some, or name another "
                "folder with --to"
            ) from None
        raise MtmcError(
            f"{model.entry.name}: cannot be stored in {folder} ({error.strerror}); name another folder with --to"
        ) from None


def _report(state: RetryCallState, on_retry: ReportRetry) -> None:
    assert state.outcome is not None
    on_retry(str(state.outcome.exception()), state.upcoming_sleep)


def _reason(error: BaseException) -> str:
    """What lies at the bottom of an error of the HTTP library, in the system's words."""
    if isinstance(error, requests.Timeout):
        return "it does not answer"
    proxy = "the proxy: " if isinstance(error, requests.exceptions.ProxyError) else ""
    bottom = error
    while (inner := bottom.__cause__ or bottom.__context__) is not None:
        bottom = inner
    text = getattr(bottom, "verify_message", None) or getattr(bottom, "strerror", None) or str(bottom)
    return proxy + (text or type(bottom).__name__)
