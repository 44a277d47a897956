"""Who is refused: unknown and inactive keys, ended sessions, regions that are off, and what a policy denies.

Allows are not evaluated: a caller of the simulated accounts may do whatever no Deny statement forbids. Deny statements
are, with Action/NotAction, `Resource: *`, policy variables with defaults, and the conditions that containment uses, so
that a cut can be seen to work.
"""

from __future__ import annotations

import fnmatch
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from irkit.sim import world
from irkit.sim.callers import Caller
from irkit.sim.faults import Refusal

_S3_ACTIONS = {
    "ListBuckets": "s3:ListAllMyBuckets",
    "ListObjects": "s3:ListBucket",
    "ListObjectsV2": "s3:ListBucket",
    "HeadBucket": "s3:ListBucket",
    "ListObjectVersions": "s3:ListBucketVersions",
    "HeadObject": "s3:GetObject",
    "CopyObject": "s3:PutObject",
    "CreateMultipartUpload": "s3:PutObject",
    "UploadPart": "s3:PutObject",
    "CompleteMultipartUpload": "s3:PutObject",
    "DeleteObjects": "s3:DeleteObject",
}
_PREFIXES = {"elbv2": "elasticloadbalancing", "elb": "elasticloadbalancing", "cloudwatch": "cloudwatch"}
_VARIABLE = re.compile(r"\$\{(?P<name>[\w:/.+=@-]+)(?:, '(?P<default>[^']*)')?\}")
_UNSIGNED = {"AssumeRoleWithSAML", "AssumeRoleWithWebIdentity"}
_ALWAYS_ALLOWED = {("sts", "GetCallerIdentity")}


def refuse(service: str, operation: str, response: Any, caller: Caller) -> Refusal | None:
    """The error that AWS would answer with before it looks at the call at all; None lets it pass."""
    if operation in _UNSIGNED:
        return None
    if caller.kind == "Anonymous":
        return (
            None
            if service == "s3"
            else Refusal("MissingAuthenticationToken", "Request is missing Authentication Token", 403)
        )
    if caller.kind == "Unknown" or not caller.active:
        return _bad_key(service)
    if response.region in world.DISABLED_REGIONS and service not in {"iam", "s3"}:
        return _bad_key(service)
    if caller.session is not None and _ended(caller.session):
        code = (
            "RequestExpired"
            if service == "ec2"
            else "ExpiredToken"
            if service in {"s3", "sts", "iam"}
            else "ExpiredTokenException"
        )
        return Refusal(code, "The security token included in the request is expired", 403)
    if (service, operation) in _ALWAYS_ALLOWED:
        return None
    action = iam_action(service, operation)
    if denies(caller, action):
        return denial(service, caller, action)
    return None


def iam_action(service: str, operation: str) -> str:
    """The IAM action that a call needs, such as `s3:ListBucket` for ListObjectsV2."""
    if service == "s3":
        return _S3_ACTIONS.get(operation, f"s3:{operation}")
    return f"{_PREFIXES.get(service, service)}:{operation}"


def denial(service: str, caller: Caller, action: str) -> Refusal:
    """The access-denied error of a service, with AWS's wording."""
    why = f"User: {caller.arn} is not authorized to perform: {action} with an explicit deny in an identity-based policy"
    if service == "ec2":
        return Refusal(
            "UnauthorizedOperation", f"You are not authorized to perform this operation. {why}", 403
        )
    if service in {"s3", "iam", "sts", "autoscaling", "elbv2", "elb", "sns", "cloudformation", "cloudwatch"}:
        return Refusal("AccessDenied", why, 403)
    return Refusal("AccessDeniedException", why, 403 if service in {"ebs", "lambda"} else 400)


def denies(caller: Caller, action: str) -> bool:
    """Whether a Deny statement on the caller forbids `action` on every resource."""
    return any(_matches(statement, action, caller) for statement in _deny_statements(caller))


def documents(caller: Caller) -> Iterator[Any]:
    """Identity-based policy documents that apply to the caller: inline, attached, and those of its groups."""
    from moto.iam.models import iam_backends

    holder = caller.role if caller.session is not None else caller.user
    if holder is None:
        return
    if caller.session is not None:
        yield from list(holder.policies.values())
    else:
        yield from [policy["policy_document"] for policy in _inline_of_user(caller)]
        backend = iam_backends[caller.account]["aws"]
        for group in backend.get_groups_for_user(holder.name):
            yield from list(group.policies.values())
            yield from [_document(policy) for policy in group.managed_policies.values()]
    yield from [_document(policy) for policy in list(holder.managed_policies.values())]
    session_policy = getattr(caller.session, "policy", None)
    if session_policy:
        yield session_policy


def _document(policy: Any) -> Any:
    return next((v.document for v in policy.versions if v.version_id == policy.default_version_id), None)


def _inline_of_user(caller: Caller) -> list[dict[str, Any]]:
    from moto.iam.models import iam_backends

    backend = iam_backends[caller.account]["aws"]
    name = caller.user.name
    return [backend.get_user_policy(name, policy) for policy in backend.list_user_policies(name)]


def statements(document: Any) -> list[dict[str, Any]]:
    """The statements of a policy document given as JSON text or as a mapping; an unreadable one has none."""
    try:
        parsed = json.loads(document) if isinstance(document, str) else document
    except ValueError:
        return []
    found = (parsed or {}).get("Statement", [])
    return [found] if isinstance(found, dict) else [s for s in found if isinstance(s, dict)]


def _deny_statements(caller: Caller) -> Iterator[dict[str, Any]]:
    for document in documents(caller):
        for statement in statements(document):
            if statement.get("Effect") == "Deny":
                yield statement


def _listed(value: Any) -> list[str]:
    return [str(v) for v in value] if isinstance(value, list) else [] if value is None else [str(value)]


def action_matches(statement: dict[str, Any], action: str) -> bool:
    """Whether the statement's Action or NotAction covers `action` (case does not matter)."""
    wanted = action.lower()
    if "NotAction" in statement:
        return not any(fnmatch.fnmatchcase(wanted, p.lower()) for p in _listed(statement["NotAction"]))
    return any(fnmatch.fnmatchcase(wanted, p.lower()) for p in _listed(statement.get("Action")))


def _matches(statement: dict[str, Any], action: str, caller: Caller) -> bool:
    if not action_matches(statement, action):
        return False
    if "*" not in _listed(statement.get("Resource", "*")):
        return False
    return conditions_hold(statement.get("Condition") or {}, context_of(caller))


def context_of(caller: Caller) -> dict[str, str]:
    """The condition keys that the simulator knows about a caller, lower-cased."""
    arn = caller.session.role_arn if caller.session is not None else caller.arn
    context = {
        "aws:userid": caller.principal_id,
        "aws:principalarn": arn,
        "aws:principalaccount": caller.account,
        "aws:securetransport": "true",
    }
    if caller.user is not None:
        context["aws:username"] = caller.user.name
        context["aws:principaltype"] = "User"
        context["aws:userid"] = caller.user.id
    if caller.issued is not None:
        context["aws:tokenissuetime"] = caller.issued.isoformat()
        context["aws:principaltype"] = "AssumedRole"
        # The tags of the role belong to the context of its sessions; a session tag of the same key goes before.
        for tag in list(getattr(caller.role, "tags", None) or []):
            context[f"aws:principaltag/{str(tag['Key']).lower()}"] = str(tag["Value"])
        if source := getattr(caller.session, "source_identity", None):
            context["aws:sourceidentity"] = source
        for key, value in (getattr(caller.session, "session_tags", None) or {}).items():
            context[f"aws:principaltag/{key.lower()}"] = value
    return context


def conditions_hold(conditions: dict[str, Any], context: dict[str, str]) -> bool:
    """Whether all conditions hold; an operator that is not simulated never holds."""
    return all(
        _holds(operator, key.lower(), _resolved(operator, _listed(values), context), context)
        for operator, block in conditions.items()
        for key, values in block.items()
    )


def _resolved(operator: str, values: list[str], context: dict[str, str]) -> list[str]:
    """`values` with their policy variables filled in; one that has neither a value nor a default matches nothing.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html
    """
    if not operator.lower().split(":")[-1].startswith(("string", "arn")):
        return values
    return [filled for value in values if (filled := _filled(value, context)) is not None]


def _filled(value: str, context: dict[str, str]) -> str | None:
    lost = False

    def substitute(found: re.Match[str]) -> str:
        nonlocal lost
        name, default = found["name"].lower(), found["default"]
        lost = lost or (name not in context and default is None)
        return context.get(name, default or "")

    filled = _VARIABLE.sub(substitute, value)
    return None if lost else filled


def _holds(operator: str, key: str, values: list[str], context: dict[str, str]) -> bool:
    name = operator.lower().split(":")[-1]
    optional = name.endswith("ifexists")
    name = name.removesuffix("ifexists")
    present = key in context
    if name == "null":
        return [v.lower() for v in values] == [str(not present).lower()]
    if not present:
        return optional or name.startswith(("stringnot", "arnnot"))
    actual = context[key]
    if name in {"stringequals", "arnequals", "bool"}:
        if name == "bool":
            return actual.lower() in [v.lower() for v in values]
        return (
            actual in values
            if name == "stringequals"
            else any(fnmatch.fnmatchcase(actual, v) for v in values)
        )
    if name == "stringnotequals":
        return actual not in values
    if name == "stringequalsignorecase":
        return actual.lower() in [v.lower() for v in values]
    if name in {"stringlike", "arnlike"}:
        return any(fnmatch.fnmatchcase(actual, v) for v in values)
    if name in {"stringnotlike", "arnnotlike", "arnnotequals"}:
        return not any(fnmatch.fnmatchcase(actual, v) for v in values)
    if name.startswith("date"):
        return any(_date_holds(name, actual, value) for value in values)
    return False


def _date_holds(operator: str, actual: str, value: str) -> bool:
    try:
        left, right = datetime.fromisoformat(actual), datetime.fromisoformat(value)
    except ValueError:
        return False
    right = right if right.tzinfo else right.replace(tzinfo=UTC)
    return {
        "datelessthan": left < right,
        "datelessthanequals": left <= right,
        "dategreaterthan": left > right,
        "dategreaterthanequals": left >= right,
        "dateequals": left == right,
    }.get(operator, False)


def _ended(session: Any) -> bool:
    expires = session.expiration
    expires = expires if expires.tzinfo else expires.replace(tzinfo=UTC)
    return bool(datetime.now(UTC) > expires)


def _bad_key(service: str) -> Refusal:
    if service == "ec2":
        return Refusal("AuthFailure", "AWS was not able to validate the provided access credentials", 401)
    if service == "s3":
        return Refusal(
            "InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records.", 403
        )
    if service in {"sts", "iam", "autoscaling", "elbv2", "elb", "sns", "cloudformation", "cloudwatch"}:
        return Refusal("InvalidClientTokenId", "The security token included in the request is invalid.", 403)
    return Refusal(
        "UnrecognizedClientException", "The security token included in the request is invalid.", 400
    )
