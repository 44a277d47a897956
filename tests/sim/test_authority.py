from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from irkit.sim import Simulator
from tests.sim.builders import code_of, launch, profile, role

if TYPE_CHECKING:
    import boto3


def deny(**conditions: Any) -> str:
    statement = {"Effect": "Deny", "Action": "*", "Resource": "*", "Condition": conditions}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def assume(sim: Simulator, arn: str, **options: Any) -> boto3.Session:
    held = (
        sim.session()
        .client("sts")
        .assume_role(RoleArn=arn, RoleSessionName="case-7", **options)["Credentials"]
    )
    return sim._session(held["AccessKeyId"], held["SecretAccessKey"], held["SessionToken"])


def test_an_inactive_key_is_nobody(sim: Simulator) -> None:
    iam = sim.session().client("iam")
    iam.create_user(UserName="mallory")
    key = iam.create_access_key(UserName="mallory")["AccessKey"]
    sts = sim._session(key["AccessKeyId"], key["SecretAccessKey"]).client("sts")
    assert sts.get_caller_identity()["Arn"].endswith("user/mallory")
    assert sts.get_caller_identity()["UserId"].startswith("AIDA")
    iam.update_access_key(UserName="mallory", AccessKeyId=key["AccessKeyId"], Status="Inactive")
    assert code_of(sts.get_caller_identity) == "InvalidClientTokenId"
    assert code_of(sim._session(key["AccessKeyId"], "x").client("s3").list_buckets) == "InvalidAccessKeyId"


def test_revoking_older_sessions_cuts_them_and_leaves_new_ones(sim: Simulator) -> None:
    arn = role(sim, "revoked")
    old = assume(sim, arn)
    assert old.client("s3").list_buckets()["Buckets"] is not None
    time.sleep(1.1)
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    policy = deny(DateLessThan={"aws:TokenIssueTime": now})
    sim.session().client("iam").put_role_policy(
        RoleName="revoked", PolicyName="AWSRevokeOlderSessions", PolicyDocument=policy
    )
    assert code_of(old.client("s3").list_buckets) == "AccessDenied"
    assert code_of(old.client("ec2").describe_instances) == "UnauthorizedOperation"
    assert code_of(old.client("ssm").list_commands) == "AccessDeniedException"
    assert old.client("sts").get_caller_identity()["Account"] == sim.account
    assert assume(sim, arn).client("s3").list_buckets()["Buckets"] is not None


def test_denying_one_instances_userid_cuts_its_sessions_only_with_room_for_the_agent(sim: Simulator) -> None:
    profile(sim, "shared")
    suspect, sibling = (launch(sim, IamInstanceProfile={"Name": "shared"}) for _ in range(2))
    stolen, healthy = sim.instance_session(suspect), sim.instance_session(sibling)
    role_id = sim.session().client("iam").get_role(RoleName="shared")["Role"]["RoleId"]
    assert stolen.client("sts").get_caller_identity()["UserId"] == f"{role_id}:{suspect}"
    statement = {
        "Effect": "Deny",
        "NotAction": ["ssm:UpdateInstanceInformation", "ssm:ListCommands"],
        "Resource": "*",
        "Condition": {"StringLike": {"aws:userid": [f"*:{suspect}"]}},
    }
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    sim.session().client("iam").put_role_policy(
        RoleName="shared", PolicyName="CutOne", PolicyDocument=document
    )
    assert code_of(stolen.client("ec2").describe_instances) == "UnauthorizedOperation"
    assert stolen.client("ssm").list_commands()["Commands"] is not None
    assert healthy.client("ec2").describe_instances()["Reservations"]


def test_a_managed_deny_works_like_an_inline_one(sim: Simulator) -> None:
    arn, iam = role(sim, "denied-all"), sim.session().client("iam")
    session = assume(sim, arn)
    iam.attach_role_policy(RoleName="denied-all", PolicyArn="arn:aws:iam::aws:policy/AWSDenyAll")
    assert code_of(session.client("iam").list_users) == "AccessDenied"
    iam.detach_role_policy(RoleName="denied-all", PolicyArn="arn:aws:iam::aws:policy/AWSDenyAll")
    assert session.client("iam").list_users()["Users"]


def test_a_denied_user_is_denied(sim: Simulator) -> None:
    iam = sim.session().client("iam")
    iam.create_user(UserName="denied-user")
    key = iam.create_access_key(UserName="denied-user")["AccessKey"]
    iam.put_user_policy(UserName="denied-user", PolicyName="DenyAll", PolicyDocument=deny())
    session = sim._session(key["AccessKeyId"], key["SecretAccessKey"])
    assert code_of(session.client("kms").list_keys) == "AccessDeniedException"


def test_a_role_must_exist_and_trust_the_caller(sim: Simulator) -> None:
    sts = sim.session().client("sts")
    absent = f"arn:aws:iam::{sim.account}:role/absent"
    assert code_of(sts.assume_role, RoleArn=absent, RoleSessionName="case-7") == "AccessDenied"
    closed = role(sim, "for-machines", trust={"Service": "ec2.amazonaws.com"})
    assert code_of(sts.assume_role, RoleArn=closed, RoleSessionName="case-7") == "AccessDenied"
    account = role(sim, "whole-account", trust={"AWS": f"arn:aws:iam::{sim.account}:root"})
    assert sts.assume_role(RoleArn=account, RoleSessionName="case-7")["AssumedRoleUser"]["Arn"].endswith(
        "/case-7"
    )


def test_a_role_of_the_other_account_is_reached_when_it_trusts_us(sim: Simulator) -> None:
    ours = sim.session().client("sts").get_caller_identity()["Arn"]
    arn = role(sim, "forensics", trust={"AWS": ours}, account=sim.forensics_account)
    assert assume(sim, arn).client("sts").get_caller_identity()["Account"] == sim.forensics_account


def test_an_external_id_is_checked(sim: Simulator) -> None:
    ours = sim.session().client("sts").get_caller_identity()["Arn"]
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": ours},
        "Action": "sts:AssumeRole",
        "Condition": {"StringEquals": {"sts:ExternalId": "open sesame"}},
    }
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    made = sim.session().client("iam").create_role(RoleName="vendor", AssumeRolePolicyDocument=document)
    sts, arn = sim.session().client("sts"), made["Role"]["Arn"]
    assert code_of(sts.assume_role, RoleArn=arn, RoleSessionName="case-7") == "AccessDenied"
    assert sts.assume_role(RoleArn=arn, RoleSessionName="case-7", ExternalId="open sesame")["Credentials"]


def test_a_chained_session_lasts_an_hour_at_most(sim: Simulator) -> None:
    ours = sim.session().client("sts").get_caller_identity()["Arn"]
    first = role(sim, "chain-1")
    second = role(sim, "chain-2", trust={"AWS": [ours, first]})
    sts = assume(sim, first).client("sts")
    with pytest.raises(ClientError, match="1 hour session limit"):
        sts.assume_role(RoleArn=second, RoleSessionName="case-7", DurationSeconds=7200)
    assert sts.assume_role(RoleArn=second, RoleSessionName="case-7")["Credentials"]


def test_source_identity_is_carried_along_a_chain_into_the_trail(sim: Simulator) -> None:
    ours = sim.session().client("sts").get_caller_identity()["Arn"]
    first = role(sim, "attributed-1")
    role(sim, "attributed-2", trust={"AWS": [ours, first]})
    session = assume(sim, first, SourceIdentity="alice", Tags=[{"Key": "case", "Value": "7"}])
    held = session.client("sts").assume_role(
        RoleArn=first.replace("attributed-1", "attributed-2"), RoleSessionName="second"
    )["Credentials"]
    sim._session(held["AccessKeyId"], held["SecretAccessKey"], held["SessionToken"]).client(
        "iam"
    ).list_users()
    identity = sim.trail.records()[-1]["userIdentity"]
    assert identity["type"] == "AssumedRole"
    assert identity["sessionContext"]["sourceIdentity"] == "alice"
    assert identity["sessionContext"]["sessionIssuer"]["userName"] == "attributed-2"


def test_a_session_that_has_ended_is_refused(sim: Simulator) -> None:
    from moto.sts.models import sts_backends

    session = assume(sim, role(sim, "short"))
    held = sts_backends[sim.account]["aws"].assumed_roles[-1]
    held.expiration -= timedelta(hours=2)
    assert code_of(session.client("iam").list_users) == "ExpiredToken"


def test_policies_can_be_simulated_with_context(sim: Simulator) -> None:
    iam = sim.session().client("iam")
    arn = role(sim, "simulated")
    rules = [
        {"Effect": "Allow", "Action": "ec2:Describe*", "Resource": "*"},
        {
            "Effect": "Deny",
            "Action": "s3:*",
            "Resource": "*",
            "Condition": {"StringLike": {"aws:userid": "*:i-1"}},
        },
        {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::ours/*"},
    ]
    document = json.dumps({"Version": "2012-10-17", "Statement": rules})
    iam.put_role_policy(RoleName="simulated", PolicyName="p", PolicyDocument=document)

    def decision(action: str, **options: Any) -> str:
        answer = iam.simulate_principal_policy(PolicySourceArn=arn, ActionNames=[action], **options)
        return str(answer["EvaluationResults"][0]["EvalDecision"])

    context = [{"ContextKeyName": "aws:userid", "ContextKeyValues": ["AROA:i-1"], "ContextKeyType": "string"}]
    assert decision("ec2:DescribeInstances") == "allowed"
    assert decision("ec2:StopInstances") == "implicitDeny"
    assert decision("s3:GetObject", ResourceArns=["arn:aws:s3:::ours/k"]) == "allowed"
    assert decision("s3:GetObject", ResourceArns=["arn:aws:s3:::theirs/k"]) == "implicitDeny"
    assert (
        decision("s3:GetObject", ResourceArns=["arn:aws:s3:::ours/k"], ContextEntries=context)
        == "explicitDeny"
    )
    assert (
        code_of(iam.simulate_principal_policy, PolicySourceArn=arn + "x", ActionNames=["a:b"])
        == "NoSuchEntity"
    )
