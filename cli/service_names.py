"""What `mtmc run` can run. Apart from the rest, because the help needs it and must come at once."""

from __future__ import annotations

from enum import Enum


class ServiceName(str, Enum):
    """The words of the command line."""

    CLOCK = "clock"
    CAMERA_WORKER = "camera-worker"
    AGGREGATOR = "aggregator"
    STREAMER = "streamer"

    @property
    def module(self) -> str:
        """The module with the service's `main(options)`."""
        return f"services.{self.value.replace('-', '_')}.__main__"


class LogLevel(str, Enum):
    """How much is logged."""

    DEBUG = "DEBUG"
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"


class LogFormat(str, Enum):
    """For whom it is logged."""

    TEXT = "text"
    JSON = "json"
