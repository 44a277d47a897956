"""Stage 1 lets the host reach the VPC's endpoints of SSM and S3 and nothing else; stage 2 closes that too."""

from __future__ import annotations

import pytest

from irkit import contain
from irkit.contain import groups
from irkit.contain.proof import Finding
from irkit.errors import InvalidParameter
from irkit.plan import Status
from tests.contain.test_network import groups_of, network, rules_of, tagged


@pytest.fixture
def endpoints(world):
    """Endpoints of SSM that admit the VPC, and the gateway endpoint of S3 on the subnet's routes."""
    ec2 = world.client("ec2")
    admits = ec2.create_security_group(GroupName="endpoints", Description="x", VpcId=world.vpc)["GroupId"]
    https = {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "IpRanges": [{"CidrIp": "10.9.0.0/16"}]}
    ec2.authorize_security_group_ingress(GroupId=admits, IpPermissions=[https])
    made = [
        ec2.create_vpc_endpoint(
            VpcId=world.vpc, ServiceName=f"com.amazonaws.us-east-1.{name}", VpcEndpointType="Interface",
            SubnetIds=[world.subnet], SecurityGroupIds=[admits],
        )["VpcEndpoint"]["VpcEndpointId"]
        for name in ("ssm", "ssmmessages")
    ]  # fmt: skip
    yield made
    ec2.delete_vpc_endpoints(VpcEndpointIds=made)
    ec2.delete_security_group(GroupId=admits)


@pytest.fixture
def gateway(world):
    ec2 = world.client("ec2")
    mine = [{"Name": "vpc-id", "Values": [world.vpc]}]
    (table,) = [t["RouteTableId"] for t in ec2.describe_route_tables(Filters=mine)["RouteTables"]]
    made = ec2.create_vpc_endpoint(
        VpcId=world.vpc, ServiceName="com.amazonaws.us-east-1.s3", VpcEndpointType="Gateway", RouteTableIds=[table]
    )["VpcEndpoint"]["VpcEndpointId"]  # fmt: skip
    yield made
    ec2.delete_vpc_endpoints(VpcEndpointIds=[made])


def addresses_of(world, endpoints):
    ec2 = world.client("ec2")
    found = ec2.describe_vpc_endpoints(VpcEndpointIds=endpoints)["VpcEndpoints"]
    ids = [i for e in found for i in e["NetworkInterfaceIds"]]
    faces = ec2.describe_network_interfaces(NetworkInterfaceIds=ids)["NetworkInterfaces"]
    return sorted(i["PrivateIpAddress"] for i in faces)


def test_stage_one_reaches_only_the_endpoints_and_stage_two_nothing_without_opening_again(
    case, world, changes, endpoints, gateway
):
    ec2 = world.client("ec2")
    assert network(case, world.suspect, stage=1).apply().complete
    (first,) = tagged(world, case, "ssm")
    assert [groups_of(world, i) for i in world.interfaces] == [[first], [first]]
    held = sorted(groups.in_words(r) for r in rules_of(world, first))
    named = [{"Name": "prefix-list-name", "Values": ["com.amazonaws.us-east-1.s3"]}]
    lists = ec2.describe_managed_prefix_lists(Filters=named)["PrefixLists"]
    far = [*(f"{a}/32" for a in addresses_of(world, endpoints)), *(p["PrefixListId"] for p in lists)]
    assert held == sorted(f"out tcp 443-443 {peer}" for peer in far)
    assert len(held) == 3

    begun = len(changes())
    assert network(case, world.suspect, stage=2).apply().complete
    assert not [c for c in changes()[begun:] if c.startswith("Authorize")]
    (second,) = tagged(world, case, "quarantine")
    assert [groups_of(world, i) for i in world.interfaces] == [[second], [second]]
    assert network(case, world.suspect, stage=1).apply().complete
    assert [groups_of(world, i) for i in world.interfaces] == [[second], [second]], "it is not opened again"
    assert not [v for v in contain.prove(case, world.suspect).open if v.control.startswith("network")]
    assert contain.undo_plan(case).apply().complete
    assert sorted(groups_of(world, world.interfaces[0])) == sorted([world.web, world.admin])
    assert tagged(world, case, "ssm") == []


def test_room_that_somebody_widens_is_contradicted(case, world, endpoints):
    network(case, world.suspect, stage=1).apply()
    (group,) = tagged(world, case, "ssm")
    wide = [{"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
    world.client("ec2").authorize_security_group_egress(GroupId=group, IpPermissions=wide)
    found = {v.control: v.finding for v in contain.prove(case, world.suspect).verdicts}
    assert found["network.ssm"] is Finding.CONTRADICTED


def test_without_the_s3_endpoint_the_plan_says_what_cannot_leave(case, world, endpoints):
    (group,) = [s for s in network(case, world.suspect, stage=1).steps if s.verb == "network.ssm"]
    assert "S3 is out of reach" in group.title


def left_as_they_are(case, world, why):
    """Stage 1 leaves the interfaces alone, says `why`, and what to do; stage 2 still contains them."""
    before = [groups_of(world, i) for i in world.interfaces]
    report = network(case, world.suspect, stage=1).apply()
    assert not report.failed
    (told,) = [s for s in report.steps if s.verb == "network.way"]
    assert why in " ".join(told.missing)
    assert "Capture the host first" in " ".join(told.missing)
    assert report.exit_code == 3
    assert [groups_of(world, i) for i in world.interfaces] == before
    assert not [s for s in report.steps if s.verb == "network.interface"]
    assert "network.interface" in {v.control for v in contain.prove(case, world.suspect).open}
    assert network(case, world.suspect, stage=2).apply().complete
    assert [groups_of(world, i) for i in world.interfaces] == [tagged(world, case, "quarantine")] * 2
    (told,) = [s for s in network(case, world.suspect, stage=1).apply().steps if s.verb == "network.way"]
    assert told.status is Status.SKIPPED


def test_a_vpc_without_endpoints_is_left_until_stage_two_and_says_why(case, world):
    left_as_they_are(case, world, "no endpoint for ssm; no endpoint for ssmmessages")


def test_an_endpoint_that_admits_only_members_of_other_groups_is_no_way(case, world):
    ec2 = world.client("ec2")
    made = [
        ec2.create_vpc_endpoint(
            VpcId=world.vpc, ServiceName=f"com.amazonaws.us-east-1.{name}", VpcEndpointType="Interface",
            SubnetIds=[world.subnet],
        )["VpcEndpoint"]["VpcEndpointId"]
        for name in ("ssm", "ssmmessages")
    ]  # fmt: skip
    try:
        left_as_they_are(case, world, "admits members of other groups only")
    finally:
        ec2.delete_vpc_endpoints(VpcEndpointIds=made)


def test_stage_one_leaves_the_agent_its_channel_in_identity_too(case, world, endpoints):
    plan = contain.plan(case, world.suspect, stage=1)
    assert {"network.ssm", "identity.session-ssm"} <= {s.verb for s in plan.steps}


def test_there_is_no_third_stage(case, world):
    with pytest.raises(InvalidParameter, match="no stage 3"):
        contain.plan(case, world.suspect, stage=3)
