"""What an intruder on the suspect, or a reader of Systems Manager's history, learns of the responder: nothing to use.

The responder's own credentials are the canaries: they are searched for in every file of the sandbox, in every process
while the dump runs, in the commands and their output, and in every version of every object in the bucket.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlparse

import pytest

from irkit import capture
from irkit.aws import courier as couriers
from irkit.aws.courier import policy
from irkit.capture import memory_transfer
from irkit.case import Case
from irkit.errors import Refused
from tests.capture.dumping import pinned, tool

pytestmark = pytest.mark.needs_user_namespaces

# Dumps what `ps` would show an intruder meanwhile: arguments and environment of every process, then ends.
_WATCHING = 'cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null >"$out"; exit 0'


def places(world: SimpleNamespace, case: Case, bucket: str) -> Iterator[tuple[str, bytes]]:
    """Everything that the suspect, or whoever may read Systems Manager or the bucket's transfer folder, can see."""
    root: Path = world.sim.hosts.find(world.instance_id).root
    for folder, _, names in os.walk(root):
        if Path(folder).relative_to(root).parts[:1] in {("proc",), ("dev",)}:
            continue
        for name in names:
            path = Path(folder) / name
            if path.is_file() and not path.is_symlink():
                yield f"host: {path.relative_to(root)}", path.read_bytes()
    ssm = world.sim.session().client("ssm")
    for page in ssm.get_paginator("list_commands").paginate(InstanceId=world.instance_id):
        for command in page["Commands"]:
            yield f"command {command['CommandId']}", json.dumps(command, default=str).encode()
    for page in ssm.get_paginator("list_command_invocations").paginate(
        InstanceId=world.instance_id, Details=True
    ):
        for run in page["CommandInvocations"]:
            yield f"invocation {run['CommandId']}", json.dumps(run, default=str).encode()
            said = ssm.get_command_invocation(CommandId=run["CommandId"], InstanceId=world.instance_id)
            yield f"output {run['CommandId']}", json.dumps(said, default=str).encode()
    s3 = world.sim.session().client("s3")
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
        for version in page.get("Versions", ()):
            body = s3.get_object(Bucket=bucket, Key=version["Key"], VersionId=version["VersionId"])[
                "Body"
            ].read()
            yield f"object {version['Key']}", body


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The couriers that were made while the test ran."""
    seen: list[Any] = []
    original = memory_transfer.courier

    def noted(*args: Any, **kwargs: Any) -> Any:
        seen.append(original(*args, **kwargs))
        return seen[-1]

    monkeypatch.setattr(memory_transfer, "courier", noted)
    return seen


def temporary(world: SimpleNamespace) -> tuple[dict[str, str], str]:
    """Temporary credentials as single sign-on gives them, and the ARN of a role that they may assume."""
    iam, sts = (world.sim.session().client(s) for s in ("iam", "sts"))
    account = sts.get_caller_identity()["Account"]
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"AWS": f"arn:aws:iam::{account}:root"},
                "Action": "sts:AssumeRole",
            }
        ],
    }
    for name in ("canary-responder", "canary-courier"):
        with contextlib.suppress(iam.exceptions.EntityAlreadyExistsException):
            iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))
    held = sts.assume_role(
        RoleArn=f"arn:aws:iam::{account}:role/canary-responder", RoleSessionName="sso-ana"
    )["Credentials"]
    return (
        {
            "AWS_ACCESS_KEY_ID": held["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": held["SecretAccessKey"],
            "AWS_SESSION_TOKEN": held["SessionToken"],
        },
        f"arn:aws:iam::{account}:role/canary-courier",
    )


@pytest.mark.parametrize("kind", ["long-term", "temporary"])
def test_no_credential_of_the_responder_is_to_be_found_anywhere_that_the_suspect_or_ssm_shows(
    world: SimpleNamespace,
    open_case: Callable[..., Case],
    bucket: str,
    tmp_path: Path,
    made: list[Any],
    kind: str,
) -> None:
    sources = pinned(tool(tmp_path, _WATCHING), evidence_bucket=bucket)
    canaries = {
        k: v for k, v in world.sim.env().items() if k in {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
    }
    if kind == "temporary":
        canaries, role = temporary(world)
        os.environ.update(canaries)
        sources["courier_role"] = role
    case = open_case(sources=sources)
    report = capture.plan(case, world.instance_id, only=["host", "memory"]).apply()
    assert report.exit_code == 0, report.steps

    secrets = {name: value.encode() for name, value in canaries.items()}
    secrets |= {
        f"secret of courier {n}": c._credentials["SecretAccessKey"].encode() for n, c in enumerate(made)
    }
    looked = links = 0
    for where, content in places(world, case, bucket):
        looked += 1
        for name, secret in secrets.items():
            assert secret not in content, f"{name} is in {where}"
        links += b"X-Amz-Signature" in content
    watched = case.evidence.read(case.evidence.items(kind="memory")[0])
    assert b"irkit" in watched, "the tool did see the processes"
    assert b"X-Amz-" not in watched, "no list of processes shows a link"
    assert links >= 2, "the command and the lists do hold links: the search looks where they are"
    print(f"{looked} files, commands, outputs and objects searched for {len(secrets)} secrets: none found")


def test_links_end_within_the_hour_and_the_one_in_the_command_within_a_quarter(
    world: SimpleNamespace, open_case: Callable[..., Case], bucket: str, tmp_path: Path
) -> None:
    case = open_case(sources=pinned(tool(tmp_path, _WATCHING), evidence_bucket=bucket))
    capture.plan(case, world.instance_id, only=["memory"]).apply()
    ssm = world.sim.session().client("ssm")
    sent = ssm.list_commands(InstanceId=world.instance_id, MaxResults=50)["Commands"][0]
    assert "X-Amz-Expires=900&" in sent["Parameters"]["commands"][0]
    assert sent["Parameters"]["commands"][0].count("X-Amz-Signature") == 1
    s3 = world.sim.session().client("s3")
    lists = s3.list_object_versions(Bucket=bucket, Prefix=f"transfer/{case.id}/")["Versions"]
    texts = [
        s3.get_object(Bucket=bucket, Key=v["Key"], VersionId=v["VersionId"])["Body"].read().decode()
        for v in lists
        if "links-" in v["Key"]
    ]
    assert texts
    import re

    lives = [int(n) for text in texts for n in re.findall(r"X-Amz-Expires=(\d+)", text)]
    assert 3000 < min(lives) <= max(lives) <= 3600


def test_a_courier_may_write_one_object_and_read_what_is_on_its_way_and_nothing_else(
    world: SimpleNamespace,
    open_case: Callable[..., Case],
    bucket: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[dict[str, Any]] = []
    original = memory_transfer.courier
    monkeypatch.setattr(memory_transfer, "courier", lambda s, p, **k: asked.append(p) or original(s, p, **k))
    case = open_case(sources=pinned(tool(tmp_path, _WATCHING), evidence_bucket=bucket))
    steps = capture.plan(case, world.instance_id, only=["memory"])
    steps.apply()
    step = steps.steps[0].id(case.id)
    read, write, key = asked[0]["Statement"]
    assert (read["Action"], read["Resource"]) == (
        "s3:GetObject",
        [f"arn:aws:s3:::{bucket}/transfer/{case.id}/{step}/*"],
    )
    dump = f"arn:aws:s3:::{bucket}/intake/cases/{case.id}/memory-{step}/{world.instance_id}.memory"
    assert (write["Action"], write["Resource"]) == ("s3:PutObject", [dump])
    assert set(key["Action"]) == {"kms:Decrypt", "kms:GenerateDataKey"}
    assert key["Condition"] == {"StringLike": {"kms:ViaService": "s3.*.amazonaws.com"}}
    assert len(json.dumps(asked[0])) < 2048, "AWS takes 2,048 characters of session policy"


@pytest.mark.parametrize(
    ("action", "resource", "allowed"),
    [
        ("s3:PutObject", "arn:aws:s3:::b/intake/cases/C/memory-1/i.memory", True),
        ("s3:GetObject", "arn:aws:s3:::b/transfer/C/1/links-2", True),
        ("s3:GetObject", "arn:aws:s3:::b/intake/cases/C/memory-1/i.memory", False),
        ("s3:PutObject", "arn:aws:s3:::b/transfer/C/1/tool", False),
        ("s3:PutObject", "arn:aws:s3:::b/intake/cases/C/E0001/other", False),
        ("s3:GetObject", "arn:aws:s3:::another/transfer/C/1/links-2", False),
        ("s3:ListBucket", "arn:aws:s3:::b", False),
        ("s3:AbortMultipartUpload", "arn:aws:s3:::b/intake/cases/C/memory-1/i.memory", False),
        ("s3:DeleteObject", "arn:aws:s3:::b/transfer/C/1/tool", False),
        ("ssm:SendCommand", "arn:aws:ec2:us-east-1:111122223333:instance/i-0123456789abcdef0", False),
        ("iam:CreateUser", "arn:aws:iam::111122223333:user/x", False),
    ],
)
def test_even_an_administrators_courier_can_do_nothing_else(
    action: str, resource: str, allowed: bool
) -> None:
    from irkit.policy.document import Kind, Policy
    from irkit.policy.evaluation import Applicable, Request, evaluate
    from irkit.policy.principals import Requester

    everything = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
    narrowed = policy("b", reads=["transfer/C/1/*"], writes=["intake/cases/C/memory-1/i.memory"])
    applies = Applicable(
        identity=(Policy.read(everything, kind=Kind.IDENTITY, name="administrator"),),
        session=Policy.read(narrowed, kind=Kind.SESSION, name="courier"),
    )
    who = Requester.read("arn:aws:sts::111122223333:assumed-role/responder/courier-irkit-C-ana")
    asked = Request(who=who, action=action, resource=resource, resource_account="111122223333", context={})
    assert evaluate(asked, applies).allowed is allowed


def test_temporary_credentials_without_a_role_sign_no_link(
    world: SimpleNamespace, open_case: Callable[..., Case]
) -> None:
    held, _ = temporary(world)
    os.environ.update(held)
    with pytest.raises(Refused, match="temporary") as refused:
        couriers.courier(open_case().aws, policy("b", reads=["r"], writes=["w"]))
    assert "courier_role" in str(refused.value)


def test_the_role_of_the_case_signs_by_a_session_of_its_own(
    world: SimpleNamespace, open_case: Callable[..., Case]
) -> None:
    _, role = temporary(world)
    case = open_case(role=role)
    made = couriers.courier(case.aws, policy("b", reads=["r"], writes=["w"]))
    assert made.how == "sts:AssumeRole"
    assert "/courier-irkit-" in made.arn
    assert 3000 < made.seconds_left <= 3600
    assert made._credentials["AccessKeyId"] != case.aws.session().get_credentials().access_key
    for secret in made._credentials.values():
        assert secret not in repr(made)


def test_no_link_outlives_the_session_that_signed_it_and_one_that_ends_soon_signs_no_more(
    world: SimpleNamespace, open_case: Callable[..., Case], bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, made = memory_transfer.courier, []

    def ending(*args: Any, **kwargs: Any) -> Any:
        now = datetime.now(UTC)
        lives = 1900 if not made else 3600
        made.append(replace(original(*args, **kwargs), expires=now + timedelta(seconds=lives)))
        return made[-1]

    monkeypatch.setattr(memory_transfer, "courier", ending)
    transfer = memory_transfer.Transfer(
        case=open_case(), bucket=bucket, key="k", prefix="transfer/x/", part_bytes=5 << 20, role=None
    )
    transfer.reach()

    def signed(link: str) -> tuple[str, int]:
        asked = parse_qs(urlparse(link).query)
        return asked["X-Amz-Credential"][0].partition("/")[0], int(asked["X-Amz-Expires"][0])

    first, lives = signed(transfer._link("get_object", "transfer/x/tool"))
    assert 1800 < lives <= 1900
    assert signed(transfer._link("get_object", "transfer/x/tool"))[0] == first, "one session signs many"
    transfer._courier = replace(made[0], expires=datetime.now(UTC) + timedelta(seconds=1700))
    second, lives = signed(transfer._link("get_object", "transfer/x/tool"))
    assert second != first
    assert 3500 < lives <= 3600
    assert len(transfer.signed_by) >= 1
