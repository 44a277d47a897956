"""Attribution really arrives: what the simulated CloudTrail recorded of irkit's own calls."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from irkit.aws.sessions import Sessions
from irkit.case import Case
from irkit.errors import InvalidName, NoCredentials, Refused
from irkit.sim import Simulator

CASE = "2026-11-0042"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    with Simulator.start(workdir=tmp_path_factory.mktemp("world")) as simulator:
        yield simulator


@pytest.fixture
def sim(running: Simulator) -> Iterator[Simulator]:
    """The simulator, with the environment pointing at it."""
    os.environ.update(running.env())
    running.faults.clear()
    yield running
    running.faults.clear()


@pytest.fixture(scope="module")
def role(running: Simulator) -> str:
    """A role that the responder may assume, with tags and a source identity."""
    session = running.session()
    who = session.client("sts").get_caller_identity()["Arn"]
    actions = ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"]
    trust = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": {"AWS": who}, "Action": actions}],
    }
    iam = session.client("iam")
    arn = iam.create_role(RoleName="IrkitResponder", AssumeRolePolicyDocument=json.dumps(trust))["Role"][
        "Arn"
    ]
    allowed = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
    iam.put_role_policy(RoleName="IrkitResponder", PolicyName="p", PolicyDocument=json.dumps(allowed))
    return str(arn)


def sessions(role: str | None = None, responder: str = "ana@example.com", **more: Any) -> Sessions:
    return Sessions(**({"case_id": CASE, "responder": responder, "region": "us-east-1", "role": role} | more))


def records(sim: Simulator, name: str) -> list[dict[str, Any]]:
    return [r for r in sim.trail.records() if r["eventName"] == name]


def test_every_call_carries_the_case_in_its_user_agent(sim: Simulator) -> None:
    sessions().client("ec2").describe_volumes()
    call = [c for c in sim.calls() if c.operation == "DescribeVolumes"][-1]
    assert f"case/{CASE}" in call.user_agent
    assert "irkit/" in call.user_agent


def test_the_role_session_names_case_and_responder(sim: Simulator, role: str) -> None:
    identity = sessions(role).identity()
    assert identity.arn.endswith(f":assumed-role/IrkitResponder/irkit-{CASE}-ana@example.com")
    assert identity.account == sim.account


def test_taking_the_role_leaves_source_identity_tags_and_user_agent_in_the_log(
    sim: Simulator, role: str
) -> None:
    sessions(role).identity()
    record = records(sim, "AssumeRole")[-1]
    asked = record["requestParameters"]
    assert asked["roleSessionName"] == f"irkit-{CASE}-ana@example.com"
    assert asked["sourceIdentity"] == "ana@example.com"
    assert {t["key"]: t["value"] for t in asked["tags"]} == {
        "irkit:case": CASE, "irkit:responder": "ana@example.com"
    }  # fmt: skip
    assert f"case/{CASE}" in record["userAgent"]


def test_calls_of_the_role_are_recorded_as_the_session_s(sim: Simulator, role: str) -> None:
    sessions(role).client("ec2").describe_key_pairs()
    who = records(sim, "DescribeKeyPairs")[-1]["userIdentity"]
    assert who["type"] == "AssumedRole"
    assert who["arn"].endswith(f"/irkit-{CASE}-ana@example.com")


@pytest.mark.parametrize(
    "responder",
    [
        "a",
        "",
        "Ana (SOC)",
        "ana maria, tier 2",
        "José Ñandú",
        "DOMAIN\\ana",
        "x" * 300,
        "a\nb\x1b[2J",
        "日本",
    ],
    ids=range(9),
)
def test_whatever_the_responder_is_called_the_role_can_be_taken(
    sim: Simulator, role: str, responder: str
) -> None:
    mine = sessions(role, responder=responder)
    assert mine.identity().arn.endswith(f"/{mine.session_name}")
    assert 2 <= len(mine.session_name) <= 64
    asked = records(sim, "AssumeRole")[-1]["requestParameters"]
    assert 2 <= len(asked["sourceIdentity"]) <= 64
    assert asked["sourceIdentity"].isascii()
    (tag,) = [t["value"] for t in asked["tags"] if t["key"] == "irkit:responder"]
    assert len(tag) <= 256
    assert tag.isprintable()
    assert not set(tag) & set("(),\\")


def test_the_role_is_taken_once_however_many_threads_ask(sim: Simulator, role: str) -> None:
    before = len(records(sim, "AssumeRole"))
    mine = sessions(role)
    clients: list[Any] = []
    threads = [threading.Thread(target=lambda: clients.append(mine.client("ec2"))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(map(id, clients))) == 1
    clients[0].describe_volumes()
    clients[0].describe_volumes()
    assert len(records(sim, "AssumeRole")) == before + 1


def test_a_case_gives_its_own_sessions(sim: Simulator, role: str, tmp_path: Path) -> None:
    case = Case.open(CASE, region="us-east-1", cases=tmp_path, responder="ana", role=role)
    assert case.aws.identity().arn.endswith(f"/irkit-{CASE}-ana")
    assert case.client("ec2") is case.client("ec2")
    assert case.client("ec2", region="eu-west-1").meta.region_name == "eu-west-1"


def test_a_role_that_may_not_be_taken_is_refused_in_one_line(sim: Simulator) -> None:
    arn = f"arn:aws:iam::{sim.account}:role/NoSuchRole"
    with pytest.raises(
        Refused, match=r"cannot ask AWS who we are|not allowed to ask AWS who we are"
    ) as caught:
        sessions(arn).identity()
    assert "\n" not in str(caught.value)


def test_without_credentials_there_is_one_line_that_says_what_to_do(role: str, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        os.environ.pop(name, None)
    for mine in (sessions(), sessions(role)):
        with pytest.raises(NoCredentials, match="sign in \\(aws sso login"):
            mine.identity()


def test_a_profile_that_does_not_exist_is_named() -> None:
    os.environ["AWS_PROFILE"] = "nobody"
    with pytest.raises(NoCredentials, match="nobody"):
        sessions().client("ec2")
    with pytest.raises(NoCredentials, match="nobody"):
        sessions("arn:aws:iam::111122223333:role/R").client("ec2")


def test_what_is_no_role_is_refused_at_once() -> None:
    with pytest.raises(InvalidName, match="is not the ARN of a role"):
        sessions("Responder")


def test_nothing_secret_is_in_the_repr(role: str) -> None:
    assert repr(sessions(role)) == f"<Sessions {CASE}: IrkitResponder in us-east-1>"
    assert repr(sessions()) == f"<Sessions {CASE}: own credentials in us-east-1>"
