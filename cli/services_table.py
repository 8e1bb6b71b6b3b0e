"""The processes of a site as a table."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import RenderableType
from rich.text import Text

from cli.row_list import Row, row_list
from shared.service_list import ServiceInfo
from shared.site_state.problems import SILENT_S


def services_table(services: Sequence[ServiceInfo]) -> RenderableType:
    """One row for each process with a heartbeat within the last minute."""
    rows = []
    for service in services:
        pid = "-" if service.pid is None else str(service.pid)
        state, problem = _state(service)
        cells = [Text(service.role), Text(service.host), Text(pid), state, Text(service.metrics_url or "none")]
        rows.append(Row(cells, [problem] if problem else []))
    headings = "service", "host", "pid", "state", "metrics"
    if not rows:
        return Text("no service had a heartbeat within the last minute")
    return row_list("services", headings, rows, {"pid"})


def _state(service: ServiceInfo) -> tuple[Text, Text | None]:
    """The state, and what is wrong."""
    if service.heartbeat_age_seconds > SILENT_S:
        return Text(f"no heartbeat for {service.heartbeat_age_seconds:.0f} s", style="bold red"), None
    if service.problem is not None:
        return Text("not ready", style="bold red"), Text(service.problem, style="bold red")
    return Text("ready", style="green"), None
