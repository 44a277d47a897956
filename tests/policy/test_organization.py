"""What the organization's policies add: root and administrators cannot undo the rest, outsiders reach nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from irkit.policy import Applicable, Kind, Policy, Request, Requester, actions, evaluate, sources
from irkit.policy.allowances import what_can
from irkit.policy.asking import who_can
from irkit.policy.cfn_yaml import parse
from irkit.policy.checks import EVERYTHING
from irkit.policy.outsiders import facts
from irkit.policy.sources import Reading
from irkit.policy.world import World
from tests.policy.mutation import weaker
from tests.policy.test_access import MAY

HOME = "123456789012"
OURS = "o-0123456789"
INTAKE = f"arn:aws:s3:::irkit-intake-{HOME}-us-east-1"
ROLE = f"arn:aws:iam::{HOME}:role/new"
ADMIN, DEPLOY, ROOT = (
    f"arn:aws:iam::{HOME}:{name}" for name in ("role/Administrator", "role/irkit-Deploy", "root")
)


@pytest.fixture(scope="module")
def world(checkout: Path) -> World:
    parameters = {"OrganizationId": OURS, "Target": HOME}
    return sources.read([str(checkout / "cfn")], Reading(parameters=parameters))


def guarded(world: World, who_text: str, action: str, resource: str, org: str = OURS, **more: str) -> bool:
    """Whether organization policies let through what everything else allows."""
    who = Requester.read(who_text)
    identity = {"Effect": "Allow", "Action": "*", "Resource": "*", "Principal": "*"}
    open_ = Policy.read({"Statement": identity}, kind=Kind.RESOURCE, name="open")
    context = {**facts(who), **({"aws:principalorgid": (org,)} if org and who.kind != "service" else {})}
    context |= {key.lower(): (value,) for key, value in more.items()}
    asked = Request(who=who, action=action, resource=resource, resource_account=HOME, context=context)
    held = () if who.kind == "service" else (EVERYTHING,)
    scps = world.scps if who.account == HOME else ()
    return evaluate(asked, Applicable(identity=held, resource=open_, scps=scps, rcps=world.rcps)).allowed


YES: list[tuple[str, str, str]] = [
    *((DEPLOY, f"iam:{name}", ROLE) for name in ("CreateRole", "PutRolePolicy", "AttachRolePolicy", "TagRole")),
    (DEPLOY, "s3:PutBucketPolicy", INTAKE),
    (DEPLOY, "kms:PutKeyPolicy", f"arn:aws:kms:us-east-1:{HOME}:key/1"),
    (ADMIN, "iam:GetRole", ROLE),
    *(
        (ADMIN, f"{service}:{name}", "*")
        for service, name in (
            ("access-analyzer", "ListAnalyzers"), ("athena", "ListWorkGroups"), ("cloudformation", "ListStacks"),
            ("cloudtrail", "DescribeTrails"), ("cloudwatch", "ListMetrics"), ("config", "DescribeConfigRules"),
            ("ebs", "ListSnapshotBlocks"), ("ec2", "DescribeInstances"), ("ecr", "GetAuthorizationToken"),
            ("ecs", "ListClusters"), ("events", "ListRules"), ("execute-api", "Invoke"), ("glue", "GetTable"),
            ("guardduty", "ListDetectors"), ("imagebuilder", "ListImages"), ("kms", "ListKeys"),
            ("lambda", "ListFunctions"),
            ("logs", "DescribeLogGroups"), ("s3", "ListAllMyBuckets"), ("sagemaker", "ListNotebookInstances"),
            ("scheduler", "ListSchedules"), ("securityhub", "GetFindings"), ("sns", "ListTopics"),
            ("sqs", "ListQueues"),
            ("ssm", "DescribeInstanceInformation"), ("ssmmessages", "OpenDataChannel"),
            ("states", "ListStateMachines"),
            ("sts", "AssumeRole"), ("support", "DescribeCases"), ("tag", "GetResources"),
        )
    ),
    ("config.amazonaws.com", "s3:PutObject", f"{INTAKE}/x"),
]  # fmt: skip

_ROLES = [
    "Add*",
    "Attach*",
    "Create*",
    "Delete*",
    "Detach*",
    "Put*",
    "Remove*",
    "Set*",
    "Tag*",
    "Untag*",
    "Update*",
    "Upload*",
]
_STOPS = [
    "cloudtrail:DeleteTrail", "cloudtrail:PutEventSelectors", "cloudtrail:StopLogging", "cloudtrail:UpdateTrail",
    "config:DeleteConfigurationRecorder", "config:DeleteDeliveryChannel", "config:StopConfigurationRecorder",
    "kms:ScheduleKeyDeletion", "organizations:LeaveOrganization", "ec2:AttachInternetGateway",
    "ec2:CreateInternetGateway", "ec2:CreateNatGateway", "ec2:CreateVpcPeeringConnection",
    "ec2:ModifyVpcBlockPublicAccessOptions",
]  # fmt: skip
_DEPLOYS = [
    "kms:DisableKey", "kms:PutKeyPolicy", "s3:DeleteBucketPolicy", "s3:PutAccountPublicAccessBlock",
    "s3:PutBucketPolicy", "s3:PutBucketPublicAccessBlock", "s3:PutReplicationConfiguration",
]  # fmt: skip
NO: list[tuple[str, str, str]] = [
    (ROOT, "s3:PutBucketPolicy", INTAKE), (ROOT, "ec2:DescribeInstances", "*"), (ROOT, "iam:GetRole", ROLE),
    *((ADMIN, actions.matching(f"iam:{pattern}")[0], "*") for pattern in _ROLES),
    *((ADMIN, action, "*") for action in _DEPLOYS),
    *((DEPLOY, action, "*") for action in _STOPS),
    (ADMIN, "rds:CreateDBInstance", "*"), (DEPLOY, "organizations:LeaveOrganization", "*"),
]  # fmt: skip
OUTSIDE = [("s3:GetObject", f"{INTAKE}/x"), ("kms:Decrypt", f"arn:aws:kms:us-east-1:{HOME}:key/1"),
           ("sqs:SendMessage", f"arn:aws:sqs:us-east-1:{HOME}:q"), ("sts:AssumeRole", ROLE),
           ("secretsmanager:GetSecretValue", f"arn:aws:secretsmanager:us-east-1:{HOME}:secret:s")]  # fmt: skip


def broken(world: World) -> list[Any]:
    stranger = "arn:aws:iam::999999999999:role/x"
    found: list[Any] = [row for row in YES if not guarded(world, *row)] + [
        row for row in NO if guarded(world, *row)
    ]
    found += [row for row in OUTSIDE if guarded(world, stranger, *row, org="o-9999999999")]
    found += [row for row in OUTSIDE if guarded(world, stranger, *row, org="")]
    return found + [row for row in OUTSIDE if not guarded(world, "arn:aws:iam::222222222222:role/x", *row)]


def test_every_promise_of_the_organizations_policies_holds(world: World) -> None:
    assert broken(world) == []


def test_only_the_deploying_role_can_change_policies_roles_and_keys(world: World) -> None:
    for action, resource in (
        ("s3:PutBucketPolicy", f"{INTAKE}"),
        ("iam:PutRolePolicy", f"arn:aws:iam::{HOME}:role/irkit-*"),
        ("kms:PutKeyPolicy", f"arn:aws:kms:us-east-1:{HOME}:key/evidence-Key"),
    ):
        assert [one.name for one in who_can(world, action, resource) if one.witness] == [DEPLOY]


@pytest.mark.parametrize("name", ["Investigator", "PlaybookTask", "ReleaseTask", "Broker"])
def test_the_organizations_policies_take_nothing_from_the_roles_that_they_need(
    world: World, name: str
) -> None:
    services = sorted({action.partition(":")[0] for action in MAY[name]})

    assert {allowed.action for allowed in what_can(world, f"irkit-{name}", services=services)} == MAY[name]


def test_a_weaker_policy_of_the_organization_is_noticed(world: World) -> None:
    made, survivors = 0, []
    for at, (full, guard) in enumerate(world.scps):
        for what, mutant in weaker(guard, intruder=ADMIN):
            made += 1
            scps = (*world.scps[:at], (full, mutant), *world.scps[at + 1 :])
            if not broken(replace(world, scps=scps)):
                survivors.append(what)
    for (perimeter,) in world.rcps:
        for what, mutant in weaker(perimeter, intruder=ADMIN):
            made += 1
            if not broken(replace(world, rcps=((mutant,),))):
                survivors.append(what)

    # Equal to what they were made from: leaving is refused by the list of services as well, and S3 is in that list.
    equal = ("without organizations:LeaveOrganization", "OnlyWhatForensicsNeeds): spares more actions")
    survivors = [what for what in survivors if not what.endswith(equal)]
    assert made >= 45
    assert survivors == []


def test_the_policies_fit_in_what_organizations_takes(checkout: Path) -> None:
    template = parse(
        (checkout / "cfn" / "organization.yaml").read_text(encoding="utf-8"), name="organization.yaml"
    )
    for resource in template["Resources"].values():
        assert len(json.dumps(resource["Properties"]["Content"], separators=(",", ":"))) < 5120
