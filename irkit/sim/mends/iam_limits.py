"""IAM's quotas, and the roles that IAM does not let anybody edit.

References:
    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
    https://docs.aws.amazon.com/IAM/latest/UserGuide/using-service-linked-roles.html
    https://docs.aws.amazon.com/singlesignon/latest/userguide/permissionsetsconcept.html
"""

from __future__ import annotations

import re
from typing import Any

from moto.iam.models import IAMBackend

from irkit.sim.faults import Refusal
from irkit.sim.seams import mends

# Characters of all inline policies together, white space not counted; managed policies on one identity; tags of a role.
_INLINE = {"role": 10_240, "user": 2_048}
_ATTACHED = 10
_TAGS = 50
_KEPT_BY_AWS = ("/aws-service-role/", "/aws-reserved/")


def _unmodifiable(role: Any) -> None:
    if str(role.path).startswith(_KEPT_BY_AWS):
        raise Refusal(
            "UnmodifiableEntity",
            f"Cannot perform the operation on the protected role '{role.name}' - this role is only modifiable by AWS",
        )


def _length(document: Any) -> int:
    return len(re.sub(r"\s", "", str(document)))


def _room(kind: str, holder: Any, name: str, document: str) -> None:
    held = sum(_length(text) for other, text in dict(holder.policies).items() if other != name)
    if held + _length(document) > _INLINE[kind]:
        raise Refusal(
            "LimitExceeded",
            f"Maximum policy size of {_INLINE[kind]} bytes exceeded for {kind} {holder.name}",
            409,
        )


def _one_more(kind: str, holder: Any, arn: str) -> None:
    if arn not in holder.managed_policies and len(holder.managed_policies) >= _ATTACHED:
        raise Refusal("LimitExceeded", f"Cannot exceed quota for PoliciesPer{kind.title()}: {_ATTACHED}", 409)


@mends(IAMBackend, "put_role_policy")
def put_role_policy(original: Any, self: Any, role_name: str, policy_name: str, policy_json: str) -> None:
    """Put an inline policy on a role that is not AWS's own, as far as there is room."""
    role = self.get_role(role_name)
    _unmodifiable(role)
    _room("role", role, policy_name, policy_json)
    original(self, role_name, policy_name, policy_json)


@mends(IAMBackend, "put_user_policy")
def put_user_policy(original: Any, self: Any, user_name: str, policy_name: str, policy_json: str) -> None:
    """Put an inline policy on a user, as far as there is room."""
    _room("user", self.get_user(user_name), policy_name, policy_json)
    original(self, user_name, policy_name, policy_json)


@mends(IAMBackend, "attach_role_policy")
def attach_role_policy(original: Any, self: Any, policy_arn: str, role_name: str) -> None:
    """Attach a managed policy to a role that is not AWS's own and has less than ten."""
    role = self.get_role(role_name)
    _unmodifiable(role)
    _one_more("role", role, policy_arn)
    original(self, policy_arn, role_name)


@mends(IAMBackend, "attach_user_policy")
def attach_user_policy(original: Any, self: Any, policy_arn: str, user_name: str) -> None:
    """Attach a managed policy to a user that has less than ten."""
    _one_more("user", self.get_user(user_name), policy_arn)
    original(self, policy_arn, user_name)


@mends(IAMBackend, "tag_role")
def tag_role(original: Any, self: Any, role_name: str, tags: list[dict[str, str]]) -> None:
    """Tag a role that is not AWS's own, with 50 tags at most."""
    role = self.get_role(role_name)
    _unmodifiable(role)
    if len({t["Key"] for t in role.tags} | {t["Key"] for t in tags}) > _TAGS:
        raise Refusal("LimitExceeded", f"The number of tags has reached the maximum limit of {_TAGS}.", 409)
    original(self, role_name, tags)
