"""STS: roles must exist and trust the caller; sessions carry their source identity and tags."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from moto.core.responses import ActionResult
from moto.sts.responses import TokenResponse

from irkit.sim import authority, callers
from irkit.sim.faults import Refusal
from irkit.sim.seams import mends

_SESSION_NAME = re.compile(r"^[\w+=,.@-]{2,64}$")
_CHAINED_SECONDS = 3600


@mends(TokenResponse, "assume_role")
def assume_role(original: Any, self: Any) -> ActionResult:
    """Credentials of a role that exists and whose trust policy lets the caller in."""
    role_arn, name = str(self._get_param("RoleArn")), str(self._get_param("RoleSessionName"))
    if not _SESSION_NAME.match(name):
        raise Refusal(
            "ValidationError",
            f"Value '{name}' at 'roleSessionName' failed to satisfy constraint: [\\w+=,.@-]*",
        )
    caller = callers.identify(self.get_access_key(), self.current_account)
    role = _role(role_arn)
    if role is None or not _trusted(role, caller, self._get_param("ExternalId")):
        raise Refusal(
            "AccessDenied",
            f"User: {caller.arn} is not authorized to perform: sts:AssumeRole on resource: {role_arn}",
            403,
        )
    seconds = int(self._get_param("DurationSeconds") or _CHAINED_SECONDS)
    if caller.session is not None and seconds > _CHAINED_SECONDS:
        raise Refusal(
            "ValidationError",
            "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining",
        )
    if seconds > int(role.max_session_duration or _CHAINED_SECONDS):
        raise Refusal(
            "ValidationError",
            "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
        )
    answer: ActionResult = original(self)
    result: Any = answer.result
    session = result["Credentials"]
    session.issued_at = datetime.now(UTC)
    inherited = getattr(caller.session, "source_identity", None)
    session.source_identity = self._get_param("SourceIdentity") or inherited
    session.session_tags = {tag["Key"]: tag["Value"] for tag in self._get_param("Tags") or []}
    if session.source_identity:
        result["SourceIdentity"] = session.source_identity
    return ActionResult(result)


def _role(role_arn: str) -> Any:
    from moto.iam.models import iam_backends

    parts = role_arn.split(":")
    if len(parts) < 6 or not parts[5].startswith("role/"):
        return None
    return next((r for r in list(iam_backends[parts[4]]["aws"].roles.values()) if r.arn == role_arn), None)


def _trusted(role: Any, caller: callers.Caller, external_id: str | None) -> bool:
    context = authority.context_of(caller)
    if external_id:
        context["sts:externalid"] = external_id
    allowed = False
    for statement in authority.statements(role.assume_role_policy_document):
        if not authority.action_matches(statement, "sts:AssumeRole") or not _names(
            statement.get("Principal"), caller
        ):
            continue
        if not authority.conditions_hold(statement.get("Condition") or {}, context):
            continue
        if statement.get("Effect") == "Deny":
            return False
        allowed = True
    return allowed


def _names(principal: Any, caller: callers.Caller) -> bool:
    if principal == "*":
        return True
    listed = (principal or {}).get("AWS", []) if isinstance(principal, dict) else []
    listed = [listed] if isinstance(listed, str) else listed
    own = {caller.arn, caller.account, f"arn:aws:iam::{caller.account}:root", "*"}
    if caller.session is not None:
        own.add(caller.session.role_arn)
    return any(entry in own for entry in listed)
