"""What Home Assistant needs to show a site as a device, without any setting there.

Its MQTT discovery: https://www.home-assistant.io/integrations/mqtt/#mqtt-discovery
"""

from __future__ import annotations

import re
from typing import Any

from shared.site_state.states import SiteState


def announcements(prefix: str, base: str, state: SiteState) -> dict[str, dict[str, Any]]:
    """Topic → configuration of a sensor.

    Args:
        prefix: topic under which Home Assistant looks.
        base: topic of the site.
        state: has the cameras.
    """
    found: dict[str, dict[str, Any]] = {}

    def add(key: str, name: str, topic: str, **more: Any) -> None:
        unique = _plain(f"mtmc_{state.site}_{key}")
        found[f"{prefix}/sensor/{unique}/config"] = {
            "name": name,
            "unique_id": unique,
            "state_topic": f"{base}/{topic}",
            "availability_topic": f"{base}/status",
            "device": {
                "identifiers": [_plain(f"mtmc_{state.site}")],
                "name": f"mtmc {state.site}",
                "manufacturer": "mtmc",
                "model": "multi-camera tracking",
            },
            **more,
        }

    counted = {"state_class": "measurement", "unit_of_measurement": "objects"}
    add("objects", "Objects in view", "objects", icon="mdi:account-multiple", **counted)
    add("problems", "Problems", "problems", icon="mdi:alert", state_class="measurement")
    for camera in state.cameras:
        title, topic = camera.title or camera.name, f"cameras/{camera.name}"
        add(f"{camera.name}_state", f"{title} state", f"{topic}/state", icon="mdi:cctv")
        add(f"{camera.name}_objects", f"{title} objects", f"{topic}/objects", icon="mdi:account-multiple", **counted)
    return found


def _plain(text: str) -> str:
    """Home Assistant allows letters, digits, `_` and `-` in these ids."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", text)
