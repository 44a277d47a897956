"""Putting back exactly what was there: from the journal alone, newest first, shown before it is done.

Each step that the journal holds as done becomes one step here. A step that was begun and never ended well is looked at:
what it left behind is put back too. What somebody changed after irkit is not overwritten unless told so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from botocore import xform_name

from irkit.aws.refusals import error_code
from irkit.aws.waiting import TimedOut, wait_until
from irkit.contain import history, profile, retirement, revocation
from irkit.contain.containment import CONTROLS, KINDS
from irkit.contain.control import State, request_id
from irkit.contain.history import Begun
from irkit.errors import InvalidParameter, Refused
from irkit.escape import for_terminal
from irkit.journal import Kind
from irkit.plan import Call, Outcome, Plan, Running, Step, Undo

if TYPE_CHECKING:
    from irkit.case import Case

ALLOWED = frozenset(
    {
        ("autoscaling", "AttachInstances"),
        ("autoscaling", "ExitStandby"),
        ("autoscaling", "ResumeProcesses"),
        ("autoscaling", "SetInstanceProtection"),
        ("ec2", "AssociateAddress"),
        ("ec2", "AssociateIamInstanceProfile"),
        ("ec2", "DisassociateIamInstanceProfile"),
        ("ec2", "ReplaceIamInstanceProfileAssociation"),
        ("ec2", "DeleteSecurityGroup"),
        ("ec2", "ModifyInstanceAttribute"),
        ("ec2", "ModifyInstanceMetadataOptions"),
        ("ec2", "ModifyNetworkInterfaceAttribute"),
        ("ec2", "ModifySnapshotAttribute"),
        ("elb", "RegisterInstancesWithLoadBalancer"),
        ("elbv2", "RegisterTargets"),
        ("iam", "DeleteInstanceProfile"),
        ("iam", "DeletePolicy"),
        ("iam", "DeleteRole"),
        ("iam", "DeleteRolePolicy"),
        ("iam", "DeleteUserPolicy"),
        ("iam", "DetachRolePolicy"),
        ("iam", "DetachUserPolicy"),
        ("iam", "PutRolePolicy"),
        ("iam", "RemoveRoleFromInstanceProfile"),
        ("iam", "UntagRole"),
        ("iam", "UpdateAccessKey"),
        ("kms", "RevokeGrant"),
    }
)
"""The only calls that an undo makes, whatever a journal says."""
# What an undo deletes, detaches or empties in IAM has a name that irkit gave; of the rest it takes nothing away.
_NAMED = {
    "DeleteInstanceProfile": "InstanceProfileName",
    "DeletePolicy": "PolicyArn",
    "DeleteRole": "RoleName",
    "DeleteRolePolicy": "PolicyName",
    "DeleteUserPolicy": "PolicyName",
    "DetachRolePolicy": "PolicyArn",
    "DetachUserPolicy": "PolicyArn",
    "PutRolePolicy": "PolicyName",
    "RemoveRoleFromInstanceProfile": "InstanceProfileName",
    "UntagRole": "TagKeys",
}
# What is put back depends on ids that AWS gives anew at every change, so the journal's own calls may be stale.
_FROM_NOW = frozenset({profile.REPLACED.verb})
_IN_USE_SECONDS = 30.0
_PREFIX = "undo."


class Drifted(Refused):
    """Somebody changed the target after irkit did; putting back the old state would overwrite that."""


def undo_plan(
    case: Case, *, only: Iterable[str] | None = None, force: bool = False, retire_replacement: bool = False
) -> Plan:
    """The plan that takes back what the case did to AWS, newest first, one step at a time.

    `only` narrows it to kinds, verbs, step ids, targets or instances. `force` overwrites what others changed since.
    `retire_replacement` also terminates the instance that a scaling group launched in place of the contained one.
    What cannot be undone is in the plan too, as a step that says why.
    """
    wanted = None if only is None else tuple(dict.fromkeys(only))
    _check(case, wanted or ())
    steps: list[Step] = []
    for begun in reversed(_open(case)):
        if wanted is None or any(_matches(begun, token) for token in wanted):
            steps.append(_step(case, begun, stage=len(steps), force=force))
    if retire_replacement:
        steps += retirement.steps(case, stage=len(steps), wanted=wanted)
    return Plan(case, steps, title="put back what was there")


def _open(case: Case) -> list[Begun]:
    """What has an effect that was not taken back, and undos that were cut short, oldest first."""
    found = [
        b for b in history.begun(case) if b.intended.body.get("changes") and not b.verb.startswith(_PREFIX)
    ]
    held = [
        b
        for b in found
        if b.standing is not Kind.SKIPPED
        and (b.done is not None or b.verb in CONTROLS)
        and not (b.done is not None and (b.done.body.get("result") or {}).get("refused"))
    ]
    # what was done again counts from when it was first done, so that a group outlives the interfaces in it
    return sorted(held, key=lambda b: int(b.args.get("again", (b.done or b.intended).seq)))


def _matches(begun: Begun, token: str) -> bool:
    return (
        begun.verb == token
        or begun.verb.startswith(f"{token}.")
        or token in {begun.step, begun.target, begun.instance}
    )


def _check(case: Case, wanted: tuple[str, ...]) -> None:
    ever = {str(e.body.get(k)) for e in case.journal.entries for k in ("step", "verb", "target")}
    ever |= {v.partition(".")[0] for v in ever} | {b.instance or "" for b in history.begun(case)} | set(KINDS)
    if strange := [token for token in wanted if token not in ever]:
        raise InvalidParameter(
            f"nothing in case {case.id} is called {for_terminal(strange[0])!r}",
            hint="name a kind (network), a verb (network.interface), a step, a target or an instance",
        )


def _step(case: Case, begun: Begun, *, stage: int, force: bool) -> Step:
    undo = (begun.done.body.get("undo") or {}) if begun.done else {}
    never = undo.get("impossible") or (begun.done and not undo.get("calls") and "no way back was recorded")
    args: dict[str, Any] = {
        "of": begun.step,
        "entry": (begun.done or begun.intended).seq,
        "instance": begun.instance,
    }
    if never:
        why = f"cannot be undone: {never}"
        return Step(
            verb=_PREFIX + begun.verb,
            target=begun.target,
            title=f"{_short(begun)}: {why}",
            args=args,
            changes=False,
            act=lambda _: Outcome(skipped=why),
            stage=stage,
        )
    return Step(
        verb=_PREFIX + begun.verb,
        target=begun.target,
        args=args | ({"force": True} if force else {}),
        stage=stage,
        title=f"take back: {_short(begun)} (was: {_was(begun)})",
        reversible="contain again",
        before=lambda: _now(case, begun),
        act=lambda running: _put_back(running, begun, force=force),
    )


def _short(begun: Begun) -> str:
    return begun.title.partition(";")[0]


def _was(begun: Begun) -> str:
    control = CONTROLS.get(begun.verb)
    names = (control.watched if control else None) or tuple(begun.before or ())
    held = {n: begun.before[n] for n in names if begun.before and begun.before.get(n) not in (None, [], "")}
    return "; ".join(f"{k} {v}" for k, v in held.items()) or "nothing"


def _now(case: Case, begun: Begun) -> State | None:
    control = CONTROLS.get(begun.verb)
    return control.read(case, begun.target, begun.args) if control else None


def _put_back(running: Running, begun: Begun, *, force: bool) -> Outcome:
    case, now = running.case, running.before
    overwritten: Mapping[str, Any] = {}
    if now is not None:
        if begun.before is not None and CONTROLS[begun.verb].equal(now, begun.before):
            _mark(case, begun)
            return Outcome(skipped="it is as it was before already", after=now)
        overwritten = _drift(begun, now)
        if overwritten and not force:
            told = "; ".join(
                f"{name} was left as {left!r} and is now {found!r}"
                for name, (left, found) in overwritten.items()
            )
            raise Drifted(
                f"{begun.target} was changed after {begun.verb}: {for_terminal(told)}",
                hint="look who did it in CloudTrail; undo with force to overwrite it",
            )
    if users := _users(case, begun, now):
        return Outcome(skipped=f"it is still in use by {', '.join(users)}; undo those first", after=now)
    ids = [i for call in _calls(begun, now) if not revocation.kept(case, call) for i in _make(running, call)]
    _mark(case, begun)
    after, missing = _settled(running, begun)
    return Outcome(
        before=now,
        after=after,
        request_ids=tuple(ids),
        missing=missing,
        undo=Undo(),
        result={"overwritten": overwritten} if overwritten else {},
    )


def _drift(begun: Begun, now: State) -> dict[str, tuple[Any, Any]]:
    if (
        begun.done is None or begun.after is None
    ):  # it never ended well: what it left is not what it meant to leave
        return {}
    return CONTROLS[begun.verb].drifted(begun.after, now)


def _calls(begun: Begun, now: State | None) -> list[Call]:
    if begun.done is None or begun.verb in _FROM_NOW:
        found = CONTROLS[begun.verb].undo(begun.target, begun.args, begun.before, now or {})
        return list(found.calls)
    return [
        Call(service=c["service"], operation=c["operation"], params=c["params"], region=c.get("region"))
        for c in begun.done.body["undo"]["calls"]
    ]


def _ours(case: Case, call: Call) -> bool:
    if (
        call.operation == "ModifySnapshotAttribute"
    ):  # sharing is taken back; nothing is ever shared by an undo
        return call.params.get("OperationType") == "remove"
    if call.service != "iam" or call.operation not in _NAMED:
        return True
    named = call.params.get(_NAMED[call.operation])
    names = [str(n) for n in (named if isinstance(named, list | tuple) else [named])]
    kept = {case.facts.sources.get(revocation.SOURCE)}
    return all(n in kept or n.endswith(":policy/AWSDenyAll") or _our_name(n) for n in names)


def _our_name(name: str) -> bool:
    return name.rpartition("/")[2].startswith("irkit-")


def _make(running: Running, call: Call) -> tuple[str, ...]:
    if (call.service, call.operation) not in ALLOWED or not _ours(running.case, call):
        raise Refused(
            f"{call.service}:{call.operation} is not a call that an undo makes",
            hint="the journal names it; look at the step and take it back by hand",
        )
    method = getattr(running.case.client(call.service, region=call.region), xform_name(call.operation))

    def attempt() -> Any:
        try:
            return method(**call.params)
        except Exception as error:
            if error_code(error) in {
                "DependencyViolation",
                "ResourceContention",
                "IncorrectState",
                "ScalingActivityInProgress",
            }:
                refused[:] = [error]
                return None
            raise

    refused: list[Exception] = []
    try:
        return request_id(
            wait_until(
                attempt,
                what=call.operation,
                timeout=min(_IN_USE_SECONDS, running.seconds_left),
                stop=lambda: running.stopped,
            )
        )
    except TimedOut:
        raise refused[0] from None


def _users(case: Case, begun: Begun, now: State | None) -> list[str]:
    """What is in the group, or has the profile, that the step made, when it made one."""
    if begun.verb == profile.DENY_ALL.verb:
        made = (now or {}).get("Profile")
        return profile.holders(case, made["Arn"]) if made else []
    group = (now or {}).get("GroupId") if begun.verb.startswith("network.") else None
    if not group:
        return []
    pages = (
        case.client("ec2")
        .get_paginator("describe_network_interfaces")
        .paginate(Filters=[{"Name": "group-id", "Values": [group]}])
    )
    return sorted(i["NetworkInterfaceId"] for page in pages for i in page["NetworkInterfaces"])


def _mark(case: Case, begun: Begun) -> None:
    case.journal.append(Kind.UNDONE, step=begun.step, verb=begun.verb, target=begun.target)


def _settled(running: Running, begun: Begun) -> tuple[State | None, tuple[str, ...]]:
    """The state afterwards, and what of it is not as it was."""
    control = CONTROLS.get(begun.verb)
    if control is None or begun.before is None:
        return None, ()
    seen: list[State] = []

    def probe() -> State | None:
        seen[:] = [control.read(running.case, begun.target, begun.args)]
        return seen[0] if control.equal(seen[0], begun.before) else None

    try:
        timeout = min(control.settle, running.seconds_left)
        return wait_until(
            probe, what="seeing the old state", timeout=timeout, stop=lambda: running.stopped
        ), ()
    except TimedOut:
        return seen[0], (
            f"AWS accepted it, but shows {for_terminal(seen[0])} where {for_terminal(begun.before)} was",
        )
