"""A Deny in an inline policy on a role: the control behind every cut of a role's sessions.

Inline, because it then goes with the role and needs no second resource. IAM refuses it on service-linked and single
sign-on roles (`UnmodifiableEntity`), and beyond 10,240 characters of inline policies on one role (`LimitExceeded`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from irkit.aws.refusals import error_code
from irkit.contain.control import Args, Changed, Control, State, call, request_id
from irkit.plan import Running, Undo

if TYPE_CHECKING:
    from irkit.case import Case

_NOT_COVERED = (
    "sessions of other roles that were assumed with these credentials go on until they expire or are revoked",
    "what was done before the cut (keys, users, shares, copies) stays done",
)


def _read_policy(case: Case, target: str, args: Args) -> State:
    try:
        said = case.client("iam").get_role_policy(RoleName=target, PolicyName=args["policy"])
    except Exception as error:
        if error_code(error) == "NoSuchEntity":
            return {"Document": None}
        raise
    document = said["PolicyDocument"]
    return {"Document": json.loads(unquote(document)) if isinstance(document, str) else document}


def _put_policy(running: Running, _: State) -> Changed:
    args, role = running.step.args, running.step.target
    said = running.case.client("iam").put_role_policy(
        RoleName=role, PolicyName=args["policy"], PolicyDocument=_text(args["document"])
    )
    return Changed(
        request_ids=request_id(said), result={"policy": args["policy"], "not_covered": list(_NOT_COVERED)}
    )


def _take_policy(target: str, args: Args, before: State, _: State) -> Undo:
    held = {"RoleName": target, "PolicyName": args["policy"]}
    if before["Document"] is None:
        return Undo(calls=(call("iam", "DeleteRolePolicy", **held),))
    return Undo(calls=(call("iam", "PutRolePolicy", **held, PolicyDocument=_text(before["Document"])),))


def _policy_reached(_: Case, __: str, args: Args, state: State) -> bool:
    # A deny of everything is all that one with room promises: it is never loosened to make that room.
    return state["Document"] in (args["document"], without_room(args["document"]))


def without_room(document: Mapping[str, Any]) -> dict[str, Any]:
    """The same deny with nothing left out of it."""
    held = [{k: v for k, v in s.items() if k != "NotAction"} | {"Action": "*"} for s in document["Statement"]]
    return {**document, "Statement": held}


def _text(document: Mapping[str, Any]) -> str:
    return json.dumps(document, separators=(",", ":"), sort_keys=True)


def on_role(verb: str, intended: str) -> Control:
    """The control that keeps the policy `args["document"]` under the name `args["policy"]` on a role."""
    return Control(
        verb=verb,
        intended=intended,
        read=_read_policy,
        reached=_policy_reached,
        change=_put_policy,
        undo=_take_policy,
    )


def deny(*, sid: str, condition: Mapping[str, Any], room: Iterable[str] = ()) -> dict[str, Any]:
    """A policy that denies everything, but for the actions in `room`, where `condition` holds."""
    actions: dict[str, Any] = {"NotAction": sorted(room)} if room else {"Action": "*"}
    statement = {"Sid": sid, "Effect": "Deny", **actions, "Resource": "*", "Condition": dict(condition)}
    return {"Version": "2012-10-17", "Statement": [statement]}
