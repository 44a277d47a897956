"""Playbooks from the command line: what failed is tried again and nothing else; a key that leaked is run to its end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import boto3
import pytest

from irkit.case import Case
from irkit.report import casebook
from tests.cli.running import SimulatedWorld, irkit

PLAYBOOK = """\
schema: irkit/playbook/1
id: ask-the-host
title: Ask the host
inputs: {instance_id: {type: instance_id}}
steps:
  - {id: console, title: Take, notebook: capture/instance, with: {instance_id: {input: instance_id}, only: [console]}}
  - {id: host, title: Host, notebook: capture/instance, with: {instance_id: {input: instance_id}, only: [host]}}
  - {id: report, title: Report, notebook: report/final-report}
"""


@pytest.mark.slow
@pytest.mark.needs_user_namespaces
def test_what_failed_is_tried_again_and_the_report_drawn_anew(
    cases: Path, world: SimulatedWorld, tmp_path: Path
) -> None:
    book = tmp_path / "ask.yaml"
    book.write_text(PLAYBOOK)
    bucket = world.up.public["evidence_bucket"]
    assert (
        irkit("case", "open", "c", "--region", "us-east-1", "--source", f"evidence_bucket={bucket}").code == 0
    )

    def run() -> tuple[int, dict[str, Any]]:
        given = ["--case", "c", "--set", f"instance_id={world.instance_id}", "--apply", "--json"]
        ran = irkit("playbooks", "run", book, *given)
        steps = ran.json()["steps"]
        return ran.code, {s["verb"].split(".")[1]: "earlier" if s["earlier"] else s["status"] for s in steps}

    with world.fault("ssm", "SendCommand", "AccessDeniedException", status=403):
        assert run() == (3, {"console": "done", "host": "failed", "report": "done"})
    assert run() == (0, {"console": "earlier", "host": "done", "report": "done"})
    assert run() == (0, {"console": "earlier", "host": "earlier", "report": "earlier"})
    assert irkit("case", "verify", "c").code == 0


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.needs_user_namespaces
def test_data_that_may_have_left_leads_to_a_key_and_the_key_to_all_that_was_done_with_it(
    cases: Path, world: SimulatedWorld
) -> None:
    public = world.up.public
    trail = f"s3://{public['trail_bucket']}/{public['trail_prefix']}"
    assert irkit("case", "open", "leak", "--region", "us-east-1").code == 0
    run = ["playbooks", "run", "--case", "leak", "--apply", "--json"]
    assert irkit(*run, "s3-data-exfiltration", "--set", f"cloudtrail={trail}").code == 0
    asked = irkit("logs", "ask", "created_credentials", "--case", "leak", "--format", "json").json()
    # A machine that makes keys for people is what catches the eye.
    (row,) = [r for r in asked["rows"] if r["created_access_key_id"] and world.instance_id in str(r.values())]
    key, owner = row["created_access_key_id"], row["target"]
    iam = boto3.client("iam")

    def status() -> str:
        held = iam.list_access_keys(UserName=owner)["AccessKeyMetadata"]
        return {str(k["AccessKeyId"]): str(k["Status"]) for k in held}[key]

    assert status() == "Active"

    assert irkit(*run, "stolen-access-key", "--set", f"access_key_id={key}").code == 0
    assert status() == "Inactive"
    case = Case.load("leak", cases=cases)
    found = {f.id: f for f in casebook.read(case).findings}
    assert found["leaked-key-used"].facts["access_key"] == (key,)
    assert (case.active / "reports" / "timeline.jsonl").is_file()
    assert irkit("case", "verify", "leak").code == 0
    assert irkit("case", "undo", "leak", "--apply").code == 0
    assert status() == "Active"
