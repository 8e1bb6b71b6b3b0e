"""The API keeps to its OpenAPI document, whatever it is asked: schemathesis asks."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from services.streamer.api import corrections
from services.streamer.app import create_app
from shared.floor_plan import FloorPlan, write_floor_plan
from shared.redis_connection import Client
from tests.integration.canned_answers import canned_answers
from tests.integration.lively_site import TRACK, fill, publish_lively_site
from tests.integration.streamer_site import KEYS, Serving, numbered_jpeg, serving

STREAM = "/api/v1/events/stream"
"""Has no end, so schemathesis would wait for ever."""
REFUSED = '["400", "404", "409", "413", "415"]'
"""A list that is too long may make the body too large."""
ASTRAY = f"""
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "404", "409"]
checks.negative_data_rejection.expected-statuses = {REFUSED}
"""
"""A resource that does not exist comes before what is wrong with a body; some names exist."""
SETTINGS = f"""
[[operations]]
include-path = "/api/v1/cameras/{{camera}}/crops/{{track_id}}/{{which}}.jpg"
parameters = {{ "path.camera" = "north", "path.track_id" = {TRACK} }}

[[operations]]
include-path = "/api/v1/commands"
# A schema cannot say that a name is one line of printable text.
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "409"]

[[operations]]
include-path = "/api/v1/sources/test"
# A schema cannot say what the URL of a stream is, and which labels the workers have.
checks.positive_data_acceptance.expected-statuses = ["2xx", "400"]

[[operations]]
include-path = "/api/v1/identities/search"
# Bytes that are no JPEG; cameras that do not exist.
checks.positive_data_acceptance.expected-statuses = ["2xx", "400"]

[[operations]]
include-path = "/api/v1/floor-plan"
# The same.
checks.positive_data_acceptance.expected-statuses = ["2xx", "400"]

[[operations]]
include-path = "/api/v1/cameras"
# The same for an address, and the camera may exist already.
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "409"]
checks.negative_data_rejection.expected-statuses = {REFUSED}

[[operations]]
include-path = "/api/v1/cameras/{{camera}}/mask"
parameters = {{ "path.camera" = "north" }}
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "409"]
checks.negative_data_rejection.expected-statuses = {REFUSED}

[[operations]]
include-path = "/api/v1/cameras/{{camera}}/calibration"
parameters = {{ "path.camera" = "north" }}
# Points can be on a line.
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "409"]
checks.negative_data_rejection.expected-statuses = {REFUSED}

[[operations]]
include-path = "/api/v1/cameras/{{camera}}/settings"
parameters = {{ "path.camera" = "north" }}

[[operations]]
include-path = "/api/v1/identities/{{gid}}"
parameters = {{ "path.gid" = 7 }}

[[operations]]
include-path = "/api/v1/cameras/{{camera}}"
parameters = {{ "path.camera" = "north" }}
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "409"]
checks.negative_data_rejection.expected-statuses = {REFUSED}
"""
"""Without these, nearly every request is about something that does not exist."""


def ask(streamer: Serving, folder: Path, settings: str, *words: str) -> tuple[int, str]:
    """Runs schemathesis; returns its exit code and what it prints."""
    (folder / "schemathesis.toml").write_text(settings)
    command = [str(Path(sys.executable).parent / "schemathesis"), "--config-file", str(folder / "schemathesis.toml")]
    command += ["run", f"{streamer.streamer.url}/api/v1/openapi.json", "--exclude-path", STREAM, "--no-color"]
    command += ["--generation-deterministic", "--phases", "coverage,fuzzing"]
    done = subprocess.run([*command, *words], cwd=folder, capture_output=True, text=True, timeout=240)
    return done.returncode, done.stdout + done.stderr


def test_every_operation_answers_as_the_document_says(
    redis_url: str, redis_client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corrections, "WAIT_S", 0.0)  # there is no aggregator
    publish_lively_site(redis_url)
    fill(redis_client)
    write_floor_plan(redis_client, KEYS, FloorPlan(0.0, 0.0, 20.0, (320, 180), numbered_jpeg(1)))
    with serving(redis_url) as streamer, canned_answers(redis_client):
        # Nothing can be asked about a camera that was removed: that is left to the second run.
        code, printed = ask(streamer, tmp_path, SETTINGS, "--max-examples", "10", "--exclude-method", "DELETE")
        astray, printed_astray = ask(streamer, tmp_path, ASTRAY, "--include-path-regex", r"\{", "--max-examples", "3")
    assert code == 0, printed
    assert astray == 0, printed_astray
    selected, total, tested = (int(number) for number in re.findall(r"(?:Selected: |Tested: |/)(\d+)", printed)[-3:])
    assert selected == total - 5 == tested, printed
    assert "Missing test data" not in printed, printed


def test_the_document_is_complete(redis_url: str, redis_client: Client) -> None:
    publish_lively_site(redis_url)
    with serving(redis_url) as streamer:
        document = streamer.json("/api/v1/openapi.json")
        rules = {rule.rule for rule in create_app(streamer.streamer.parts, max_viewers=9).url_map.iter_rules()}
    assert document["openapi"].startswith("3.1.")
    assert "304" in document["paths"]["/api/v1/cameras/{camera}/crops/{track_id}/{which}.jpg"]["get"]["responses"]
    assert "additionalProperties" not in document["components"]["schemas"]["Identity"], "fields may be added"
    described = {re.sub(r"\{\w+\}", "{}", path) for path in document["paths"]} | {"/api/v1/openapi.json"}
    assert {re.sub(r"<[^>]+>", "{}", rule) for rule in rules if rule.startswith("/api/")} == described
    names = set(re.findall(r"#/components/(\w+/\w+)", json.dumps(document)))
    assert {f"{kind}/{name}" for kind in document["components"] for name in document["components"][kind]} >= names
