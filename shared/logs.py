"""Structured logs on stderr: one line per event, `key=value`, no credentials."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any

import structlog

from shared.errors import redact
from shared.lasting_output import lasting


def configure_logging(service: str, level: str = "INFO", *, json: bool = False) -> None:
    """Sets up structlog and the standard library's logging for one process.

    `json` writes one JSON object per line, for machines; otherwise lines for people, coloured on a terminal.
    """
    output = lasting(sys.stderr)
    renderer: Any = (
        structlog.processors.JSONRenderer()
        if json
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), pad_event_to=0)
    )
    structlog.configure(
        processors=[
            _named(service),
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _redacted,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        logger_factory=structlog.PrintLoggerFactory(output),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(output)
    handler.setFormatter(_RedactingFormatter("%(name)s: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])


@contextlib.contextmanager
def logs_of_command(command: str, level: str = "WARNING") -> Iterator[None]:
    """Shows logs from `level` up inside the `with` block: for a command that runs parts of services in its process."""
    before = structlog.get_config()
    configure_logging(command, level)
    # Module-level loggers outlive the command, and must not cache this configuration.
    structlog.configure(cache_logger_on_first_use=False)
    try:
        yield
    finally:
        structlog.configure(**before)


def _named(service: str) -> structlog.typing.Processor:
    """Adds the service's name to every line, also to those of other threads."""

    def add(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event.setdefault("service", service)
        return event

    return add


def _redacted(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for key, value in event.items():
        event[key] = _clean(value)
    return event


def _clean(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {str(key): _clean(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_clean(item) for item in value]
    return redact(str(value))


class _RedactingFormatter(logging.Formatter):
    """Redacts credentials in what libraries log."""

    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))
