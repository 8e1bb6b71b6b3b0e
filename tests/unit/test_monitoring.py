"""The alerts and the dashboard of `deploy/monitoring` use metrics and labels that exist."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
MONITORING = ROOT / "deploy" / "monitoring"
OF_PROMETHEUS = {"instance", "job", "le"}


def documented() -> dict[str, set[str]]:
    """Metric → its labels, from docs/operations.md, which a test compares with what the services export."""
    section = (ROOT / "docs" / "operations.md").read_text().partition("### Metrics")[2].partition("\n## ")[0]
    found = {}
    for names, kind in re.findall(r"^\| (`mtmc_.*?) \| (\w+) \|", section, re.MULTILINE):
        for name, labels in re.findall(r"`(\w+)(?:\{(.*?)\})?`", names):
            own = set(re.findall(r"\w+", labels)) | OF_PROMETHEUS
            for suffix in ("_bucket", "_sum", "_count") if kind == "histogram" else ("",):
                found[name + suffix] = own
    return found


def rules() -> list[dict[str, str]]:
    return list(yaml.safe_load((MONITORING / "alerts.yml").read_text())["groups"][0]["rules"])


def dashboard_queries() -> list[str]:
    panels = json.loads((MONITORING / "grafana/dashboards/mtmc.json").read_text())["panels"]
    return [target["expr"] for panel in panels for target in panel["targets"]]


def queries() -> Iterator[str]:
    yield from (rule["expr"] for rule in rules())
    yield from dashboard_queries()


@pytest.mark.parametrize("query", list(queries()))
def test_a_query_uses_metrics_and_labels_that_exist(query: str) -> None:
    metrics, used = documented(), re.findall(r"mtmc_\w+", query)
    assert used
    assert not set(used) - metrics.keys()
    labels = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"", query))
    for listed in re.findall(r"by \(([^)]*)\)", query):
        labels |= set(re.findall(r"\w+", listed))
    assert labels <= set().union(*(metrics[name] for name in used))


def test_the_documentation_lists_every_alert() -> None:
    section = (ROOT / "docs" / "operations.md").read_text().partition("### Alerts")[2].partition("\n### ")[0]
    listed = {name for row in re.findall(r"^\| ([A-Z][\w, ]+) \|", section, re.MULTILINE) for name in row.split(", ")}
    assert listed == {rule["alert"] for rule in rules()}


def test_every_alert_says_what_to_do() -> None:
    for rule in rules():
        annotations = rule["annotations"]
        assert set(annotations) == {"summary", "description"}, rule["alert"]


def test_every_panel_has_a_title_and_its_own_place() -> None:
    panels = json.loads((MONITORING / "grafana/dashboards/mtmc.json").read_text())["panels"]
    cells = [
        (x, y)
        for panel in panels
        for place in [panel["gridPos"]]
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert len({panel["title"] for panel in panels}) == len({panel["id"] for panel in panels}) == len(panels)
