"""`irkit contain` with postures, proof and credentials; `irkit case approve` and what waits for it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.running import SimulatedWorld, assert_refused, irkit

PLAYBOOK = """\
schema: irkit/playbook/1
id: guarded
title: One step that somebody must agree to
inputs:
  instance_id: {type: instance_id}
steps:
  - id: guard
    title: Keep the instance from being destroyed
    notebook: contain/instance
    with: {instance_id: {input: instance_id}, only: [guard]}
    mutates: true
    approval: {role: ir-lead}
    timeout: 120
"""


def test_a_posture_is_planned_in_its_order_and_changes_nothing(world: SimulatedWorld, case: str) -> None:
    before = len(world.changes())
    ran = irkit("contain", world.instance_id, "--case", case, "--posture", "contain-first")
    assert ran.code == 0
    assert "The order of contain-first:" in ran.out
    order = ran.out.split("The order of contain-first:")[1]
    assert [line.split()[0] for line in order.splitlines()[2:6]] == ["guard", "cut", "disks", "read"]
    shown = irkit("capture", world.instance_id, "--case", case, "--posture", "stealth", "--json").json()
    stages = [s["stage"] for s in shown["steps"]]
    assert stages == sorted(stages)
    assert {s["stage"] // 1000 for s in shown["steps"]} >= {0, 1, 2}, (
        "read, disks and host, one after the other"
    )
    assert len(world.changes()) == before


def test_one_stage_of_a_posture_is_contained_proved_and_put_back(world: SimulatedWorld, case: str) -> None:
    stage = ["contain", world.instance_id, "--case", case, "--posture", "stealth", "--stage", "guard"]
    done = irkit(*stage, "--apply")
    assert done.code == 0, done.err
    assert irkit("contain", world.instance_id, "--case", case, "--verify").code == 3, "the network is open"
    undone = irkit("case", "undo", case, "--apply")
    assert undone.code == 0, undone.out


def test_what_somebody_took_back_is_contradicted_with_exit_code_1(world: SimulatedWorld, case: str) -> None:
    import boto3

    identity = ["contain", world.instance_id, "--case", case, "--only", "identity"]
    ran = irkit(*identity, "--apply", "--verify", "--json")
    said = ran.json()
    (session,) = (v for v in said["proof"]["verdicts"] if v["control"] == "identity.session")
    assert session["finding"] == "proved"
    assert said["report"]["complete"] is True
    boto3.client("iam").delete_role_policy(
        RoleName=session["target"], PolicyName=f"irkit-deny-{case}-{world.instance_id}"
    )
    again = irkit("contain", world.instance_id, "--case", case, "--verify")
    assert again.code == 1
    assert "contradicted" in again.out
    assert irkit("case", "undo", case, "--apply").code == 0


def test_a_user_a_key_and_a_role_are_planned_together(
    world: SimulatedWorld, case: str, tmp_path: Path
) -> None:
    import boto3

    iam = boto3.client("iam")
    name = iam.list_users()["Users"][0]["UserName"]
    rows = [{"kind": "federation", "issued_access_key_id": "ASIAEXAMPLE000000001", "other": 1}]
    chain = tmp_path / "chain.json"
    chain.write_text(json.dumps(rows))
    shown = irkit("contain", "--case", case, "--user", name, "--chain", chain, "--json").json()
    assert {"identity.user", "identity.beyond-reach"} <= {s["verb"] for s in shown["steps"]}


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ([], "either an instance or credentials"),
        (["INSTANCE", "--user", "x"], "either an instance or credentials"),
        (["--user", "x", "--only", "guard"], "for an instance"),
        (["INSTANCE", "--stage", "cut"], "part of a posture"),
        (["INSTANCE", "--posture", "balanced", "--role-wide"], "own kinds and options"),
        (["--user", "x", "--verify"], "proves the containment of an instance"),
        (["--user", "nobody-here"], "nobody-here"),
        (["--key", "ASIAEXAMPLE"], "not a user's access key"),
        (["INSTANCE", "--posture", "stealth", "--stage", "close"], "no stage 'close'"),
    ],
)
def test_what_does_not_go_together_is_refused_in_one_line(
    world: SimulatedWorld, case: str, given: list[str], says: str
) -> None:
    named = [world.instance_id if g == "INSTANCE" else g for g in given]
    assert_refused(irkit("contain", *named, "--case", case), 2, says)


@pytest.mark.parametrize("text", ["{", '{"rows": 5}', "[1]"])
def test_a_chain_that_is_none_is_refused(world: SimulatedWorld, case: str, tmp_path: Path, text: str) -> None:
    path = tmp_path / "chain.json"
    path.write_text(text)
    assert_refused(irkit("contain", "--case", case, "--chain", path), 2, "chain.json")


@pytest.fixture
def approvers(tmp_path: Path) -> Path:
    """The approvers file with bea and ana as leads; their keys lie beside it."""
    pytest.importorskip("cryptography")
    from irkit.evidence import seal

    people = []
    for name in ("ana", "bea"):
        key = seal.make_key(tmp_path / f"{name}.pem")
        public = key.with_name(f"{name}.pem.pub").read_text()
        people.append({"name": name, "roles": ["ir-lead"], "public_key": public})
    path = tmp_path / "approvers.yaml"
    path.write_text(json.dumps({"schema": "irkit/approvers/1", "people": people}))
    return path


def test_a_playbook_stops_with_4_until_somebody_else_approves_and_then_goes_on(
    world: SimulatedWorld, cases: Path, approvers: Path, tmp_path: Path
) -> None:
    pytest.importorskip("papermill")
    book = tmp_path / "guarded.yaml"
    book.write_text(PLAYBOOK)
    opened = irkit(
        "case",
        "open",
        "c-a",
        "--region",
        "us-east-1",
        "--responder",
        "ana",
        "--source",
        f"approvers={approvers}",
    )
    assert opened.code == 0, opened.err
    run = ["playbooks", "run", book, "--case", "c-a", "--set", f"instance_id={world.instance_id}"]
    assert "needs approval: 1 with the role ir-lead" in irkit(*run).out
    before = len(world.changes())
    held = irkit(*run, "--apply")
    assert held.code == 4
    assert "guarded.guard waits for approval" in held.err
    assert "irkit case approve c-a --step guarded.guard" in held.err
    assert len(world.changes()) == before
    assert "waits" in irkit("case", "approve", "c-a").out

    vote = ["case", "approve", "c-a", "--step", "guarded.guard"]
    own = irkit(*vote, "--as", "ana", "--key", tmp_path / "ana.pem")
    assert own.code == 4
    assert "ana asked for the step and cannot approve it" in own.out
    assert irkit("case", "resume", "c-a", "--quiet").code == 4
    assert irkit(*vote, "--as", "bea", "--key", tmp_path / "bea.pem").code == 0

    assert irkit("case", "resume", "c-a", "--quiet").code == 0
    assert len(world.changes()) > before
    custody = irkit("case", "custody", "c-a").out
    assert "guarded.guard runs now, approved by bea" in custody
    assert irkit("case", "verify", "c-a").code == 0
    assert irkit("case", "undo", "c-a", "--apply").code == 0


@pytest.mark.parametrize(
    ("given", "code", "says"),
    [
        (["--step", "nothing.such"], 2, "a vote is somebody's"),
        (["--step", "nothing.such", "--as", "bea"], 2, "waits for approval"),
        (["--step", "x", "--as", "bea", "--deny", "--break-glass"], 2, "opposites"),
        (["--step", "x", "--as", "bea", "--break-glass"], 2, "needs a reason"),
    ],
)
def test_a_vote_that_is_none_is_refused(case: str, given: list[str], code: int, says: str) -> None:
    assert_refused(irkit("case", "approve", case, *given), code, says)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("approvers=approvers.yaml", "relative path"),
        ("approvers=/no/such/file", "no approvers file"),
        ("revocation_policy_arn=arn:aws:s3:::bucket", "no ARN of IAM"),
        ("deny_profile_arn=nonsense", "is not an ARN"),
    ],
)
def test_a_source_that_cannot_be_used_is_told_when_the_case_is_opened(
    world: SimulatedWorld, cases: Path, source: str, says: str
) -> None:
    assert_refused(irkit("case", "open", "c-s", "--region", "us-east-1", "--source", source), 2, says)
