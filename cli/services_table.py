"""The processes of a site as a table."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from shared.service_list import ServiceInfo
from shared.site_state.problems import SILENT_S


def services_table(services: Sequence[ServiceInfo]) -> RenderableType:
    """One row for each process with a heartbeat within the last minute."""
    table = Table(title="services", title_justify="left", title_style="bold")
    for heading in ("service", "host", "pid", "state", "metrics"):
        table.add_column(heading, overflow="fold")
    for service in services:
        pid = "-" if service.pid is None else str(service.pid)
        table.add_row(Text(service.role), Text(service.host), pid, _state(service), Text(service.metrics_url or "none"))
    return table if services else Text("no service had a heartbeat within the last minute")


def _state(service: ServiceInfo) -> Text:
    if service.heartbeat_age_seconds > SILENT_S:
        return Text(f"no heartbeat for {service.heartbeat_age_seconds:.0f} s", style="bold red")
    if service.problem is not None:
        return Text(f"not ready: {service.problem}", style="bold red")
    return Text("ready", style="green")
