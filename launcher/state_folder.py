"""The state folder of `mtmc up`: data, logs, and what later commands need to know about the last start."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from shared.errors import MtmcError

_LONGEST_SOCKET_PATH = 80
"""sun_path holds 108 bytes, 104 on macOS; supervisord binds a name that is some 10 longer and renames it."""

_LEAST_FREE_BYTES = 16 * 2**20
"""With less, Redis and the logs (5 MB and two backups of each) would soon fill it."""
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


class AlreadyRunning(MtmcError):
    """Another `mtmc up` uses the state folder."""


@dataclass(frozen=True)
class LastStart:
    """What later commands need to know about the last `mtmc up`."""

    redis_port: int | None = None
    """Of the embedded Redis; None when there was none."""
    supervisor_socket: str | None = None
    pictures_port: int | None = None
    """Of the embedded Redis for pictures."""


@dataclass(frozen=True)
class StateFolder:
    """One folder; one `mtmc up` at a time."""

    path: Path

    @property
    def logs(self) -> Path:
        """One file for each process."""
        return self.path / "logs"

    @property
    def redis(self) -> Path:
        """The data of the embedded Redis."""
        return self.path / "redis"

    @property
    def pictures(self) -> Path:
        """The settings of the embedded Redis for pictures, which keeps no data on disk."""
        return self.path / "redis-pictures"

    @property
    def supervisor_settings(self) -> Path:
        """The generated supervisord.conf."""
        return self.path / "supervisord.conf"

    @property
    def supervisor_socket(self) -> Path:
        """In the folder itself, or in a short one of this user's where the path is too long for a socket."""
        near = self.path / "supervisor.sock"
        if len(os.fsencode(near)) <= _LONGEST_SOCKET_PATH:
            return near
        base = Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir())
        if len(os.fsencode(base)) > _LONGEST_SOCKET_PATH - 40:
            base = Path("/tmp")  # noqa: S108 (the folder below is this user's alone, which `prepare` checks)
        digest = hashlib.sha256(os.fsencode(self.path)).hexdigest()[:12]
        return base / f"mtmc-{os.getuid()}-{digest}" / "supervisor.sock"

    def log(self, name: str) -> Path:
        """The log file of one process."""
        return self.logs / f"{name}.log"

    def prepare(self) -> None:
        """Makes the folders.

        Raises:
            MtmcError: that is not allowed here, or there is no room.
        """
        try:
            for folder in (self.path, self.logs, self.supervisor_socket.parent):
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except FileExistsError as error:
            raise MtmcError(f"{error.filename}: is a file; name a folder with --state") from None
        except OSError as error:
            raise MtmcError(
                f"{error.filename}: cannot be made ({error.strerror}); name another --state folder"
            ) from None
        owner = self.supervisor_socket.parent.stat().st_uid
        if owner != os.getuid():
            raise MtmcError(f"{self.supervisor_socket.parent} belongs to another user; name a shorter --state folder")
        self.check_room(self.path)

    def check_room(self, folder: Path) -> None:
        """Looks whether `folder`, which exists, can be written and has room: the state folder, or one around it.

        Raises:
            MtmcError: it cannot, or has not.
        """
        if not os.access(folder, os.W_OK | os.X_OK):
            raise MtmcError(f"{folder}: this user may not write there; name another --state folder")
        free = shutil.disk_usage(folder).free
        if free < _LEAST_FREE_BYTES:
            raise MtmcError(self._no_room(f"only {free / 2**20:.1f} MiB are free"))

    def _no_room(self, reason: str) -> str:
        return f"the state folder {self.path} has no room ({reason}); make some there, or name another --state folder"

    @contextlib.contextmanager
    def reporting_full_disk(self) -> Iterator[None]:
        """Turns the errors of a full disk into a message for the user. Wraps whatever writes to the folder.

        Raises:
            MtmcError: the disk is full, or the quota is used up.
        """
        try:
            yield
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise
            raise MtmcError(self._no_room(os.strerror(error.errno))) from None

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Holds the folder for this process; the system lets go of it also when the process is killed.

        Raises:
            AlreadyRunning: another process holds it.
        """
        with (self.path / "lock").open("a+", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                file.seek(0)
                holder = file.read().strip() or "unknown"
                raise AlreadyRunning(
                    f"'mtmc up' already runs with the state folder {self.path} (pid {holder}); stop that one, or give "
                    "another --state folder"
                ) from None
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            yield

    def save_last_start(self, start: LastStart) -> None:
        """Writes the file atomically."""
        new = self.path / "facts.json.new"
        new.write_text(json.dumps(asdict(start)), encoding="utf-8")
        new.replace(self.path / "facts.json")

    def last_start(self) -> LastStart:
        """What was saved at the last start; empty if there was none or the file cannot be read."""
        try:
            content = json.loads((self.path / "facts.json").read_text(encoding="utf-8"))
            port, path = content["redis_port"], content["supervisor_socket"]
            pictures = content.get("pictures_port")
        except (OSError, ValueError, KeyError, TypeError):
            return LastStart()
        return LastStart(
            port if isinstance(port, int) else None,
            path if isinstance(path, str) else None,
            pictures if isinstance(pictures, int) else None,
        )


def state_folder(site_file: Path, site: str, chosen: Path | None, environment: Mapping[str, str]) -> StateFolder:
    """`chosen`, else `.mtmc/{site}` beside the site file, else (nothing may be written there) one in the XDG folder."""
    if chosen is not None:
        return StateFolder(chosen.expanduser().resolve())
    beside = site_file.resolve().parent / ".mtmc" / site
    nearest = next(folder for folder in beside.parents if folder.is_dir()) if not beside.is_dir() else beside
    if os.access(nearest, os.W_OK | os.X_OK):
        return StateFolder(beside)
    home = environment.get("XDG_STATE_HOME") or "~/.local/state"
    digest = hashlib.sha256(os.fsencode(site_file.resolve())).hexdigest()[:8]
    return StateFolder(Path(home).expanduser() / "mtmc" / f"{site}-{digest}")
