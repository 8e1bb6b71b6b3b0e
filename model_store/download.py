"""Downloads one model file over HTTP, with resume, retries and verification.

The data is kept in `FILE.partial`, which is renamed once size and checksum are right. No validator such as an ETag is
stored with it: the expected size and checksum are known, so a mix of two different files fails verification, and the
whole file is downloaded again.
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

_CONNECT_S, _READ_S = 10, 30
_CHUNK_BYTES = 1 << 14
"""At most this much is lost when the connection breaks."""
_FRUITLESS_TRIES = 3
"""Gives up after this many attempts in a row without a new byte."""
_WAIT = wait_exponential(multiplier=0.5, max=10)
_RETRYABLE_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})
_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

ReportBytes = Callable[[int], None]
"""Called with the number of bytes downloaded so far."""
ReportRetry = Callable[[str, float], None]
"""Called with the reason of a failure, and the seconds until the next attempt."""


class _Retryable(Exception):
    """The next attempt may succeed."""


def download(model: KnownModel, progress: ReportBytes, on_retry: ReportRetry, wait: wait_base = _WAIT) -> None:
    """Downloads the file of a model, and replaces an existing one. `wait` is the time between two attempts.

    Raises:
        MtmcError: the file cannot be downloaded or stored, or fails verification.
    """
    with _translating_errors(model), _exclusive(model) as file:
        transfer = _Transfer(model, file, progress)
        for attempt in Retrying(
            retry=retry_if_exception_type(_Retryable),
            wait=wait,
            stop=lambda _: transfer.fruitless >= _FRUITLESS_TRIES,
            before_sleep=lambda state: _report(state, on_retry),
            reraise=True,
        ):
            with attempt:
                transfer.resume()
        os.fsync(file.fileno())
        model.partial.replace(model.path)


class _Transfer:
    """The download of one file into its partial file."""

    def __init__(self, model: KnownModel, file: FileIO, progress: ReportBytes) -> None:
        self._model, self._file, self._progress = model, file, progress
        self._whole = model.entry.size_bytes
        self._pieced = self._size > 0
        """Whether the partial file was downloaded in several pieces, which may come from different files."""
        self._furthest = self._size
        self.fruitless = 0

    def resume(self) -> None:
        """Downloads the rest, and verifies the whole file.

        Raises:
            _Retryable: the download was interrupted, or has to start over.
            MtmcError: another attempt would fail in the same way.
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
            raise _Retryable("the resumed download does not match the checksum; starting over")
        raise self._refusal(fault)

    def _fetch(self) -> None:
        # Compressed content would have another size than the file and could not be resumed.
        headers = {"Accept-Encoding": "identity", "User-Agent": "mtmc"}
        if self._size:
            headers["Range"] = f"bytes={self._size}-"
        url = self._model.entry.url
        assert url is not None
        try:
            with requests.get(url, headers=headers, stream=True, timeout=(_CONNECT_S, _READ_S)) as reply:
                self._accept(reply)
                for chunk in reply.iter_content(_CHUNK_BYTES):
                    self._append(chunk)
        except requests.exceptions.SSLError as error:
            raise self._failure(f"no secure connection ({_reason(error)})") from None
        except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
            raise _Retryable(_reason(error)) from None
        except requests.RequestException as error:
            raise self._failure(_reason(error)) from None
        if self._size < self._whole:
            raise _Retryable("the connection was closed early")

    def _accept(self, reply: requests.Response) -> None:
        """Prepares the partial file for the body of `reply`; raises if the reply cannot be the right file."""
        status = reply.status_code
        if status in _RETRYABLE_STATUSES:
            raise _Retryable(f"the server answered {status} {reply.reason}")
        if status == 416:  # the server's file is shorter than the partial file
            self._start_over()
            raise _Retryable("the server cannot resume the download; starting over")
        if status not in (200, 206):
            raise self._failure(f"the server answered {status} {reply.reason}")
        if reply.headers.get("Content-Type", "").startswith("text/html"):
            raise self._refusal("it is a web page")
        if status == 200:
            total = reply.headers.get("Content-Length")
        else:
            content_range = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", reply.headers.get("Content-Range", ""))
            if content_range is None or int(content_range[1]) != self._size:
                self._start_over()
                raise _Retryable("the server sent the wrong part of the file; starting over")
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
        while rest:  # on a nearly full disk, a write may be partial, and the next one fails
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
        expected = "the published file"
        if entry.checksum_by == "others":  # the publisher states no checksum
            expected = "the file that others downloaded from there"
        return MtmcError(
            f"{entry.name}: {entry.url} did not return {expected}: {fault}; nothing was kept. Check whether a proxy "
            "answers with its own page"
        )

    def _failure(self, reason: str) -> MtmcError:
        return _failure(self._model, reason)


def _failure(model: KnownModel, reason: str) -> MtmcError:
    entry = model.entry
    host = urlsplit(entry.url or "").hostname
    kept = model.partial.stat().st_size if model.partial.is_file() else 0
    partly = f" ({kept / entry.size_bytes:.0%} downloaded; the next pull resumes there)" if kept else ""
    return MtmcError(
        f"{entry.name} cannot be downloaded from {host}: {reason}{partly}; check the network (set HTTPS_PROXY to use a "
        f"proxy), or download {entry.url} on another machine, save it as {model.path}, and run the same command again"
    )


@contextlib.contextmanager
def _exclusive(model: KnownModel) -> Iterator[FileIO]:
    """Opens the partial file for appending and locks it; deletes it at the end if it is empty."""
    model.path.parent.mkdir(parents=True, exist_ok=True)
    with model.partial.open("ab", buffering=0) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            mine = os.path.samestat(os.fstat(file.fileno()), model.partial.stat())
        except (BlockingIOError, FileNotFoundError):
            mine = False  # another process has the lock, or has just renamed the finished file
        if not mine:
            raise MtmcError(f"{model.entry.name}: another process is downloading it to {model.path}; wait for it")
        try:
            _require_space(model, file.tell())
            yield file
        finally:
            if file.tell() == 0:
                model.partial.unlink(missing_ok=True)


def _require_space(model: KnownModel, downloaded: int) -> None:
    free, missing = shutil.disk_usage(model.path.parent).free, model.entry.size_bytes - downloaded
    if free < missing:
        raise OSError(errno.ENOSPC, f"{missing / 1e6:,.1f} MB needed, {free / 1e6:,.1f} MB free")


@contextlib.contextmanager
def _translating_errors(model: KnownModel) -> Iterator[None]:
    try:
        yield
    except _Retryable as error:
        raise _failure(model, str(error)) from None
    except OSError as error:
        folder = model.path.parent
        if error.errno in _NO_SPACE:
            raise MtmcError(
                f"{model.entry.name}: not enough disk space in {folder} ({error.strerror}); free some, or give another "
                "folder with --to"
            ) from None
        raise MtmcError(
            f"{model.entry.name}: cannot be stored in {folder} ({error.strerror}); give another folder with --to"
        ) from None


def _report(state: RetryCallState, on_retry: ReportRetry) -> None:
    assert state.outcome is not None
    on_retry(str(state.outcome.exception()), state.upcoming_sleep)


def _reason(error: BaseException) -> str:
    """The message of the innermost cause of an error of the HTTP library."""
    if isinstance(error, requests.Timeout):
        return "it does not answer"
    proxy = "the proxy: " if isinstance(error, requests.exceptions.ProxyError) else ""
    bottom = error
    while (inner := bottom.__cause__ or bottom.__context__) is not None:
        bottom = inner
    text = getattr(bottom, "verify_message", None) or getattr(bottom, "strerror", None) or str(bottom)
    return proxy + (text or type(bottom).__name__)
