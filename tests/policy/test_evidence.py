"""The evidence stack keeps its promises: judged by its policies alone, whatever rights the callers hold elsewhere."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from irkit.policy import Applicable, Request, Requester, evaluate, sources
from irkit.policy.asking import who_can
from irkit.policy.cfn_yaml import parse
from irkit.policy.checks import EVERYTHING
from irkit.policy.outsiders import facts
from irkit.policy.world import World
from tests.policy.mutation import weaker

HOME = "123456789012"
BUCKETS = {
    name: f"arn:aws:s3:::irkit-{name}-{HOME}-us-east-1" for name in ("intake", "active", "hold", "log")
}
KEY = f"arn:aws:kms:us-east-1:{HOME}:key/evidence-Key"
VIA_S3 = {"kms:ViaService": "s3.us-east-1.amazonaws.com"}
CASE = {"aws:PrincipalTag/irkit-case": "c1"}
APPROVED = {**CASE, "aws:PrincipalTag/irkit-approval": "a1"}
NEW = {"s3:if-none-match": "*", "s3:ObjectCreationOperation": "true"}
OVERWRITE = {"s3:ObjectCreationOperation": "true"}
LINK = {"s3:authType": "REST-QUERY-STRING"}
DELIVERY = {"aws:SourceArn": BUCKETS["intake"], "aws:SourceAccount": HOME}
IN_CASE = {"s3:prefix": "cases/c1/"}


def role(name: str) -> str:
    return f"arn:aws:iam::{HOME}:role/irkit-{name}"


@pytest.fixture(scope="module")
def template(checkout: Path) -> dict[str, Any]:
    found: dict[str, Any] = parse(
        (checkout / "cfn" / "evidence.yaml").read_text(encoding="utf-8"), name="evidence.yaml"
    )
    return found


@pytest.fixture(scope="module")
def world(checkout: Path) -> World:
    return sources.read([str(checkout / "cfn" / "evidence.yaml")])


@dataclass(frozen=True)
class Probe:
    """One request: `where` is a bucket and a key in it, a bucket, or `key` for the KMS key."""

    who: str
    action: str
    where: str
    context: tuple[tuple[str, str], ...] = ()


def probe(who: str, action: str, where: str, **more: dict[str, str]) -> Probe:
    context = {"aws:SecureTransport": "true"}
    for part in more.values():
        context |= part
    return Probe(who, action, where, tuple(sorted(context.items())))


YES = [
    probe("Investigator", "s3:GetObject", "intake/cases/c1/x", c=CASE),
    probe("Investigator", "s3:GetObjectVersion", "hold/cases/c1/x", c=CASE),
    probe("Investigator", "s3:ListBucket", "intake", c=CASE, p=IN_CASE),
    probe("Investigator", "s3:GetBucketLocation", "intake", c=CASE),
    probe("Investigator", "s3:ListBucket", "hold", c=CASE, p=IN_CASE),
    probe("Investigator", "s3:PutObject", "active/cases/c1/notes/x", c=CASE, n=NEW),
    probe("Investigator", "s3:ListBucket", "active", c=CASE, p=IN_CASE),
    probe("Custodian", "s3:GetObject", "intake/cases/c2/x"),
    probe("Custodian", "s3:ListBucketVersions", "intake"),
    probe("Custodian", "s3:PutObject", "hold/cases/c2/x", n=NEW),
    probe("Custodian", "s3:PutObject", "active/cases/c2/x", n=NEW),
    probe("Custodian", "s3:GetObject", "log/intake/x"),
    probe("Custodian", "s3:ListBucket", "log"),
    probe("Custodian", "s3:ListBucket", "hold"),
    probe("Custodian", "s3:ListBucket", "active"),
    probe("PlaybookTask", "s3:PutObject", "intake/cases/c1/x", n=NEW),
    probe("PlaybookTask", "s3:PutObject", "intake/cases/c1/x", n={"s3:ObjectCreationOperation": "false"}),
    probe("PlaybookTask", "s3:PutObject", "intake/cases/c1/x", n=NEW, l=LINK, a={"s3:signatureAge": "60000"}),
    probe(
        "PlaybookTask",
        "s3:PutObject",
        "intake/cases/c1/x",
        n=NEW,
        k={
            "s3:x-amz-server-side-encryption-aws-kms-key-id": KEY,
            "s3:x-amz-server-side-encryption": "aws:kms",
        },
    ),
    probe("PlaybookTask", "s3:GetObject", "intake/cases/c1/x"),
    probe("PlaybookTask", "s3:PutObject", "active/cases/c1/x", n=NEW, l=LINK),
    probe("PlaybookTask", "s3:ListBucket", "active"),
    probe("Analyst", "s3:GetObject", "active/cases/c1/reports/r.html"),
    probe("Analyst", "s3:ListBucket", "active", p={"s3:prefix": "cases/c1/reports/"}),
    probe("Broker", "s3:DeleteObjectVersion", "intake/cases/c1/x", c=APPROVED),
    probe("Broker", "s3:BypassGovernanceRetention", "intake/cases/c1/x", c=APPROVED),
    probe("Broker", "s3:PutObjectLegalHold", "intake/cases/c1/x", c=APPROVED),
    probe("Deploy", "s3:PutBucketPolicy", "intake"),
    probe("Deploy", "s3:PutLifecycleConfiguration", "active"),
    probe("Deploy", "s3:PutBucketPolicy", "hold"),
    probe("Deploy", "s3:PutBucketPolicy", "log"),
    probe("Deploy", "kms:PutKeyPolicy", "key"),
    *(
        probe(name, "kms:Decrypt", "key", v=VIA_S3)
        for name in ("Investigator", "Custodian", "Analyst", "PlaybookTask")
    ),
    *(
        probe(name, "kms:GenerateDataKey", "key", v=VIA_S3)
        for name in ("Investigator", "Custodian", "PlaybookTask")
    ),
    probe("Custodian", "kms:DescribeKey", "key"),
    probe("PlaybookTask", "kms:DescribeKey", "key"),
    probe(
        "logging.s3.amazonaws.com",
        "s3:PutObject",
        "log/intake/x",
        s={"aws:SourceArn": BUCKETS["intake"], "aws:SourceAccount": HOME},
    ),
    *(
        probe(
            "logging.s3.amazonaws.com",
            "s3:PutObject",
            "log/x",
            s={"aws:SourceArn": arn, "aws:SourceAccount": HOME},
        )
        for name, arn in BUCKETS.items()
        if name != "log"
    ),
    *(
        probe("Deploy", f"kms:{action}", "key")
        for action in (
            "DescribeKey",
            "EnableKeyRotation",
            "GetKeyPolicy",
            "GetKeyRotationStatus",
            "ListResourceTags",
        )
    ),
    *(
        probe("Deploy", f"kms:{action}", "key")
        for action in ("TagResource", "UntagResource", "UpdateKeyDescription")
    ),
]

_OBJECTS = {"intake": "intake/cases/c1/x", "active": "active/cases/c1/reports/x", "hold": "hold/cases/c1/x"}
NO = [
    # Nobody else, whatever they hold.
    *(
        probe(who, action, where, c=APPROVED, n=NEW, p=IN_CASE)
        for who in ("Administrator", "Responder", "root", "*", "config.amazonaws.com", "stranger")
        for where in _OBJECTS.values()
        for action in ("s3:GetObject", "s3:PutObject", "s3:DeleteObjectVersion", "s3:PutObjectRetention")
    ),
    *(
        probe(who, action, where, c=APPROVED, p=IN_CASE)
        for who in ("Administrator", "Responder", "*", "stranger")
        for where in ("intake", "active", "hold", "log")
        for action in (
            "s3:ListBucket",
            "s3:PutBucketPolicy",
            "s3:PutReplicationConfiguration",
            "s3:PutBucketAcl",
        )
    ),
    *(
        probe(who, action, "key", v=VIA_S3)
        for who in ("Administrator", "Responder", "root", "*", "stranger", "Broker")
        for action in (
            "kms:Decrypt",
            "kms:GenerateDataKey",
            "kms:PutKeyPolicy",
            "kms:ScheduleKeyDeletion",
            "kms:CreateGrant",
        )
    ),
    # Readers read, and no more, and only their own case.
    probe("Investigator", "s3:GetObject", "intake/cases/c2/x", c=CASE),
    probe("Investigator", "s3:GetObject", "intake/cases/c1/x"),
    probe("Investigator", "s3:GetObject", "active/cases/c2/x", c=CASE),
    probe("Investigator", "s3:GetObject", "active/cases/c1/x"),
    probe("Investigator", "s3:GetObject", "hold/cases/c2/x", c=CASE),
    probe("Investigator", "s3:GetObject", "hold/cases/c1/x"),
    *(
        probe("Investigator", "s3:ListBucket", where, c=CASE, p={"s3:prefix": "cases/c2/"})
        for where in _OBJECTS
    ),
    *(probe("Investigator", "s3:ListBucket", where, p={"s3:prefix": "cases//"}) for where in _OBJECTS),
    probe("Investigator", "s3:PutObject", "intake/cases/c1/x", c=CASE, n=NEW),
    probe("Investigator", "s3:PutObject", "hold/cases/c1/x", c=CASE, n=NEW),
    probe("Investigator", "s3:DeleteObject", "active/cases/c1/x", c=CASE),
    probe("Custodian", "s3:PutObject", "intake/cases/c1/x", n=NEW),
    probe("Custodian", "s3:DeleteObjectVersion", "hold/cases/c1/x"),
    probe("Custodian", "s3:DeleteObjectVersion", "intake/cases/c1/x"),
    probe("Custodian", "s3:PutObjectRetention", "hold/cases/c1/x"),
    *(probe("Custodian", "s3:PutBucketPolicy", where) for where in BUCKETS),
    *(probe("Deploy", action, where) for where in BUCKETS for action in ("s3:ListBucket", "s3:DeleteBucket")),
    *(probe("Deploy", "s3:GetObject", where) for where in _OBJECTS.values()),
    probe("Deploy", "kms:Decrypt", "key", v=VIA_S3),
    probe("Deploy", "kms:ScheduleKeyDeletion", "key"),
    # Nothing is overwritten, deleted or brought in under another key.
    probe("PlaybookTask", "s3:DeleteObjectVersion", "intake/cases/c1/x"),
    probe("PlaybookTask", "s3:DeleteObjectVersion", "active/cases/c1/x"),
    probe("PlaybookTask", "s3:GetObject", "hold/cases/c1/x"),
    probe("PlaybookTask", "s3:PutObject", "intake/cases/c1/x", o=OVERWRITE),
    probe("Custodian", "s3:PutObject", "hold/cases/c1/x", o=OVERWRITE),
    probe("PlaybookTask", "s3:PutObject", "active/cases/c1/x", o=OVERWRITE),
    *(
        probe(who, "s3:PutObject", where, n=NEW, c=CASE, k={name: value})
        for who, where in (
            ("PlaybookTask", _OBJECTS["intake"]),
            ("PlaybookTask", _OBJECTS["active"]),
            ("Custodian", _OBJECTS["hold"]),
        )
        for name, value in (
            ("s3:x-amz-server-side-encryption-aws-kms-key-id", KEY + "2"),
            ("s3:x-amz-server-side-encryption", "AES256"),
        )
    ),
    # A presigned link carries nothing out, and ends.
    *(probe("Custodian", "s3:GetObject", where, l=LINK) for where in _OBJECTS.values()),
    probe("PlaybookTask", "s3:PutObject", "intake/cases/c1/x", n=NEW, a={"s3:signatureAge": "900001"}),
    probe("PlaybookTask", "s3:PutObject", "active/cases/c1/x", n=NEW, a={"s3:signatureAge": "900001"}),
    probe("Custodian", "s3:PutObject", "hold/cases/c1/x", n=NEW, a={"s3:signatureAge": "900001"}),
    # Nothing without TLS.
    *(
        probe("Custodian", "s3:GetObject", where, t={"aws:SecureTransport": "false"})
        for where in [*_OBJECTS.values(), "log/x"]
    ),
    *(probe("Custodian", "s3:ListBucket", where, t={"aws:SecureTransport": "false"}) for where in BUCKETS),
    # The broker needs an approval, for this case, and can read nothing.
    probe("Broker", "s3:DeleteObjectVersion", "intake/cases/c1/x", c=CASE),
    probe("Broker", "s3:DeleteObjectVersion", "intake/cases/c2/x", c=APPROVED),
    probe(
        "Broker", "s3:DeleteObjectVersion", "intake/cases/c1/x", c={"aws:PrincipalTag/irkit-approval": "a1"}
    ),
    probe("Broker", "s3:GetObject", "intake/cases/c1/x", c=APPROVED),
    probe("Broker", "s3:ListBucket", "intake", c=APPROVED, p=IN_CASE),
    probe("Broker", "s3:DeleteObjectVersion", "active/cases/c1/x", c=APPROVED),
    probe("Broker", "s3:DeleteObjectVersion", "hold/cases/c1/x", c=APPROVED),
    # Reports, and no more, for analysts.
    probe("Analyst", "s3:GetObject", "active/cases/c1/artifacts/x"),
    probe("Analyst", "s3:PutObject", "active/cases/c1/reports/x", n=NEW),
    probe("Analyst", "s3:GetObject", "intake/cases/c1/reports/x"),
    probe("Analyst", "s3:ListBucket", "active", p={"s3:prefix": "cases/c1/artifacts/"}),
    probe("Analyst", "kms:GenerateDataKey", "key", v=VIA_S3),
    # The key, only by way of S3.
    *(probe(name, "kms:Decrypt", "key") for name in ("Investigator", "Custodian", "PlaybookTask")),
    probe("PlaybookTask", "kms:GenerateDataKey", "key"),
    # Logs are written by S3 for these buckets, and by nobody else.
    probe("logging.s3.amazonaws.com", "s3:PutObject", "log/x", s={"aws:SourceArn": BUCKETS["intake"]}),
    probe(
        "logging.s3.amazonaws.com",
        "s3:PutObject",
        "log/x",
        s={"aws:SourceArn": "arn:aws:s3:::b", "aws:SourceAccount": HOME},
    ),
    *(
        probe(name, "s3:PutObject", "log/x", n=NEW)
        for name in ("Administrator", "Custodian", "Deploy", "root")
    ),
    *(probe(name, "s3:GetObject", "log/x") for name in ("Administrator", "Investigator", "Deploy", "root")),
    probe("logging.s3.amazonaws.com", "s3:DeleteObject", "log/x", s=DELIVERY),
    probe("Administrator", "s3:GetObjectVersion", "log/x"),
    probe("Administrator", "kms:DescribeKey", "key", v=VIA_S3),
    probe("PlaybookTask", "kms:CreateGrant", "key", v=VIA_S3),
    probe("Custodian", "s3:DeleteObjectVersion", "active/cases/c1/x"),
    # Readers list a bucket and do not change it.
    *(
        probe(who, "s3:PutBucketPolicy", where, c=CASE)
        for who in ("Investigator", "PlaybookTask", "Analyst")
        for where in ("intake", "active", "hold")
    ),
]


# Break-glass has the custodian's rights.
YES += [replace(one, who="BreakGlass") for one in YES if one.who == "Custodian"]
NO += [replace(one, who="BreakGlass") for one in NO if one.who == "Custodian"]


def decided(world: World, one: Probe) -> bool:
    text = {
        "root": f"arn:aws:iam::{HOME}:root",
        "stranger": "arn:aws:iam::999999999999:role/irkit-Custodian",
    }.get(one.who, one.who if "." in one.who or one.who == "*" else role(one.who))
    who = Requester.read(text)
    resource = resource_of(one)
    context = {**facts(who), **{name.lower(): (value,) for name, value in one.context}}
    request = Request(who=who, action=one.action, resource=resource, resource_account=HOME, context=context)
    held = () if who.kind in {"service", "anonymous"} else (EVERYTHING,)
    guard = world.guard_of(resource)
    return evaluate(request, Applicable(identity=held, resource=guard.policy if guard else None)).allowed


def resource_of(one: Probe) -> str:
    bucket, slash, key = one.where.partition("/")
    return KEY if one.where == "key" else BUCKETS[bucket] + slash + key


def broken(world: World, *, about: str = "arn:") -> list[Probe]:
    """The promises about a resource that do not hold."""
    asked = [(p, promised) for promised, listed in ((False, NO), (True, YES)) for p in listed]
    return [
        p for p, promised in asked if resource_of(p).startswith(about) and decided(world, p) is not promised
    ]


def test_every_promise_of_the_evidence_stack_holds(world: World) -> None:
    assert broken(world) == []


def test_only_the_broker_can_delete_what_was_brought_in_and_an_administrator_cannot(world: World) -> None:
    asked = who_can(world, "s3:DeleteObjectVersion", f"{BUCKETS['intake']}/*")

    assert [one.name for one in asked if one.witness] == [role("Broker")]
    assert not [one for one in asked if one.untold]
    refused = {one.name for one in asked if not one.witness}
    assert {f"arn:aws:iam::{HOME}:role/any-other-role", f"arn:aws:iam::{HOME}:root", "*"} <= refused


@pytest.mark.parametrize(
    ("bucket", "readers"),
    [
        ("intake", ["BreakGlass", "Custodian", "Investigator", "PlaybookTask"]),
        ("active", ["Analyst", "BreakGlass", "Custodian", "Investigator", "PlaybookTask"]),
        ("hold", ["BreakGlass", "Custodian", "Investigator"]),
        ("log", ["BreakGlass", "Custodian"]),
    ],
)
def test_exactly_the_readers_can_read(world: World, bucket: str, readers: list[str]) -> None:
    asked = who_can(world, "s3:GetObject", f"{BUCKETS[bucket]}/*")

    assert [one.name for one in asked if one.witness] == [role(name) for name in readers]


def test_nobody_can_delete_the_key_and_the_readers_alone_can_open_it(world: World) -> None:
    assert not [one for one in who_can(world, "kms:ScheduleKeyDeletion", KEY) if one.witness]
    opened = [one.name for one in who_can(world, "kms:Decrypt", KEY) if one.witness]
    assert opened == [
        role(name) for name in ("Analyst", "BreakGlass", "Custodian", "Investigator", "PlaybookTask")
    ]


def test_buckets_are_locked_versioned_encrypted_closed_to_the_public_and_survive_the_stack(
    template: dict[str, Any],
) -> None:
    buckets = {n: r for n, r in template["Resources"].items() if r["Type"] == "AWS::S3::Bucket"}
    for name, bucket in buckets.items():
        properties = bucket["Properties"]
        assert bucket["DeletionPolicy"] == bucket["UpdateReplacePolicy"] == "Retain"
        assert properties["VersioningConfiguration"] == {"Status": "Enabled"}
        assert set(properties["PublicAccessBlockConfiguration"].values()) == {True}
        assert properties["OwnershipControls"]["Rules"] == [{"ObjectOwnership": "BucketOwnerEnforced"}]
        if name != "Log":
            assert properties["ObjectLockEnabled"] is True
            encryption = properties["BucketEncryption"]["ServerSideEncryptionConfiguration"][0]
            assert encryption["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == "aws:kms"
    held = buckets["Hold"]["Properties"]["ObjectLockConfiguration"]["Rule"]["DefaultRetention"]
    assert held["Mode"] == "COMPLIANCE"
    assert buckets["Intake"]["Properties"]["ObjectLockConfiguration"]["Rule"]["DefaultRetention"]["Days"]


def test_bucket_policies_fit_in_what_s3_takes(world: World, template: dict[str, Any]) -> None:
    for name, resource in template["Resources"].items():
        if resource["Type"] == "AWS::S3::BucketPolicy":
            # 20 KB (S3 User Guide, "Bucket policies"); a role's ARN is at most twice as long as its Sub.
            assert len(json.dumps(resource["Properties"]["PolicyDocument"])) < 20 * 1024, name
    assert len(world.guarded) == 5


def test_every_statement_is_needed_and_weakening_one_breaks_a_promise(world: World) -> None:
    made, survivors = 0, []
    for arn, guard in world.guarded.items():
        for name, mutant in weaker(guard.policy, intruder=role("Administrator")):
            made += 1
            weakened = replace(world, guarded={**world.guarded, arn: replace(guard, policy=mutant)})
            if not broken(weakened, about=arn):
                survivors.append(name)

    assert made >= 150
    assert survivors == []
