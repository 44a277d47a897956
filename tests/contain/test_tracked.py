"""Flows that stay tracked: found, named with what would end them, and ended by network ACL or by a stop."""

from __future__ import annotations

import contextlib

import pytest

from irkit import contain
from irkit.contain import subject, tracking
from irkit.contain.proof import Finding
from irkit.errors import InvalidParameter
from irkit.plan import Status
from tests.contain.test_network import network


@pytest.fixture(scope="module")
def gateway_subnet(account):
    """A subnet of its own for a NAT gateway, whose network ACL already denies one neighbour."""
    ec2 = account.client("ec2")
    subnet = ec2.create_subnet(VpcId=account.vpc, CidrBlock="10.9.2.0/24")["Subnet"]["SubnetId"]
    own = ec2.create_network_acl(VpcId=account.vpc)["NetworkAcl"]["NetworkAclId"]
    deny = {"RuleNumber": 1, "Protocol": "-1", "RuleAction": "deny", "CidrBlock": "198.51.100.7/32"}
    web = {"RuleNumber": 90, "Protocol": "6", "RuleAction": "allow", "CidrBlock": "0.0.0.0/0",
           "PortRange": {"From": 443, "To": 443}}  # fmt: skip
    ping = {"RuleNumber": 95, "Protocol": "1", "RuleAction": "allow", "CidrBlock": "10.0.0.0/8",
            "IcmpTypeCode": {"Type": 8, "Code": -1}}  # fmt: skip
    rest = {"RuleNumber": 100, "Protocol": "-1", "RuleAction": "allow"}
    for egress in (True, False):
        for entry in (deny, web, ping, rest | {"CidrBlock": "0.0.0.0/0"},
                      rest | {"RuleNumber": 101, "Ipv6CidrBlock": "::/0"}):  # fmt: skip
            ec2.create_network_acl_entry(NetworkAclId=own, Egress=egress, **entry)
    held = _association(ec2, subnet)
    ec2.replace_network_acl_association(AssociationId=held, NetworkAclId=own)
    return subnet


def _association(ec2, subnet):
    acl = acl_of(ec2, subnet)
    return next(a["NetworkAclAssociationId"] for a in acl["Associations"] if a["SubnetId"] == subnet)


def acl_of(ec2, subnet):
    (found,) = ec2.describe_network_acls(Filters=[{"Name": "association.subnet-id", "Values": [subnet]}])[
        "NetworkAcls"
    ]
    return found


def entries(acl):
    return sorted(
        (e["Egress"], e["RuleNumber"], e["RuleAction"], e.get("CidrBlock") or e.get("Ipv6CidrBlock"))
        for e in acl["Entries"]
        if e["RuleNumber"] < 32767
    )


@contextlib.contextmanager
def routed(world, **hop):
    """The suspect's subnet follows a table whose default route leads to `hop`."""
    ec2 = world.client("ec2")
    table = ec2.create_route_table(VpcId=world.vpc)["RouteTable"]["RouteTableId"]
    far = {} if "DestinationIpv6CidrBlock" in hop else {"DestinationCidrBlock": "0.0.0.0/0"}
    ec2.create_route(RouteTableId=table, **(far | hop))
    held = ec2.associate_route_table(RouteTableId=table, SubnetId=world.subnet)["AssociationId"]
    try:
        yield
    finally:
        ec2.disassociate_route_table(AssociationId=held)
        ec2.delete_route_table(RouteTableId=table)


@contextlib.contextmanager
def nat(world, subnet):
    ec2 = world.client("ec2")
    address = ec2.allocate_address(Domain="vpc")["AllocationId"]
    gateway = ec2.create_nat_gateway(SubnetId=subnet, AllocationId=address)["NatGateway"]["NatGatewayId"]
    try:
        with routed(world, NatGatewayId=gateway):
            yield gateway
    finally:
        ec2.delete_nat_gateway(NatGatewayId=gateway)
        ec2.release_address(AllocationId=address)


def test_the_addresses_are_denied_where_the_flows_pass_and_the_subnets_other_rules_go_on(
    case, world, shown, gateway_subnet
):
    ec2 = world.client("ec2")
    with nat(world, gateway_subnet) as gateway:
        before, own = shown(), acl_of(ec2, gateway_subnet)
        plan = network(case, world.suspect, tracked="nacl")
        (step,) = [s for s in plan.steps if s.verb == "network.acl"]
        assert step.target == gateway_subnet
        assert gateway in step.title
        report = plan.apply()
        assert report.complete, [s.to_dict() for s in report.steps if s.why or s.missing]
        clone = acl_of(ec2, gateway_subnet)
        assert clone["NetworkAclId"] != own["NetworkAclId"]
        faces = subject.describe(case, world.suspect).interfaces
        mine = [a for i in faces for a in (*i.addresses, *i.addresses6)]
        assert any(":" in address for address in mine)
        kept = [(egress, number + len(mine), action, far) for egress, number, action, far in entries(own)]
        denied = [
            (egress, number, "deny", f"{address}/{128 if ':' in address else 32}")
            for egress in (False, True)
            for number, address in enumerate(sorted(mine), start=1)
        ]
        assert entries(clone) == sorted(kept + denied)
        (ping,) = [e for e in clone["Entries"] if e["Protocol"] == "1" and e["Egress"]]
        assert ping["IcmpTypeCode"] == {"Type": 8, "Code": -1}
        (web,) = [e for e in clone["Entries"] if e["Protocol"] == "6" and e["Egress"]]
        assert web["PortRange"] == {"From": 443, "To": 443}
        assert contain.prove(case, world.suspect).verdicts
        undone = contain.undo_plan(case).apply()
        assert undone.complete, [s.to_dict() for s in undone.failed]
        assert shown() == before


def test_a_denial_that_somebody_removes_is_contradicted_and_denied_again(case, world, gateway_subnet):
    ec2 = world.client("ec2")
    with nat(world, gateway_subnet):
        network(case, world.suspect, tracked="nacl").apply()
        clone = acl_of(ec2, gateway_subnet)["NetworkAclId"]
        ec2.delete_network_acl_entry(NetworkAclId=clone, RuleNumber=1, Egress=True)
        found = {v.control: v.finding for v in contain.prove(case, world.suspect).verdicts}
        assert found["network.acl"] is Finding.CONTRADICTED
        assert network(case, world.suspect, tracked="nacl").apply().complete
        found = {v.control: v.finding for v in contain.prove(case, world.suspect).verdicts}
        assert found["network.acl"] is Finding.PROVED
        assert acl_of(ec2, gateway_subnet)["NetworkAclId"] == clone
        assert contain.undo_plan(case).apply().complete


def test_an_address_that_came_after_the_denial_is_named(case, world, gateway_subnet):
    ec2 = world.client("ec2")
    with nat(world, gateway_subnet):
        assert network(case, world.suspect, tracked="nacl").apply().complete
        held = {"NetworkInterfaceId": world.interfaces[1], "PrivateIpAddresses": ["10.9.1.201"]}
        ec2.assign_private_ip_addresses(**held)
        try:
            report = network(case, world.suspect, tracked="nacl").apply()
            (told,) = [m for s in report.steps for m in s.missing]
            assert "10.9.1.201" in told
            assert "came after its addresses were denied" in told
        finally:
            ec2.unassign_private_ip_addresses(**held)
        assert contain.undo_plan(case).apply().complete


@pytest.mark.parametrize("operation", ["CreateNetworkAclEntry", "ReplaceNetworkAclAssociation"])
def test_a_copy_that_is_not_whole_is_never_given_to_the_subnet_and_none_is_left_over(
    case, world, gateway_subnet, operation
):
    ec2 = world.client("ec2")
    with nat(world, gateway_subnet):
        own = acl_of(ec2, gateway_subnet)
        passed = []
        world.sim.faults.inject("ec2", operation, "UnauthorizedOperation", times=99,
                                when=lambda _: passed.append(1) or len(passed) > 3 or "Rep" in operation)  # fmt: skip
        report = network(case, world.suspect, tracked="nacl").apply()
        assert [s.verb for s in report.failed] == ["network.acl"]
        assert acl_of(ec2, gateway_subnet) == own
        world.sim.faults.clear()
        assert network(case, world.suspect, tracked="nacl").apply().complete
        mine = [{"Name": "tag:irkit:case", "Values": [case.id]}]
        assert len(ec2.describe_network_acls(Filters=mine)["NetworkAcls"]) == 1
        assert contain.undo_plan(case).apply().complete
        assert ec2.describe_network_acls(Filters=mine)["NetworkAcls"] == []
        assert entries(acl_of(ec2, gateway_subnet)) == entries(own)


def test_a_half_made_copy_is_taken_back_without_going_on(case, world, gateway_subnet):
    ec2 = world.client("ec2")
    with nat(world, gateway_subnet):
        world.sim.faults.inject("ec2", "ReplaceNetworkAclAssociation", "UnauthorizedOperation", times=99)
        network(case, world.suspect, tracked="nacl").apply()
        world.sim.faults.clear()
        assert contain.undo_plan(case).apply().complete
        mine = [{"Name": "tag:irkit:case", "Values": [case.id]}]
        assert ec2.describe_network_acls(Filters=mine)["NetworkAcls"] == []


def test_more_addresses_than_an_acl_has_room_for_fail_alone_and_leave_the_subnet_its_own(
    case, world, gateway_subnet, monkeypatch
):
    from irkit.sim.mends import network as limits

    monkeypatch.setattr(limits, "ENTRIES", 6)
    with nat(world, gateway_subnet):
        own = acl_of(world.client("ec2"), gateway_subnet)
        report = network(case, world.suspect, tracked="nacl").apply()
        (failed,) = report.failed
        assert "NetworkAclEntryLimitExceeded" in failed.why
        assert acl_of(world.client("ec2"), gateway_subnet) == own


def test_a_gateway_in_the_instances_own_subnet_is_beyond_any_acl_and_that_is_said(case, world):
    with nat(world, world.subnet) as gateway:
        report = network(case, world.suspect, tracked="nacl").apply()
        (told,) = [s for s in report.steps if s.verb == "network.acl-beyond"]
        assert gateway in told.missing[0]
        assert "tracked='stop' would end them" in told.missing[0]
        assert not [s for s in report.steps if s.verb == "network.acl"]
        assert report.exit_code == 3


def test_flows_that_the_hop_cannot_end_are_named_with_what_would_end_them(case, world, gateway_subnet):
    ec2, elb = world.client("ec2"), world.client("elbv2")
    made = elb.create_target_group(Name="tcp", Protocol="TCP", Port=22, VpcId=world.vpc)["TargetGroups"]
    group = made[0]["TargetGroupArn"]
    made = elb.create_load_balancer(Name="tcp", Subnets=[gateway_subnet], Type="network")["LoadBalancers"]
    balancer = made[0]["LoadBalancerArn"]
    elb.create_listener(LoadBalancerArn=balancer, Protocol="TCP", Port=22,
                        DefaultActions=[{"Type": "forward", "TargetGroupArn": group}])  # fmt: skip
    elb.register_targets(TargetGroupArn=group, Targets=[{"Id": world.suspect, "Port": 22}])
    foreign = ec2.create_vpc_endpoint(
        VpcId=world.vpc, ServiceName="com.amazonaws.vpce.us-east-1.vpce-svc-0123456789abcdef0",
        VpcEndpointType="Interface", SubnetIds=[gateway_subnet],
    )["VpcEndpoint"]["VpcEndpointId"]  # fmt: skip
    try:
        with nat(world, gateway_subnet) as gateway:
            found, unread = tracking.lasting(case, subject.describe(case, world.suspect))
            assert not unread
            assert {(held.what, held.subnets) for held in found} == {
                (f"a NAT gateway ({gateway})", (gateway_subnet,)),
                ("the network load balancer of target group tcp", (gateway_subnet,)),
                (
                    f"PrivateLink to com.amazonaws.vpce.us-east-1.vpce-svc-0123456789abcdef0 ({foreign})",
                    (gateway_subnet,),
                ),
            }
            report = network(case, world.suspect).apply()
            (look,) = [s for s in report.steps if s.verb == "network.tracked"]
            assert len(look.missing) == 3
            assert all("tracked='nacl' denies" in m and "tracked='stop'" in m for m in look.missing)
    finally:
        ec2.delete_vpc_endpoints(VpcEndpointIds=[foreign])
        elb.delete_load_balancer(LoadBalancerArn=balancer)
        elb.delete_target_group(TargetGroupArn=group)


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda ec2, vpc: {"TransitGatewayId": ec2.create_transit_gateway()["TransitGateway"]["TransitGatewayId"]},
         "a transit gateway"),
        (lambda ec2, vpc: {"EgressOnlyInternetGatewayId": ec2.create_egress_only_internet_gateway(VpcId=vpc)[
            "EgressOnlyInternetGateway"]["EgressOnlyInternetGatewayId"], "DestinationIpv6CidrBlock": "::/0"},
         "an egress-only internet gateway"),
    ],
    ids=["transit", "egress-only"],
)  # fmt: skip
def test_a_gateway_on_the_route_is_named(case, world, make, what):
    with routed(world, **make(world.client("ec2"), world.vpc)):
        found, _ = tracking.lasting(case, subject.describe(case, world.suspect))
        assert [held.what.partition(" (")[0] for held in found] == [what]


def test_a_look_that_lacks_a_part_fails_and_is_made_again(case, world):
    world.sim.faults.inject("ec2", "DescribeRouteTables", "UnauthorizedOperation", times=9)
    report = network(case, world.suspect).apply()
    assert [s.verb for s in report.failed] == ["network.tracked"]
    world.sim.faults.clear()
    assert network(case, world.suspect).apply().complete


def test_a_stop_is_said_to_cost_memory_lifts_stop_protection_for_itself_only_and_is_undone_by_a_start(
    case, world
):
    ec2 = world.client("ec2")
    plan = contain.plan(case, world.suspect, only=["guard", "network"], hop_seconds=0.01, tracked="stop")
    (step,) = [s for s in plan.steps if s.verb == "network.stopped"]
    assert "memory, instance-store volumes" in step.title
    assert step is plan.steps[-1], "everything else is done before"
    report = plan.apply()
    assert report.complete, [s.to_dict() for s in report.steps if s.missing or s.status is Status.FAILED]
    assert state_of(ec2, world.suspect) == "stopped"
    shown = ec2.describe_instance_attribute(InstanceId=world.suspect, Attribute="disableApiStop")
    assert shown["DisableApiStop"]["Value"] is True
    assert contain.prove(case, world.suspect).verdicts
    ec2.start_instances(InstanceIds=[world.suspect])
    found = {v.control: v.finding for v in contain.prove(case, world.suspect).verdicts}
    assert found["network.stopped"] is Finding.CONTRADICTED
    ec2.modify_instance_attribute(InstanceId=world.suspect, DisableApiStop={"Value": False})
    ec2.stop_instances(InstanceIds=[world.suspect])
    ec2.modify_instance_attribute(InstanceId=world.suspect, DisableApiStop={"Value": True})
    assert contain.undo_plan(case).apply().complete
    assert state_of(ec2, world.suspect) == "running"


def state_of(ec2, instance):
    said = ec2.describe_instances(InstanceIds=[instance])
    return said["Reservations"][0]["Instances"][0]["State"]["Name"]


def test_a_stop_that_aws_refuses_leaves_stop_protection_on(case, world):
    world.sim.faults.inject("ec2", "StopInstances", "UnauthorizedOperation", times=99)
    report = contain.plan(
        case, world.suspect, only=["guard", "network"], hop_seconds=0.01, tracked="stop"
    ).apply()
    assert [s.verb for s in report.failed] == ["network.stopped"]
    shown = world.client("ec2").describe_instance_attribute(
        InstanceId=world.suspect, Attribute="disableApiStop"
    )
    assert shown["DisableApiStop"]["Value"] is True


def test_a_way_to_end_tracked_flows_that_does_not_exist_is_refused(case, world):
    with pytest.raises(InvalidParameter, match="'unplug'"):
        network(case, world.suspect, tracked="unplug")


def test_a_host_is_not_shut_from_inside_where_that_would_cut_systems_manager_off_for_good(case, world):
    report = network(case, world.suspect, tracked="host-firewall").apply()
    (failed,) = report.failed
    assert "would cut Systems Manager too: no endpoint for ssm" in failed.why
    assert "tracked='nacl' or 'stop'" in failed.why
    assert all(s.status is Status.DONE for s in report.steps if s.verb == "network.interface")
