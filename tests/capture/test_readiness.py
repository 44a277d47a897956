from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from irkit.capture import describe as capture_describe
from irkit.capture import preflight, surroundings
from irkit.case import Case
from irkit.errors import NoCredentials


def test_the_card_says_what_can_be_captured_and_changes_nothing(
    world: SimpleNamespace, open_case: Callable[..., Case]
) -> None:
    case = open_case(sources={"evidence_bucket": world.public["evidence_bucket"]})
    begun = len(world.sim.calls())
    card = preflight(case, world.instance_id)

    assert card.seconds < 30
    assert dict(card.capturable) == {"metadata": True, "console": True, "disks": True, "host": True}
    assert card.problems == ()
    assert all(p.allowed for p in card.permissions)
    assert {
        "ec2:CreateSnapshots",
        "ec2:ModifyInstanceAttribute",
        "ec2:CreateSecurityGroup",
        "ssm:SendCommand",
    } <= {p.action for p in card.permissions}
    assert len(case.journal.entries) == 1
    changed = [
        c
        for c in world.sim.calls()[begun:]
        if not c.operation.startswith(("Describe", "Get", "List", "Simulate", "Head"))
    ]
    assert all(c.error == "DryRunOperation" for c in changed), changed


def test_the_surroundings_are_found(world: SimpleNamespace, case: Case) -> None:
    card = preflight(case, world.instance_id)
    found = card.surroundings
    assert found.scaling["state"] == "InService"
    assert [g.state for g in found.target_groups] == ["healthy"]
    assert len(found.role_sharers) == 1
    assert all(world.instance_id not in others for others in found.group_sharers.values())
    told = " ".join(i.what for i in card.warnings)
    for word in ("Auto Scaling", "takes traffic", "use its role", "IMDSv1", "no evidence bucket"):
        assert word in told
    assert all(i.do for i in (*card.warnings, *card.problems))


def test_the_card_is_shown_as_json_table_html_and_one_line(world: SimpleNamespace, case: Case) -> None:
    card = preflight(case, world.instance_id)
    assert json.loads(json.dumps(card.to_dict()))["schema"] == "irkit/preflight/1"
    assert list(card.to_frame().columns) == ["what", "stands", "do"]
    assert "<script" not in card._repr_html_()
    assert repr(card).count("\n") == 0


def test_a_missing_permission_is_a_problem_that_names_it(world: SimpleNamespace, case: Case) -> None:
    iam = world.sim.session().client("iam")
    iam.create_user(UserName="reader")
    document = {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": "*", "Resource": "*"},
            {"Effect": "Deny", "Action": ["ec2:CreateSnapshots", "ssm:SendCommand"], "Resource": "*"},
        ],
    }
    iam.put_user_policy(UserName="reader", PolicyName="most", PolicyDocument=json.dumps(document))
    key = iam.create_access_key(UserName="reader")["AccessKey"]
    os.environ |= {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}

    card = preflight(case, world.instance_id)

    told = [i.what for i in card.problems]
    assert any("ec2:CreateSnapshots" in what for what in told), card.permissions
    assert any("ssm:SendCommand" in what for what in told), card.permissions
    assert (card.capturable["disks"], card.capturable["host"], card.capturable["console"]) == (
        False,
        False,
        True,
    )


def test_a_refused_simulation_leaves_permissions_unknown_not_denied(
    world: SimpleNamespace, case: Case
) -> None:
    world.sim.faults.inject("iam", "SimulatePrincipalPolicy", "AccessDenied", status=403, times=9)
    card = preflight(case, world.instance_id)
    assert {p.allowed for p in card.permissions if p.how == "simulation"} == {None}
    assert card.capturable["host"]
    assert any("unknown whether allowed" in i.what for i in card.warnings)


def test_an_agent_that_is_off_is_explained(world: SimpleNamespace, case: Case) -> None:
    world.sim.hosts.switch_agent(world.instance_id, online=False)
    try:
        card = preflight(case, world.instance_id)
    finally:
        world.sim.hosts.switch_agent(world.instance_id, online=True)
    assert not card.capturable["host"]
    assert card.capturable["disks"]
    assert "ConnectionLost" in str(card.node.why)


def test_a_lookup_that_fails_is_named_and_stops_nothing(world: SimpleNamespace, case: Case) -> None:
    world.sim.faults.inject("elbv2", "DescribeTargetGroups", "AccessDenied", status=403, times=9)
    world.sim.faults.inject(
        "autoscaling", "DescribeAutoScalingInstances", "AccessDenied", status=403, times=9
    )
    card = preflight(case, world.instance_id)
    assert card.surroundings.target_groups == ()
    assert any("describe_auto_scaling_instances" in gap for gap in card.surroundings.unknown)


def test_a_case_about_another_account_is_a_problem(
    world: SimpleNamespace, open_case: Callable[..., Case]
) -> None:
    card = preflight(open_case(account="999988887777"), world.instance_id)
    assert any("999988887777" in i.what for i in card.problems)


@pytest.mark.parametrize("name", ["no-such-bucket-1b7f", "Not_A_Bucket"])
def test_an_evidence_bucket_that_cannot_be_used_is_a_warning(
    world: SimpleNamespace, open_case: Callable[..., Case], name: str
) -> None:
    card = preflight(open_case(sources={"evidence_bucket": name}), world.instance_id)
    assert card.surroundings.bucket_trouble
    assert any(name in i.what for i in card.warnings)


def test_ways_on_which_flows_stay_tracked_are_named(world: SimpleNamespace, case: Case) -> None:
    ec2 = world.sim.session().client("ec2")
    suspect = capture_describe(case, world.instance_id)
    subnet, vpc = suspect.subnet, str(suspect.vpc)
    gateway = ec2.create_nat_gateway(SubnetId=subnet, ConnectivityType="private")["NatGateway"][
        "NatGatewayId"
    ]
    table = ec2.describe_route_tables(Filters=[{"Name": "association.subnet-id", "Values": [subnet]}])
    route = {
        "RouteTableId": table["RouteTables"][0]["RouteTableId"],
        "DestinationCidrBlock": "198.51.100.0/24",
    }
    ec2.create_route(**route, NatGatewayId=gateway)
    endpoint = ec2.create_vpc_endpoint(
        VpcId=vpc, ServiceName="com.amazonaws.us-east-1.dynamodb", VpcEndpointType="Gateway"
    )["VpcEndpoint"]["VpcEndpointId"]
    try:
        card = preflight(case, world.instance_id)
    finally:
        ec2.delete_route(**route)
        ec2.delete_nat_gateway(NatGatewayId=gateway)
        ec2.delete_vpc_endpoints(VpcEndpointIds=[endpoint])
    assert set(card.surroundings.tracked) == {
        f"a NAT gateway ({gateway})", f"the gateway endpoint of DynamoDB ({endpoint})",
    }  # fmt: skip
    assert any("stay tracked through a NAT gateway" in i.what for i in card.warnings)


def test_an_instance_that_uses_the_role_by_another_profile_shares_it(
    world: SimpleNamespace, case: Case
) -> None:
    session = world.sim.session()
    role = capture_describe(case, world.instance_id).roles[0]
    session.client("iam").create_instance_profile(InstanceProfileName="second-way-in")
    session.client("iam").add_role_to_instance_profile(InstanceProfileName="second-way-in", RoleName=role)
    made = session.client("ec2").run_instances(
        ImageId="ami-0123456789abcdef0", MinCount=1, MaxCount=1, IamInstanceProfile={"Name": "second-way-in"}
    )["Instances"][0]["InstanceId"]  # fmt: skip
    try:
        assert made in preflight(case, world.instance_id).surroundings.role_sharers
    finally:
        session.client("ec2").terminate_instances(InstanceIds=[made])
        session.client("iam").remove_role_from_instance_profile(
            InstanceProfileName="second-way-in", RoleName=role
        )
        session.client("iam").delete_instance_profile(InstanceProfileName="second-way-in")


def test_a_case_that_says_where_snapshots_go_is_told_whether_they_can_get_there(
    world: SimpleNamespace, open_case: Callable[..., Case]
) -> None:
    to = {"forensics_role": world.public["forensics_role_arn"], "forensics_region": "eu-west-1"}
    good = preflight(open_case(sources=to), world.instance_id)
    assert good.capturable["keep"] is True
    assert "memory" not in good.capturable
    assert "ec2:LockSnapshot" in {p.action for p in good.permissions}
    assert good.estimates["copies of the snapshots"]

    bad = preflight(
        open_case(sources=to | {"forensics_role": "arn:aws:iam::444455556666:role/nobody"}), world.instance_id
    )
    assert bad.capturable["keep"] is False
    assert any("the forensics account cannot be used" in i.what for i in bad.problems)


def test_a_forensics_key_that_is_disabled_is_a_problem(
    world: SimpleNamespace, open_case: Callable[..., Case]
) -> None:
    kms = world.sim.session(world.sim.forensics_account).client("kms")
    key = kms.create_key()["KeyMetadata"]["Arn"]
    kms.disable_key(KeyId=key)
    to = {"forensics_role": world.public["forensics_role_arn"], "forensics_key": key}
    card = preflight(open_case(sources=to), world.instance_id)
    assert any(f"its key {key} is Disabled" in i.what for i in card.problems)


@pytest.mark.parametrize(
    ("sources", "told"),
    [
        ({"evidence_owner": "999988887777"}, "is not for us to use, or it is not account 999988887777's"),
        ({"evidence_owner": "444455556666"}, None),
        ({}, "nothing says whose the evidence bucket"),
    ],
)
def test_whose_the_evidence_bucket_is_is_looked_at(
    world: SimpleNamespace, open_case: Callable[..., Case], sources: dict[str, str], told: str | None
) -> None:
    card = preflight(
        open_case(sources={"evidence_bucket": world.public["evidence_bucket"], **sources}), world.instance_id
    )
    about = [i.what for i in card.warnings if "evidence bucket" in i.what]
    assert any(told in what for what in about) if told else about == []


def test_a_bucket_without_object_lock_in_another_region_is_told_so(
    world: SimpleNamespace, open_case: Callable[..., Case]
) -> None:
    s3 = world.sim.session().client("s3", region_name="eu-west-1")
    s3.create_bucket(Bucket="far-and-open", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    card = preflight(open_case(sources={"evidence_bucket": "far-and-open"}), world.instance_id)
    about = " ".join(i.what for i in card.warnings)
    assert "far-and-open has no Object Lock" in about
    assert "far-and-open is in eu-west-1, the suspect in us-east-1" in about


def test_checks_that_are_too_slow_are_unknown(
    world: SimpleNamespace, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    released = threading.Event()
    monkeypatch.setattr(surroundings, "target_groups", lambda *_: released.wait(120))
    try:
        card = preflight(case, world.instance_id, budget=2.5)
    finally:
        released.set()
    assert any("target groups: no answer within" in gap for gap in card.surroundings.unknown)
    assert card.seconds < 60


def test_without_credentials_there_is_no_card(
    world: SimpleNamespace, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(NoCredentials):
        preflight(case, world.instance_id)
