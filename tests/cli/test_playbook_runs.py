"""A playbook that could not do everything: the same command tries again what failed, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

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
