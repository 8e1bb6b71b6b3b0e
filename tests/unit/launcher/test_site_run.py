from __future__ import annotations

import pytest

from launcher.site_run import runnable
from shared.config import SiteConfig
from shared.errors import MtmcError


def site(**camera: object) -> SiteConfig:
    return SiteConfig.model_validate(
        {
            "site": "room",
            "detector": {"model": "d.onnx"},
            "embedder": {"model": "e.onnx"},
            "cameras": [{"name": "gate", "source": "gate.mp4", **camera}],
        }
    )


def test_a_site_is_run_in_virtual_time_whatever_its_file_says() -> None:
    assert runnable(site(), None, live=False).clock.mode == "virtual"
    assert runnable(site(), None, live=True).clock.mode == "live"


@pytest.mark.parametrize(
    ("camera", "message"),
    [
        ({"source": "rtsp://10.0.0.7/1"}, "camera gate: only video files can be evaluated"),
        ({"loop": True}, "camera gate loops and never ends; limit the run with --seconds"),
        ({"paused": True}, "every camera of the site is paused"),
    ],
)
def test_a_site_that_cannot_be_evaluated_is_refused(camera: dict[str, object], message: str) -> None:
    with pytest.raises(MtmcError, match=message):
        runnable(site(**camera), None, live=False)


def test_a_looped_file_can_be_limited_to_some_seconds() -> None:
    assert runnable(site(loop=True), 5.0, live=False).cameras[0].loop
