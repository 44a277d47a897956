"""What several tests of the simulator arrange."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from irkit.sim import Simulator

IMAGE = "ami-0a1b2c3d4e5f60718"


def code_of(call: Callable[..., Any], **parameters: Any) -> str:
    """The error code that a call ends with."""
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    return str(caught.value.response["Error"]["Code"])


def launch(sim: Simulator, **options: Any) -> str:
    """A running instance in the default VPC."""
    ec2 = sim.session().client("ec2")
    subnet = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    if "NetworkInterfaces" not in options:
        options.setdefault("SubnetId", subnet)
    started = ec2.run_instances(ImageId=IMAGE, MinCount=1, MaxCount=1, InstanceType="t3.micro", **options)
    return str(started["Instances"][0]["InstanceId"])


def described(sim: Simulator, instance_id: str) -> dict[str, Any]:
    """The instance as DescribeInstances shows it."""
    reservations = sim.session().client("ec2").describe_instances(InstanceIds=[instance_id])["Reservations"]
    return dict(reservations[0]["Instances"][0])


def role(sim: Simulator, name: str, *, trust: Any = None, account: str | None = None) -> str:
    """A role that the responder may assume; returns its ARN."""
    principal = trust or {"AWS": sim.session(account).client("sts").get_caller_identity()["Arn"]}
    document = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}],
    }
    made = (
        sim.session(account)
        .client("iam")
        .create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(document))
    )
    return str(made["Role"]["Arn"])


def profile(sim: Simulator, name: str) -> str:
    """An instance profile with a role of the same name that EC2 may assume; returns its ARN."""
    role(sim, name, trust={"Service": "ec2.amazonaws.com"})
    iam = sim.session().client("iam")
    arn = str(iam.create_instance_profile(InstanceProfileName=name)["InstanceProfile"]["Arn"])
    iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)
    return arn


def eventually(check: Callable[[], Any], *, seconds: float = 10.0) -> Any:
    """The first truthy answer of `check`; fails when there is none in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = check()
        if found:
            return found
        time.sleep(0.03)
    raise AssertionError("it did not happen in time")
