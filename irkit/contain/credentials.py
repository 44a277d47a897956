"""Credentials beyond the instance's own: access keys, and sessions of roles that the intruder assumed.

They reach further than one machine, so none is part of an instance's containment; each is a plan of its own, made from
what the logs show. `chained` makes one out of the chain that a question to CloudTrail found. Users as a whole are in
`irkit.contain.users`.

References:
    https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_use_revoke-sessions.html
    https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_access-keys.html
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from irkit.aws.names import arn_parts
from irkit.aws.refusals import translating
from irkit.canonical import digest, timestamp
from irkit.contain import history, policies, roles
from irkit.contain.control import Args, Changed, Control, State, call, request_id, unreadable
from irkit.contain.revocation import SOURCE, on_role
from irkit.contain.roles import Role, beyond_reach
from irkit.errors import InvalidParameter, IrkitError, WrongState
from irkit.escape import for_terminal
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
ASSUMED = on_role("identity.assumed-session", "every call with this session of the role is denied")
KEY = Control(
    verb="identity.key",
    intended="the access key is inactive",
    read=_read_key,
    reached=lambda _c, _t, _a, state: state["Status"] == "Inactive",
    change=_deactivate,
    undo=_activate,
)
CONTROLS = (ROLE_SESSIONS, ASSUMED, KEY)


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
        made.append(key_step(case, key, owner))
    return Plan(case, made, title="deactivate access keys")


def key_step(case: Case, key: str, owner: str) -> Step:
    """The step that makes the access key `key` of the user `owner` inactive."""
    return KEY.step(
        case,
        key,
        {"user": owner},
        stage=STAGE,
        reversible="sets the status that was there",
        title=f"make access key {key} of user {owner} inactive",
    )


def _owner(case: Case, key: str) -> str:
    with translating("find the owner of access key", key):
        said = case.client("iam").get_access_key_last_used(AccessKeyId=key)
    if not (owner := said.get("UserName")):
        raise WrongState(
            f"access key {key} belongs to no user of this account, so perhaps to its root user",
            hint="only the root user itself can switch its keys off; sign in as root, or ask the management account",
        )
    return str(owner)


def sessions(case: Case, role_name: str, *, before: datetime | None = None) -> Plan:
    """A plan that denies every session of `role_name` issued before `before` (aware; default: now, kept for a retry).

    It reaches everybody who uses the role: sessions begun later work, running ones must be renewed. It is for a role
    that the intruder assumed; the instance's own is cut by `identity.session` without harm to others. A role that
    nobody can edit becomes a step that says so; raises `NotFound` where there is no such role.
    """
    if before is not None and before.tzinfo is None:
        raise InvalidParameter(
            "the time before which sessions are revoked has no time zone",
            hint="give it in UTC: 2026-11-23T14:00:00Z",
        )
    role = roles.named(case, role_name)
    title = f"revoke older sessions of {role.name}"
    if why := role.unrevocable:
        return Plan(case, [beyond_reach(role.arn, None, why=why, stage=STAGE)], title=title)
    return Plan(case, [older_sessions(case, role, before=before)], title=title)


def older_sessions(
    case: Case, role: Role, *, before: datetime | None, room: bool = False, also: str = ""
) -> Step:
    """The step that denies the sessions of `role` issued before `before`; None: when it was first tried or asked for.

    `room` leaves the SSM agents of all its machines their channel; `also` is for the title.
    """
    known = [
        b.args for b in history.begun(case) if b.verb == ROLE_SESSIONS.verb and b.target == role.name
    ] or history.asked_for(case, ROLE_SESSIONS.verb, role.name)
    earlier = [a for a in known if before is None and policies.has_room(a["document"]) == room]
    args = earlier[-1] if earlier else _older(case, role, before or case.journal.now(), room=room)
    return ROLE_SESSIONS.step(
        case,
        role.name,
        {k: v for k, v in args.items() if k != "again"},
        stage=STAGE,
        reversible="takes the policy off the role, or puts back what it said",
        title=f"deny every session of role {role.name} issued before {args['before']}, whoever holds it{also}",
    )


def _older(case: Case, role: Role, before: datetime, *, room: bool) -> dict[str, Any]:
    moment = timestamp(before.replace(microsecond=0))
    document = policies.deny(
        sid="IrkitOlderSessions",
        condition={"DateLessThan": {"aws:TokenIssueTime": moment}},
        room=policies.SSM_CHANNEL if room else (),
    )
    return {
        "role_arn": role.arn,
        "policy": f"irkit-revoke-{case.id}",
        "before": moment,
        "document": document,
    }


def chained(case: Case, edges: Iterable[Mapping[str, Any]], *, role_wide: bool = False) -> Plan:
    """A plan that revokes what the intruder turned stolen credentials into; `edges` are rows of the edge table.

    That is what `hunt`'s questions `role_chain` and `issued_keys` answer with: `kind`, `issued_access_key_id`,
    `issued_arn`, `role_arn`. A role session is denied by its own name (`role_wide` adds every older session of that
    role, for an intruder who can assume it again takes another name); a created access key is made inactive. What
    cannot be revoked here becomes a step that says why and who can.
    """
    made: dict[tuple[str, str], Step] = {}
    for row in edges:
        for step in _revoked(case, row, role_wide=role_wide):
            made.setdefault((step.verb, f"{step.target} {step.args.get('userid', '')}"), step)
    return Plan(case, made.values(), title="revoke what was made of the stolen credentials")


def _revoked(case: Case, row: Mapping[str, Any], *, role_wide: bool) -> list[Step]:
    kind, key = str(row.get("kind")), str(row.get("issued_access_key_id"))
    try:
        if kind == "access_key":
            return list(keys(case, [key]).steps)
        if kind == "role_session":
            return _assumed(case, str(row.get("issued_arn")), role_wide=role_wide)
    except IrkitError as why:
        return [unreadable("identity.chain", key, title=f"find out whose {key} is", why=why, stage=STAGE)]
    told = {
        "federation": f"{key} is a federation token: it lives on until it expires, 36 hours at most; a deny on the "
        "user who asked for it (contain.user) takes away what it may do",
        "session_token": f"{key} is a session token of a user or of root: a deny on the user (contain.user) takes away "
        "what it may do; one of root cannot be revoked by anybody before it expires",
    }
    limit = told.get(kind, f"{key} is of a kind that is not known here ({for_terminal(kind)})")
    return [beyond_reach(key, None, why=limit, stage=STAGE)]


def _assumed(case: Case, session_arn: str, *, role_wide: bool) -> list[Step]:
    """The steps for one role session, whose ARN is `arn:aws:sts::<account>:assumed-role/<role>/<session>`."""
    parts = arn_parts(session_arn)
    kind, _, rest = parts.resource.partition("/")
    name, _, session = rest.rpartition("/")
    name = name.rpartition("/")[2]
    if kind != "assumed-role" or not name:
        raise InvalidParameter(
            f"{for_terminal(session_arn)} is not the session of a role",
            hint="it looks like arn:aws:sts::111122223333:assumed-role/Name/session",
        )
    here = case.facts.account or case.aws.identity().account
    if parts.account != here:
        why = (
            f"role {name} is in account {parts.account}, not in {here}: open a case there, or tell its owner, "
            f"to revoke the session {for_terminal(session)}"
        )
        return [beyond_reach(session_arn, None, why=why, stage=STAGE)]
    role = roles.named(case, name)
    if why_not := role.unrevocable:
        return [beyond_reach(role.arn, None, why=why_not, stage=STAGE)]
    found = [_assumed_step(case, role, session)]
    return found + ([older_sessions(case, role, before=None)] if role_wide else [])


def _assumed_step(case: Case, role: Role, session: str) -> Step:
    userid = f"{role.id}:{session}"
    args: dict[str, Any] = {
        "role_arn": role.arn,
        "userid": userid,
        "policy": f"irkit-deny-{case.id}-{digest(userid)[:12]}",
        "document": policies.deny(
            sid="IrkitAssumedSession", condition={"StringEquals": {"aws:userid": userid}}
        ),
    }
    if stack := case.facts.sources.get(SOURCE):
        args["stack"] = stack
    return ASSUMED.step(
        case,
        role.name,
        args,
        stage=STAGE,
        reversible="takes the policy off the role, or puts back what it said",
        title=f"deny every call of the session {for_terminal(session)} of role {role.name}; others on the role go on",
    )
