"""Every call that a whole run makes is allowed to the role that irkit ships for it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from irkit.policy import Reading, World, can, read, what_can
from irkit.sim import daemon
from irkit.sim.authority import iam_action
from tests.cli.running import SimulatedWorld, irkit

HOME = "123456789012"
# Anybody may ask who they are (STS API Reference, GetCallerIdentity).
FREE = {"sts:getcalleridentity"}


@pytest.fixture(scope="module")
def responder(checkout: Path) -> World:
    parameters = {
        "AllowContainment": "yes",
        "TrustedPrincipal": f"arn:aws:iam::{HOME}:user/ana",
        "EvidenceKeyArn": f"arn:aws:kms:us-east-1:{HOME}:key/1",
        "ForensicsAccount": "999999999999",
    }
    return read([str(checkout / "cfn" / "responder-role.yaml")], Reading(parameters=parameters))


@pytest.mark.soak
def test_each_call_of_preflight_capture_and_containment_is_allowed_to_the_responders_role(
    responder: World, tmp_path: Path
) -> None:
    state = tmp_path / "sim"
    world = SimulatedWorld(daemon.up(state, idle_minutes=10))
    try:
        os.environ.update(world.up.env)
        os.environ["IRKIT_CASES"] = str(tmp_path / "cases")
        (tmp_path / "cases").mkdir()
        irkit("case", "open", "c-1", "--region", "us-east-1")
        ran = [irkit("preflight", world.instance_id, "--case", "c-1").code]
        ran += [
            irkit(verb, world.instance_id, "--case", "c-1", "--apply").code for verb in ("capture", "contain")
        ]
        calls = [call for call in world.calls() if "irkit/" in str(call["user_agent"])]
    finally:
        daemon.down(state)
    used = {iam_action(call["service"], call["operation"]).lower() for call in calls}
    allowed = {found.action.lower() for found in what_can(responder, "Responder")} | FREE

    assert set(ran) <= {0, 3}
    assert len(used) > 40
    assert used - allowed == set()


def test_the_responders_role_can_destroy_no_evidence_and_raise_nobody(responder: World) -> None:
    allowed = {found.action for found in what_can(responder, "Responder")}

    assert not {
        action for action in allowed if action.startswith(("s3:Delete", "s3:Put", "kms:Put", "kms:Schedule"))
    }
    assert not allowed & {
        "ec2:TerminateInstances", "ec2:DeleteSnapshot", "ec2:DeleteVolume", "cloudtrail:StopLogging",
        "iam:CreateUser", "iam:CreateAccessKey", "iam:CreateLoginProfile", "iam:CreatePolicyVersion",
        "iam:UpdateAssumeRolePolicy", "secretsmanager:GetSecretValue",
    }  # fmt: skip


def test_the_responders_role_attaches_nothing_that_grants(responder: World) -> None:
    for action, target in (
        ("iam:AttachUserPolicy", "user/ana"),
        ("iam:AttachRolePolicy", "role/irkit-deny-all-x"),
    ):
        answers = [
            can(
                responder, "Responder", action, f"arn:aws:iam::{HOME}:{target}",
                context={"iam:PolicyARN": (f"arn:aws:iam::aws:policy/{name}",)},
            ).decision.allowed
            for name in ("AWSDenyAll", "AdministratorAccess")
        ]  # fmt: skip
        assert answers == [True, False]
