"""The documents that containment denies with: for one session, for older ones, and for whoever a role's tags name.

Three things can carry such a deny to a role (`irkit.contain.revocation`): an inline policy, a managed policy that irkit
makes, or the *revocation policy* of the account's own stack, whose content nobody needs a right to write: it denies
the sessions whose `aws:userid` stands in certain tags of their role.

References:
    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html
    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_notaction.html
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote

# What the agent needs to take a command and answer it (AmazonSSMManagedInstanceCore, less what reads parameters).
# https://docs.aws.amazon.com/systems-manager/latest/userguide/systems-manager-setting-up-messageAPIs.html
SSM_CHANNEL = (
    "ec2messages:AcknowledgeMessage",
    "ec2messages:DeleteMessage",
    "ec2messages:FailMessage",
    "ec2messages:GetEndpoint",
    "ec2messages:GetMessages",
    "ec2messages:SendReply",
    "ssm:DescribeAssociation",
    "ssm:DescribeDocument",
    "ssm:GetDocument",
    "ssm:GetManifest",
    "ssm:ListAssociations",
    "ssm:ListInstanceAssociations",
    "ssm:UpdateAssociationStatus",
    "ssm:UpdateInstanceAssociationStatus",
    "ssm:UpdateInstanceInformation",
    "ssmmessages:CreateControlChannel",
    "ssmmessages:CreateDataChannel",
    "ssmmessages:OpenControlChannel",
    "ssmmessages:OpenDataChannel",
)
_SLOTS = 4
_NOBODY = "nobody"


def deny(*, sid: str, condition: Mapping[str, Any], room: Iterable[str] = ()) -> dict[str, Any]:
    """A policy that denies everything, but for the actions in `room`, where `condition` holds."""
    return {
        "Version": "2012-10-17",
        "Statement": [_statement(sid=sid, condition=condition, room=room)],
    }


def _statement(*, sid: str, condition: Mapping[str, Any], room: Iterable[str]) -> dict[str, Any]:
    actions: dict[str, Any] = {"NotAction": sorted(room)} if room else {"Action": "*"}
    return {"Sid": sid, "Effect": "Deny", **actions, "Resource": "*", "Condition": dict(condition)}


def without_room(document: Mapping[str, Any]) -> dict[str, Any]:
    """The same deny with nothing left out of it."""
    held = [{k: v for k, v in s.items() if k != "NotAction"} | {"Action": "*"} for s in document["Statement"]]
    return {**document, "Statement": held}


def has_room(document: Mapping[str, Any]) -> bool:
    """Whether the deny leaves some actions out."""
    return any("NotAction" in s for s in document["Statement"])


def slots(*, room: bool) -> tuple[str, ...]:
    """The role tags that the revocation policy looks for a session in; one session a tag."""
    name = "irkit-denied-but-ssm" if room else "irkit-denied"
    return tuple(f"{name}-{number}" for number in range(1, _SLOTS + 1))


def revocation_policy() -> dict[str, Any]:
    """The revocation policy, which does nothing until a tag of the role names a session: `role id:session name`.

    Whoever may attach it and set these tags, and nothing else, can take access away but can give none.
    """
    return {
        "Version": "2012-10-17",
        "Statement": [
            _statement(sid="DeniedByTag", condition=_named(slots(room=False)), room=()),
            _statement(sid="DeniedByTagButSsm", condition=_named(slots(room=True)), room=SSM_CHANNEL),
        ],
    }


def _named(tags: Iterable[str]) -> dict[str, Any]:
    # Without a default, a tag that is not there would leave the statement's meaning to chance.
    return {"StringEquals": {"aws:userid": [f"${{aws:PrincipalTag/{tag}, '{_NOBODY}'}}" for tag in tags]}}


def as_text(document: Mapping[str, Any]) -> str:
    """The document as IAM takes it: as short as it gets, for its quotas count characters."""
    return json.dumps(document, separators=(",", ":"), sort_keys=True)


def as_document(said: Any) -> Any:
    """A document as IAM gives it: botocore decodes some answers and leaves others as percent-encoded text."""
    return json.loads(unquote(said)) if isinstance(said, str) else said
