"""The two checks, on the examples with which AWS introduced them and on cases of our own.

The six verdicts are those of the AWS Security Blog, "Introducing IAM Access Analyzer custom policy checks" (2023-11).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from irkit.errors import BadInput
from irkit.policy import sources
from irkit.policy.checks import Checked, access_not_granted, no_new_access

INSTANCES = "arn:aws:ec2:*:*:instance/*"
START_STOP = ["ec2:StartInstances", "ec2:StopInstances"]
OWNED = {"StringEquals": {"aws:ResourceTag/Owner": "${aws:username}"}}
REFERENCE = [
    {"Effect": "Allow", "Action": "*", "Resource": "*"},
    {"Effect": "Deny", "Action": "iam:PassRole", "Resource": "arn:aws:iam::*:role/my-sensitive-roles/*"},
]


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def one(name: str, *statements: dict[str, Any]) -> str:
        path = tmp_path / name
        path.write_text(json.dumps({"Version": "2012-10-17", "Statement": list(statements)}))
        return str(path)

    return one


def allow(actions: Any, resource: Any = "*", **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": actions, "Resource": resource, **more}


def deny(actions: Any, resource: Any = "*", **more: Any) -> dict[str, Any]:
    return {**allow(actions, resource, **more), "Effect": "Deny"}


def instance_role(folder: Path, passed: str, *more: str) -> str:
    actions = "".join(f"\n                  - {a}" for a in ["ec2:RunInstances", "dynamodb:Query", *more])
    path = folder / "role.yaml"
    path.write_text(
        f"""
Resources:
  EC2Role:
    Type: AWS::IAM::Role
    Properties:
      AssumeRolePolicyDocument:
        Version: 2012-10-17
        Statement:
          - {{Effect: Allow, Principal: {{Service: ec2.amazonaws.com}}, Action: sts:AssumeRole}}
      Policies:
        - PolicyName: application
          PolicyDocument:
            Version: 2012-10-17
            Statement:
              - Effect: Allow
                Action: {actions}
                Resource: '*'
              - Effect: Allow
                Action: iam:PassRole
                Resource: {passed}
"""
    )
    return str(path)


def new_access(old: str, new: str) -> Checked:
    return no_new_access(sources.read([old]), sources.read([new]))


def test_example_1_a_condition_that_was_removed_is_new_access(write: Any) -> None:
    old = write("old.json", allow(START_STOP, INSTANCES, Condition=OWNED))
    new = write("new.json", allow(START_STOP, INSTANCES))

    checked = new_access(old, new)

    assert not checked.passed
    witness = checked.findings[0].witness
    assert witness.request.action == "ec2:StartInstances"
    assert witness.request.resource.startswith("arn:aws:ec2:us-east-1:123456789012:instance/")
    assert witness.decision.allowed
    assert witness.before is not None
    assert not witness.before.allowed


def test_example_1_reversed_a_condition_that_was_added_is_none(write: Any) -> None:
    old = write("old.json", allow(START_STOP, INSTANCES))
    new = write("new.json", allow(START_STOP, INSTANCES, Condition=OWNED))

    assert new_access(old, new).passed


def test_example_2_a_wildcard_grants_the_action_asked_about(write: Any) -> None:
    policy = write("policy.json", allow(["cloudtrail:StopLogging", "cloudtrail:Delete*"], ["*"]))

    checked = access_not_granted(sources.read([policy]), ["cloudtrail:StopLogging", "cloudtrail:DeleteTrail"])

    assert {f.witness.request.action for f in checked.findings} == {
        "cloudtrail:StopLogging",
        "cloudtrail:DeleteTrail",
    }


def test_example_3_the_first_template_passes_both_checks(write: Any, tmp_path: Path) -> None:
    reference = write("reference.json", *REFERENCE)
    template = instance_role(tmp_path, "arn:aws:iam::*:role/my-custom-role")

    assert new_access(reference, template).passed
    assert access_not_granted(sources.read([template]), ["dynamodb:DeleteTable"]).passed


def test_example_3_passing_a_sensitive_role_is_more_than_the_reference(write: Any, tmp_path: Path) -> None:
    reference = write("reference.json", *REFERENCE)
    admin = "arn:aws:iam::*:role/my-sensitive-roles/my-custom-admin-role"

    checked = new_access(reference, instance_role(tmp_path, admin, "dynamodb:Delete*"))

    request = checked.findings[0].witness.request
    assert request.action == "iam:PassRole"
    assert request.resource == "arn:aws:iam::123456789012:role/my-sensitive-roles/my-custom-admin-role"


def test_example_3_a_wildcard_grants_the_sensitive_action(tmp_path: Path) -> None:
    template = instance_role(tmp_path, "arn:aws:iam::*:role/my-custom-role", "dynamodb:Delete*")

    checked = access_not_granted(sources.read([template]), ["dynamodb:DeleteTable"])

    assert [f.witness.request.action for f in checked.findings] == ["dynamodb:DeleteTable"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ([allow("s3:Get*")], [allow("s3:GetObject")]),
        ([allow("s3:*", "arn:aws:s3:::b/*")], [allow("s3:GetObject", "arn:aws:s3:::b/cases/*")]),
        ([allow("s3:*")], [allow("s3:*"), deny("s3:DeleteObject")]),
        ([allow("*"), deny("iam:*")], [{"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"}]),
        (
            [allow("s3:GetObject", Condition={"NumericLessThan": {"s3:signatureAge": "900000"}})],
            [allow("s3:GetObject", Condition={"NumericLessThan": {"s3:signatureAge": "1000"}})],
        ),
        (
            [allow("s3:GetObject", Condition={"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}})],
            [allow("s3:GetObject", Condition={"IpAddress": {"aws:SourceIp": "10.9.0.0/16"}})],
        ),
        (
            [allow("s3:GetObject", "arn:aws:s3:::b/${aws:PrincipalTag/team}/*")],
            [
                allow(
                    "s3:GetObject",
                    "arn:aws:s3:::b/red/*",
                    Condition={"StringEquals": {"aws:PrincipalTag/team": "red"}},
                )
            ],
        ),
    ],
)
def test_narrower_policies_are_no_new_access_and_the_reverse_is(write: Any, old: Any, new: Any) -> None:
    wide, narrow = write("wide.json", *old), write("narrow.json", *new)

    assert new_access(wide, narrow).passed
    back = new_access(narrow, wide)
    if "NotAction" not in str(new):
        assert not back.passed
        assert back.findings[0].witness.decision.allowed


def test_a_bucket_policy_that_opens_to_another_account_is_new_access(write: Any) -> None:
    grant = {"Principal": {"AWS": "123456789012"}}
    old = write("old.json", allow("s3:GetObject", "arn:aws:s3:::b/*", **grant))
    new = write(
        "new.json",
        allow("s3:GetObject", "arn:aws:s3:::b/*", Principal={"AWS": ["123456789012", "222222222222"]}),
    )

    checked = new_access(old, new)

    assert checked.findings[0].witness.request.who.account == "222222222222"
    assert new_access(new, old).passed


def test_an_organization_condition_keeps_strangers_out_and_its_loss_is_found(write: Any) -> None:
    ours = {"StringEquals": {"aws:PrincipalOrgID": "o-1234567890"}}
    kept = write("kept.json", allow("s3:GetObject", "arn:aws:s3:::b/*", Principal="*", Condition=ours))
    lost = write("lost.json", allow("s3:GetObject", "arn:aws:s3:::b/*", Principal="*"))

    assert new_access(lost, kept).passed
    assert not new_access(kept, lost).passed


def test_what_a_deny_takes_away_again_is_not_granted(write: Any) -> None:
    policy = write("policy.json", allow("s3:*"), deny("s3:Delete*"))

    assert access_not_granted(sources.read([policy]), ["s3:DeleteObject"]).passed
    assert not access_not_granted(sources.read([policy]), ["s3:PutObject"]).passed


def test_a_deny_with_a_hole_in_it_is_found_with_the_request_that_goes_through(write: Any) -> None:
    unless = {"StringNotEquals": {"aws:PrincipalTag/break-glass": "yes"}}
    policy = write("policy.json", allow("s3:*"), deny("s3:Delete*", Condition=unless))

    checked = access_not_granted(sources.read([policy]), ["s3:DeleteObject"])

    assert checked.findings[0].witness.request.context["aws:principaltag/break-glass"] == ("yes",)


def test_access_is_judged_on_the_resources_asked_about(write: Any) -> None:
    policy = sources.read([write("policy.json", allow("s3:GetObject", "arn:aws:s3:::public/*"))])

    assert access_not_granted(policy, ["s3:GetObject"], ["arn:aws:s3:::evidence/*"]).passed
    assert not access_not_granted(policy, ["s3:GetObject"], ["arn:aws:s3:::public/*"]).passed
    assert not access_not_granted(policy, [], ["arn:aws:s3:::public/x"]).passed


def test_a_check_for_an_action_that_aws_does_not_have_is_refused_with_the_nearest_name(write: Any) -> None:
    policy = sources.read([write("policy.json", allow("s3:*"))])

    with pytest.raises(BadInput, match=r"did you mean s3:DeleteObject\?"):
        access_not_granted(policy, ["s3:DeletObject"])


def test_a_check_for_nothing_is_refused(write: Any) -> None:
    with pytest.raises(BadInput, match="nothing to check for"):
        access_not_granted(sources.read([write("policy.json", allow("s3:*"))]), [])
