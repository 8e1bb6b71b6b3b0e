"""The layout of a site, from its settings."""

from __future__ import annotations

from dataclasses import replace

from shared.calibration import Calibration, CalibrationError, with_common_origin
from shared.camera_calibrations import calibration_of_settings
from shared.config import LayoutConfig, SiteConfig
from shared.errors import LayoutError
from shared.layout import Layout, read_layout


def site_layout(site: SiteConfig) -> Layout:
    """The transitions between the cameras of `site`.

    Raises:
        LayoutError: the layout file or a calibration cannot be read, or does not match the cameras.
    """
    return replace(_transitions(site), calibrations=_calibrations(site))


def _calibrations(site: SiteConfig) -> dict[str, Calibration]:
    """Camera → calibration; the reference mode uses none, so it is not stopped by a bad one."""
    found: dict[str, Calibration] = {}
    if site.association.mode == "reference":
        return found
    for camera in site.cameras:
        try:
            one = calibration_of_settings(camera)
        except CalibrationError as error:
            raise LayoutError(f"camera {camera.name}: the calibration {error}") from None
        if one is not None:
            found[camera.name] = one
    return with_common_origin(found)


def _transitions(site: SiteConfig) -> Layout:
    names = site.camera_names
    config = site.layout or LayoutConfig()
    if config.file is not None:
        return read_layout(config.file, config.cameras or names).of(names)
    if site.layout is None:
        return Layout.open(names)
    layout = Layout.closed(names)
    for step in config.transitions:
        layout = layout.with_transition(step.from_camera, step.to_camera, step.min_seconds, step.max_seconds)
        if step.both_ways and step.from_camera != step.to_camera:
            layout = layout.with_transition(step.to_camera, step.from_camera, step.min_seconds, step.max_seconds)
    for group in config.overlaps:
        for source in group:
            for target in group:
                if source != target:
                    layout = layout.with_transition(
                        source, target, 0.0, site.association.retention_seconds, overlapping=True
                    )
    return layout
