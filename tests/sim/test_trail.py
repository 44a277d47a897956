from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from irkit.sim import Simulator
from irkit.sim.records import stamp
from tests.sim.builders import code_of, launch, role


def last(sim: Simulator, name: str) -> dict[str, Any]:
    return next(r for r in reversed(sim.trail.records()) if r["eventName"] == name)


def looked_up(sim: Simulator, **asked: Any) -> list[dict[str, Any]]:
    pages = sim.session().client("cloudtrail").get_paginator("lookup_events").paginate(**asked)
    return [event for page in pages for event in page["Events"]]


def by(key: str, value: str) -> dict[str, Any]:
    return {"LookupAttributes": [{"AttributeKey": key, "AttributeValue": value}]}


def test_a_call_is_recorded_in_ec2s_own_shapes(sim: Simulator) -> None:
    instance_id = launch(sim, UserData="#!/bin/sh\npassword=hunter2")
    run = last(sim, "RunInstances")
    assert run["eventSource"] == "ec2.amazonaws.com"
    assert run["requestParameters"]["userData"] == "<sensitiveDataRemoved>"
    assert run["responseElements"]["instancesSet"]["items"][0]["instanceId"] == instance_id
    sim.session().client("ec2").stop_instances(InstanceIds=[instance_id])
    assert last(sim, "StopInstances")["requestParameters"]["instancesSet"] == {
        "items": [{"instanceId": instance_id}]
    }
    sim.session().client("ec2").describe_instances(Filters=[{"Name": "vpc-id", "Values": ["vpc-1"]}])
    described = last(sim, "DescribeInstances")
    assert described["readOnly"] is True
    assert described["responseElements"] is None
    assert described["requestParameters"]["filterSet"]["items"][0]["name"] == "vpc-id"


def test_ec2s_shapes_are_those_of_published_records(sim: Simulator) -> None:
    ec2 = sim.session().client("ec2")
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    group = ec2.create_security_group(GroupName="shapes", Description="why", VpcId=vpc)["GroupId"]
    assert last(sim, "CreateSecurityGroup")["requestParameters"]["groupDescription"] == "why"
    rule = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "198.51.100.0/24"}]}
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[rule])
    record = last(sim, "AuthorizeSecurityGroupIngress")
    assert record["requestParameters"]["ipPermissions"]["items"] == [
        {
            "ipProtocol": "tcp",
            "fromPort": 22,
            "toPort": 22,
            "groups": {},
            "ipRanges": {"items": [{"cidrIp": "198.51.100.0/24"}]},
            "ipv6Ranges": {},
            "prefixListIds": {},
        }
    ]
    assert record["responseElements"]["requestId"] == record["requestID"]
    volume = ec2.create_volume(Size=1, AvailabilityZone="us-east-1a")["VolumeId"]
    assert last(sim, "CreateVolume")["requestParameters"]["zone"] == "us-east-1a"
    snapshot = ec2.create_snapshot(VolumeId=volume)["SnapshotId"]
    share = {"SnapshotId": snapshot, "Attribute": "createVolumePermission", "UserIds": ["999988887777"]}
    ec2.modify_snapshot_attribute(**share, OperationType="add")
    record = last(sim, "ModifySnapshotAttribute")
    assert record["requestParameters"] == {
        "attributeType": "CREATE_VOLUME_PERMISSION",
        "createVolumePermission": {"add": {"items": [{"userId": "999988887777"}]}},
        "snapshotId": snapshot,
    }
    assert record["responseElements"]["_return"] is True
    instance_id = launch(sim)
    ec2.modify_instance_metadata_options(InstanceId=instance_id, HttpTokens="required")
    record = last(sim, "ModifyInstanceMetadataOptions")
    asked = record["requestParameters"]["ModifyInstanceMetadataOptionsRequest"]
    assert asked == {"InstanceId": instance_id, "HttpTokens": "required"}
    assert "ModifyInstanceMetadataOptionsResponse" in record["responseElements"]
    ec2.modify_instance_attribute(InstanceId=instance_id, DisableApiTermination={"Value": True})
    record = last(sim, "ModifyInstanceAttribute")
    assert record["requestParameters"] == {
        "instanceId": instance_id,
        "disableApiTermination": {"value": True},
    }


def test_other_services_lower_the_first_letter_and_no_secret_is_kept(sim: Simulator) -> None:
    iam = sim.session().client("iam")
    iam.create_user(UserName="trail-user")
    secret = iam.create_access_key(UserName="trail-user")["AccessKey"]["SecretAccessKey"]
    record = last(sim, "CreateAccessKey")
    assert record["requestParameters"] == {"userName": "trail-user"}
    assert set(record["responseElements"]["accessKey"]) >= {"accessKeyId", "status", "userName"}
    sim.session().client("ssm").put_parameter(Name="/db", Value="s3cr3t-value", Type="SecureString")
    held = (
        sim.session()
        .client("sts")
        .assume_role(RoleArn=role(sim, "trail-role"), RoleSessionName="analyst")["Credentials"]
    )
    assumed = last(sim, "AssumeRole")
    assert assumed["responseElements"]["credentials"]["accessKeyId"] == held["AccessKeyId"]
    everything = json.dumps(sim.trail.records())
    for hidden in (secret, "s3cr3t-value", held["SecretAccessKey"], held["SessionToken"]):
        assert hidden not in everything


def test_errors_carry_cloudtrails_codes(sim: Simulator) -> None:
    ec2, iam = sim.session().client("ec2"), sim.session().client("iam")
    assert (
        code_of(ec2.describe_instances, InstanceIds=["i-0123456789abcdef0"]) == "InvalidInstanceID.NotFound"
    )
    record = last(sim, "DescribeInstances")
    assert record["errorCode"] == "Client.InvalidInstanceID.NotFound"
    assert "i-0123456789abcdef0" in record["errorMessage"]
    assert code_of(iam.get_user, UserName="nobody") == "NoSuchEntity"
    assert last(sim, "GetUser")["errorCode"] == "NoSuchEntityException"
    sim.faults.inject("ssm", "ListCommands", "AccessDeniedException")
    assert code_of(sim.session().client("ssm").list_commands) == "AccessDeniedException"
    assert last(sim, "ListCommands")["errorCode"] == "AccessDenied"


def test_who_called_is_in_the_record(sim: Simulator) -> None:
    sim.session().client("ec2").describe_vpcs()
    identity = last(sim, "DescribeVpcs")["userIdentity"]
    assert identity["type"] == "IAMUser"
    assert identity["userName"] == "irkit-responder"
    assert identity["principalId"].startswith("AIDA")
    assert last(sim, "DescribeVpcs")["userAgent"].startswith("Boto3/")


def test_event_history_answers_by_attribute_newest_first(sim: Simulator) -> None:
    instance_id = launch(sim)
    ec2 = sim.session().client("ec2")
    for _ in range(3):
        ec2.describe_key_pairs()
    found = looked_up(sim, **by("EventName", "DescribeKeyPairs"))
    assert len(found) == 3
    assert {e["Username"] for e in found} == {"irkit-responder"}
    assert found[0]["EventTime"] >= found[-1]["EventTime"]
    key = sim.env()["AWS_ACCESS_KEY_ID"]
    assert looked_up(sim, **by("AccessKeyId", key))[0]["AccessKeyId"] == key
    assert looked_up(sim, **by("ReadOnly", "false"))
    assert looked_up(sim, **by("ResourceName", instance_id))[0]["EventName"] == "RunInstances"


def test_event_history_comes_in_pages_of_at_most_fifty(sim: Simulator) -> None:
    history = [plain(f"Planted{i % 2}", minutes=i) for i in range(120)]
    sim.trail.plant(history)
    trail = sim.session().client("cloudtrail")
    page = trail.lookup_events(**by("EventSource", "planted.amazonaws.com"))
    assert len(page["Events"]) == 50
    assert len(looked_up(sim, **by("EventSource", "planted.amazonaws.com"))) == 120
    window = {
        "StartTime": datetime.now(UTC) - timedelta(minutes=30),
        "EndTime": datetime.now(UTC) - timedelta(minutes=20),
    }
    assert {e["EventSource"] for e in looked_up(sim, **by("EventName", "Planted0"), **window)} == {
        "planted.amazonaws.com"
    }
    assert len(looked_up(sim, **by("EventSource", "planted.amazonaws.com"), **window)) in {10, 11}


def plain(name: str, *, minutes: int, region: str = "us-east-1") -> dict[str, Any]:
    return {
        "eventName": name,
        "eventSource": "planted.amazonaws.com",
        "eventTime": stamp(datetime.now(UTC) - timedelta(minutes=minutes)),
        "eventID": f"{name}-{minutes}",
        "awsRegion": region,
        "recipientAccountId": "111122223333",
        "userIdentity": {"type": "AWSService", "invokedBy": "planted.amazonaws.com"},
        "managementEvent": True,
        "readOnly": False,
    }


def test_event_history_is_of_one_region_and_90_days(sim: Simulator) -> None:
    sim.trail.plant(
        [plain("Elsewhere", minutes=5, region="eu-west-1"), plain("LongAgo", minutes=91 * 24 * 60)]
    )
    assert looked_up(sim, **by("EventName", "Elsewhere")) == []
    assert looked_up(sim, **by("EventName", "LongAgo")) == []
    abroad = (
        sim.session()
        .client("cloudtrail", region_name="eu-west-1")
        .lookup_events(**by("EventName", "Elsewhere"))
    )
    assert len(abroad["Events"]) == 1


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"NextToken": "made-up"}, "InvalidNextTokenException"),
        (
            {"LookupAttributes": [{"AttributeKey": "EventName", "AttributeValue": "x"}] * 2},
            "InvalidLookupAttributesException",
        ),
    ],
)
def test_bad_lookups_are_refused(sim: Simulator, asked: dict[str, Any], code: str) -> None:
    assert code_of(sim.session().client("cloudtrail").lookup_events, **asked) == code
