"""Quarantine: every interface into a group without rules, and connections that were already up are cut.

A security group swap alone leaves live connections alone: AWS tracks them and lets them go on, for up to five days. A
flow is untracked only while its interface allows everything both ways; then it ends when the rules go. So each
interface passes through a group that is open for that moment (the *hop*), IPv4 and IPv6, into the group without rules.
The hop group has no rules before and after; should an interface get stuck in it, it is shut all the same.

References:
    https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/security-group-connection-tracking.html
"""

from __future__ import annotations

import dataclasses
import threading
import time
from typing import TYPE_CHECKING

from irkit.contain import acl, endpoints, groups, halt, history, host_firewall
from irkit.contain import addresses as addresses_away
from irkit.contain.control import Args, Changed, Control, State, call, nothing, request_id, unreadable
from irkit.contain.tracking import tracking
from irkit.errors import AwsError, InvalidParameter, IrkitError, WrongState
from irkit.plan import Outcome, Running, Step, Undo

if TYPE_CHECKING:
    from irkit.case import Case
    from irkit.contain.subject import Interface, Subject

STAGE = 20
NO_WAY = "network.way"
"""The verb of the step that says why Systems Manager cannot be left a way."""
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
            if not _wide(case, hop):  # another process that uses the group has closed it meanwhile
                missing = ("connections that were up may go on: the hop was closed too early",)
        except Exception as error:  # noqa: BLE001  whatever went wrong with the hop, the quarantine must follow
            missing = (f"connections that were up may go on: the hop failed ({type(error).__name__})",)
        ids += _put(case, interface, shut)
    finally:
        _shut(case, hop, interface)
    return Changed(request_ids=ids, missing=missing)


def _wide(case: Case, hop: str) -> bool:
    """Whether the hop group allows everything both ways, IPv4 and IPv6."""
    held = {groups.in_words(rule) for rule in groups.rules(case, hop)}
    return {f"{way} -1 {peer}" for way in ("in", "out") for peer in ("0.0.0.0/0", "::/0")} <= held


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


MANAGED = dataclasses.replace(INTERFACE, refusals=frozenset({"AuthFailure", "OperationNotPermitted"}))
CONTROLS = (
    *host_firewall.CONTROLS,
    QUARANTINE,
    SSM,
    HOP,
    INTERFACE,
    *acl.CONTROLS,
    *addresses_away.CONTROLS,
    *halt.CONTROLS,
)
TRACKED = ("nacl", "host-firewall", "stop")


# --- the plan ------------------------------------------------------------------------------------------------


def steps(
    case: Case,
    subject: Subject,
    *,
    ssm_room: bool = False,
    hop: bool = True,
    hop_seconds: float = 2.0,
    tracked: str | None = None,
    addresses: bool = False,
) -> list[Step]:
    """The quarantine of every interface of `subject`.

    `ssm_room` keeps the VPC's endpoints of Systems Manager and S3 reachable while the host is captured; the same plan
    without it closes that too. In a VPC without them the interfaces are left as they are until then, and the plan says
    so. `hop=False` avoids the moment in which each interface is open, and leaves live connections up. `tracked` names
    what is done about connections that stay tracked all the same: `nacl`, `host-firewall` or `stop`. `addresses` takes
    Elastic IPs, secondary and IPv6 addresses away.
    """
    if tracked is not None and tracked not in TRACKED:
        raise InvalidParameter(
            f"tracked flows cannot be ended by {tracked!r}", hint=f"choose from {', '.join(TRACKED)}"
        )
    if not subject.interfaces:
        return [
            nothing("network.none", subject.id, why=f"{subject.id} has no network interface", stage=STAGE)
        ]
    made: list[Step] = []
    if tracked == "host-firewall":
        made += host_firewall.steps(case, subject, stage=STAGE - 1)
    for vpc in subject.vpcs:
        faces = [i for i in subject.interfaces if i.vpc == vpc]
        group = _group(case, subject, vpc, faces, ssm_room=ssm_room)
        made.append(group)
        if not group.changes:  # without a group for it there is nothing to put an interface into
            continue
        if hop:
            made.append(_hop_group(case, vpc))
        made += [
            _interface(case, subject, i, ssm_room=ssm_room, hop=hop_seconds if hop else 0.0) for i in faces
        ]
    made.append(tracking(case, subject, stage=STAGE, handled=tracked is not None))
    if tracked == "nacl":
        made += acl.steps(case, subject, stage=STAGE + 2)
    if addresses:
        made += addresses_away.steps(case, subject, stage=STAGE + 2)
    if tracked == "stop":
        made += halt.steps(case, subject, stage=STAGE + 5)
    return made


def _hop_group(case: Case, vpc: str) -> Step:
    return HOP.step(
        case,
        vpc,
        {},
        stage=STAGE,
        reversible="deletes the group",
        title=f"make a group in {vpc} for interfaces to pass through, so that live connections end",
    )


def _group(case: Case, subject: Subject, vpc: str, faces: list[Interface], *, ssm_room: bool) -> Step:
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
    args, without = (held.args if held else {}), tuple[str, ...]()
    if held is None:
        try:
            way = endpoints.way_out(case, vpc, faces)
        except IrkitError as why:
            title = f"find the endpoints of {vpc}"
            return unreadable(NO_WAY, subject.id, title=title, why=why, stage=STAGE)
        if way.lacking:
            return _no_way(case, subject, vpc, faces, way)
        without = way.without
        args = {"addresses": list(way.addresses), "prefix_lists": list(way.prefix_lists)}
    return SSM.step(
        case,
        vpc,
        args,
        stage=STAGE,
        reversible="deletes the group",
        title="; ".join(
            [f"make a quarantine group in {vpc} that reaches only the endpoints of SSM and S3", *without]
        ),
    )


def _no_way(case: Case, subject: Subject, vpc: str, faces: list[Interface], way: endpoints.Way) -> Step:
    """The step that says why the interfaces are left as they are, unless they are shut already."""
    shut = groups.made(case, "quarantine", vpc)
    if shut is not None and all(i.groups == (shut,) for i in faces):
        return nothing(NO_WAY, subject.id, why=f"{subject.id} is in quarantine already", stage=STAGE)
    why = (
        f"{vpc} has no way to Systems Manager but through what a quarantine closes ({'; '.join(way.lacking)}): the "
        f"interfaces of {subject.id} are left as they are. Capture the host first, within a set time, then contain "
        "without room for SSM; while data is being stolen or encrypted, contain without room at once"
    )
    return Step(
        verb=NO_WAY,
        target=subject.id,
        args={"instance": subject.id, "vpc": vpc, "lacking": list(way.lacking)},
        title=why,
        changes=False,
        stage=STAGE,
        act=lambda _: Outcome(missing=(why,)),
    )


def _interface(case: Case, subject: Subject, interface: Interface, *, ssm_room: bool, hop: float) -> Step:
    room = "ssm" if ssm_room else "none"
    exposed = (
        f"; for about {hop:g} s everything is allowed, which is what ends live connections"
        if hop
        else "; live connections stay up"
    )
    ends = "" if ssm_room else "; Systems Manager no longer reaches the host"
    managed = (
        " (an AWS service manages it and may refuse; that is recorded)" if interface.requester_managed else ""
    )
    return (MANAGED if managed else INTERFACE).step(
        case,
        interface.id,
        {"instance": subject.id, "vpc": interface.vpc, "room": room, "hop": hop},
        title=f"put interface {interface.id} of {subject.id}{managed} into the quarantine group{exposed}{ends}",
        reversible="puts back the groups that it was in",
        stage=STAGE + 1,
        needs=(f"network.{_room({'room': room})}",),
        deadline=180.0,
    )
