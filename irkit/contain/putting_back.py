"""One step taken back: what is there now is looked at, old state is restored by listed calls only, and read back.

Only the calls in `ALLOWED` are made, and in IAM only on what carries a name that irkit gave, whatever a journal says.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from botocore import xform_name

from irkit.aws.refusals import error_code
from irkit.aws.waiting import TimedOut, wait_until
from irkit.contain import acl, host_firewall, profile, revocation
from irkit.contain.containment import CONTROLS
from irkit.contain.control import State, request_id
from irkit.contain.history import Begun
from irkit.errors import Refused
from irkit.escape import for_terminal
from irkit.journal import Kind
from irkit.plan import Call, Outcome, Running, Undo

if TYPE_CHECKING:
    from irkit.case import Case

ALLOWED = frozenset(
    {
        ("autoscaling", "AttachInstances"),
        ("autoscaling", "ExitStandby"),
        ("autoscaling", "ResumeProcesses"),
        ("autoscaling", "SetInstanceProtection"),
        ("ec2", "AssignIpv6Addresses"),
        ("ec2", "AssignPrivateIpAddresses"),
        ("ec2", "AssociateAddress"),
        ("ec2", "AssociateIamInstanceProfile"),
        ("ec2", "DisassociateIamInstanceProfile"),
        ("ec2", "ReplaceIamInstanceProfileAssociation"),
        ("ec2", "DeleteNetworkAcl"),
        ("ec2", "DeleteSecurityGroup"),
        ("ec2", "ModifyInstanceAttribute"),
        ("ec2", "ModifyInstanceMetadataOptions"),
        ("ec2", "ModifyNetworkInterfaceAttribute"),
        ("ec2", "ModifySnapshotAttribute"),
        ("ec2", "ReplaceNetworkAclAssociation"),
        ("ec2", "StartInstances"),
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
        ("ssm", "SendCommand"),
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
_FROM_NOW = frozenset({acl.DENIED.verb, profile.REPLACED.verb})
_IN_USE_SECONDS = 30.0


class Drifted(Refused):
    """Somebody changed the target after irkit did; putting back the old state would overwrite that."""


def now(case: Case, begun: Begun) -> State | None:
    """The state of the step's target, as AWS shows it now; None for a step that is no control."""
    control = CONTROLS.get(begun.verb)
    return control.read(case, begun.target, begun.args) if control else None


def put_back(running: Running, begun: Begun, *, force: bool) -> Outcome:
    """Take the step back; skipped where there is nothing to take back, or something still needs what it made.

    Raises `Drifted` where somebody changed the target since, unless `force`.
    """
    case, now = running.case, running.before
    overwritten: Mapping[str, Any] = {}
    if now is not None:
        if begun.before is not None and CONTROLS[begun.verb].equal(now, begun.before):
            _mark(case, begun)
            return Outcome(skipped="it is as it was before already", after=now)
        overwritten = drift(begun, now)
        if overwritten and not force:
            raise Drifted(
                f"{begun.target} was changed after {begun.verb}: {told(overwritten)}",
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


def drift(begun: Begun, now: State) -> dict[str, tuple[Any, Any]]:
    """What somebody changed after the step: for each part of the state, what was left and what is there now."""
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
    if call.operation == "SendCommand":  # one script, which can do nothing but open a host's network again
        return host_firewall.opens(call.params)
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


def told(changed: Mapping[str, tuple[Any, Any]]) -> str:
    """The drift in words."""
    return "; ".join(
        f"{name} was left as {for_terminal(left)} and is now {for_terminal(found)}"
        for name, (left, found) in changed.items()
    )
