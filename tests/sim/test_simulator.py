from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import boto3
import pytest

from irkit.sim import Pace, Simulator


def test_the_responder_is_an_iam_user_of_each_account(sim: Simulator) -> None:
    member = sim.session().client("sts").get_caller_identity()
    forensics = sim.session(sim.forensics_account).client("sts").get_caller_identity()
    assert member["Account"] == sim.account
    assert member["Arn"] == f"arn:aws:iam::{sim.account}:user/irkit-responder"
    assert forensics["Account"] == sim.forensics_account


def test_the_environment_points_plain_boto3_at_the_simulator(
    sim: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in sim.env().items():
        monkeypatch.setenv(name, value)
    assert boto3.Session().client("sts").get_caller_identity()["Account"] == sim.account
    assert os.environ["IRKIT_SIMULATED"] == sim.world_id


def test_a_second_simulator_in_the_process_is_refused(sim: Simulator, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="already running"):
        Simulator.start(workdir=tmp_path)


def test_no_instances_images_or_snapshots_are_there_that_nobody_made(sim: Simulator) -> None:
    ec2 = sim.session().client("ec2")
    assert ec2.describe_images(Owners=["self"])["Images"] == []
    assert ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"] == []


def test_every_call_is_counted_with_who_made_it_and_how_it_ended(sim: Simulator) -> None:
    sim.session().client("sts").get_caller_identity()
    call = sim.calls()[-1]
    assert (call.service, call.operation, call.status, call.error) == ("sts", "GetCallerIdentity", 200, None)
    assert call.account == sim.account
    assert call.access_key == sim.env()["AWS_ACCESS_KEY_ID"]
    assert "Boto3" in call.user_agent


def test_backstage_calls_leave_no_trace(sim: Simulator) -> None:
    before = len(sim.calls()), len(sim.trail.records())
    with sim.backstage():
        sim.session().client("sts").get_caller_identity()
    assert (len(sim.calls()), len(sim.trail.records())) == before


_IDS = """
import sys
from pathlib import Path
from irkit.sim import Simulator
for seed in (3, 3, 4):
    with Simulator.start(workdir=Path(sys.argv[1]), seed=seed) as sim:
        vpc = sim.session().client("ec2").create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        print(sim.world_id, sim.env()["AWS_ACCESS_KEY_ID"], vpc)
"""


def test_ids_follow_from_the_seed_and_a_new_world_starts_empty(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _IDS, str(tmp_path / "w")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    first, again, other = done.stdout.splitlines()
    assert first == again
    assert not set(first.split()) & set(other.split())


def test_in_process_mode_answers_without_a_server(tmp_path: Path) -> None:
    script = """
import sys
from pathlib import Path
from botocore.exceptions import ClientError
from irkit.sim import Simulator
with Simulator.in_process(workdir=Path(sys.argv[1])) as sim:
    print(sim.session().client("sts").get_caller_identity()["Arn"])
    for service, operation in (("ec2", "describe_reserved_instances_modifications"), ("detective", "list_graphs")):
        try:
            getattr(sim.session().client(service), operation)()
        except ClientError as error:
            print(error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"])
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stdout.splitlines() == [
        "arn:aws:iam::111122223333:user/irkit-responder",
        "NotSimulated 501",
        "NotSimulated 501",
    ], done.stderr


def test_pace_is_part_of_the_public_names() -> None:
    assert Pace(snapshot_seconds=0).snapshot_seconds == 0
