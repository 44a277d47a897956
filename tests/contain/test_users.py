"""Users as a whole, and what stolen credentials were turned into: revoked where that can be, said where it cannot."""

from __future__ import annotations

import json

import botocore.exceptions
import pytest

from irkit import contain
from irkit.errors import NotFound, Refused
from irkit.plan import Status


@pytest.fixture
def iam(world):
    return world.client("iam")


@pytest.fixture
def ivan(world, iam):
    """A user with two keys, a password and a role that trusts everybody of the account."""
    iam.create_user(UserName="ivan", Path="/staff/")
    keys = [iam.create_access_key(UserName="ivan")["AccessKey"] for _ in range(2)]
    iam.create_login_profile(UserName="ivan", Password="Correct-Horse-1")
    yield keys
    for key in iam.list_access_keys(UserName="ivan")["AccessKeyMetadata"]:
        iam.delete_access_key(UserName="ivan", AccessKeyId=key["AccessKeyId"])
    for policy in iam.list_attached_user_policies(UserName="ivan")["AttachedPolicies"]:
        iam.detach_user_policy(UserName="ivan", PolicyArn=policy["PolicyArn"])
    iam.delete_user(UserName="ivan")


@pytest.fixture
def assumable(world, iam):
    """A role that anybody of the account may assume."""
    trust = {"Effect": "Allow", "Principal": {"AWS": world.sim.account}, "Action": "sts:AssumeRole"}
    made = iam.create_role(
        RoleName="deploy", Path="/ci/", AssumeRolePolicyDocument=json.dumps({"Statement": [trust]})
    )["Role"]
    yield made
    iam.delete_role(RoleName="deploy")


def everything_of(iam, name):
    user = iam.get_user(UserName=name)["User"]
    keys = iam.list_access_keys(UserName=name)["AccessKeyMetadata"]
    attached = iam.list_attached_user_policies(UserName=name)["AttachedPolicies"]
    return user, keys, attached, iam.list_user_policies(UserName=name)["PolicyNames"]


def refused(session):
    with pytest.raises(botocore.exceptions.ClientError) as error:
        session.client("s3").list_buckets()
    return error.value.response["Error"]["Code"]


def test_a_user_is_taken_away_keys_and_all_and_given_back_as_it_was(case, world, iam, ivan):
    before = everything_of(iam, "ivan")
    sessions = [world.sim._session(k["AccessKeyId"], k["SecretAccessKey"]) for k in ivan]
    report = contain.user(case, "ivan").apply()
    assert report.complete
    assert {refused(s) for s in sessions} == {"InvalidAccessKeyId"}
    iam.update_access_key(UserName="ivan", AccessKeyId=ivan[0]["AccessKeyId"], Status="Active")
    assert refused(sessions[0]) == "AccessDenied", "the deny holds for whatever else signs as the user"
    iam.update_access_key(UserName="ivan", AccessKeyId=ivan[0]["AccessKeyId"], Status="Inactive")
    noted = next(s for s in report.steps if s.verb == "identity.sign-in").result
    assert noted["password"]["Password"] is True
    assert noted["mfa"] == []
    assert any("behind the deny it opens nothing" in n for n in noted["notes"])
    assert contain.undo_plan(case).apply().complete
    assert everything_of(iam, "ivan") == before
    assert iam.get_login_profile(UserName="ivan")


def test_the_password_is_deleted_only_when_asked_for_and_the_plan_says_that_it_is_gone_for_good(
    case, iam, ivan
):
    plan = contain.user(case, "ivan", password=True)
    (step,) = (s for s in plan.steps if s.verb == "identity.password")
    assert "cannot be undone: a password cannot be read" in step.reversible
    assert plan.apply().complete
    with pytest.raises(iam.exceptions.NoSuchEntityException):
        iam.get_login_profile(UserName="ivan")
    undone = contain.undo_plan(case).apply()
    left = [s for s in undone.steps if s.verb == "undo.identity.password"]
    assert [s.status for s in left] == [Status.SKIPPED]
    assert "cannot be put back" in left[0].why


def test_a_user_with_ten_policies_gets_the_deny_inline(case, world, iam, ivan):
    world.sim.faults.inject("iam", "AttachUserPolicy", "LimitExceeded", status=409, times=9)
    report = contain.user(case, "ivan").apply()
    (deny,) = (s for s in report.steps if s.verb == "identity.user")
    assert deny.result["way"] == "inline policy"
    assert contain.undo_plan(case).apply().complete
    assert everything_of(iam, "ivan")[3] == []


def test_a_user_without_keys_is_denied_all_the_same(case, world):
    report = contain.user(case, "olga").apply()
    assert report.complete
    assert any("has no access key" in s.why for s in report.steps if s.status is Status.SKIPPED)


def test_a_user_that_does_not_exist_is_said_so_before_anything_is_done(case, changes):
    with pytest.raises(NotFound, match="nobody"):
        contain.user(case, "nobody")
    assert changes() == []


def test_a_user_that_may_not_be_read_is_refused_before_anything_is_done(case, world, changes):
    world.sim.faults.inject("iam", "ListAccessKeys", "AccessDenied", status=403, times=9)
    with pytest.raises(Refused, match="not allowed to read user olga"):
        contain.user(case, "olga")
    assert changes() == []


def chain(world, arn, *, kind="role_session", key="ASIAEXAMPLE000000001"):
    return {"kind": kind, "issued_access_key_id": key, "issued_arn": arn, "role_arn": None}


def test_a_session_in_the_chain_is_denied_by_its_own_name_and_others_on_the_role_go_on(
    case, world, iam, assumable
):
    sts = world.client("sts")
    held = {
        name: sts.assume_role(RoleArn=assumable["Arn"], RoleSessionName=name) for name in ("intruder", "ci")
    }
    session = {
        n: world.sim._session(
            h["Credentials"]["AccessKeyId"],
            h["Credentials"]["SecretAccessKey"],
            h["Credentials"]["SessionToken"],
        )
        for n, h in held.items()
    }
    rows = [chain(world, held["intruder"]["AssumedRoleUser"]["Arn"])] * 2
    plan = contain.chained(case, rows)
    assert len(plan) == 1, "the same session is denied once"
    assert plan.apply().complete
    assert refused(session["intruder"]) == "AccessDenied"
    session["ci"].client("s3").list_buckets()
    assert contain.undo_plan(case).apply().complete
    session["intruder"].client("s3").list_buckets()


def test_two_sessions_of_one_role_are_two_claims_that_the_proof_looks_at(case, world, iam, assumable):
    arns = [f"arn:aws:sts::{world.sim.account}:assumed-role/deploy/{name}" for name in ("one", "two")]
    assert contain.chained(case, [chain(world, arn) for arn in arns]).apply().complete
    first = contain.chained(case, [chain(world, arns[0])]).steps[0]
    iam.delete_role_policy(RoleName="deploy", PolicyName=first.args["policy"])
    found = [
        v.finding for v in contain.prove(case, world.bare).verdicts if v.control == "identity.assumed-session"
    ]
    assert sorted(found) == ["contradicted", "proved"]
    contain.undo_plan(case, force=True).apply()


def test_a_created_key_in_the_chain_is_made_inactive(case, world, iam, ivan):
    arn = iam.get_user(UserName="ivan")["User"]["Arn"]
    row = chain(world, arn, kind="access_key", key=ivan[0]["AccessKeyId"])
    assert contain.chained(case, [row]).apply().complete
    statuses = {
        k["AccessKeyId"]: k["Status"] for k in iam.list_access_keys(UserName="ivan")["AccessKeyMetadata"]
    }
    assert statuses == {ivan[0]["AccessKeyId"]: "Inactive", ivan[1]["AccessKeyId"]: "Active"}


@pytest.mark.parametrize(
    ("kind", "arn", "says"),
    [
        ("federation", "arn:aws:sts::111122223333:federated-user/bob", "36 hours at most"),
        ("session_token", None, "one of root cannot be revoked"),
        ("role_session", "arn:aws:sts::999988887777:assumed-role/Far/s", "is in account 999988887777"),
        ("odd\x1b", None, "of a kind that is not known here"),
    ],
)
def test_what_nobody_here_can_revoke_is_said_with_who_can(case, world, changes, kind, arn, says):
    report = contain.chained(case, [chain(world, arn, kind=kind)]).apply()
    assert says in report.steps[0].missing[0]
    assert "\x1b" not in report.steps[0].missing[0]
    assert report.exit_code == 3
    assert changes() == []


@pytest.mark.parametrize("arn", ["arn:aws:sts::{account}:assumed-role/Gone/s", "nonsense", "None"])
def test_one_row_that_leads_nowhere_stops_no_other(case, world, iam, ivan, arn):
    rows = [
        chain(world, arn.format(account=world.sim.account)),
        chain(world, "", kind="access_key", key=ivan[0]["AccessKeyId"]),
    ]
    report = contain.chained(case, rows).apply()
    assert [s.verb for s in report.failed] == ["identity.chain"]
    assert any(s.verb == "identity.key" and s.status is Status.DONE for s in report.steps)


def test_role_wide_also_ends_the_sessions_that_the_intruder_could_rename(case, world, assumable):
    row = chain(world, f"arn:aws:sts::{world.sim.account}:assumed-role/deploy/intruder")
    plan = contain.chained(case, [row], role_wide=True)
    assert [s.verb for s in plan.steps] == ["identity.assumed-session", "identity.role-sessions"]
    assert plan.apply().complete
    assert contain.undo_plan(case).apply().complete


def test_a_key_of_root_is_not_somebodys_to_switch_off(case, world):
    report = contain.keys(case, ["AKIAROOTROOTROOTROOT"]).apply()
    assert report.failed
