"""The fleet around the instance: the scaling group lets it be, and the load balancers send it no more traffic.

Without this the quarantine makes the health check fail, and the scaling group terminates the evidence: termination
protection does not bind it. Standby does, and has the group launch a replacement meanwhile.

References:
    https://docs.aws.amazon.com/autoscaling/ec2/userguide/as-enter-exit-standby.html
    https://docs.aws.amazon.com/elasticloadbalancing/latest/application/edit-target-group-attributes.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from irkit.contain import history
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
    return {"LifecycleState": _read_member(case, target, args).get("LifecycleState")}


def _read_protection(case: Case, target: str, args: Args) -> State:
    return {"ProtectedFromScaleIn": _read_member(case, target, args).get("ProtectedFromScaleIn")}


def _protect(running: Running, state: State) -> Changed:
    if state["ProtectedFromScaleIn"] is None:
        raise WrongState(f"{running.step.args['instance']} has left the scaling group {running.step.target}",
                         hint="see who detached it in CloudTrail; plan the containment again")  # fmt: skip
    said = running.case.client("autoscaling").set_instance_protection(
        InstanceIds=[running.step.args["instance"]], AutoScalingGroupName=running.step.target, ProtectedFromScaleIn=True
    )
    return Changed(request_ids=request_id(said))


def _unprotect(target: str, args: Args, before: State, _: State) -> Undo:
    return Undo(calls=(call("autoscaling", "SetInstanceProtection", InstanceIds=[args["instance"]],
                            AutoScalingGroupName=target, ProtectedFromScaleIn=bool(before["ProtectedFromScaleIn"])),))  # fmt: skip


def _enter(running: Running, state: State) -> Changed:
    case, group, instance = running.case, running.step.target, running.step.args["instance"]
    if state["LifecycleState"] is None:
        raise WrongState(f"{instance} has left the scaling group {group}",
                         hint="see who detached it in CloudTrail; plan the containment again")  # fmt: skip
    client = case.client("autoscaling")
    found = client.describe_auto_scaling_groups(AutoScalingGroupNames=[group])["AutoScalingGroups"][0]
    kept = {name: found.get(name) for name in ("MinSize", "MaxSize", "DesiredCapacity", "HealthCheckType")}
    kept["Instances"] = sorted(i["InstanceId"] for i in found.get("Instances", []))
    if state["LifecycleState"] == "EnteringStandby":
        return Changed(result={"group": kept})
    said = client.enter_standby(InstanceIds=[instance], AutoScalingGroupName=group, ShouldDecrementDesiredCapacity=False)
    return Changed(request_ids=request_id(said), result={"group": kept})


def _exit(target: str, args: Args, _: State, __: State) -> Undo:
    return Undo(calls=(call("autoscaling", "ExitStandby", InstanceIds=[args["instance"]], AutoScalingGroupName=target),))


PROTECTION = Control(
    verb="fleet.protection", intended="the scaling group does not choose it when it shrinks", read=_read_protection,
    reached=lambda _c, _t, _a, state: state.get("ProtectedFromScaleIn") is True, change=_protect, undo=_unprotect,
)  # fmt: skip
STANDBY = Control(
    verb="fleet.standby", intended="the scaling group neither checks its health nor replaces it", read=_read_standby,
    reached=lambda _c, _t, _a, state: state.get("LifecycleState") == "Standby",
    ours=lambda _c, _t, _a, state: state.get("LifecycleState") in {"Standby", "EnteringStandby"},
    change=_enter, undo=_exit, settle=90.0,
)  # fmt: skip


# --- load balancers ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """A target group that sends traffic to the instance. `network` tells a Network Load Balancer's."""

    group: str
    name: str
    network: bool


def registrations(case: Case, subject: Subject) -> Iterator[Registration]:
    """The target groups that the instance is in. AWS has no reverse look-up: every group is asked."""
    client = case.client("elbv2")
    pages = client.get_paginator("describe_target_groups").paginate()
    for group in (g for page in pages for g in page["TargetGroups"]):
        if group.get("VpcId") and group["VpcId"] not in subject.vpcs:
            continue
        said = client.describe_target_health(TargetGroupArn=group["TargetGroupArn"])
        if _registered(said["TargetHealthDescriptions"], subject.id, subject.addresses):
            network = any(":loadbalancer/net/" in arn for arn in group.get("LoadBalancerArns", []))
            yield Registration(group=group["TargetGroupArn"], name=group["TargetGroupName"], network=network)


def _registered(found: list[dict[str, Any]], instance: str, addresses: tuple[str, ...]) -> list[dict[str, Any]]:
    mine = {instance, *addresses}
    held = [d["Target"] for d in found if d["Target"]["Id"] in mine and not _leaving(d.get("TargetHealth") or {})]
    wanted = ("Id", "Port", "AvailabilityZone")
    targets = [{k: t[k] for k in wanted if t.get(k) is not None} for t in held]
    return sorted(targets, key=lambda t: (str(t["Id"]), int(t.get("Port", 0))))


def _leaving(health: Mapping[str, Any]) -> bool:
    # `unused` is also said of targets whose group has no listener; those are registered all the same.
    if health.get("State") == "unused":
        return health.get("Reason") == "Target.NotRegistered"
    return health.get("State") == "draining"


def _read_targets(case: Case, target: str, args: Args) -> State:
    said = case.client("elbv2").describe_target_health(TargetGroupArn=target)
    return {"Targets": _registered(said["TargetHealthDescriptions"], args["instance"], tuple(args["addresses"]))}


def _deregister(running: Running, state: State) -> Changed:
    said = running.case.client("elbv2").deregister_targets(TargetGroupArn=running.step.target, Targets=state["Targets"])
    note = "connections that are open may go on for the group's deregistration delay (300 s unless set otherwise)"
    return Changed(request_ids=request_id(said), result={"note": note})


def _register(target: str, _: Args, before: State, __: State) -> Undo:
    return Undo(calls=(call("elbv2", "RegisterTargets", TargetGroupArn=target, Targets=before["Targets"]),))


def classic(case: Case, instance: str) -> list[str]:
    """The classic load balancers that the instance is registered with."""
    pages = case.client("elb").get_paginator("describe_load_balancers").paginate()
    return [b["LoadBalancerName"] for page in pages for b in page["LoadBalancerDescriptions"]
            if instance in {i["InstanceId"] for i in b.get("Instances", [])}]  # fmt: skip


def _read_classic(case: Case, target: str, args: Args) -> State:
    said = case.client("elb").describe_load_balancers(LoadBalancerNames=[target])
    held = {i["InstanceId"] for b in said["LoadBalancerDescriptions"] for i in b.get("Instances", [])}
    return {"Registered": args["instance"] in held}


def _deregister_classic(running: Running, _: State) -> Changed:
    said = running.case.client("elb").deregister_instances_from_load_balancer(
        LoadBalancerName=running.step.target, Instances=[{"InstanceId": running.step.args["instance"]}]
    )
    return Changed(request_ids=request_id(said))


def _register_classic(target: str, args: Args, _: State, __: State) -> Undo:
    return Undo(calls=(call("elb", "RegisterInstancesWithLoadBalancer", LoadBalancerName=target,
                            Instances=[{"InstanceId": args["instance"]}]),))  # fmt: skip


TARGETS = Control(
    verb="fleet.target-group", intended="the target group sends it no traffic", read=_read_targets,
    reached=lambda _c, _t, _a, state: not state.get("Targets"), change=_deregister, undo=_register,
)  # fmt: skip
CLASSIC = Control(
    verb="fleet.classic", intended="the classic load balancer sends it no traffic", read=_read_classic,
    reached=lambda _c, _t, _a, state: state.get("Registered") is False, change=_deregister_classic,
    undo=_register_classic,
)  # fmt: skip
CONTROLS = (PROTECTION, STANDBY, TARGETS, CLASSIC)


# --- the plan ------------------------------------------------------------------------------------------------


def steps(case: Case, subject: Subject) -> list[Step]:
    """How `subject` leaves its scaling group's care and its load balancers, as far as it is in any."""
    found = [*_scaling(case, subject), *_balancers(case, subject)]
    return found or [nothing("fleet.none", subject.id, stage=STAGE,
                             why=f"{subject.id} is in no scaling group and behind no load balancer")]  # fmt: skip


def _scaling(case: Case, subject: Subject) -> list[Step]:
    from irkit.aws.refusals import translating

    try:
        with translating("look up the scaling group of", subject.id, region=case.facts.region):
            member = membership(case, subject.id)
    except IrkitError as why:
        return [unreadable("fleet.scaling-groups", subject.id, stage=STAGE, why=why,
                           title=f"look up the scaling group of {subject.id}")]  # fmt: skip
    groups = [str(member["AutoScalingGroupName"])] if member else []
    groups += [target for target, _ in history.targets(case, STANDBY.verb, subject.id)]
    own = {"instance": subject.id}
    made: list[Step] = []
    for group in dict.fromkeys(groups):
        made += [
            PROTECTION.step(case, group, own, stage=STAGE, reversible="sets the protection that was there",
                            title=f"protect {subject.id} from scale-in of {group}"),
            STANDBY.step(case, group, own, stage=STAGE + 1,
                         title=f"put {subject.id} into standby in {group}; the group launches a replacement",
                         reversible="brings it back into service; the replacement stays, so the group wants one instance "
                                    "more than before until it is retired"),
        ]  # fmt: skip
    return made


def _balancers(case: Case, subject: Subject) -> list[Step]:
    from irkit.aws.refusals import translating

    own = {"instance": subject.id, "addresses": sorted(subject.addresses)}
    made: list[Step] = []
    try:
        with translating("look up the target groups of", subject.id, region=case.facts.region):
            now = [r.group for r in registrations(case, subject)]
        earlier = dict(history.targets(case, TARGETS.verb, subject.id))
        for group in dict.fromkeys([*now, *earlier]):
            made.append(TARGETS.step(case, group, earlier.get(group, own), stage=STAGE + 2, reversible="registers the same targets",
                                     title=f"take {subject.id} out of target group {_name(group)}"))  # fmt: skip
    except IrkitError as why:
        made.append(unreadable("fleet.target-groups", subject.id, stage=STAGE, why=why,
                               title=f"look up the target groups of {subject.id}"))  # fmt: skip
    try:
        with translating("look up the classic load balancers of", subject.id, region=case.facts.region):
            balancers = classic(case, subject.id)
        balancers += [target for target, _ in history.targets(case, CLASSIC.verb, subject.id)]
        made += [CLASSIC.step(case, name, {"instance": subject.id}, stage=STAGE + 2, reversible="registers it again",
                              title=f"take {subject.id} out of classic load balancer {name}")
                 for name in dict.fromkeys(balancers)]  # fmt: skip
    except IrkitError as why:
        made.append(unreadable("fleet.classic-balancers", subject.id, stage=STAGE, why=why,
                               title=f"look up the classic load balancers of {subject.id}"))  # fmt: skip
    return made


def _name(arn: str) -> str:
    parts = arn.rsplit("/", 2)
    return parts[1] if len(parts) == 3 else arn
