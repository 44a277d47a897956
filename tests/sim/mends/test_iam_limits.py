"""IAM says no where AWS does: quotas, and roles that are AWS's own; denies in managed policies reach sessions."""

from __future__ import annotations

import json
from typing import Any

import pytest

from irkit.sim import Simulator
from tests.sim.builders import code_of, role

DENY = {"Effect": "Deny", "Action": "*", "Resource": "*"}


def document(**more: Any) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [DENY | more]})


@pytest.fixture
def iam(sim: Simulator) -> Any:
    return sim.session().client("iam")


def test_inline_policies_of_a_role_hold_10240_characters_and_of_a_user_2048(sim: Simulator, iam: Any) -> None:
    role(sim, "full")
    iam.create_user(UserName="full")
    filler = document(Sid="A" * 1900)
    for number in range(5):
        iam.put_role_policy(RoleName="full", PolicyName=f"p{number}", PolicyDocument=filler)
    iam.put_user_policy(UserName="full", PolicyName="p0", PolicyDocument=filler)
    refused = {"PolicyName": "one-more", "PolicyDocument": filler}
    assert code_of(iam.put_role_policy, RoleName="full", **refused) == "LimitExceeded"
    assert code_of(iam.put_user_policy, UserName="full", **refused) == "LimitExceeded"
    iam.put_role_policy(RoleName="full", PolicyName="p0", PolicyDocument=filler)


def test_ten_managed_policies_and_fifty_tags_are_all_that_a_role_takes(sim: Simulator, iam: Any) -> None:
    role(sim, "crowded")
    arns = [
        iam.create_policy(PolicyName=f"crowd-{n}", PolicyDocument=document())["Policy"]["Arn"]
        for n in range(11)
    ]
    for arn in arns[:10]:
        iam.attach_role_policy(RoleName="crowded", PolicyArn=arn)
    assert code_of(iam.attach_role_policy, RoleName="crowded", PolicyArn=arns[10]) == "LimitExceeded"
    iam.tag_role(RoleName="crowded", Tags=[{"Key": f"k{n}", "Value": "v"} for n in range(50)])
    assert code_of(iam.tag_role, RoleName="crowded", Tags=[{"Key": "more", "Value": "v"}]) == "LimitExceeded"


@pytest.mark.parametrize(
    "path", ["/aws-service-role/elasticbeanstalk.amazonaws.com/", "/aws-reserved/sso.amazonaws.com/"]
)
def test_a_role_that_belongs_to_aws_is_edited_by_nobody(iam: Any, path: str) -> None:
    name = f"theirs{len(path)}"
    iam.create_role(RoleName=name, Path=path, AssumeRolePolicyDocument=json.dumps({"Statement": []}))
    put = {"PolicyName": "x", "PolicyDocument": document()}
    assert code_of(iam.put_role_policy, RoleName=name, **put) == "UnmodifiableEntity"
    assert code_of(iam.tag_role, RoleName=name, Tags=[{"Key": "a", "Value": "b"}]) == "UnmodifiableEntity"


def test_a_deny_in_a_managed_policy_reaches_the_session_that_a_tag_of_the_role_names(
    sim: Simulator, iam: Any
) -> None:
    arn = role(sim, "tagged")
    held = [
        sim.session().client("sts").assume_role(RoleArn=arn, RoleSessionName=name) for name in ("one", "two")
    ]
    one, two = (
        sim._session(
            h["Credentials"]["AccessKeyId"],
            h["Credentials"]["SecretAccessKey"],
            h["Credentials"]["SessionToken"],
        ).client("s3")
        for h in held
    )
    variable = "${aws:PrincipalTag/denied, 'nobody'}"
    policy = document(Condition={"StringEquals": {"aws:userid": variable}})
    made = iam.create_policy(PolicyName="by-tag", PolicyDocument=policy)["Policy"]["Arn"]
    iam.attach_role_policy(RoleName="tagged", PolicyArn=made)
    for session in (one, two):
        assert session.list_buckets(), "without the tag nobody is denied"
    iam.tag_role(
        RoleName="tagged", Tags=[{"Key": "denied", "Value": held[0]["AssumedRoleUser"]["AssumedRoleId"]}]
    )
    assert code_of(one.list_buckets) == "AccessDenied"
    assert two.list_buckets()


def test_a_variable_without_value_and_default_matches_nobody(sim: Simulator, iam: Any) -> None:
    arn = role(sim, "untagged")
    held = sim.session().client("sts").assume_role(RoleArn=arn, RoleSessionName="sess")["Credentials"]
    policy = document(Condition={"StringLike": {"aws:userid": "*${aws:PrincipalTag/none}"}})
    iam.put_role_policy(RoleName="untagged", PolicyName="p", PolicyDocument=policy)
    session = sim._session(held["AccessKeyId"], held["SecretAccessKey"], held["SessionToken"])
    assert session.client("s3").list_buckets()
