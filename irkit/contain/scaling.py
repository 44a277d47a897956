"""The scaling group's hold on the instance: protection, standby, leaving for good, and processes that are suspended.

Standby keeps the instance a member that nobody checks or terminates; leaving (detach) cuts the tie. Both have the group
launch a replacement. Where neither works, because the instance is not in service or AWS refuses, the processes that
could terminate it are suspended, which holds for the whole group.

References:
    https://docs.aws.amazon.com/autoscaling/ec2/userguide/as-enter-exit-standby.html
    https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-detach-attach-instances.html
    https://docs.aws.amazon.com/autoscaling/ec2/userguide/as-suspend-resume-processes.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from irkit.contain.control import Args, Changed, Control, State, call, request_id
from irkit.errors import NotFound, WrongState
from irkit.plan import Running, Undo

if TYPE_CHECKING:
    from irkit.case import Case

# With these suspended nothing in the group terminates an instance or finds one unhealthy; it still launches.
SUSPENDED = ("AZRebalance", "HealthCheck", "ReplaceUnhealthy", "Terminate")


def membership(case: Case, instance: str) -> Mapping[str, Any] | None:
    """The scaling group's entry of the instance, None when it is in no group."""
    said = case.client("autoscaling").describe_auto_scaling_instances(InstanceIds=[instance])
    return next(iter(said["AutoScalingInstances"]), None)


def _group(case: Case, name: str) -> Mapping[str, Any]:
    said = case.client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[name])
    return next(iter(said["AutoScalingGroups"]), {})


def _sizes(group: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: group.get(name) for name in ("MinSize", "MaxSize", "DesiredCapacity", "HealthCheckType")}
    return kept | {"Instances": sorted(i["InstanceId"] for i in group.get("Instances", []))}


def full(case: Case, name: str) -> bool:
    """Whether the group already wants as many instances as it may have: then none can come back into service."""
    found = _group(case, name)
    return bool(found) and int(found["DesiredCapacity"]) >= int(found["MaxSize"])


def _lifecycle(case: Case, instance: str) -> str | None:
    member = membership(case, instance)
    return str(member["LifecycleState"]) if member else None


def _left(running: Running) -> WrongState:
    return WrongState(
        f"{running.step.args['instance']} has left the scaling group {running.step.target}",
        hint="see who detached it in CloudTrail; plan the containment again",
    )


# --- protection from scale-in ----------------------------------------------------------------------------------


def _read_protection(case: Case, _: str, args: Args) -> State:
    return {
        "ProtectedFromScaleIn": (membership(case, args["instance"]) or {}).get("ProtectedFromScaleIn"),
    }


def _protect(running: Running, state: State) -> Changed:
    if state["ProtectedFromScaleIn"] is None:
        raise _left(running)
    said = running.case.client("autoscaling").set_instance_protection(
        InstanceIds=[running.step.args["instance"]],
        AutoScalingGroupName=running.step.target,
        ProtectedFromScaleIn=True,
    )
    return Changed(request_ids=request_id(said))


def _unprotect(target: str, args: Args, before: State, _: State) -> Undo:
    wanted = bool(before["ProtectedFromScaleIn"])
    return Undo(calls=(_protection_call(target, args["instance"], wanted=wanted),))


def _protection_call(group: str, instance: str, *, wanted: bool) -> Any:
    return call(
        "autoscaling",
        "SetInstanceProtection",
        InstanceIds=[instance],
        AutoScalingGroupName=group,
        ProtectedFromScaleIn=wanted,
    )


# --- standby -----------------------------------------------------------------------------------------------------


def _read_standby(case: Case, target: str, args: Args) -> State:
    return {"LifecycleState": _lifecycle(case, args["instance"]), "Group": _sizes(_group(case, target))}


def _enter(running: Running, state: State) -> Changed:
    if state["LifecycleState"] is None:
        raise _left(running)
    if state["LifecycleState"] == "EnteringStandby":
        return Changed()
    said = running.case.client("autoscaling").enter_standby(
        InstanceIds=[running.step.args["instance"]],
        AutoScalingGroupName=running.step.target,
        ShouldDecrementDesiredCapacity=False,
    )
    return Changed(request_ids=request_id(said))


def _exit(target: str, args: Args, _: State, __: State) -> Undo:
    return Undo(
        calls=(
            call("autoscaling", "ExitStandby", InstanceIds=[args["instance"]], AutoScalingGroupName=target),
        )
    )


# --- leaving the group -------------------------------------------------------------------------------------------


def _read_member(case: Case, target: str, args: Args) -> State:
    member = membership(case, args["instance"]) or {}
    return {
        "Member": member.get("AutoScalingGroupName") == target,
        "ProtectedFromScaleIn": member.get("ProtectedFromScaleIn"),
        "Group": _sizes(_group(case, target)),
    }


def _detach(running: Running, _: State) -> Changed:
    said = running.case.client("autoscaling").detach_instances(
        InstanceIds=[running.step.args["instance"]],
        AutoScalingGroupName=running.step.target,
        ShouldDecrementDesiredCapacity=False,
    )
    return Changed(request_ids=request_id(said))


def _attach(target: str, args: Args, before: State, _: State) -> Undo:
    back = [
        call("autoscaling", "AttachInstances", InstanceIds=[args["instance"]], AutoScalingGroupName=target)
    ]
    if before["ProtectedFromScaleIn"]:
        back.append(_protection_call(target, args["instance"], wanted=True))
    return Undo(calls=tuple(back))


# --- processes ---------------------------------------------------------------------------------------------------


def _read_processes(case: Case, target: str, args: Args) -> State:
    group = _group(case, target)
    if not group:
        raise NotFound(f"scaling group {target} is gone", hint="nothing in it can terminate the instance")
    return {
        "Suspended": sorted(p["ProcessName"] for p in group.get("SuspendedProcesses", [])),
        "LifecycleState": _lifecycle(case, args["instance"]),
    }


def _harmless(_: Case, __: str, args: Args, state: State) -> bool:
    out_of_care = state["LifecycleState"] in {None, "Standby"} and not args["always"]
    return out_of_care or set(SUSPENDED) <= set(state["Suspended"])


def _suspend(running: Running, state: State) -> Changed:
    missing = [name for name in SUSPENDED if name not in state["Suspended"]]
    said = running.case.client("autoscaling").suspend_processes(
        AutoScalingGroupName=running.step.target, ScalingProcesses=missing
    )
    note = "holds for every instance of the group: none is replaced until it is undone"
    return Changed(request_ids=request_id(said), result={"suspended": missing, "note": note})


def _resume(target: str, _: Args, before: State, __: State) -> Undo:
    ours = [name for name in SUSPENDED if name not in before["Suspended"]]
    resume = call("autoscaling", "ResumeProcesses", AutoScalingGroupName=target, ScalingProcesses=ours)
    return Undo(calls=(resume,))


PROTECTION = Control(
    verb="fleet.protection",
    intended="the scaling group does not choose it when it shrinks",
    read=_read_protection,
    # an instance that has left the group is not chosen either
    reached=lambda _c, _t, _a, state: state.get("ProtectedFromScaleIn") is not False,
    change=_protect,
    undo=_unprotect,
)
STANDBY = Control(
    verb="fleet.standby",
    intended="the scaling group neither checks its health nor replaces it",
    read=_read_standby,
    reached=lambda _c, _t, _a, state: state.get("LifecycleState") in {"Standby", None},
    ours=lambda _c, _t, _a, state: state.get("LifecycleState") in {"Standby", "EnteringStandby"},
    change=_enter,
    undo=_exit,
    watched=("LifecycleState",),
    settle=90.0,
)
DETACHED = Control(
    verb="fleet.detached",
    intended="it is no member of the scaling group any more",
    read=_read_member,
    reached=lambda _c, _t, _a, state: state.get("Member") is False,
    change=_detach,
    undo=_attach,
    watched=("Member",),
    settle=90.0,
)
PROCESSES = Control(
    verb="fleet.processes",
    intended="nothing in the scaling group can terminate it: it is out of service, or the processes are suspended",
    read=_read_processes,
    reached=_harmless,
    # whether processes are suspended is what irkit changes; where the instance stands is another step's doing
    ours=lambda _c, _t, _a, state: set(SUSPENDED) <= set(state["Suspended"]),
    change=_suspend,
    undo=_resume,
    watched=("Suspended",),
)
CONTROLS = (PROTECTION, STANDBY, DETACHED, PROCESSES)
