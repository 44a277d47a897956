"""Endpoints, interface addresses, network ACLs, Spot and pages of target groups, as AWS has them."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest

from irkit.sim import Simulator
from tests.sim.builders import code_of


@pytest.fixture
def place(sim: Simulator) -> dict[str, Any]:
    """A VPC with one subnet, an interface in it, and its clients."""
    ec2 = sim.session().client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.4.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.4.1.0/24")["Subnet"]["SubnetId"]
    face = ec2.create_network_interface(SubnetId=subnet)["NetworkInterface"]["NetworkInterfaceId"]
    return {"ec2": ec2, "vpc": vpc, "subnet": subnet, "face": face}


def test_an_endpoint_has_addresses_of_its_subnet_the_default_group_and_interfaces_that_are_awss(
    place: dict[str, Any],
) -> None:
    ec2 = place["ec2"]
    made = ec2.create_vpc_endpoint(
        VpcId=place["vpc"], ServiceName="com.amazonaws.us-east-1.ssm", VpcEndpointType="Interface",
        SubnetIds=[place["subnet"]],
    )["VpcEndpoint"]  # fmt: skip
    assert made["PrivateDnsEnabled"] is True
    (group,) = [g["GroupName"] for g in made["Groups"]]
    assert group == "default"
    (face,) = ec2.describe_network_interfaces(NetworkInterfaceIds=made["NetworkInterfaceIds"])[
        "NetworkInterfaces"
    ]
    assert ipaddress.ip_address(face["PrivateIpAddress"]) in ipaddress.ip_network("10.4.1.0/24")
    assert face["RequesterManaged"] is True
    refused = code_of(
        ec2.modify_network_interface_attribute,
        NetworkInterfaceId=face["NetworkInterfaceId"], Groups=[made["Groups"][0]["GroupId"]],
    )  # fmt: skip
    assert refused == "AuthFailure"


def test_an_address_is_of_the_subnet_free_and_only_a_secondary_one_goes(place: dict[str, Any]) -> None:
    ec2, face = place["ec2"], place["face"]
    ec2.assign_private_ip_addresses(NetworkInterfaceId=face, PrivateIpAddresses=["10.4.1.77"])
    other = ec2.create_network_interface(SubnetId=place["subnet"])["NetworkInterface"]["NetworkInterfaceId"]
    for address in ("10.4.1.77", "10.99.0.1"):
        asked = {"NetworkInterfaceId": other, "PrivateIpAddresses": [address]}
        assert code_of(ec2.assign_private_ip_addresses, **asked) == "InvalidParameterValue"
    held = ec2.describe_network_interfaces(NetworkInterfaceIds=[face])["NetworkInterfaces"][0]
    for address in (held["PrivateIpAddress"], "10.4.1.78"):
        asked = {"NetworkInterfaceId": face, "PrivateIpAddresses": [address]}
        assert code_of(ec2.unassign_private_ip_addresses, **asked) == "InvalidParameterValue"
    ec2.unassign_private_ip_addresses(NetworkInterfaceId=face, PrivateIpAddresses=["10.4.1.77"])
    assert code_of(ec2.assign_ipv6_addresses, NetworkInterfaceId=face, Ipv6Addresses=["2001:db8::1"]) == (
        "InvalidParameterValue"
    )


def test_a_network_acl_holds_20_entries_a_direction_and_stays_in_its_vpc(place: dict[str, Any]) -> None:
    ec2 = place["ec2"]
    acl = ec2.create_network_acl(VpcId=place["vpc"])["NetworkAcl"]["NetworkAclId"]
    entry = {"NetworkAclId": acl, "Protocol": "-1", "RuleAction": "deny", "CidrBlock": "192.0.2.1/32"}
    for number in range(1, 21):
        ec2.create_network_acl_entry(RuleNumber=number, Egress=True, **entry)
    full = code_of(ec2.create_network_acl_entry, RuleNumber=21, Egress=True, **entry)
    assert full == "NetworkAclEntryLimitExceeded"
    ec2.create_network_acl_entry(RuleNumber=21, Egress=False, **entry)

    mine = [{"Name": "association.subnet-id", "Values": [place["subnet"]]}]
    (held,) = ec2.describe_network_acls(Filters=mine)["NetworkAcls"]
    association = held["Associations"][0]["NetworkAclAssociationId"]
    far = ec2.create_vpc(CidrBlock="10.5.0.0/16")["Vpc"]["VpcId"]
    foreign = ec2.create_network_acl(VpcId=far)["NetworkAcl"]["NetworkAclId"]
    swap = ec2.replace_network_acl_association
    assert code_of(swap, AssociationId=association, NetworkAclId=foreign) == "InvalidParameterValue"
    assert code_of(swap, AssociationId="aclassoc-0", NetworkAclId=acl) == "InvalidAssociationID.NotFound"
    fresh = swap(AssociationId=association, NetworkAclId=acl)["NewAssociationId"]
    assert fresh != association


def test_a_spot_instance_that_was_asked_for_once_is_neither_stopped_nor_protected(sim: Simulator) -> None:
    ec2 = sim.session().client("ec2")

    def launch(kind: str) -> str:
        market = {"MarketType": "spot", "SpotOptions": {"SpotInstanceType": kind}}
        said = ec2.run_instances(ImageId="ami-12345678", MinCount=1, MaxCount=1, InstanceMarketOptions=market)
        return str(said["Instances"][0]["InstanceId"])

    once, lasting = launch("one-time"), launch("persistent")
    assert code_of(ec2.stop_instances, InstanceIds=[once]) == "UnsupportedOperation"
    ec2.stop_instances(InstanceIds=[lasting])
    protect = {"InstanceId": once, "DisableApiTermination": {"Value": True}}
    assert code_of(ec2.modify_instance_attribute, **protect) == "UnsupportedOperation"


def test_target_groups_come_in_pages(sim: Simulator) -> None:
    elb, ec2 = sim.session().client("elbv2"), sim.session().client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.6.0.0/16")["Vpc"]["VpcId"]
    for n in range(5):
        elb.create_target_group(Name=f"page-{n}", Protocol="HTTP", Port=80, VpcId=vpc)
    pages = elb.get_paginator("describe_target_groups").paginate(PaginationConfig={"PageSize": 2})
    found = [[g["TargetGroupName"] for g in page["TargetGroups"]] for page in pages]
    assert {len(page) for page in found[:-1]} == {2}
    assert {f"page-{n}" for n in range(5)} <= {name for page in found for name in page}
    assert code_of(elb.describe_target_groups, Marker="nonsense") == "ValidationError"
