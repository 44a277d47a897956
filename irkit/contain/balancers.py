"""Load balancers: they send the instance no more traffic. AWS knows no way from an instance to them, so all are asked.

References:
    https://docs.aws.amazon.com/elasticloadbalancing/latest/application/edit-target-group-attributes.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from irkit.aws.refusals import translating
from irkit.contain import history
from irkit.contain.control import Args, Changed, Control, State, call, request_id, unreadable
from irkit.errors import IrkitError
from irkit.plan import Running, Step, Undo

if TYPE_CHECKING:
    from irkit.case import Case
    from irkit.contain.subject import Subject


# The protocols of target groups that only a Network or a Gateway Load Balancer can have.
_NETWORK = frozenset({"TCP", "UDP", "TLS", "TCP_UDP", "QUIC", "TCP_QUIC", "GENEVE"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """A target group that sends traffic to the instance. `network` tells a Network or Gateway Load Balancer's.

    `balancers` are the load balancers, by ARN, that listen for the group.
    """

    group: str
    name: str
    network: bool
    balancers: tuple[str, ...] = ()


def registrations(case: Case, subject: Subject) -> Iterator[Registration]:
    """The target groups that the instance is in. AWS has no reverse look-up: every group is asked."""
    client = case.client("elbv2")
    pages = client.get_paginator("describe_target_groups").paginate()
    for group in (g for page in pages for g in page["TargetGroups"]):
        if group.get("VpcId") and group["VpcId"] not in subject.vpcs:
            continue
        said = client.describe_target_health(TargetGroupArn=group["TargetGroupArn"])
        if _registered(said["TargetHealthDescriptions"], subject.id, subject.addresses):
            network = group.get("Protocol") in _NETWORK
            yield Registration(
                group=group["TargetGroupArn"],
                name=group["TargetGroupName"],
                network=network,
                balancers=tuple(group.get("LoadBalancerArns", [])),
            )


def _registered(
    found: list[dict[str, Any]], instance: str, addresses: tuple[str, ...]
) -> list[dict[str, Any]]:
    mine = {instance, *addresses}
    held = [
        d["Target"] for d in found if d["Target"]["Id"] in mine and not _leaving(d.get("TargetHealth") or {})
    ]
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
    return {
        "Targets": _registered(said["TargetHealthDescriptions"], args["instance"], tuple(args["addresses"]))
    }


def _deregister(running: Running, state: State) -> Changed:
    said = running.case.client("elbv2").deregister_targets(
        TargetGroupArn=running.step.target, Targets=state["Targets"]
    )
    note = "connections that are open may go on for the group's deregistration delay (300 s unless set otherwise)"
    return Changed(request_ids=request_id(said), result={"note": note})


def _register(target: str, _: Args, before: State, __: State) -> Undo:
    return Undo(calls=(call("elbv2", "RegisterTargets", TargetGroupArn=target, Targets=before["Targets"]),))


def classic(case: Case, instance: str) -> list[str]:
    """The classic load balancers that the instance is registered with."""
    pages = case.client("elb").get_paginator("describe_load_balancers").paginate()
    return [
        b["LoadBalancerName"]
        for page in pages
        for b in page["LoadBalancerDescriptions"]
        if instance in {i["InstanceId"] for i in b.get("Instances", [])}
    ]


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
    return Undo(
        calls=(
            call(
                "elb",
                "RegisterInstancesWithLoadBalancer",
                LoadBalancerName=target,
                Instances=[{"InstanceId": args["instance"]}],
            ),
        )
    )


TARGETS = Control(
    verb="fleet.target-group",
    intended="the target group sends it no traffic",
    read=_read_targets,
    reached=lambda _c, _t, _a, state: not state.get("Targets"),
    change=_deregister,
    undo=_register,
)
CLASSIC = Control(
    verb="fleet.classic",
    intended="the classic load balancer sends it no traffic",
    read=_read_classic,
    reached=lambda _c, _t, _a, state: state.get("Registered") is False,
    change=_deregister_classic,
    undo=_register_classic,
)
CONTROLS = (TARGETS, CLASSIC)


def steps(case: Case, subject: Subject, *, stage: int) -> list[Step]:
    """How `subject` leaves its load balancers; a look-up that fails is a step that fails, and stops nothing else."""
    return [*_from_target_groups(case, subject, stage), *_from_classic(case, subject, stage)]


def _from_target_groups(case: Case, subject: Subject, stage: int) -> list[Step]:
    own = {"instance": subject.id, "addresses": sorted(subject.addresses)}
    try:
        with translating("look up the target groups of", subject.id, region=case.facts.region):
            now = [r.group for r in registrations(case, subject)]
        earlier = dict(history.targets(case, TARGETS.verb, subject.id))
    except IrkitError as why:
        title = f"look up the target groups of {subject.id}"
        return [unreadable("fleet.target-groups", subject.id, stage=stage, why=why, title=title)]
    return [
        TARGETS.step(
            case,
            group,
            earlier.get(group, own),
            stage=stage,
            reversible="registers the same targets",
            title=f"take {subject.id} out of target group {_name(group)}",
        )
        for group in dict.fromkeys([*now, *earlier])
    ]


def _from_classic(case: Case, subject: Subject, stage: int) -> list[Step]:
    try:
        with translating("look up the classic load balancers of", subject.id, region=case.facts.region):
            balancers = classic(case, subject.id)
        balancers += [target for target, _ in history.targets(case, CLASSIC.verb, subject.id)]
    except IrkitError as why:
        title = f"look up the classic load balancers of {subject.id}"
        return [unreadable("fleet.classic-balancers", subject.id, stage=stage, why=why, title=title)]
    return [
        CLASSIC.step(
            case,
            name,
            {"instance": subject.id},
            stage=stage,
            reversible="registers it again",
            title=f"take {subject.id} out of classic load balancer {name}",
        )
        for name in dict.fromkeys(balancers)
    ]


def _name(arn: str) -> str:
    parts = arn.rsplit("/", 2)
    return parts[1] if len(parts) == 3 else arn
