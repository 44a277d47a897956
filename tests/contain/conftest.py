"""A small account to contain things in, made once a module; every test leaves it as it found it, or undoes by force."""

from __future__ import annotations

import functools
import ipaddress
import json
import os
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from irkit import contain
from irkit.case import Case
from irkit.sim import Simulator

# What AWS itself gives out anew whenever something is put back; everything else must be as it was.
ASSIGNED_BY_AWS = {"AssociationId", "AssociationTime", "NetworkAclAssociationId", "Timestamp"}
QUICK = {"hop_seconds": 0.01}


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """Two web servers on one role: a dual-stack VPC, two interfaces each, a scaling group, both kinds of balancer."""
    with Simulator.start(workdir=tmp_path_factory.mktemp("sim")) as sim:
        yield _furnished(sim)


def _furnished(sim: Simulator) -> SimpleNamespace:
    session = sim.session()
    ec2, iam, elb = session.client("ec2"), session.client("iam"), session.client("elbv2")
    made = ec2.create_vpc(CidrBlock="10.9.0.0/16", AmazonProvidedIpv6CidrBlock=True)["Vpc"]
    vpc = made["VpcId"]
    six = ipaddress.ip_network(made["Ipv6CidrBlockAssociationSet"][0]["Ipv6CidrBlock"])
    half = next(six.subnets(new_prefix=64))
    subnet = ec2.create_subnet(
        VpcId=vpc, CidrBlock="10.9.1.0/24", Ipv6CidrBlock=str(half), AvailabilityZone="us-east-1a"
    )["Subnet"]["SubnetId"]
    web, admin = (
        ec2.create_security_group(GroupName=name, Description=name, VpcId=vpc)["GroupId"]
        for name in ("web", "admin")
    )
    trust = {
        "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
        ]
    }
    role = iam.create_role(RoleName="web", Path="/fleet/", AssumeRolePolicyDocument=json.dumps(trust))["Role"]
    iam.create_instance_profile(InstanceProfileName="web", Path="/fleet/")
    iam.add_role_to_instance_profile(InstanceProfileName="web", RoleName="web")

    def launch(profile: str | None = "web") -> str:
        disk = {"VolumeSize": 8, "VolumeType": "gp3", "DeleteOnTermination": True}
        faces = [
            {"DeviceIndex": n, "SubnetId": subnet, "Groups": held, "DeleteOnTermination": True}
            for n, held in enumerate(([web, admin], [admin]))
        ]
        started = ec2.run_instances(
            ImageId="ami-12345678",
            MinCount=1,
            MaxCount=1,
            InstanceType="t3.micro",
            NetworkInterfaces=faces,
            BlockDeviceMappings=[{"DeviceName": "/dev/xvda", "Ebs": disk}],
            InstanceInitiatedShutdownBehavior="terminate",
            **({"IamInstanceProfile": {"Name": profile}} if profile else {}),
        )["Instances"][0]
        return str(started["InstanceId"])

    suspect, sibling, bare = launch(), launch(), launch(None)
    shown = ec2.describe_instances(InstanceIds=[suspect])["Reservations"][0]["Instances"][0]
    first, second = sorted(shown["NetworkInterfaces"], key=lambda i: i["Attachment"]["DeviceIndex"])
    ec2.assign_private_ip_addresses(
        NetworkInterfaceId=first["NetworkInterfaceId"], PrivateIpAddresses=["10.9.1.200"]
    )
    ec2.assign_ipv6_addresses(
        NetworkInterfaceId=first["NetworkInterfaceId"], Ipv6Addresses=[str(half[0x200])]
    )
    address = ec2.allocate_address(Domain="vpc")["AllocationId"]
    ec2.associate_address(AllocationId=address, NetworkInterfaceId=first["NetworkInterfaceId"])
    group = elb.create_target_group(Name="web", Protocol="HTTP", Port=80, VpcId=vpc, TargetType="instance")
    arn = group["TargetGroups"][0]["TargetGroupArn"]
    balancer = elb.create_load_balancer(Name="web", Subnets=[subnet], Type="application")["LoadBalancers"][0]
    elb.create_listener(
        LoadBalancerArn=balancer["LoadBalancerArn"],
        Protocol="HTTP",
        Port=80,
        DefaultActions=[{"Type": "forward", "TargetGroupArn": arn}],
    )
    elb.register_targets(TargetGroupArn=arn, Targets=[{"Id": i, "Port": 80} for i in (suspect, sibling)])
    listener = {"Protocol": "HTTP", "LoadBalancerPort": 80, "InstancePort": 80}
    old = session.client("elb")
    old.create_load_balancer(LoadBalancerName="old", Listeners=[listener], Subnets=[subnet])
    old.register_instances_with_load_balancer(LoadBalancerName="old", Instances=[{"InstanceId": suspect}])
    ec2.create_launch_template(
        LaunchTemplateName="web", LaunchTemplateData={"ImageId": "ami-12345678", "InstanceType": "t3.micro"}
    )
    scaling = session.client("autoscaling")
    scaling.create_auto_scaling_group(
        AutoScalingGroupName="web",
        MinSize=0,
        MaxSize=4,
        DesiredCapacity=0,
        LaunchTemplate={"LaunchTemplateName": "web", "Version": "$Latest"},
        VPCZoneIdentifier=subnet,
    )
    scaling.attach_instances(AutoScalingGroupName="web", InstanceIds=[suspect, sibling])
    iam.create_user(UserName="olga")
    return SimpleNamespace(
        sim=sim, client=functools.cache(session.client), vpc=vpc,
        subnet=subnet, web=web, admin=admin, role=role, suspect=suspect,
        sibling=sibling, bare=bare, interfaces=[first["NetworkInterfaceId"], second["NetworkInterfaceId"]],
        address=address, targets=arn, clients={}, volume=shown["BlockDeviceMappings"][0]["Ebs"]["VolumeId"],
    )  # fmt: skip


@pytest.fixture
def world(account: SimpleNamespace) -> Iterator[SimpleNamespace]:
    """The account, with this test's environment pointing at it and no faults left from another test."""
    account.sim.faults.clear()
    os.environ.update(account.sim.env())
    yield account
    account.sim.faults.clear()


@pytest.fixture
def open_case(world: SimpleNamespace, tmp_path: Path) -> Iterator[Callable[..., Case]]:
    """Open a case by id (the same id gives a new object on the same folder, as a new process would have)."""
    opened: dict[str, Case] = {}

    def open_one(case_id: str = "C-1") -> Case:
        case = Case.open(case_id, region=world.sim.region, cases=tmp_path / "cases", responder="ana")
        # Making clients costs more than all calls of a test together; only a case of the same id may share them.
        case._aws = world.clients.setdefault(case_id, case.aws)
        opened[case_id] = case
        return case

    yield open_one
    world.sim.faults.clear()
    for case_id, case in opened.items():
        last = Case.load(str(case.root))
        last._aws = world.clients[case_id]
        contain.undo_plan(last, force=True, retire_replacement=True).apply()


@pytest.fixture
def case(open_case: Callable[..., Case]) -> Case:
    """An open case; what it contains is put back after the test."""
    return open_case()


@pytest.fixture
def contained(case: Case, world: SimpleNamespace) -> Case:
    """The case, with the suspect contained by every option."""
    report = everything(case, world.suspect).apply()
    assert report.complete, [s.to_dict() for s in report.failed]
    return case


def everything(case: Case, instance: str, **options: Any) -> Any:
    """The containment with all that is optional."""
    extra = {"addresses": True, "remove_profile": True, "metadata_off": True, "suspend": "always"}
    return contain.plan(case, instance, **(QUICK | extra | options))


@pytest.fixture(name="everything")
def everything_fixture() -> Callable[..., Any]:
    return everything


@pytest.fixture
def shown(world: SimpleNamespace) -> Callable[[], Any]:
    """Everything that AWS describes of the account, less what AWS assigns anew."""
    return lambda: describe_all(world.client)


def describe_all(client: Callable[[str], Any]) -> dict[str, Any]:
    """Every description that containment can change."""
    ec2, iam, elb = client("ec2"), client("iam"), client("elbv2")
    scaling, old = client("autoscaling"), client("elb")
    reservations = ec2.describe_instances()["Reservations"]
    instances = [i for r in reservations for i in r["Instances"] if i["State"]["Name"] == "running"]
    running = {i["InstanceId"] for i in instances}
    attributes = ("disableApiTermination", "disableApiStop", "instanceInitiatedShutdownBehavior")
    roles = iam.list_roles()["Roles"]
    users = iam.list_users()["Users"]
    groups = elb.describe_target_groups()["TargetGroups"]
    return stable(
        {
            "instances": instances,
            "attributes": [ec2.describe_instance_attribute(InstanceId=i["InstanceId"], Attribute=a)
                           for i in instances for a in attributes],
            "interfaces": [i for i in ec2.describe_network_interfaces()["NetworkInterfaces"]
                           if i.get("Attachment", {}).get("InstanceId") in running],
            "groups": ec2.describe_security_groups()["SecurityGroups"],
            "rules": ec2.describe_security_group_rules()["SecurityGroupRules"],
            "addresses": ec2.describe_addresses()["Addresses"],
            "profiles": ec2.describe_iam_instance_profile_associations()["IamInstanceProfileAssociations"],
            "acls": ec2.describe_network_acls()["NetworkAcls"],
            "policies": {r["RoleName"]: _policies(iam, r["RoleName"]) for r in roles},
            "keys": {u["UserName"]: iam.list_access_keys(UserName=u["UserName"])["AccessKeyMetadata"] for u in users},
            "scaling": scaling.describe_auto_scaling_groups()["AutoScalingGroups"],
            "members": scaling.describe_auto_scaling_instances()["AutoScalingInstances"],
            "target groups": groups,
            "targets": {g["TargetGroupArn"]: _health(elb, g["TargetGroupArn"], running) for g in groups},
            "classic": old.describe_load_balancers()["LoadBalancerDescriptions"],
        }
    )  # fmt: skip


def _policies(iam: Any, role: str) -> dict[str, Any]:
    names = iam.list_role_policies(RoleName=role)["PolicyNames"]
    held = {name: iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"] for name in names}
    return held | {"attached": iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]}


def _health(elb: Any, arn: str, running: set[str]) -> Any:
    """Who is registered; a replacement that was retired may still be shown while it drains."""
    found = elb.describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]
    return [t for t in found if t["Target"]["Id"] in running]


def stable(value: Any) -> Any:
    """`value` without what AWS assigns anew, lists in an order of their own."""
    if isinstance(value, dict):
        return {k: stable(v) for k, v in value.items() if k not in ASSIGNED_BY_AWS | {"ResponseMetadata"}}
    if isinstance(value, list):
        return sorted((stable(v) for v in value), key=lambda v: json.dumps(v, sort_keys=True, default=str))
    return value.isoformat() if isinstance(value, datetime) else value


@pytest.fixture
def changes(world: SimpleNamespace) -> Callable[[], list[str]]:
    """The mutating calls made since the fixture was asked for, in order."""
    begin = len(world.sim.calls())
    reading = ("Describe", "Get", "List", "Simulate")

    def made() -> list[str]:
        return [c.operation for c in world.sim.calls()[begin:] if not c.operation.startswith(reading)]

    return made
