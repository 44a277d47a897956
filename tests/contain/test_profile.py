"""The instance profile is replaced in one call by one that denies everything, and comes back as it was."""

from __future__ import annotations

import json

import botocore.exceptions
import pytest

from irkit import contain
from irkit.case import Case
from irkit.contain import policies, profile, revocation
from irkit.errors import InvalidParameter
from irkit.plan import Status
from tests.contain.test_failures import DENIED, KilledError, dies

ALLOW = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}


def held(world, instance):
    said = world.client("ec2").describe_iam_instance_profile_associations(
        Filters=[{"Name": "instance-id", "Values": [instance]}]
    )
    return [a["IamInstanceProfile"]["Arn"].rpartition("/")[2] for a in said["IamInstanceProfileAssociations"]]


def replaced(case, instance):
    return contain.plan(case, instance, only=["identity"], replace_profile=True)


def denied(session):
    with pytest.raises(botocore.exceptions.ClientError, match="AccessDenied"):
        session.client("s3").list_buckets()
    return True


def test_the_profile_is_replaced_in_one_call_and_its_new_credentials_are_good_for_nothing(
    case, world, shown, changes
):
    before = shown()
    old = world.sim.instance_session(world.suspect)
    assert replaced(case, world.suspect).apply().complete
    assert changes().count("ReplaceIamInstanceProfileAssociation") == 1
    assert not {"AssociateIamInstanceProfile", "DisassociateIamInstanceProfile"} & set(changes())
    assert held(world, world.suspect) == [f"irkit-deny-all-{case.id}"]
    assert denied(old), "credentials from before"
    assert denied(world.sim.instance_session(world.suspect)), "credentials of the new profile"
    world.sim.instance_session(world.sibling).client("s3").list_buckets()
    proof = {v.control: v.finding for v in contain.prove(case, world.suspect).verdicts}
    assert proof["identity.profile-replaced"] == proof["identity.deny-profile"] == "proved"
    assert proof["identity.session"] == "proved", "of the role that it had"
    assert contain.undo_plan(case).apply().complete
    assert shown() == before
    names = [r["RoleName"] for r in world.client("iam").list_roles()["Roles"]]
    assert not [n for n in names if n.startswith("irkit-")]


def test_ec2_is_asked_again_until_it_knows_the_new_profile(case, world):
    told = "Value (irkit-deny-all) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name"
    world.sim.faults.inject(
        "ec2", "ReplaceIamInstanceProfileAssociation", "InvalidParameterValue", times=2, message=told
    )
    assert replaced(case, world.suspect).apply().complete


def test_planned_again_it_is_done_and_the_role_that_it_had_is_still_known(case, world, changes):
    replaced(case, world.suspect).apply()
    made = len(changes())
    again = replaced(case, world.suspect)
    assert {s.target for s in again.steps if s.verb == "identity.session"} == {"web"}
    assert again.apply().complete
    assert len(changes()) == made


def test_the_profile_stays_while_another_instance_has_it(case, world):
    for instance in (world.suspect, world.sibling):
        assert replaced(case, instance).apply().complete
    contain.undo_plan(case, only=[world.suspect]).apply()
    (kept,) = contain.undo_plan(case, only=["identity.deny-profile"]).apply().steps
    assert kept.status is Status.SKIPPED
    assert world.sibling in kept.why
    assert contain.undo_plan(case).apply().complete


def test_what_somebody_attached_since_is_left_alone(case, world):
    replaced(case, world.suspect).apply()
    ec2, iam = world.client("ec2"), world.client("iam")
    iam.create_instance_profile(InstanceProfileName="theirs")
    association = ec2.describe_iam_instance_profile_associations(
        Filters=[{"Name": "instance-id", "Values": [world.suspect]}]
    )["IamInstanceProfileAssociations"][0]["AssociationId"]
    ec2.replace_iam_instance_profile_association(
        AssociationId=association, IamInstanceProfile={"Name": "theirs"}
    )
    (refused,) = contain.undo_plan(case, only=["identity.profile-replaced"]).apply().failed
    assert "theirs" in refused.why
    assert held(world, world.suspect) == ["theirs"]
    assert contain.undo_plan(case, force=True).apply().complete
    assert held(world, world.suspect) == ["web"]
    iam.delete_instance_profile(InstanceProfileName="theirs")


def test_a_stopped_instance_gets_it_too_though_not_in_one_call(case, world):
    ec2 = world.client("ec2")
    ec2.stop_instances(InstanceIds=[world.sibling])
    try:
        assert replaced(case, world.sibling).apply().complete
        assert held(world, world.sibling) == [f"irkit-deny-all-{case.id}"]
        assert contain.undo_plan(case).apply().complete
        assert held(world, world.sibling) == ["web"]
    finally:
        ec2.start_instances(InstanceIds=[world.sibling])


def test_an_instance_without_a_profile_gets_none(case, world, changes):
    assert replaced(case, world.bare).apply().complete
    assert changes() == []


def test_a_planted_role_of_the_name_is_never_given_to_the_suspect(case, world):
    iam, name = world.client("iam"), f"irkit-deny-all-{case.id}"
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps({"Statement": []}))
    try:
        report = replaced(case, world.suspect).apply()
        assert [s.verb for s in report.failed] == ["identity.deny-profile"]
        assert "this case did not make it" in report.failed[0].why
        assert held(world, world.suspect) == ["web"]
        assert denied(world.sim.instance_session(world.suspect)), "what did not fail holds"
    finally:
        iam.delete_role(RoleName=name)


def test_the_stacks_own_profile_is_used_where_the_case_knows_it(world, tmp_path, changes):
    iam = world.client("iam")
    arn = iam.create_instance_profile(InstanceProfileName="stack-deny-all")["InstanceProfile"]["Arn"]
    case = Case.open("P-2", region=world.sim.region, cases=tmp_path / "cases", sources={profile.SOURCE: arn})
    case._aws = world.clients.setdefault(case.id, case.aws)
    made = len(changes())
    assert replaced(case, world.suspect).apply().complete
    assert set(changes()[made:]) == {"PutRolePolicy", "ReplaceIamInstanceProfileAssociation"}
    assert held(world, world.suspect) == ["stack-deny-all"]
    assert contain.undo_plan(case).apply().complete
    assert held(world, world.suspect) == ["web"]
    iam.delete_instance_profile(InstanceProfileName="stack-deny-all")


def test_replacing_and_removing_at_once_is_refused(case, world):
    with pytest.raises(InvalidParameter, match="both replaced and removed"):
        contain.plan(case, world.suspect, replace_profile=True, remove_profile=True)


@pytest.mark.parametrize(
    ("operation", "open_controls"),
    [
        ("CreateRole", {"identity.deny-profile"}),
        pytest.param("AttachRolePolicy", {"identity.deny-profile"}, marks=pytest.mark.soak),
        pytest.param("CreateInstanceProfile", {"identity.deny-profile"}, marks=pytest.mark.soak),
        pytest.param("AddRoleToInstanceProfile", {"identity.deny-profile"}, marks=pytest.mark.soak),
        ("ReplaceIamInstanceProfileAssociation", {"identity.profile-replaced"}),
    ],
)
def test_one_refused_call_leaves_the_rest_in_force_names_what_is_open_and_is_mended_by_a_retry(
    case, world, shown, operation, open_controls
):
    before = shown()
    service = "ec2" if operation.startswith("Replace") else "iam"
    world.sim.faults.inject(service, operation, DENIED.get(service, "AccessDenied"), times=99)
    report = replaced(case, world.suspect).apply()
    assert {s.verb for s in report.failed} == open_controls
    assert denied(world.sim.instance_session(world.suspect)), "the session is denied all the same"
    proof = contain.prove(case, world.suspect)
    assert open_controls <= {v.control for v in proof.open if v.control.startswith("identity.")}
    world.sim.faults.clear()
    assert replaced(case, world.suspect).apply().complete
    assert contain.undo_plan(case).apply().complete
    assert shown() == before


@pytest.mark.parametrize(
    "stack", [pytest.param(False, id="inline"), pytest.param(True, id="tag", marks=pytest.mark.soak)]
)
def test_killed_at_every_boundary_it_goes_on_and_leaves_nothing_behind_once_undone(
    world, tmp_path, shown, stack
):
    iam, sources = world.client("iam"), {}
    if stack:
        text = policies.as_text(policies.revocation_policy())
        made = iam.create_policy(PolicyName="irkit-revocation-k", PolicyDocument=text)["Policy"]
        sources = {revocation.SOURCE: made["Arn"]}
    before = shown()

    def again():
        case = Case.open("K-1", region=world.sim.region, cases=tmp_path / "cases", sources=sources)
        case._aws = world.clients.setdefault("K-1", case.aws)
        return case

    seen, kills = set(), 0
    for make in (lambda c: replaced(c, world.suspect), contain.undo_plan):
        while True:
            case = again()
            dies(case, seen)
            try:
                report = make(case).apply(workers=1)
                break
            except KilledError:
                kills += 1
        assert report.complete, [s.to_dict() for s in report.failed]
    print(f"\nkilled at {kills} of {len(seen)} boundaries")
    assert kills == len(seen) >= 12
    assert contain.undo_plan(again()).apply().complete
    assert shown() == before
    names = [r["RoleName"] for r in iam.list_roles()["Roles"]]
    assert not [n for n in names if n.startswith("irkit-")]
    if stack:
        iam.delete_policy(PolicyArn=sources[revocation.SOURCE])


def test_each_thing_that_somebody_takes_back_is_contradicted_by_the_proof(case, world):
    assert replaced(case, world.suspect).apply().complete
    assert contain.prove(case, world.suspect).verdicts
    ec2, iam, name = world.client("ec2"), world.client("iam"), f"irkit-deny-all-{case.id}"

    def contradicted():
        found = contain.prove(case, world.suspect).verdicts
        return {v.control for v in found if v.finding == "contradicted"}

    assert contradicted() == set()
    denies = {"RoleName": name, "PolicyArn": "arn:aws:iam::aws:policy/AWSDenyAll"}
    iam.detach_role_policy(**denies)
    assert contradicted() == {"identity.deny-profile"}
    iam.attach_role_policy(**denies)
    iam.put_role_policy(RoleName=name, PolicyName="back", PolicyDocument=policies.as_text(ALLOW))
    assert contradicted() == {"identity.deny-profile"}
    iam.delete_role_policy(RoleName=name, PolicyName="back")
    association = ec2.describe_iam_instance_profile_associations(
        Filters=[{"Name": "instance-id", "Values": [world.suspect]}]
    )["IamInstanceProfileAssociations"][0]["AssociationId"]
    ec2.replace_iam_instance_profile_association(
        AssociationId=association, IamInstanceProfile={"Name": "web"}
    )
    assert contradicted() == {"identity.profile-replaced"}
    assert replaced(case, world.suspect).apply().complete, "applied again it closes what was reopened"
    assert contradicted() == set()
