"""`irkit policy` from the shell: answers, exit codes, JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.running import assert_refused, irkit

HOME = "123456789012"
ROLE = f"arn:aws:iam::{HOME}:role/r"

STACK = """
Resources:
  Evidence: {Type: AWS::S3::Bucket, Properties: {BucketName: evidence}}
  Shut:
    Type: AWS::S3::BucketPolicy
    Properties:
      Bucket: !Ref Evidence
      PolicyDocument:
        Version: "2012-10-17"
        Statement:
          - Sid: OnlyTheBroker
            Effect: Deny
            Principal: "*"
            Action: "s3:*"
            Resource: !Sub "${Evidence.Arn}/*"
            Condition: {ArnNotEquals: {aws:PrincipalArn: !GetAtt Broker.Arn}}
          - {Effect: Deny, Principal: "*", Action: "s3:*", Resource: !Sub "${Evidence.Arn}/*",
             Condition: {Bool: {aws:SecureTransport: "false"}}}
  Broker:
    Type: AWS::IAM::Role
    Properties:
      RoleName: Broker
      AssumeRolePolicyDocument: {Statement: {Effect: Allow, Action: sts:AssumeRole,
        Principal: {Service: ecs-tasks.amazonaws.com}}}
      Policies:
        - PolicyName: p
          PolicyDocument: {Version: "2012-10-17", Statement: {Effect: Allow, Action: "s3:DeleteObjectVersion",
            Resource: "arn:aws:s3:::evidence/cases/${aws:PrincipalTag/case}/*"}}
  Admin:
    Type: AWS::IAM::Role
    Properties:
      RoleName: Admin
      AssumeRolePolicyDocument: {Statement: {Effect: Allow, Action: sts:AssumeRole,
        Principal: {AWS: !Ref AWS::AccountId}}}
      ManagedPolicyArns: ["arn:aws:iam::aws:policy/AdministratorAccess"]
"""


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    path = tmp_path / "stack.yaml"
    path.write_text(STACK)
    return path


@pytest.fixture
def held(tmp_path: Path) -> Path:
    path = tmp_path / "held.json"
    statement: dict[str, Any] = {"Effect": "Allow", "Action": "s3:Get*", "Resource": "*"}
    path.write_text(json.dumps({"Version": "2012-10-17", "Statement": statement}))
    return path


def test_can_answers_yes_with_the_statement_and_exit_code_0(held: Path) -> None:
    ran = irkit("policy", "can", ROLE, "s3:GetObject", "arn:aws:s3:::b/k", held)

    assert ran.code == 0
    assert ran.out == "yes: allowed by held.json, statement 1\n"


def test_can_answers_no_with_exit_code_4(held: Path) -> None:
    ran = irkit("policy", "can", ROLE, "s3:PutObject", "arn:aws:s3:::b/k", held)

    assert ran.code == 4
    assert ran.out == "no: no identity policy allows it\n"


def test_can_takes_the_context_given_and_says_what_would_change_its_mind(stack: Path) -> None:
    asked = ("policy", "can", "Broker", "s3:DeleteObjectVersion", "arn:aws:s3:::evidence/cases/c1/x", stack)

    bare, tagged = irkit(*asked), irkit(*asked, "--context", "aws:PrincipalTag/case=c1")
    plain = irkit(*asked, "--context", "aws:PrincipalTag/case=c1", "--context", "aws:SecureTransport=false")

    assert bare.code == 4
    assert "with another context it would go through: aws:principaltag/case=c1" in bare.out
    assert tagged.code == 0
    assert plain.code == 4
    assert "stack.yaml: Shut, statement 2" in plain.out


def test_can_as_json_holds_the_request_as_it_was_decided(stack: Path) -> None:
    ran = irkit("policy", "can", "Admin", "s3:GetObject", "arn:aws:s3:::evidence/x", stack, "--json")

    assert ran.code == 4
    answer = ran.json()
    assert answer["allowed"] is False
    assert answer["statements"] == ["stack.yaml: Shut, statement 1 (OnlyTheBroker)"]
    assert answer["request"]["context"]["aws:principalarn"] == [f"arn:aws:iam::{HOME}:role/Admin"]
    assert answer["would_be_allowed"] is None


def test_who_can_finds_the_broker_only_with_the_request_that_goes_through(stack: Path) -> None:
    ran = irkit("policy", "who-can", "s3:DeleteObjectVersion", "arn:aws:s3:::evidence/*", stack, "--json")

    assert ran.code == 0
    answer = ran.json()
    assert [one["principal"] for one in answer["allowed"]] == [f"arn:aws:iam::{HOME}:role/Broker"]
    request = answer["allowed"][0]["request"]
    assert request["resource"].startswith("arn:aws:s3:::evidence/cases/")
    assert request["context"]["aws:principaltag/case"] == [request["resource"].split("/")[2]]
    refused = {one["principal"] for one in answer["refused"]}
    assert {f"arn:aws:iam::{HOME}:role/Admin", f"arn:aws:iam::{HOME}:root", "*"} <= refused
    assert f"arn:aws:iam::{HOME}:role/any-other-role" in refused


def test_who_can_as_a_table_counts_those_that_cannot_and_names_them_when_asked(stack: Path) -> None:
    asked = ("policy", "who-can", "s3:GetObject", "arn:aws:s3:::evidence/x", stack)

    short, long = irkit(*asked), irkit(*asked, "--refused")

    assert short.code == long.code == 0
    assert "0 can, " in short.out
    assert "role/Admin" not in short.out
    assert (
        f"no: arn:aws:iam::{HOME}:role/Admin: denied by stack.yaml: Shut, statement 1 (OnlyTheBroker)"
        in long.out
    )


def test_who_can_sees_who_may_assume_a_role(stack: Path) -> None:
    ran = irkit("policy", "who-can", "sts:AssumeRole", f"arn:aws:iam::{HOME}:role/*", stack, "--json")

    allowed = {
        (one["principal"], one["request"]["resource"].rpartition("/")[2]) for one in ran.json()["allowed"]
    }
    assert ("ecs-tasks.amazonaws.com", "Broker") in allowed
    assert (f"arn:aws:iam::{HOME}:role/Admin", "Admin") in allowed
    assert not [who for who, _ in allowed if "999999999999" in who]


def test_a_principal_whose_policies_are_not_known_makes_the_answer_partial(
    stack: Path, tmp_path: Path
) -> None:
    stack.write_text(STACK.replace("policy/AdministratorAccess", "policy/PowerUserAccess"))

    ran = irkit("policy", "who-can", "s3:GetObject", "arn:aws:s3:::other/x", stack)

    assert ran.code == 3
    assert "cannot be told: arn:aws:iam::123456789012:role/Admin" in ran.out


def test_the_checks_exit_with_1_and_a_witness_when_they_fail_and_with_0_when_not(
    tmp_path: Path, held: Path
) -> None:
    wider = tmp_path / "wider.json"
    wider.write_text(held.read_text().replace("s3:Get*", "s3:*"))

    failed = irkit("policy", "check", "no-new-access", held, wider)
    passed = irkit("policy", "check", "no-new-access", wider, held)

    assert failed.code == 1
    assert failed.out.startswith("FAIL wider.json: arn:aws:iam::123456789012:role/whoever-holds-it s3:")
    assert "no-new-access failed: 1 policies or holders" in failed.out
    assert passed.code == 0
    assert passed.out.startswith("no-new-access passed")


def test_access_that_is_not_granted_passes_and_access_that_is_comes_with_a_request(held: Path) -> None:
    asked = ("policy", "check", "access-not-granted", held, "--json", "--action")

    granted, not_granted = irkit(*asked, "s3:GetObject"), irkit(*asked, "s3:DeleteObject")

    assert granted.code == 1
    finding = granted.json()["findings"][0]
    assert finding["request"]["action"] == "s3:GetObject"
    assert finding["request"]["resource"].startswith("arn:aws:s3:::")
    assert not_granted.code == 0
    assert not_granted.json() == {
        "check": "access-not-granted", "passed": True, "subjects": 1, "decisions": 0, "findings": [],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("can", ROLE, "s3:GetObjcet", "arn:aws:s3:::b/k"), "did you mean s3:GetObject?"),
        (("can", ROLE, "s3:GetObject", "arn:aws:s3:::b"), "s3:GetObject is not about arn:aws:s3:::b"),
        (("can", ROLE, "s3:GetObject", "arn:aws:s3:::b/*"), "is a pattern, not a resource"),
        (("can", "nobody", "s3:GetObject", "arn:aws:s3:::b/k"), "describes a principal 'nobody'"),
        (("can", ROLE, "kms:Decrypt", f"arn:aws:kms:us-east-1:{HOME}:key/1"), "the key policy of"),
        (
            ("can", ROLE, "s3:GetObject", "arn:aws:s3:::b/k", "--context", "x"),
            "--context 'x' is not NAME=VALUE",
        ),
        (("can", ROLE, "s3:GetObject", "arn:aws:s3:::b/k", "--context", "x=1"), "'x' is not a condition key"),
        (("can", ROLE, "s3:GetObject", "arn:aws:s3:::b/k", "--endpoint", "e"), "describes an endpoint 'e'"),
        (("can", ROLE, "s3:GetObject", "arn:aws:s3:::b/k", "--account", "1"), "12 digits"),
        (
            ("can", ROLE, "s3:GetObject", "arn:aws:s3:::b/k", "--param", "a=b"),
            "no template has a parameter a",
        ),
        (("who-can", "s3:GetObject", "arn:aws:s3:::b/k"), "attaches to anybody"),
        (("check", "access-not-granted"), "nothing to check for"),
    ],
)
def test_bad_input_is_one_line_with_exit_code_2(held: Path, arguments: tuple[str, ...], says: str) -> None:
    options = next((n for n, text in enumerate(arguments) if text.startswith("--")), len(arguments))

    ran = irkit("policy", *arguments[:options], held, *arguments[options:])

    assert_refused(ran, 2, says)


def test_what_can_lists_every_action_with_a_request_and_takes_services_and_resources(stack: Path) -> None:
    ran = irkit("policy", "what-can", "Broker", stack, "--json")
    elsewhere = irkit("policy", "what-can", "Broker", stack, "--resource", "arn:aws:s3:::other/*")
    keys = irkit("policy", "what-can", "Admin", stack, "--service", "backup-gateway")
    wrong = irkit("policy", "what-can", "Admin", stack, "--service", "s4")

    assert ran.code == elsewhere.code == keys.code == 0
    assert [one["action"] for one in ran.json()["allowed"]] == ["s3:DeleteObjectVersion"]
    assert elsewhere.out.endswith("0 actions\n")
    assert "backup-gateway:" in keys.out
    assert_refused(wrong, 2, "no service prefix 's4'")
