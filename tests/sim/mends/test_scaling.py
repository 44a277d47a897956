from __future__ import annotations

from typing import Any

import pytest

from irkit.sim import Simulator
from tests.sim.builders import IMAGE, code_of, eventually


@pytest.fixture
def fleet(sim: Simulator, request: pytest.FixtureRequest) -> dict[str, Any]:
    """A group of two behind a target group."""
    name = f"web-{abs(hash(request.node.name)) % 10**8}"
    ec2, scaling = sim.session().client("ec2"), sim.session().client("autoscaling")
    subnet = ec2.describe_subnets()["Subnets"][0]
    targets = (
        sim.session()
        .client("elbv2")
        .create_target_group(Name=name, Protocol="HTTP", Port=80, VpcId=subnet["VpcId"])
    )
    arn = targets["TargetGroups"][0]["TargetGroupArn"]
    template = ec2.create_launch_template(
        LaunchTemplateName=name, LaunchTemplateData={"ImageId": IMAGE, "InstanceType": "t3.micro"}
    )["LaunchTemplate"]["LaunchTemplateId"]
    scaling.create_auto_scaling_group(
        AutoScalingGroupName=name,
        LaunchTemplate={"LaunchTemplateId": template, "Version": "$Latest"},
        MinSize=2,
        MaxSize=4,
        DesiredCapacity=2,
        VPCZoneIdentifier=subnet["SubnetId"],
        TargetGroupARNs=[arn],
    )
    members = scaling.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"][0][
        "Instances"
    ]
    return {"name": name, "targets": arn, "members": [m["InstanceId"] for m in members]}


def health(sim: Simulator, arn: str) -> dict[str, str]:
    shown = (
        sim.session().client("elbv2").describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]
    )
    return {entry["Target"]["Id"]: entry["TargetHealth"]["State"] for entry in shown}


def test_standby_drains_and_replaces_the_instance_and_leaving_it_brings_it_back(
    sim: Simulator, fleet: dict[str, Any]
) -> None:
    scaling, suspect = sim.session().client("autoscaling"), fleet["members"][0]
    asked = {"AutoScalingGroupName": fleet["name"], "InstanceIds": [suspect]}
    refused = code_of(scaling.enter_standby, **asked, ShouldDecrementDesiredCapacity=True)
    assert refused == "ValidationError"
    scaling.enter_standby(**asked, ShouldDecrementDesiredCapacity=False)
    shown = scaling.describe_auto_scaling_instances(InstanceIds=[suspect])["AutoScalingInstances"][0]
    assert shown["LifecycleState"] == "Standby"
    group = scaling.describe_auto_scaling_groups(AutoScalingGroupNames=[fleet["name"]])["AutoScalingGroups"][
        0
    ]
    assert sum(i["LifecycleState"] == "InService" for i in group["Instances"]) == 2
    assert health(sim, fleet["targets"])[suspect] == "draining"
    eventually(lambda: suspect not in health(sim, fleet["targets"]))
    scaling.exit_standby(**asked)
    shown = scaling.describe_auto_scaling_instances(InstanceIds=[suspect])["AutoScalingInstances"][0]
    assert shown["LifecycleState"] == "InService"
    assert health(sim, fleet["targets"])[suspect] == "healthy"


def test_detaching_below_the_minimum_is_refused(sim: Simulator, fleet: dict[str, Any]) -> None:
    scaling, suspect = sim.session().client("autoscaling"), fleet["members"][0]
    asked = {"AutoScalingGroupName": fleet["name"], "InstanceIds": [suspect]}
    assert (
        code_of(scaling.detach_instances, **asked, ShouldDecrementDesiredCapacity=True) == "ValidationError"
    )
    scaling.detach_instances(**asked, ShouldDecrementDesiredCapacity=False)
    assert scaling.describe_auto_scaling_instances(InstanceIds=[suspect])["AutoScalingInstances"] == []


def test_protection_and_suspended_processes_read_back(sim: Simulator, fleet: dict[str, Any]) -> None:
    scaling, suspect = sim.session().client("autoscaling"), fleet["members"][0]
    named = {"AutoScalingGroupName": fleet["name"]}
    scaling.set_instance_protection(**named, InstanceIds=[suspect], ProtectedFromScaleIn=True)
    assert scaling.describe_auto_scaling_instances(InstanceIds=[suspect])["AutoScalingInstances"][0][
        "ProtectedFromScaleIn"
    ]
    scaling.suspend_processes(**named, ScalingProcesses=["Terminate"])
    scaling.suspend_processes(**named, ScalingProcesses=["ReplaceUnhealthy"])
    group = scaling.describe_auto_scaling_groups(AutoScalingGroupNames=[fleet["name"]])["AutoScalingGroups"][
        0
    ]
    assert {p["ProcessName"] for p in group["SuspendedProcesses"]} == {"Terminate", "ReplaceUnhealthy"}
    stranger = {"InstanceIds": ["i-0123456789abcdef0"], "ProtectedFromScaleIn": True}
    assert code_of(scaling.set_instance_protection, **named, **stranger) == "ValidationError"
    absent = {
        "AutoScalingGroupName": "absent",
        "InstanceIds": [suspect],
        "ShouldDecrementDesiredCapacity": False,
    }
    assert code_of(scaling.enter_standby, **absent) == "ValidationError"


def test_a_deregistered_target_drains_and_can_be_registered_again(
    sim: Simulator, fleet: dict[str, Any]
) -> None:
    elb, suspect = sim.session().client("elbv2"), fleet["members"][0]
    target = {"TargetGroupArn": fleet["targets"], "Targets": [{"Id": suspect}]}
    elb.deregister_targets(**target)
    assert health(sim, fleet["targets"])[suspect] == "draining"
    eventually(lambda: suspect not in health(sim, fleet["targets"]))
    state = elb.describe_target_health(**target)["TargetHealthDescriptions"][0]["TargetHealth"]["State"]
    assert state == "unused"
    elb.register_targets(**target)
    assert health(sim, fleet["targets"])[suspect] == "healthy"
