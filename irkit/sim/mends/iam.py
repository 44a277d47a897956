"""IAM: ids of the right kind, the AWS managed policies that matter here, and policy simulation."""

from __future__ import annotations

import fnmatch
import json
import string
from typing import Any

from moto.core.responses import ActionResult
from moto.iam import models
from moto.iam.models import IAMBackend, User
from moto.iam.responses import IamResponse
from moto.moto_api._internal import mock_random

from irkit.sim import authority, callers
from irkit.sim.faults import Refusal
from irkit.sim.seams import adds, mends

_MANAGED = {
    "AdministratorAccess": {"Effect": "Allow", "Action": "*", "Resource": "*"},
    "AWSDenyAll": {"Sid": "DenyAll", "Effect": "Deny", "Action": ["*"], "Resource": "*"},
    "ReadOnlyAccess": {"Effect": "Allow", "Action": ["*:Describe*", "*:Get*", "*:List*"], "Resource": "*"},
    "SecurityAudit": {"Effect": "Allow", "Action": ["*:Describe*", "*:Get*", "*:List*"], "Resource": "*"},
    "AmazonSSMManagedInstanceCore": {
        "Effect": "Allow",
        "Action": ["ssm:UpdateInstanceInformation", "ssm:GetDocument", "ssmmessages:*", "ec2messages:*"],
        "Resource": "*",
    },
}
_AWS_POLICY = "arn:aws:iam::aws:policy/"


@mends(User, "__init__")
def user(original: Any, self: Any, *args: Any, **kwargs: Any) -> None:
    """A user whose id looks like a user's."""
    original(self, *args, **kwargs)
    self.id = "AIDA" + "".join(mock_random.choice(string.ascii_uppercase + string.digits) for _ in range(17))


def _load_managed(backend: Any, arn: str) -> None:
    name = arn.removeprefix(_AWS_POLICY)
    if arn in backend.managed_policies or name not in _MANAGED:
        return
    document = json.dumps({"Version": "2012-10-17", "Statement": [_MANAGED[name]]})
    make: Any = models.AWSManagedPolicy
    backend.managed_policies[arn] = make(
        name, account_id=backend.account_id, region="us-east-1", document=document, path="/"
    )


def _loading(name: str, position: int) -> None:
    @mends(IAMBackend, name)
    def attach(original: Any, self: Any, *args: Any, **kwargs: Any) -> Any:
        arn = kwargs.get("policy_arn") or (args[position] if len(args) > position else "")
        _load_managed(self, str(arn))
        return original(self, *args, **kwargs)


for _name, _position in (
    ("attach_role_policy", 0),
    ("attach_user_policy", 0),
    ("get_policy", 0),
    ("get_policy_version", 0),
):
    _loading(_name, _position)


@adds(IamResponse)
def simulate_principal_policy(self: Any) -> ActionResult:
    """What the identity-based policies of a user or role say about each action."""
    caller = _principal(str(self._get_param("PolicySourceArn")))
    resources = self._get_param("ResourceArns") or ["*"]
    context = authority.context_of(caller)
    for entry in self._get_param("ContextEntries") or []:
        context[str(entry["ContextKeyName"]).lower()] = str((entry.get("ContextKeyValues") or [""])[0])
    rules = [
        statement for document in authority.documents(caller) for statement in authority.statements(document)
    ]
    results = []
    for action in self._get_param("ActionNames") or []:
        for resource in resources:
            decision, matched = _decide(rules, action, resource, context)
            results.append(
                {
                    "EvalActionName": action,
                    "EvalResourceName": resource,
                    "EvalDecision": decision,
                    "MatchedStatements": [{"SourcePolicyType": "IAM Policy"} for _ in range(matched)],
                    "MissingContextValues": [],
                }
            )
    return ActionResult({"EvaluationResults": results, "IsTruncated": False})


def _principal(arn: str) -> callers.Caller:
    from moto.iam.models import iam_backends

    account = arn.split(":")[4] if arn.count(":") >= 5 else ""
    backend = iam_backends[account]["aws"] if account else None
    if backend is not None:
        for found in list(backend.users.values()):
            if found.arn == arn:
                return callers.Caller(
                    kind="IAMUser", account=account, access_key="", arn=arn, principal_id=found.id, user=found
                )
        for role in list(backend.roles.values()):
            if role.arn == arn:
                session = _RoleAlone(role_arn=arn)
                return callers.Caller(
                    kind="AssumedRole",
                    account=account,
                    access_key="",
                    arn=arn,
                    principal_id=role.id,
                    role=role,
                    session=session,
                )
    raise Refusal("NoSuchEntity", f"{arn} cannot be found.", 404)


class _RoleAlone:
    """Stands for a role without a session, so that its policies can be read like a session's."""

    issued_at = None
    policy = None

    def __init__(self, *, role_arn: str) -> None:
        self.role_arn = role_arn


def _decide(
    rules: list[dict[str, Any]], action: str, resource: str, context: dict[str, str]
) -> tuple[str, int]:
    hits = [
        rule
        for rule in rules
        if authority.action_matches(rule, action)
        and _covers(rule, resource)
        and authority.conditions_hold(rule.get("Condition") or {}, context)
    ]
    if any(rule.get("Effect") == "Deny" for rule in hits):
        return "explicitDeny", len(hits)
    return ("allowed" if hits else "implicitDeny"), len(hits)


def _covers(rule: dict[str, Any], resource: str) -> bool:
    listed = rule.get("Resource", "*")
    listed = [listed] if isinstance(listed, str) else listed
    return any(fnmatch.fnmatchcase(resource, pattern) for pattern in listed)
