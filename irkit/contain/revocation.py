"""A deny on a role's sessions, by whichever way IAM has room for: the control behind every cut of a role's sessions.

    revocation policy   of the account's own stack, when the case knows its ARN (source `revocation_policy_arn`): it is
                        attached and the session is written into a tag of the role. irkit writes no policy text
    inline              a policy of the role itself: goes with the role, needs no second resource
    managed             a policy that irkit makes, where the role's inline policies are full (10,240 characters)

The next way is taken where one is refused for lack of room. IAM lets nobody edit service-linked roles and those of
IAM Identity Center (`UnmodifiableEntity`).

References:
    https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_use_revoke-sessions.html
    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from irkit.aws.names import arn_parts
from irkit.aws.refusals import error_code
from irkit.aws.waiting import TimedOut, wait_until
from irkit.contain import policies
from irkit.contain.control import Args, Changed, Control, State, call, request_id
from irkit.errors import Refused, WrongState
from irkit.journal import Kind
from irkit.plan import Call, Running, Undo

if TYPE_CHECKING:
    from irkit.case import Case

SOURCE = "revocation_policy_arn"
NOT_COVERED = (
    "sessions of other roles that were assumed with these credentials go on until they expire or are revoked",
    "what was done before the cut (keys, users, shares, copies) stays done",
)
_FULL = frozenset({"LimitExceeded"})
_UNUSABLE = _FULL | {"NoSuchEntity", "AccessDenied", "PolicyNotAttachable"}
_BUSY = frozenset({"ConcurrentModification", "EntityTemporarilyUnmodifiable"})
_PATH = "/irkit/"
_BUSY_SECONDS = 20.0
# Two sessions of one role take two tags: choosing a free one and setting it must not be done side by side.
_choosing = threading.Lock()


def on_role(verb: str, intended: str) -> Control:
    """The control that keeps the deny `args["document"]`, called `args["policy"]`, on the sessions of a role.

    `args["role_arn"]` says where a managed policy would be; with `args["stack"]`, the ARN of the revocation policy,
    `args["userid"]` is the session that it is to deny.
    """
    return Control(
        verb=verb,
        intended=intended,
        read=_read,
        reached=_reached,
        ours=_ours,
        change=_change,
        undo=_undo,
        watched=("Document", "Managed", "Tags"),
    )


# --- what is there -------------------------------------------------------------------------------------------


def _read(case: Case, target: str, args: Args) -> State:
    iam = case.client("iam")
    state: dict[str, Any] = {"Document": _inline(iam, target, args["policy"]), "Managed": None, "Tags": []}
    made = _managed_document(iam, _own_arn(args)) if "role_arn" in args else None
    attached = _attached(iam, target) if made is not None or args.get("stack") else frozenset()
    if made is not None:
        state["Managed"] = {"Document": made, "Attached": _own_arn(args) in attached}
    if args.get("stack"):
        state["Tags"] = sorted(k for k, v in _tags(iam, target).items() if v == args["userid"])
        state["Revocation"] = args["stack"] in attached
        state["Sound"] = _managed_document(iam, args["stack"]) == policies.revocation_policy()
    return state


def _inline(iam: Any, role: str, name: str) -> Any:
    try:
        return policies.as_document(iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"])
    except Exception as error:
        if error_code(error) == "NoSuchEntity":
            return None
        raise


def _managed_document(iam: Any, arn: str) -> Any:
    """What the default version of a managed policy says; None when there is no such policy."""
    try:
        version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
        said = iam.get_policy_version(PolicyArn=arn, VersionId=version)
    except Exception as error:
        if error_code(error) == "NoSuchEntity":
            return None
        raise
    return policies.as_document(said["PolicyVersion"]["Document"])


def _attached(iam: Any, role: str) -> frozenset[str]:
    pages = iam.get_paginator("list_attached_role_policies").paginate(RoleName=role)
    return frozenset(p["PolicyArn"] for page in pages for p in page["AttachedPolicies"])


def _tags(iam: Any, role: str) -> dict[str, str]:
    """The role's tags that the revocation policy looks at."""
    mine = {*policies.slots(room=False), *policies.slots(room=True)}
    pages = iam.get_paginator("list_role_tags").paginate(RoleName=role)
    return {t["Key"]: t["Value"] for page in pages for t in page["Tags"] if t["Key"] in mine}


def _own_arn(args: Args) -> str:
    role = arn_parts(args["role_arn"])
    return f"arn:{role.partition}:iam::{role.account}:policy{_PATH}{_own_name(args)}"


def _own_name(args: Args) -> str:
    # The deny with room and the one without are two policies, so that undoing the second leaves the first as it was.
    return f"{args['policy']}-but-ssm" if policies.has_room(args["document"]) else str(args["policy"])


def _reached(_: Case, __: str, args: Args, state: State) -> bool:
    # A deny of everything is all that one with room promises: it is never loosened to make that room.
    enough = (args["document"], policies.without_room(args["document"]))
    managed = state["Managed"]
    if state["Document"] in enough or (managed and managed["Attached"] and managed["Document"] in enough):
        return True
    kinds = {*policies.slots(room=False)}
    kinds |= {*policies.slots(room=True)} if policies.has_room(args["document"]) else set()
    return bool(state.get("Revocation") and state.get("Sound") and kinds & set(state["Tags"]))


def _ours(case: Case, target: str, args: Args, state: State) -> bool:
    return bool(_reached(case, target, args, state) or state["Managed"] or state["Tags"])


# --- the ways ------------------------------------------------------------------------------------------------


def _change(running: Running, state: State) -> Changed:
    """Put the deny where there is room for it, trying one way after the other."""
    args = running.step.args
    ways: list[tuple[str, Callable[[Running, State], tuple[str, ...]], frozenset[str]]] = [
        ("inline policy", _put_inline, _FULL),
        ("managed policy", _put_managed, frozenset()),
    ]
    if args.get("stack"):
        ways.insert(0, ("revocation policy", _put_tag, _UNUSABLE))
    passed: list[str] = []
    for name, put, goes_on in ways:
        try:
            ids = put(running, state)
        except Exception as error:
            code = error_code(error) or ("LimitExceeded" if isinstance(error, _Unfit) else "")
            if code not in goes_on:
                raise
            passed.append(f"the {name} was passed over: {error if isinstance(error, _Unfit) else code}")
            continue
        told = {"way": name, "policy": args["policy"], "not_covered": list(NOT_COVERED)}
        return Changed(request_ids=ids, result=told | ({"passed": passed} if passed else {}))
    raise AssertionError("the last way either works or raises")


class _Unfit(Refused):
    """This way cannot carry the deny; another may."""


def _put_inline(running: Running, _: State) -> tuple[str, ...]:
    args, iam = running.step.args, running.case.client("iam")
    text = policies.as_text(args["document"])
    return _patiently(
        running,
        lambda: iam.put_role_policy(
            RoleName=running.step.target, PolicyName=args["policy"], PolicyDocument=text
        ),
    )


def _put_managed(running: Running, state: State) -> tuple[str, ...]:
    args, iam, role = running.step.args, running.case.client("iam"), running.step.target
    ids: tuple[str, ...] = ()
    if state["Managed"] is None:
        tags = [{"Key": k, "Value": v} for k, v in running.case.tags().items()]
        said = iam.create_policy(
            PolicyName=_own_name(args),
            Path=_PATH,
            PolicyDocument=policies.as_text(args["document"]),
            Description=f"irkit case {running.case.id}: denies sessions of {role}"[:1000],
            Tags=tags,
        )
        ids += request_id(said)
    elif state["Managed"]["Document"] != args["document"]:
        raise WrongState(
            f"a policy called {_own_arn(args)} is there already and says something else",
            hint="look in CloudTrail for who made it, delete it, and apply the plan again",
        )
    return ids + _patiently(running, lambda: iam.attach_role_policy(RoleName=role, PolicyArn=_own_arn(args)))


def _put_tag(running: Running, _: State) -> tuple[str, ...]:
    args, iam, role = running.step.args, running.case.client("iam"), running.step.target
    if _managed_document(iam, args["stack"]) != policies.revocation_policy():
        raise _Unfit(
            f"{args['stack']} does not say what irkit's revocation policy says", hint="deploy the stack again"
        )
    with _choosing:
        taken, kind = _tags(iam, role), policies.slots(room=policies.has_room(args["document"]))
        # An attempt that was cut short may have named the session already.
        slot = next((s for s in kind if taken.get(s) == args["userid"]), None)
        slot = slot or next((s for s in kind if s not in taken), None)
        if slot is None:
            raise _Unfit(f"all tags of {role} that name a denied session are taken", hint="undo one of them")
        tag = [{"Key": slot, "Value": args["userid"]}]
        ids = _patiently(running, lambda: iam.tag_role(RoleName=role, Tags=tag))
    try:
        return ids + _patiently(
            running, lambda: iam.attach_role_policy(RoleName=role, PolicyArn=args["stack"])
        )
    except Exception:
        iam.untag_role(RoleName=role, TagKeys=[slot])
        raise


def _patiently(running: Running, request: Callable[[], Mapping[str, Any]]) -> tuple[str, ...]:
    """The request ids of `request`, which is repeated while IAM is at work on the same entity."""
    busy: list[Exception] = []

    def attempt() -> Mapping[str, Any] | None:
        try:
            return request()
        except Exception as error:
            if error_code(error) not in _BUSY:
                raise
            busy[:] = [error]
            return None

    try:
        timeout = min(_BUSY_SECONDS, running.seconds_left)
        return request_id(
            wait_until(attempt, what="IAM taking it", timeout=timeout, stop=lambda: running.stopped)
        )
    except TimedOut:
        raise busy[0] from None


# --- the way back --------------------------------------------------------------------------------------------


def _undo(target: str, args: Args, before: State, after: State) -> Undo:
    held = {"RoleName": target, "PolicyName": args["policy"]}
    calls: list[Call] = []
    if after["Document"] != before["Document"]:
        calls.append(
            call("iam", "DeleteRolePolicy", **held)
            if before["Document"] is None
            else call("iam", "PutRolePolicy", **held, PolicyDocument=policies.as_text(before["Document"]))
        )
    if after["Managed"] and not before["Managed"]:
        if after["Managed"]["Attached"]:
            calls.append(call("iam", "DetachRolePolicy", RoleName=target, PolicyArn=_own_arn(args)))
        calls.append(call("iam", "DeletePolicy", PolicyArn=_own_arn(args)))
    if tags := sorted(set(after["Tags"]) - set(before["Tags"])):
        calls.append(call("iam", "UntagRole", RoleName=target, TagKeys=tags))
    if after.get("Revocation"):
        calls.append(call("iam", "DetachRolePolicy", RoleName=target, PolicyArn=args["stack"]))
    return Undo(calls=tuple(calls))


def kept(case: Case, undo: Call) -> bool:
    """Whether `undo` is to be left out: it would detach a revocation policy that was there before, or is needed yet.

    The policy denies whatever sessions the role's tags name, so it goes with the last of them and not with the first.
    """
    policy, role = undo.params.get("PolicyArn"), str(undo.params.get("RoleName"))
    if undo.operation != "DetachRolePolicy" or policy != case.facts.sources.get(SOURCE):
        return False
    iam = case.client("iam")
    return bool(_tags(iam, role)) or policy not in _attached(iam, role) or _there_first(case, role)


def _there_first(case: Case, role: str) -> bool:
    found = (
        e.body["before"].get("Revocation")
        for e in case.journal.entries
        if e.kind is Kind.INTENDED and e.body.get("target") == role and isinstance(e.body.get("before"), dict)
    )
    return bool(next((was for was in found if was is not None), False))
