"""The command lines of a site's processes."""

from __future__ import annotations

import pytest

from launcher.programs import site_programs
from shared.config import SiteConfig
from shared.notification_config import NotificationsConfig, WebhookConfig

SITE = SiteConfig.model_validate(
    {
        "site": "yard",
        "detector": {"model": "d.onnx"},
        "embedder": {"model": "e.onnx"},
        "cameras": [{"name": "gate", "source": "rtsp://192.0.2.1/"}],
    }
)


@pytest.mark.parametrize(
    ("chosen", "given"),
    [
        (9100, ["9100", "9101", "9102", "9103", "9104"]),
        (0, ["0"] * 5),
        (-1, ["-1"] * 5),
    ],
)
def test_every_process_gets_a_metrics_port(chosen: int, given: list[str]) -> None:
    programs = site_programs(SITE, 8080, {}, workers=2, metrics_port=chosen)
    assert [program.name for program in programs] == [
        *("clock", "aggregator", "streamer", "camera-worker-1", "camera-worker-2")
    ]
    assert [program.command[program.command.index("--metrics-port") + 1] for program in programs] == given


def test_only_the_streamer_is_told_that_the_page_needs_no_login() -> None:
    told = [program.name for program in site_programs(SITE, 8080, {}, insecure=True) if "--insecure" in program.command]
    assert told == ["streamer"]
    assert not any("--insecure" in program.command for program in site_programs(SITE, 8080, {}))


def test_metrics_are_off_by_default() -> None:
    assert all("-1" in program.command for program in site_programs(SITE, 8080, {}))


def test_a_notifier_runs_where_something_is_sent() -> None:
    assert "notifier" not in [program.name for program in site_programs(SITE, 8080, {})]
    sends = SITE.model_copy(
        update={"notifications": NotificationsConfig(webhooks=(WebhookConfig(name="hook", url="http://example.org"),))}
    )
    assert "notifier" in [program.name for program in site_programs(sends, 8080, {})]
