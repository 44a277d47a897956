"""Quarantine: every interface into a group without rules, and connections that were already up are cut.

A security group swap alone leaves live connections alone: AWS tracks them and lets them go on, for up to five days. A
flow is untracked only while its interface allows everything both ways; then it ends when the rules go. So each
interface passes through a group that is open for that moment (the *hop*), IPv4 and IPv6, into the group without rules.
The hop group has no rules before and after; should an interface get stuck in it, it is shut all the same.

References:
    https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/security-group-connection-tracking.html
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from irkit.aws.refusals import translating
from irkit.contain import groups, history
from irkit.contain.control import Args, Changed, Control, State, call, nothing, request_id, unreadable
from irkit.errors import AwsError, IrkitError, WrongState
from irkit.plan import Running, Step, Undo

if TYPE_CHECKING:
    from irkit.case import Case
    from irkit.contain.subject import Interface, Subject

STAGE = 20
SSM_SERVICES = ("ssm", "ssmmessages", "ec2messages")
_EVERYTHING = [
    {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]},
    {"IpProtocol": "-1", "Ipv6Ranges": [{"CidrIpv6": "::/0"}]},
]
_TRIES = 3
# One interface at a time is in the open hop group; the group is shared by all of a VPC.
_hop = threading.Lock()


def _room(args: Args) -> str:
    return "ssm" if args.get("room") == "ssm" else "quarantine"


def _read(case: Case, target: str, _: Args) -> State:
    said = case.client("ec2").describe_network_interfaces(NetworkInterfaceIds=[target])
    return {"Groups": sorted(g["GroupId"] for g in said["NetworkInterfaces"][0]["Groups"])}


def _reached(case: Case, _: str, args: Args, state: State) -> bool:
    # The full quarantine is all that the one with room promises: it is never opened again to make that room.
    shut = {groups.made(case, purpose, args["vpc"]) for purpose in {_room(args), "quarantine"}}
    return len(state["Groups"]) == 1 and state["Groups"][0] in shut


def _ours(case: Case, _: str, args: Args, state: State) -> bool:
    made = {groups.made(case, purpose, args["vpc"]) for purpose in ("quarantine", "ssm", "hop")}
    return any(group in made for group in state["Groups"])


def _restore(target: str, _: Args, before: State, __: State) -> Undo:
    return Undo(
        calls=(
            call(
                "ec2",
                "ModifyNetworkInterfaceAttribute",
                NetworkInterfaceId=target,
                Groups=list(before["Groups"]),
            ),
        )
    )


def _put(case: Case, interface: str, group: str) -> tuple[str, ...]:
    said = case.client("ec2").modify_network_interface_attribute(NetworkInterfaceId=interface, Groups=[group])
    return request_id(said)


def _isolate(running: Running, state: State) -> Changed:
    case, interface, args = running.case, running.step.target, running.step.args
    shut = groups.made(case, _room(args), args["vpc"])
    if shut is None:
        raise WrongState(
            f"there is no quarantine group in {args['vpc']} to put {interface} into",
            hint="apply the plan again; it makes the group first",
        )
    hop = groups.made(case, "hop", args["vpc"])
    closed = {groups.made(case, purpose, args["vpc"]) for purpose in ("quarantine", "ssm")}
    if closed & set(state["Groups"]):  # from one quarantine to the other nothing is opened again
        return Changed(request_ids=_put(case, interface, shut))
    if not args["hop"]:
        note = "connections that were up go on until they are idle: the hop was left out on request"
        return Changed(request_ids=_put(case, interface, shut), result={"note": note})
    if hop is None:
        lack = "connections that were up may go on: there is no hop group to cut them with"
        return Changed(request_ids=_put(case, interface, shut), missing=(lack,))
    with _hop:
        return _through(running, hop, shut)


def _through(running: Running, hop: str, shut: str) -> Changed:
    """Pass the interface through the opened hop group; whatever fails, it ends up shut and the hop without rules."""
    case, interface = running.case, running.step.target
    ids: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    try:
        try:
            for outbound in (True, False):
                ids += groups.authorize(case, hop, outbound=outbound, permissions=_EVERYTHING)
            ids += _put(case, interface, hop)
            time.sleep(float(running.step.args["hop"]))
        except Exception as error:  # noqa: BLE001  whatever went wrong with the hop, the quarantine must follow
            missing = (f"connections that were up may go on: the hop failed ({type(error).__name__})",)
        ids += _put(case, interface, shut)
    finally:
        _shut(case, hop, interface)
    return Changed(request_ids=ids, missing=missing)


def _shut(case: Case, hop: str, interface: str) -> None:
    """Take every rule out of the hop group, or say that it is open."""
    for attempt in range(1, _TRIES + 1):
        try:
            groups.revoke_all(case, hop)
            if not groups.rules(case, hop):
                return
        except Exception as error:
            if attempt == _TRIES:
                raise AwsError(
                    f"the hop group {hop} could not be emptied after {interface} went through it",
                    hint="revoke its rules by hand now; whatever is in it is open",
                ) from error
        time.sleep(0.2 * attempt)


QUARANTINE = groups.control("quarantine", "a group without any rule, IPv4 or IPv6")
SSM = groups.control("ssm", "a group that lets out HTTPS to the VPC's SSM endpoints and nothing else")
HOP = groups.control("hop", "a group for interfaces to pass through, without any rule before and after")
INTERFACE = Control(
    verb="network.interface",
    intended="the interface is in the quarantine group only",
    read=_read,
    reached=_reached,
    ours=_ours,
    change=_isolate,
    undo=_restore,
)


# --- Elastic IP ----------------------------------------------------------------------------------------------


def _read_address(case: Case, target: str, _: Args) -> State:
    found = case.client("ec2").describe_addresses(AllocationIds=[target])["Addresses"][0]
    return {name: found.get(name) or None for name in ("NetworkInterfaceId", "PrivateIpAddress", "PublicIp")}


def _take_address(running: Running, _: State) -> Changed:
    client = running.case.client("ec2")
    found = client.describe_addresses(AllocationIds=[running.step.target])["Addresses"][0]
    return Changed(request_ids=request_id(client.disassociate_address(AssociationId=found["AssociationId"])))


def _give_address(target: str, _: Args, before: State, __: State) -> Undo:
    params: dict[str, Any] = {
        "AllocationId": target,
        "NetworkInterfaceId": before["NetworkInterfaceId"],
        "AllowReassociation": False,
    }
    if before["PrivateIpAddress"]:
        params["PrivateIpAddress"] = before["PrivateIpAddress"]
    return Undo(calls=(call("ec2", "AssociateAddress", **params),))


ADDRESS = Control(
    verb="network.address",
    intended="the Elastic IP leads nowhere",
    read=_read_address,
    reached=lambda _c, _t, _a, state: not state["NetworkInterfaceId"],
    change=_take_address,
    undo=_give_address,
)
CONTROLS = (QUARANTINE, SSM, HOP, INTERFACE, ADDRESS)


# --- the plan ------------------------------------------------------------------------------------------------


def steps(
    case: Case,
    subject: Subject,
    *,
    ssm_room: bool = False,
    hop: bool = True,
    hop_seconds: float = 2.0,
    addresses: bool = False,
) -> list[Step]:
    """The quarantine of every interface of `subject`.

    `ssm_room` keeps the VPC's SSM endpoints reachable while the host is captured; the same plan without it closes that
    too. `hop=False` avoids the moment in which each interface is open, and leaves live connections up. `addresses`
    takes Elastic IPs away.
    """
    from irkit.contain.tracking import tracking

    if not subject.interfaces:
        return [
            nothing("network.none", subject.id, why=f"{subject.id} has no network interface", stage=STAGE)
        ]
    made: list[Step] = []
    for vpc in subject.vpcs:
        try:
            made.append(_group(case, vpc, ssm_room=ssm_room))
        except IrkitError as why:
            made.append(
                unreadable(
                    SSM.verb, subject.id, title=f"find the SSM endpoints of {vpc}", why=why, stage=STAGE
                )
            )
        if hop:
            made.append(
                HOP.step(
                    case,
                    vpc,
                    {},
                    stage=STAGE,
                    reversible="deletes the group",
                    title=f"make a group in {vpc} for interfaces to pass through, so that live connections end",
                )
            )
    made += [
        _interface(case, subject, i, ssm_room=ssm_room, hop=hop_seconds if hop else 0.0)
        for i in subject.interfaces
    ]
    made.append(tracking(case, subject, stage=STAGE))
    return made + (list(_addresses(case, subject)) if addresses else [])


def _group(case: Case, vpc: str, *, ssm_room: bool) -> Step:
    if not ssm_room:
        return QUARANTINE.step(
            case,
            vpc,
            {},
            stage=STAGE,
            reversible="deletes the group",
            title=f"make a quarantine group without any rule in {vpc}",
        )
    held = next((b for b in history.begun(case) if b.verb == SSM.verb and b.target == vpc), None)
    args = held.args if held else {"addresses": endpoint_addresses(case, vpc)}
    return SSM.step(
        case,
        vpc,
        args,
        stage=STAGE,
        reversible="deletes the group",
        title=f"make a quarantine group in {vpc} that reaches only the SSM endpoints, for host capture",
    )


def _interface(case: Case, subject: Subject, interface: Interface, *, ssm_room: bool, hop: float) -> Step:
    room = "ssm" if ssm_room else "none"
    exposed = (
        f"; for about {hop:g} s everything is allowed, which is what ends live connections"
        if hop
        else "; live connections stay up"
    )
    ends = "" if ssm_room else "; Systems Manager no longer reaches the host"
    return INTERFACE.step(
        case,
        interface.id,
        {"instance": subject.id, "vpc": interface.vpc, "room": room, "hop": hop},
        title=f"put interface {interface.id} of {subject.id} into the quarantine group{exposed}{ends}",
        reversible="puts back the groups that it was in",
        stage=STAGE + 1,
        needs=(f"network.{_room({'room': room})}",),
        deadline=180.0,
    )


def _addresses(case: Case, subject: Subject) -> Iterator[Step]:
    try:
        with translating("look up the Elastic IPs of", subject.id, region=case.facts.region):
            held = [{"Name": "network-interface-id", "Values": [i.id for i in subject.interfaces]}]
            said = case.client("ec2").describe_addresses(Filters=held)
    except IrkitError as why:
        yield unreadable(
            "network.addresses",
            subject.id,
            why=why,
            stage=STAGE,
            title=f"look up the Elastic IPs of {subject.id}",
        )
        return
    now = [a["AllocationId"] for a in said["Addresses"]]
    earlier = [target for target, _ in history.targets(case, ADDRESS.verb, subject.id)]
    for allocation in dict.fromkeys([*now, *earlier]):
        yield ADDRESS.step(
            case,
            allocation,
            {"instance": subject.id},
            stage=STAGE + 2,
            title=f"take Elastic IP {allocation} off {subject.id}",
            reversible="associates it with the same interface and private address",
        )


def endpoint_addresses(case: Case, vpc: str) -> list[str]:
    """The private addresses of the VPC's own SSM endpoints; raises `WrongState` when one of the three is missing."""
    client = case.client("ec2")
    with translating("look up the endpoints of", vpc, region=case.facts.region):
        pages = client.get_paginator("describe_vpc_endpoints").paginate(
            Filters=[{"Name": "vpc-id", "Values": [vpc]}]
        )
        found = [
            e
            for page in pages
            for e in page["VpcEndpoints"]
            if e["VpcEndpointType"] == "Interface" and e["State"] == "available"
        ]
        mine = {
            e["ServiceName"].rpartition(".")[2]: e["NetworkInterfaceIds"]
            for e in found
            if e["ServiceName"].rpartition(".")[2] in SSM_SERVICES
        }
        # ec2messages is no longer needed by current agents, but older ones know nothing else
        lacking = [name for name in ("ssm", "ssmmessages") if name not in mine]
        if lacking:
            raise WrongState(
                f"{vpc} has no endpoint for {', '.join(lacking)}: a quarantine would cut Systems Manager off",
                hint="capture the host first, then contain without room for SSM",
            )
        interfaces = sorted(i for held in mine.values() for i in held)
        said = client.describe_network_interfaces(NetworkInterfaceIds=interfaces)
    return sorted({i["PrivateIpAddress"] for i in said["NetworkInterfaces"]})
