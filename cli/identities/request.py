"""Sends one command to the aggregator of a site, and prints its answer."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import typer

from cli.asking import user_at_host
from cli.console import print_note, table_console

if TYPE_CHECKING:
    from launcher.site_access import SiteChoice
    from shared.operator_commands import Answer, Kind


@dataclass(frozen=True)
class Request:
    """Where a command goes, and who asks."""

    choice: SiteChoice
    by: str | None
    wait_s: float
    as_json: bool

    def send(self, kind: Kind, **fields: Any) -> int:
        """Sends a command and prints the answer; the exit code.

        Raises:
            MtmcError: the site cannot be reached, or the command is invalid.
        """
        from launcher.site_access import open_site
        from shared.commands import new_id, send, wait_for
        from shared.operator_commands import OperatorCommand

        command = OperatorCommand(new_id(), kind, self.by or user_at_host(), **fields)
        with open_site(self.choice, os.environ) as site:
            send(site.client, site.keys, command)
            answer = wait_for(site.client, site.keys, command.id, self.wait_s)
        if self.as_json:
            waiting = {"id": command.id, "kind": kind, "outcome": "waiting"}
            unknown = dict.fromkeys(("reason", "gid", "other_gid", "undoes", "tick", "time_ns"))
            content = waiting | unknown if answer is None else answer.encode()
            table_console().out(json.dumps(content), highlight=False)
        elif answer is None:
            print_note(
                f"no answer within {self.wait_s:g} s: the command {command.id} waits until the aggregator runs a "
                "cycle. `mtmc status` shows whether it does"
            )
        elif answer.outcome == "refused":
            print_note(answer.reason)
        else:
            typer.echo(f"{_done(answer)} (command {answer.id})")
        return 0 if answer is not None and answer.outcome == "done" else 1


def _done(answer: Answer) -> str:
    gid, other = answer.gid, answer.other_gid
    return {
        "merge": f"id {other} was merged into id {gid}",
        "split": f"the tracks are id {gid} now; the others stay id {other}",
        "name": f"id {gid} has the name",
        "unname": f"id {gid} has no name any more",
        "forget": f"id {gid} was forgotten",
        "undo": f"the command {answer.undoes} on id {gid} was undone",
    }[answer.kind]
