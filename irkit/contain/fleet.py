"""The fleet around the instance: the scaling group lets it be, and the load balancers send it no more traffic.

Without this the quarantine makes the health check fail, and the scaling group terminates the evidence: termination
protection does not bind it. Standby does, and has the group launch a replacement meanwhile.

References:
    https://docs.aws.amazon.com/autoscaling/ec2/userguide/as-enter-exit-standby.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from irkit.aws.refusals import translating
from irkit.contain import balancers, history
from irkit.contain.control import Args, Changed, Control, State, call, nothing, request_id, unreadable
from irkit.errors import IrkitError, WrongState
from irkit.plan import Running, Step, Undo

if TYPE_CHECKING:
    from irkit.case import Case
    from irkit.contain.subject import Subject

STAGE = 11


# --- scaling group -------------------------------------------------------------------------------------------


def membership(case: Case, instance: str) -> Mapping[str, Any] | None:
    """The scaling group's entry of the instance, None when it is in no group."""
    said = case.client("autoscaling").describe_auto_scaling_instances(InstanceIds=[instance])
    return next(iter(said["AutoScalingInstances"]), None)


def _read_member(case: Case, _: str, args: Args) -> Mapping[str, Any]:
    return membership(case, args["instance"]) or {}


def _read_standby(case: Case, target: str, args: Args) -> State:
    member = _read_member(case, target, args)
    said = case.client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[target])
    found: Mapping[str, Any] = next(iter(said["AutoScalingGroups"]), {})
    group = {name: found.get(name) for name in ("MinSize", "MaxSize", "DesiredCapacity", "HealthCheckType")}
    group["Instances"] = sorted(i["InstanceId"] for i in found.get("Instances", []))
    return {"LifecycleState": member.get("LifecycleState"), "Group": group}


def _read_protection(case: Case, target: str, args: Args) -> State:
    return {"ProtectedFromScaleIn": _read_member(case, target, args).get("ProtectedFromScaleIn")}


def _protect(running: Running, state: State) -> Changed:
    if state["ProtectedFromScaleIn"] is None:
        raise WrongState(
            f"{running.step.args['instance']} has left the scaling group {running.step.target}",
            hint="see who detached it in CloudTrail; plan the containment again",
        )
    said = running.case.client("autoscaling").set_instance_protection(
        InstanceIds=[running.step.args["instance"]],
        AutoScalingGroupName=running.step.target,
        ProtectedFromScaleIn=True,
    )
    return Changed(request_ids=request_id(said))


def _unprotect(target: str, args: Args, before: State, _: State) -> Undo:
    return Undo(
        calls=(
            call(
                "autoscaling",
                "SetInstanceProtection",
                InstanceIds=[args["instance"]],
                AutoScalingGroupName=target,
                ProtectedFromScaleIn=bool(before["ProtectedFromScaleIn"]),
            ),
        )
    )


def _enter(running: Running, state: State) -> Changed:
    case, group, instance = running.case, running.step.target, running.step.args["instance"]
    if state["LifecycleState"] is None:
        raise WrongState(
            f"{instance} has left the scaling group {group}",
            hint="see who detached it in CloudTrail; plan the containment again",
        )
    if state["LifecycleState"] == "EnteringStandby":
        return Changed()
    said = case.client("autoscaling").enter_standby(
        InstanceIds=[instance], AutoScalingGroupName=group, ShouldDecrementDesiredCapacity=False
    )
    return Changed(request_ids=request_id(said))


def _exit(target: str, args: Args, _: State, __: State) -> Undo:
    return Undo(
        calls=(
            call("autoscaling", "ExitStandby", InstanceIds=[args["instance"]], AutoScalingGroupName=target),
        )
    )


PROTECTION = Control(
    verb="fleet.protection",
    intended="the scaling group does not choose it when it shrinks",
    read=_read_protection,
    reached=lambda _c, _t, _a, state: state.get("ProtectedFromScaleIn") is True,
    change=_protect,
    undo=_unprotect,
)
STANDBY = Control(
    verb="fleet.standby",
    intended="the scaling group neither checks its health nor replaces it",
    read=_read_standby,
    reached=lambda _c, _t, _a, state: state.get("LifecycleState") == "Standby",
    ours=lambda _c, _t, _a, state: state.get("LifecycleState") in {"Standby", "EnteringStandby"},
    change=_enter,
    undo=_exit,
    watched=("LifecycleState",),
    settle=90.0,
)


CONTROLS = (PROTECTION, STANDBY, *balancers.CONTROLS)


# --- the plan ------------------------------------------------------------------------------------------------


def steps(case: Case, subject: Subject) -> list[Step]:
    """How `subject` leaves its scaling group's care and its load balancers, as far as it is in any."""
    found = [*_scaling(case, subject), *balancers.steps(case, subject, stage=STAGE + 2)]
    return found or [
        nothing(
            "fleet.none",
            subject.id,
            stage=STAGE,
            why=f"{subject.id} is in no scaling group and behind no load balancer",
        )
    ]


def _scaling(case: Case, subject: Subject) -> list[Step]:
    try:
        with translating("look up the scaling group of", subject.id, region=case.facts.region):
            member = membership(case, subject.id)
    except IrkitError as why:
        return [
            unreadable(
                "fleet.scaling-groups",
                subject.id,
                stage=STAGE,
                why=why,
                title=f"look up the scaling group of {subject.id}",
            )
        ]
    groups = [str(member["AutoScalingGroupName"])] if member else []
    groups += [target for target, _ in history.targets(case, STANDBY.verb, subject.id)]
    own = {"instance": subject.id}
    made: list[Step] = []
    for group in dict.fromkeys(groups):
        made += [
            PROTECTION.step(
                case,
                group,
                own,
                stage=STAGE,
                reversible="sets the protection that was there",
                title=f"protect {subject.id} from scale-in of {group}",
            ),
            STANDBY.step(
                case,
                group,
                own,
                stage=STAGE + 1,
                title=f"put {subject.id} into standby in {group}; the group launches a replacement",
                reversible="brings it back into service; the replacement stays, so the group wants one instance "
                "more than before until it is retired",
            ),
        ]
    return made
