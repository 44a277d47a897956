"""Credentials beyond the instance's own: users' access keys, and sessions of roles that the intruder assumed.

Both reach further than one machine, so neither is part of an instance's containment; each is a plan of its own, made
from what the logs show.

References:
    https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_use_revoke-sessions.html
    https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_access-keys.html
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from irkit.aws.refusals import translating
from irkit.canonical import timestamp
from irkit.contain import history
from irkit.contain.control import Args, Changed, Control, State, call, request_id, unreadable
from irkit.contain.policies import deny, on_role
from irkit.errors import InvalidParameter, IrkitError, WrongState
from irkit.plan import Plan, Running, Step, Undo

if TYPE_CHECKING:
    from irkit.case import Case

STAGE = 20


def _read_key(case: Case, target: str, args: Args) -> State:
    pages = case.client("iam").get_paginator("list_access_keys").paginate(UserName=args["user"])
    held = [k for page in pages for k in page["AccessKeyMetadata"] if k["AccessKeyId"] == target]
    return {"Status": held[0]["Status"] if held else None}


def _deactivate(running: Running, state: State) -> Changed:
    if state["Status"] is None:
        raise WrongState(
            f"user {running.step.args['user']} has no access key {running.step.target}",
            hint="look in CloudTrail for who deleted it; a deleted key is of no use to anybody",
        )
    said = running.case.client("iam").update_access_key(
        UserName=running.step.args["user"], AccessKeyId=running.step.target, Status="Inactive"
    )
    return Changed(request_ids=request_id(said))


def _activate(target: str, args: Args, before: State, _: State) -> Undo:
    return Undo(
        calls=(
            call(
                "iam", "UpdateAccessKey", UserName=args["user"], AccessKeyId=target, Status=before["Status"]
            ),
        )
    )


ROLE_SESSIONS = on_role(
    "identity.role-sessions", "every session of the role that is older than the cut is denied"
)
KEY = Control(
    verb="identity.key",
    intended="the access key is inactive",
    read=_read_key,
    reached=lambda _c, _t, _a, state: state["Status"] == "Inactive",
    change=_deactivate,
    undo=_activate,
)
CONTROLS = (ROLE_SESSIONS, KEY)


def keys(case: Case, access_key_ids: Iterable[str], *, user: str | None = None) -> Plan:
    """A plan that makes long-term access keys inactive; undone, they have the status that they had.

    `user` is their owner; AWS is asked for each key when it is not given. Raises `InvalidParameter` for keys of a
    session (ASIA…), which belong to nobody: their role's sessions are revoked instead.
    """
    made: list[Step] = []
    for key in dict.fromkeys(access_key_ids):
        if not key.startswith("AKIA") or not key.isalnum():
            raise InvalidParameter(
                f"{key[:32]!r} is not a user's access key id",
                hint="AKIA… keys are deactivated; for ASIA… ones revoke the role's sessions",
            )
        try:
            owner = user or _owner(case, key)
        except IrkitError as why:
            made.append(
                unreadable(
                    "identity.key-owner",
                    key,
                    title=f"find the owner of access key {key}",
                    why=why,
                    stage=STAGE,
                )
            )
            continue
        made.append(
            KEY.step(
                case,
                key,
                {"user": owner},
                stage=STAGE,
                reversible="sets the status that was there",
                title=f"make access key {key} of user {owner} inactive",
            )
        )
    return Plan(case, made, title="deactivate access keys")


def _owner(case: Case, key: str) -> str:
    with translating("find the owner of access key", key):
        return str(case.client("iam").get_access_key_last_used(AccessKeyId=key)["UserName"])


def sessions(case: Case, role_name: str, *, before: datetime | None = None) -> Plan:
    """A plan that denies every session of `role_name` issued before `before` (aware; default: now, kept for a retry).

    It reaches everybody who uses the role: sessions begun later work, running ones must be renewed. It is for a role
    that the intruder assumed; the instance's own is cut by `identity.session` without harm to others.
    """
    if before is not None and before.tzinfo is None:
        raise InvalidParameter(
            "the time before which sessions are revoked has no time zone",
            hint="give it in UTC: 2026-11-23T14:00:00Z",
        )
    earlier = [
        b
        for b in history.begun(case)
        if b.verb == ROLE_SESSIONS.verb and b.target == role_name and before is None
    ]
    args = earlier[-1].args if earlier else _older(case, before or case.journal.now())
    step = ROLE_SESSIONS.step(
        case,
        role_name,
        args,
        stage=STAGE,
        reversible="takes the policy off the role, or puts back what it said",
        title=f"deny every session of role {role_name} issued before {args['before']}, whoever holds it",
    )
    return Plan(case, [step], title=f"revoke older sessions of {role_name}")


def _older(case: Case, before: datetime) -> dict[str, Any]:
    moment = timestamp(before.replace(microsecond=0))
    document = deny(sid="IrkitOlderSessions", condition={"DateLessThan": {"aws:TokenIssueTime": moment}})
    return {"policy": f"irkit-revoke-{case.id}", "before": moment, "document": document}
