"""The ways to deny a role's sessions: revocation policy, inline, managed; really evaluated, and undone exactly."""

from __future__ import annotations

import json
import time

import botocore.exceptions
import pytest
import yaml

from irkit import contain
from irkit.approvals import gate, registry, votes
from irkit.approvals.rules import Verb
from irkit.case import Case
from irkit.contain import policies, revocation
from irkit.evidence import seal
from irkit.journal import Kind
from irkit.plan import Status
from irkit.playbooks import runs


class _Template(yaml.SafeLoader):
    """CloudFormation's short forms read as their argument."""


_Template.add_multi_constructor("!", lambda loader, _, node: loader.construct_scalar(node))


def works(session):
    try:
        session.client("s3").list_buckets()
    except botocore.exceptions.ClientError as error:
        return error.response["Error"]["Code"] != "AccessDenied"
    return True


@pytest.fixture(scope="module")
def stack(account):
    """The account's own revocation policy, as `cfn/revocation-policy.yaml` makes it."""
    document = policies.as_text(policies.revocation_policy())
    iam = account.client("iam")
    return iam.create_policy(PolicyName="irkit-revocation", PolicyDocument=document)["Policy"]["Arn"]


@pytest.fixture
def stack_case(world, stack, tmp_path):
    """A case that knows the revocation policy; whatever it denies is given back."""
    case = Case.open(
        "R-1", region=world.sim.region, cases=tmp_path / "cases", sources={revocation.SOURCE: stack}
    )
    case._aws = world.clients.setdefault(case.id, case.aws)
    yield case
    world.sim.faults.clear()
    contain.undo_plan(case, force=True).apply()


@pytest.fixture
def full_role(world):
    """The role with so many inline policies that no further one fits."""
    iam = world.client("iam")
    filler = policies.deny(sid="A" * 1880, condition={"StringEquals": {"aws:userid": "x"}})
    for number in range(5):
        iam.put_role_policy(RoleName="web", PolicyName=f"filler-{number}", PolicyDocument=json.dumps(filler))
    yield
    for number in range(5):
        iam.delete_role_policy(RoleName="web", PolicyName=f"filler-{number}")


def role_now(world):
    iam = world.client("iam")
    return (
        iam.list_role_policies(RoleName="web")["PolicyNames"],
        [p["PolicyName"] for p in iam.list_attached_role_policies(RoleName="web")["AttachedPolicies"]],
        iam.list_role_tags(RoleName="web")["Tags"],
    )


def cut(case, instance, **options):
    report = contain.plan(case, instance, only=["identity"], **options).apply()
    return next(s for s in report.steps if s.verb.startswith("identity.session"))


def test_the_revocation_policy_denies_the_suspect_by_a_tag_and_irkit_writes_no_policy(
    stack_case, world, changes
):
    before = role_now(world)
    stolen, sibling = world.sim.instance_session(world.suspect), world.sim.instance_session(world.sibling)
    assert cut(stack_case, world.suspect).result["way"] == "revocation policy"
    assert set(changes()) == {"TagRole", "AttachRolePolicy"}
    assert not works(stolen)
    assert not works(world.sim.instance_session(world.suspect)), "credentials handed out after the cut"
    assert works(sibling)
    assert works(world.sim.instance_session(world.sibling))
    proved = {v.control: v.finding for v in contain.prove(stack_case, world.suspect).verdicts}
    assert proved["identity.session"] == "proved"
    assert contain.undo_plan(stack_case).apply().complete
    assert works(stolen)
    assert role_now(world) == before


def test_the_policy_stays_attached_until_the_last_session_that_it_denies_is_let_go(stack_case, world):
    before = role_now(world)
    for instance in (world.suspect, world.sibling):
        cut(stack_case, instance)
    assert contain.undo_plan(stack_case, only=[world.suspect]).apply().complete
    assert works(world.sim.instance_session(world.suspect))
    assert not works(world.sim.instance_session(world.sibling))
    assert contain.undo_plan(stack_case, only=[world.sibling]).apply().complete
    assert role_now(world) == before


def test_with_room_for_the_agent_and_then_without_it_takes_two_tags_and_gives_both_back(stack_case, world):
    before = role_now(world)
    cut(stack_case, world.suspect, ssm_room=True)
    session = world.sim.instance_session(world.suspect)
    assert not works(session)
    with pytest.raises(botocore.exceptions.ClientError, match="InvalidDocument"):
        session.client("ssm").describe_document(Name="no-such-document")
    cut(stack_case, world.suspect)
    with pytest.raises(botocore.exceptions.ClientError, match="AccessDenied"):
        session.client("ssm").describe_document(Name="no-such-document")
    assert {t["Key"] for t in role_now(world)[2]} == {"irkit-denied-1", "irkit-denied-but-ssm-1"}
    assert contain.undo_plan(stack_case).apply().complete
    assert role_now(world) == before


@pytest.mark.parametrize("code", ["LimitExceeded", "AccessDenied", "NoSuchEntity"])
def test_where_the_revocation_policy_cannot_be_attached_the_role_gets_an_inline_one(stack_case, world, code):
    before = role_now(world)
    world.sim.faults.inject("iam", "AttachRolePolicy", code, times=99)
    step = cut(stack_case, world.suspect)
    assert step.result["way"] == "inline policy"
    assert code in step.result["passed"][0]
    assert not works(world.sim.instance_session(world.suspect))
    assert role_now(world)[2] == before[2], "the tag of the way that did not work is gone"
    assert contain.undo_plan(stack_case).apply().complete
    assert role_now(world) == before


def test_a_revocation_policy_that_says_something_else_is_not_relied_on(stack_case, world, stack):
    iam = world.client("iam")
    iam.create_policy_version(
        PolicyArn=stack,
        SetAsDefault=True,
        PolicyDocument=policies.as_text(policies.deny(sid="Nobody", condition={"Bool": {"x:y": "true"}})),
    )
    try:
        step = cut(stack_case, world.suspect)
        assert step.result["way"] == "inline policy"
        assert "does not say what irkit's revocation policy says" in step.result["passed"][0]
        assert not works(world.sim.instance_session(world.suspect))
    finally:
        iam.set_default_policy_version(PolicyArn=stack, VersionId="v1")


def test_a_revocation_policy_that_is_changed_after_the_cut_contradicts_the_proof(stack_case, world, stack):
    iam = world.client("iam")
    cut(stack_case, world.suspect)
    harmless = policies.as_text(policies.deny(sid="Nobody", condition={"Bool": {"x:y": "true"}}))
    version = iam.create_policy_version(PolicyArn=stack, SetAsDefault=True, PolicyDocument=harmless)
    try:
        assert works(world.sim.instance_session(world.suspect))
        found = {v.control: v.finding for v in contain.prove(stack_case, world.suspect).verdicts}
        assert found["identity.session"] == "contradicted"
    finally:
        iam.set_default_policy_version(PolicyArn=stack, VersionId="v1")
        iam.delete_policy_version(PolicyArn=stack, VersionId=version["PolicyVersion"]["VersionId"])


def test_a_fifth_session_of_one_role_finds_no_tag_free_and_is_denied_inline(stack_case, world):
    iam = world.client("iam")
    tags = [{"Key": f"irkit-denied-{n}", "Value": f"AROAOTHER:{n}"} for n in range(1, 5)]
    iam.tag_role(RoleName="web", Tags=tags)
    try:
        step = cut(stack_case, world.suspect)
        assert step.result["way"] == "inline policy"
        assert "are taken" in step.result["passed"][0]
        assert not works(world.sim.instance_session(world.suspect))
    finally:
        iam.untag_role(RoleName="web", TagKeys=[t["Key"] for t in tags])


def test_an_attempt_that_was_cut_short_between_tag_and_policy_takes_no_second_tag(stack_case, world):
    world.sim.faults.inject("iam", "AttachRolePolicy", "ServiceFailure", status=400, times=1)
    world.sim.faults.inject("iam", "UntagRole", "ServiceFailure", status=400, times=1)
    assert cut(stack_case, world.suspect).status is Status.FAILED
    assert {t["Key"] for t in role_now(world)[2]} == {"irkit-denied-1"}
    assert cut(stack_case, world.suspect).status is Status.DONE
    assert {t["Key"] for t in role_now(world)[2]} == {"irkit-denied-1"}
    assert not works(world.sim.instance_session(world.suspect))


def test_a_role_whose_inline_policies_are_full_gets_a_managed_one_that_undo_deletes(case, world, full_role):
    before = role_now(world)
    cut(case, world.suspect, ssm_room=True)
    step = cut(case, world.suspect)
    assert step.result["way"] == "managed policy"
    assert step.result["passed"] == ["the inline policy was passed over: LimitExceeded"]
    assert not works(world.sim.instance_session(world.suspect))
    assert works(world.sim.instance_session(world.sibling))
    assert contain.undo_plan(case).apply().complete
    assert role_now(world) == before
    made = world.client("iam").list_policies(Scope="Local", PathPrefix="/irkit/")["Policies"]
    assert made == []


def test_a_planted_policy_of_the_name_is_not_taken_for_irkits(case, world, full_role):
    allow = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
    iam = world.client("iam")
    planted = iam.create_policy(
        PolicyName=f"irkit-deny-{case.id}-{world.suspect}", Path="/irkit/", PolicyDocument=json.dumps(allow)
    )["Policy"]["Arn"]
    try:
        step = cut(case, world.suspect)
        assert step.status is Status.FAILED
        assert "is there already and says something else" in step.why
        assert planted not in role_now(world)[1]
    finally:
        iam.delete_policy(PolicyArn=planted)


def test_a_role_that_iam_is_at_work_on_is_asked_again(case, world):
    world.sim.faults.inject("iam", "PutRolePolicy", "ConcurrentModification", status=409, times=2)
    assert cut(case, world.suspect).status is Status.DONE


def test_role_wide_ends_every_older_session_and_names_the_machines_that_feel_it(case, world):
    sibling = world.sim.instance_session(world.sibling)
    plan = contain.plan(case, world.suspect, only=["identity"], role_wide=True)
    (wide,) = (s for s in plan.steps if s.verb == "identity.role-sessions")
    assert f"1 other instances on it ({world.sibling})" in wide.title
    assert plan.apply().complete
    # a cut is to the second: a session of the same second may be newer than it
    told = next(e for e in case.journal.entries if e.kind is Kind.DONE and e.step == wide.id(case.id))
    assert "aws:TokenIssueTime" in json.dumps(told.body["after"])
    assert contain.undo_plan(case).apply().complete
    assert works(sibling)


@pytest.mark.parametrize(
    ("path", "name", "says"),
    [
        ("/aws-service-role/ecs.amazonaws.com/", "AWSServiceRoleForECS", "linked to a service"),
        ("/aws-reserved/sso.amazonaws.com/", "AWSReservedSSO_Admin_0123456789abcdef", "IAM Identity Center"),
    ],
)
def test_a_role_of_awss_own_is_said_to_be_out_of_reach(case, world, changes, path, name, says):
    iam = world.client("iam")
    iam.create_role(RoleName=name, Path=path, AssumeRolePolicyDocument=json.dumps({"Statement": []}))
    made = len(changes())
    report = contain.sessions(case, name).apply()
    (step,) = report.steps
    assert says in step.missing[0]
    assert report.exit_code == 3
    assert len(changes()) == made
    iam.delete_role(RoleName=name)


def test_what_the_policy_says_fits_into_a_managed_policy_and_is_what_the_template_deploys(checkout):
    assert len(policies.as_text(policies.revocation_policy())) < 6144
    text = (checkout / "cfn" / "revocation-policy.yaml").read_text(encoding="utf-8")
    resources = yaml.load(text, Loader=_Template)["Resources"]
    assert resources["Revocation"]["Properties"]["PolicyDocument"] == policies.revocation_policy()


def test_role_wide_waits_for_approval_while_the_rest_is_contained_and_goes_on_once_it_is_given(
    world, tmp_path
):
    pytest.importorskip("cryptography")
    bea = seal.make_key(tmp_path / "bea.pem")
    people = [{"name": "bea", "roles": ["ir-lead"], "public_key": (tmp_path / "bea.pem.pub").read_text()}]
    need = {"identity.role-sessions": {"role": "ir-lead"}}
    path = tmp_path / "approvers.yaml"
    path.write_text(json.dumps({"schema": "irkit/approvers/1", "people": people, "require": need}))
    case = Case.open(
        "A-1", region=world.sim.region, cases=tmp_path / "cases", responder="ana",
        sources={registry.SOURCE: str(path)},
    )  # fmt: skip
    case._aws = world.clients.setdefault(case.id, case.aws)
    args = {"instance_id": world.suspect, "only": ["identity"], "options": {"role_wide": True}}
    sibling = world.sim.instance_session(world.sibling)
    with pytest.raises(gate.ApprovalNeeded, match=r"identity\.role-sessions waits for approval") as held:
        runs.start(case, "contain", args)
    assert [s.verb for s in held.value.report.steps] == ["identity.session"]
    assert not works(world.sim.instance_session(world.suspect))
    assert works(sibling)
    assert [r.what for r in runs.unfinished(case)] == ["contain"]
    time.sleep(1.1)  # a plan of another second must be the step that was approved all the same
    (waiting,) = gate.asked(case)
    votes.cast(case, step=waiting.step, what=waiting.verb, by="bea", verb=Verb.APPROVE, key=bea)
    ((_, report),) = runs.resume(case)
    assert report.complete
    assert {s.verb for s in report.steps} == {"identity.session", "identity.role-sessions"}
    assert runs.unfinished(case) == []
    assert contain.undo_plan(case).apply().complete
