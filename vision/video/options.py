"""How to open a source, and when to give up on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from shared.camera_config import CameraConfig

_DEFAULTS = CameraConfig.model_fields
_PREFER_TCP = {"rtsp_flags": "prefer_tcp"}
"""Ask for TCP first, because UDP loses packets, which shows as torn pictures; then for what the camera offers."""


@dataclass(frozen=True)
class SourceOptions:
    """Settings of one source; the defaults are those of `shared.camera_config.CameraConfig`."""

    transport: str = _DEFAULTS["transport"].default
    """`tcp`, `udp`, or `auto`: TCP if the camera offers it."""
    open_timeout_s: float = _DEFAULTS["open_timeout_seconds"].default
    """Timeout of opening a stream, seconds."""
    read_timeout_s: float = _DEFAULTS["read_timeout_seconds"].default
    """Timeout of one picture of a stream, seconds."""
    freeze_s: float = _DEFAULTS["freeze_seconds"].default
    """A live picture that has not changed for this long is frozen, seconds; 0: never."""
    hwaccel: str = _DEFAULTS["hwaccel"].default
    """Hardware that decodes; see `VideoInput`."""
    ffmpeg: Mapping[str, str] = field(default_factory=dict)
    """Further options of FFmpeg for a stream."""

    @classmethod
    def of(cls, camera: CameraConfig) -> SourceOptions:
        """The settings of `camera`."""
        return cls(
            transport=camera.transport,
            open_timeout_s=camera.open_timeout_seconds,
            read_timeout_s=camera.read_timeout_seconds,
            freeze_s=camera.freeze_seconds,
            hwaccel=camera.hwaccel,
            ffmpeg={str(name): value for name, value in camera.ffmpeg_options.items()},
        )

    def for_ffmpeg(self, scheme: str) -> dict[str, str]:
        """FFmpeg's options for an address with this scheme."""
        options = {}
        if scheme in ("rtsp", "rtsps"):
            options = {"rtsp_transport": self.transport} if self.transport != "auto" else dict(_PREFER_TCP)
        return options | dict(self.ffmpeg)
