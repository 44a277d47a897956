"""The roles of the access stack, together with the evidence stack: exactly what each may do, and who may become it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from irkit.policy import Request, Requester, actions, evaluate, sources
from irkit.policy.allowances import what_can
from irkit.policy.asking import who_can
from irkit.policy.checks import EVERYTHING
from irkit.policy.evaluation import Applicable
from irkit.policy.outsiders import facts
from irkit.policy.sources import Reading
from irkit.policy.world import World
from tests.policy.mutation import weaker

HOME = "123456789012"
INTAKE = f"arn:aws:s3:::irkit-intake-{HOME}-us-east-1"
API = f"arn:aws:execute-api:us-east-1:{HOME}:abc123/live/POST"

READ = {"s3:GetObject", "s3:GetObjectAttributes", "s3:GetObjectLegalHold", "s3:GetObjectRetention",
        "s3:GetObjectVersion", "s3:GetObjectVersionAttributes"}  # fmt: skip
WRITE = {"s3:AbortMultipartUpload", "s3:ListMultipartUploadParts", "s3:PutObject"}
LIST = {"s3:ListBucket", "s3:ListBucketVersions"}
SEAL = {"kms:Decrypt", "kms:GenerateDataKey"}
CUSTODY = READ | WRITE | LIST | SEAL | {"s3:GetBucketLocation", "execute-api:Invoke"}
MAY = {
    "Responder": {
        "execute-api:Invoke", "states:DescribeExecution", "states:StartExecution", "states:StopExecution",
    },
    "Investigator": READ | WRITE | LIST | SEAL | {
        "sagemaker:CreatePresignedNotebookInstanceUrl", "sagemaker:StartNotebookInstance",
        "sagemaker:StopNotebookInstance", "ssm:StartSession",
    },
    "Custodian": CUSTODY,
    "Analyst": {"kms:Decrypt", "s3:GetObject", "s3:GetObjectVersion", "s3:ListBucket"},
    "Approver": {"execute-api:Invoke"},
    "PlaybookTask": READ | WRITE | LIST | SEAL | {
        "kms:DescribeKey", "ec2:CopySnapshot", "securityhub:BatchUpdateFindings",
    },
    "ReleaseTask": {"sts:AssumeRole", "sts:TagSession"},
    "Broker": {
        "s3:BypassGovernanceRetention", "s3:DeleteObject", "s3:DeleteObjectVersion", "s3:PutObjectLegalHold",
        "s3:PutObjectRetention",
    },
    "BreakGlass": CUSTODY,
}  # fmt: skip


@pytest.fixture(scope="module")
def world(checkout: Path) -> World:
    return sources.read([str(checkout / "cfn" / name) for name in ("access.yaml", "evidence.yaml")])


@pytest.mark.parametrize("name", MAY)
def test_a_role_may_do_exactly_this_of_all_actions_that_aws_has(world: World, name: str) -> None:
    assert {allowed.action for allowed in what_can(world, name)} == MAY[name]
    assert len(actions.every()) > 20_000


def test_every_action_that_the_stacks_name_exists(world: World) -> None:
    named = {a for policy in world.every_policy() for s in policy.statements for a in s.actions}

    assert [action for action in sorted(named) if not actions.matching(action)] == []


def test_nobody_can_ask_for_a_release_approve_it_and_carry_it_out(world: World) -> None:
    def those(action: str, resource: str) -> set[str]:
        return {
            one.name.rpartition("-")[2]
            for one in who_can(world, action, resource)
            if one.witness and one.described
        }

    ask, approve = (
        those("execute-api:Invoke", f"{API}/releases"),
        those("execute-api:Invoke", f"{API}/approvals/1"),
    )
    delete = those("s3:DeleteObjectVersion", f"{INTAKE}/*")

    assert delete == {"Broker"}
    assert not delete & (ask | approve)
    assert ask & approve <= {"BreakGlass", f"arn:aws:iam::{HOME}:root"}


SSO = f"arn:aws:iam::{HOME}:role/aws-reserved/sso.amazonaws.com/AWSReservedSSO_irkit-{{}}_0123456789abcdef"
SAID = {"sts:SourceIdentity": ("ana",)}
TAGGED = {
    **SAID,
    "aws:RequestTag/irkit-case": ("c1",),
    "aws:PrincipalTag/irkit-case": ("c1",),
    "aws:TagKeys": ("irkit-case",),
}
RELEASE = {
    "aws:RequestTag/irkit-case": ("c1",), "aws:RequestTag/irkit-approval": ("a1",), "sts:DurationSeconds": ("900",),
}  # fmt: skip
TASK = {"aws:SourceAccount": (HOME,)}
ECS = "ecs-tasks.amazonaws.com"
RELEASER = f"arn:aws:iam::{HOME}:role/irkit-ReleaseTask"

ASSUMED: list[tuple[bool, str, str, dict[str, tuple[str, ...]]]] = [
    *((True, SSO.format(name), name, SAID) for name in ("Responder", "Custodian", "Analyst", "Approver")),
    (True, SSO.format("Investigator"), "Investigator", TAGGED),
    (True, ECS, "PlaybookTask", TASK),
    (True, ECS, "ReleaseTask", TASK),
    (True, RELEASER, "Broker", RELEASE),
    # Not without saying who is behind it, not for another's case, not with another permission set.
    *(
        (False, SSO.format(name), name, {})
        for name in ("Responder", "Custodian", "Analyst", "Approver", "Investigator")
    ),
    *(
        (False, SSO.format("Analyst"), name, TAGGED)
        for name in ("Responder", "Custodian", "Approver", "Investigator")
    ),
    (False, SSO.format("Responder"), "Analyst", SAID),
    (False, SSO.format("Investigator"), "Investigator", {**TAGGED, "sts:SourceIdentity": ()}),
    (False, SSO.format("Investigator"), "Investigator", {**TAGGED, "aws:RequestTag/irkit-case": ("c2",)}),
    (
        False,
        SSO.format("Investigator"),
        "Investigator",
        {**TAGGED, "aws:TagKeys": ("irkit-case", "irkit-approval")},
    ),
    # Break-glass is shut, to everybody.
    (False, SSO.format("BreakGlass"), "BreakGlass", SAID),
    # The broker only for the release task, with both tags, for a quarter of an hour.
    (False, SSO.format("Custodian"), "Broker", RELEASE),
    (False, f"arn:aws:iam::{HOME}:role/Administrator", "Broker", RELEASE),
    (False, RELEASER, "Broker", {**RELEASE, "sts:DurationSeconds": ("3600",)}),
    (False, RELEASER, "Broker", {**RELEASE, "aws:RequestTag/irkit-approval": ()}),
    (False, RELEASER, "Broker", {**RELEASE, "aws:RequestTag/irkit-case": ()}),
    # Tasks of this account only, and no other service.
    (False, ECS, "PlaybookTask", {"aws:SourceAccount": ("999999999999",)}),
    (False, ECS, "ReleaseTask", {"aws:SourceAccount": ("999999999999",)}),
    (False, "lambda.amazonaws.com", "ReleaseTask", TASK),
    *((False, f"arn:aws:iam::{HOME}:role/Administrator", name, TAGGED) for name in MAY),
    *((False, f"arn:aws:iam::{HOME}:user/irkit/{name}/eve", name, TAGGED) for name in MAY),
]


def assumes(
    world: World, who_text: str, name: str, more: dict[str, tuple[str, ...]], action: str = "sts:AssumeRole"
) -> bool:

    who, role = Requester.read(who_text), f"arn:aws:iam::{HOME}:role/irkit-{name}"
    holder = world.holder(who_text) if who.kind == "role" and "irkit-ReleaseTask" in who_text else None
    identity = holder.policies if holder else () if who.kind == "service" else (EVERYTHING,)
    context = {**facts(who), **{key.lower(): value for key, value in more.items()}}
    asked = Request(who=who, action=action, resource=role, resource_account=HOME, context=context)
    return evaluate(asked, Applicable(identity=identity, resource=world.trusts[role])).allowed


def wrong(world: World, about: str = "") -> list[object]:
    return [
        row for row in ASSUMED if about in row[2] and assumes(world, row[1], row[2], row[3]) is not row[0]
    ]


def test_each_role_is_assumed_by_those_it_is_meant_for_and_by_nobody_else(world: World) -> None:
    assert wrong(world) == []
    assert not assumes(world, RELEASER, "Broker", {}, action="sts:TagSession")
    assert assumes(world, RELEASER, "Broker", RELEASE, action="sts:TagSession")
    assert not assumes(
        world, f"arn:aws:iam::{HOME}:role/Administrator", "Broker", RELEASE, action="sts:TagSession"
    )


def test_users_need_a_second_factor_where_people_are_users(checkout: Path) -> None:
    users = sources.read([str(checkout / "cfn" / "access.yaml")], Reading(parameters={"People": "iam-users"}))
    ana = f"arn:aws:iam::{HOME}:user/irkit/Custodian/ana"
    mfa = {"aws:MultiFactorAuthPresent": ("true",)}

    assert assumes(users, ana, "Custodian", {**SAID, **mfa})
    assert not assumes(users, ana, "Custodian", SAID)
    assert not assumes(users, ana, "Analyst", {**SAID, **mfa})


def test_broken_glass_opens_to_its_own_people_only(checkout: Path) -> None:
    opened = sources.read(
        [str(checkout / "cfn" / "access.yaml")], Reading(parameters={"BreakGlassOpen": "yes"})
    )

    assert assumes(opened, SSO.format("BreakGlass"), "BreakGlass", SAID)
    assert not assumes(opened, SSO.format("Analyst"), "BreakGlass", SAID)


def test_a_trust_policy_that_is_weaker_lets_somebody_in_who_should_not_be(world: World) -> None:
    made, survivors = 0, []
    for arn, policy in world.trusts.items():
        name = arn.rpartition("-")[2]
        if name == "BreakGlass":
            continue
        for what, mutant in weaker(policy, intruder=f"arn:aws:iam::{HOME}:role/Administrator"):
            changed = replace(world, trusts={**world.trusts, arn: mutant})
            release = {key: value for key, value in RELEASE.items() if "Tag" in key}
            tagging = [
                assumes(changed, who, "Broker", more, action="sts:TagSession")
                for who in (RELEASER, f"arn:aws:iam::{HOME}:role/Administrator")
                for more in (release, *({**release, key: ()} for key in release))
            ]
            made += 1
            if not wrong(changed, name) and tagging == [True, False, False, False, False, False]:
                survivors.append(what)

    # Setting a source identity and tags are actions of their own; AssumeRole needs them allowed, but does not show it.
    also = {
        "without sts:AssumeRole",
        "without sts:SetSourceIdentity",
        "without sts:TagSession",
        "for every action",
    }
    assert made >= 40
    assert [what for what in survivors if what.partition(": ")[2].partition(": ")[2] not in also] == []
