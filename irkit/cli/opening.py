"""What `irkit case open` is given, checked before a folder is made: what a case is about cannot be changed later."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from irkit.aws.names import account_id, arn_parts, bucket_name, region_name, role_arn, topic_arn
from irkit.capture import destination, memory_tool
from irkit.case import Case, case_name
from irkit.errors import BadInput, NotFound
from irkit.escape import for_terminal

_IAM = ("revocation_policy_arn", "deny_profile_arn")
_SOURCES = (
    "cloudtrail",
    "flow_logs",
    "trail",
    "evidence_bucket",
    "evidence_owner",
    "topic",
    "approvers",
    *_IAM,
    *destination.NAMES,
    *memory_tool.NAMES,
)
_FIXED = ("region", "account", "role")


def check(case_id: str, sources: Mapping[str, str], **facts: Any) -> None:
    """Raise `BadInput` for what cannot name a case, a region, an account, a role or a source."""
    case_name(case_id)
    _existing_region(facts["region"])
    if facts["account"]:
        account_id(facts["account"])
    if facts["role"]:
        role_arn(facts["role"])
    for name, value in sources.items():
        if name not in _SOURCES:
            raise BadInput(
                f"--source knows no {for_terminal(name)}", hint=f"choose among {', '.join(_SOURCES)}"
            )
        if name == "topic":
            topic_arn(value)
        if name == "evidence_owner":
            account_id(value)
        if name == "evidence_bucket":
            bucket_name(value)
        if name in _IAM and arn_parts(value).service != "iam":
            raise BadInput(
                f"--source {name}: {for_terminal(value)} is no ARN of IAM", hint="see its stack's outputs"
            )
        if name == "approvers":
            _approvers(value)
    destination.Destination.parsed(sources, home=facts["region"])


def _approvers(path: str) -> None:
    from irkit.approvals import registry

    if not Path(path).is_absolute():
        raise BadInput(
            f"--source approvers: {for_terminal(path)} is a relative path",
            hint="give the whole path: cases move",
        )
    registry.load(Path(path))


def same(opened: Case, sources: Mapping[str, str], **facts: Any) -> None:
    """Raise `BadInput` when the case was there already and is about something else."""
    fixed = {**opened.facts.sources, **{n: getattr(opened.facts, n) for n in _FIXED}}
    for name, value in {**sources, **{n: facts[n] for n in _FIXED}}.items():
        if value and value != fixed.get(name):
            raise BadInput(
                f"case {opened.id} is there already, with {name} {fixed.get(name) or 'not given'}, "
                f"not {for_terminal(value)}",
                hint="what a case is about is fixed when it is opened; open another case",
            )


def _existing_region(text: str) -> None:
    from botocore.session import Session

    region_name(text)
    known = Session()
    for partition in known.get_available_partitions():
        if text in known.get_available_regions("ec2", partition):
            return
    raise NotFound(
        f"there is no region {text} as far as the installed botocore knows",
        hint="it looks like us-east-1; for a region that is newer than botocore: pip install -U boto3",
    )
