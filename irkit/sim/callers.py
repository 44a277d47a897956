"""Who signed a request: a user, a role session, or nobody that the simulated accounts know."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """The principal behind one request, with moto's own objects where it has them."""

    kind: str  # IAMUser, AssumedRole, Unknown or Anonymous
    account: str
    access_key: str
    arn: str
    principal_id: str
    user: Any = None
    role: Any = None
    session: Any = None
    active: bool = True

    @property
    def issued(self) -> datetime | None:
        """When the role session was issued (aws:TokenIssueTime); None for long-term keys."""
        return session_issued(self.session) if self.session is not None else None


def session_issued(session: Any) -> datetime:
    """The issue time of a moto role session, aware and in UTC."""
    issued = getattr(session, "issued_at", None)
    if issued is None:
        issued = datetime.now(UTC)
        session.issued_at = issued
    return issued if issued.tzinfo else issued.replace(tzinfo=UTC)


def identify(access_key: str | None, account: str) -> Caller:
    """The caller that holds `access_key`; `account` is where moto would send an unknown one."""
    from moto.iam.models import iam_backends
    from moto.sts.models import sts_backends

    if not access_key:
        return Caller(kind="Anonymous", account=account, access_key="", arn="", principal_id="anonymous")
    for owner in list(sts_backends):
        session = sts_backends[owner]["aws"].get_assumed_role_from_access_key(access_key)
        if session is not None:
            return Caller(
                kind="AssumedRole",
                account=owner,
                access_key=access_key,
                arn=session.arn,
                principal_id=session.user_id,
                role=_role(session.role_arn, owner),
                session=session,
            )
    for owner in list(iam_backends):
        backend = iam_backends[owner]["aws"]
        for user in list(backend.users.values()):
            for key in user.access_keys:
                if key.access_key_id == access_key:
                    return Caller(
                        kind="IAMUser",
                        account=owner,
                        access_key=access_key,
                        arn=user.arn,
                        principal_id=user.id,
                        user=user,
                        active=key.status == "Active",
                    )
    return Caller(kind="Unknown", account=account, access_key=access_key, arn="", principal_id="unknown")


def _role(role_arn: str, account: str) -> Any:
    from moto.iam.models import iam_backends

    try:
        return iam_backends[account]["aws"].get_role_by_arn(role_arn)
    except Exception:  # noqa: BLE001 - moto raises a different class per version when the role was deleted meanwhile
        return None


def user_identity(caller: Caller) -> dict[str, Any]:
    """The `userIdentity` element that CloudTrail writes for this caller.

    References:
        https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-user-identity.html
    """
    if caller.kind == "IAMUser":
        return {
            "type": "IAMUser",
            "principalId": caller.principal_id,
            "arn": caller.arn,
            "accountId": caller.account,
            "accessKeyId": caller.access_key,
            "userName": caller.user.name,
        }
    if caller.kind == "AssumedRole":
        session = caller.session
        issuer_name = session.role_arn.rsplit("/", 1)[-1]
        context: dict[str, Any] = {
            "sessionIssuer": {
                "type": "Role",
                "principalId": caller.principal_id.split(":", 1)[0],
                "arn": session.role_arn,
                "accountId": caller.account,
                "userName": issuer_name,
            },
            "attributes": {
                "creationDate": session_issued(session).strftime("%Y-%m-%dT%H:%M:%SZ"),
                "mfaAuthenticated": "false",
            },
        }
        if source := getattr(session, "source_identity", None):
            context["sourceIdentity"] = source
        if getattr(session, "from_instance", False):
            context["ec2RoleDelivery"] = "2.0"
        return {
            "type": "AssumedRole",
            "principalId": caller.principal_id,
            "arn": caller.arn,
            "accountId": caller.account,
            "accessKeyId": caller.access_key,
            "sessionContext": context,
        }
    if caller.kind == "Anonymous":
        return {"type": "AWSAccount", "principalId": "", "accountId": "anonymous"}
    return {
        "type": "Unknown",
        "principalId": "",
        "accountId": caller.account,
        "accessKeyId": caller.access_key,
    }


def session_name(identity: dict[str, Any]) -> str:
    """What Event History calls the user name: the user, the role session's name, or `root`."""
    if identity.get("type") == "Root":
        return "root"
    name = identity.get("userName")
    if name:
        return str(name)
    arn = str(identity.get("arn") or identity.get("principalId") or "")
    return arn.rsplit("/", 1)[-1] if arn else str(identity.get("invokedBy", ""))
