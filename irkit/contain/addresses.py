"""Addresses that lead to the instance: Elastic IPs, secondary private addresses and IPv6 addresses are taken away.

The quarantine cuts what they would carry; without them nothing is even routed to the instance, and an Elastic IP that
partners trust no longer ends at a machine that an intruder held. The primary private address stays as long as the
interface does. A public address that AWS gave on launch goes only when the instance stops.

References:
    https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instance-secondary-ip-addresses.html
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from irkit.aws.refusals import translating
from irkit.contain import history
from irkit.contain.control import Args, Changed, Control, State, call, request_id, unreadable
from irkit.errors import IrkitError
from irkit.plan import Running, Step, Undo

if TYPE_CHECKING:
    from irkit.case import Case
    from irkit.contain.subject import Subject


def _read_elastic(case: Case, target: str, _: Args) -> State:
    found = case.client("ec2").describe_addresses(AllocationIds=[target])["Addresses"][0]
    return {name: found.get(name) or None for name in ("NetworkInterfaceId", "PrivateIpAddress", "PublicIp")}


def _take_elastic(running: Running, _: State) -> Changed:
    client = running.case.client("ec2")
    found = client.describe_addresses(AllocationIds=[running.step.target])["Addresses"][0]
    return Changed(request_ids=request_id(client.disassociate_address(AssociationId=found["AssociationId"])))


def _give_elastic(target: str, _: Args, before: State, __: State) -> Undo:
    params: dict[str, Any] = {
        "AllocationId": target,
        "NetworkInterfaceId": before["NetworkInterfaceId"],
        "AllowReassociation": False,
    }
    if before["PrivateIpAddress"]:
        params["PrivateIpAddress"] = before["PrivateIpAddress"]
    return Undo(calls=(call("ec2", "AssociateAddress", **params),))


def _read_secondary(case: Case, target: str, _: Args) -> State:
    found = case.client("ec2").describe_network_interfaces(NetworkInterfaceIds=[target])["NetworkInterfaces"]
    private = [a["PrivateIpAddress"] for a in found[0].get("PrivateIpAddresses", []) if not a.get("Primary")]
    return {
        "Private": sorted(private),
        "Ipv6": sorted(a["Ipv6Address"] for a in found[0].get("Ipv6Addresses", [])),
    }


def _take_secondary(running: Running, state: State) -> Changed:
    client, interface, ids = running.case.client("ec2"), running.step.target, tuple[str, ...]()
    if state["Private"]:
        ids += request_id(
            client.unassign_private_ip_addresses(
                NetworkInterfaceId=interface, PrivateIpAddresses=state["Private"]
            )
        )
    if state["Ipv6"]:
        ids += request_id(
            client.unassign_ipv6_addresses(NetworkInterfaceId=interface, Ipv6Addresses=state["Ipv6"])
        )
    return Changed(request_ids=ids)


def _give_secondary(target: str, _: Args, before: State, __: State) -> Undo:
    calls = []
    if before["Private"]:
        kept = {"PrivateIpAddresses": before["Private"], "AllowReassignment": False}
        calls.append(call("ec2", "AssignPrivateIpAddresses", NetworkInterfaceId=target, **kept))
    if before["Ipv6"]:
        calls.append(
            call("ec2", "AssignIpv6Addresses", NetworkInterfaceId=target, Ipv6Addresses=before["Ipv6"])
        )
    return Undo(calls=tuple(calls))


ADDRESS = Control(
    verb="network.address",
    intended="the Elastic IP leads nowhere",
    read=_read_elastic,
    reached=lambda _c, _t, _a, state: not state["NetworkInterfaceId"],
    change=_take_elastic,
    undo=_give_elastic,
)
SECONDARY = Control(
    verb="network.secondary",
    intended="the interface has its primary private address only",
    read=_read_secondary,
    reached=lambda _c, _t, _a, state: not state["Private"] and not state["Ipv6"],
    change=_take_secondary,
    undo=_give_secondary,
)
CONTROLS = (ADDRESS, SECONDARY)


def steps(case: Case, subject: Subject, *, stage: int) -> Iterator[Step]:
    """How `subject` loses its addresses; the Elastic IPs first, so that each is put back where it was."""
    yield from _elastic(case, subject, stage)
    earlier = [target for target, _ in history.targets(case, SECONDARY.verb, subject.id)]
    now = [i.id for i in subject.interfaces if i.addresses[1:] or i.addresses6]
    for interface in dict.fromkeys([*now, *earlier]):
        yield SECONDARY.step(
            case,
            interface,
            {"instance": subject.id},
            stage=stage + 1,
            title=f"take secondary and IPv6 addresses off interface {interface} of {subject.id}",
            reversible="assigns the same addresses, unless somebody took them in the meantime",
        )


def _elastic(case: Case, subject: Subject, stage: int) -> Iterator[Step]:
    try:
        with translating("look up the Elastic IPs of", subject.id, region=case.facts.region):
            held = [{"Name": "network-interface-id", "Values": [i.id for i in subject.interfaces]}]
            said = case.client("ec2").describe_addresses(Filters=held)
    except IrkitError as why:
        title = f"look up the Elastic IPs of {subject.id}"
        yield unreadable("network.addresses", subject.id, why=why, stage=stage, title=title)
        return
    now = [a["AllocationId"] for a in said["Addresses"]]
    earlier = [target for target, _ in history.targets(case, ADDRESS.verb, subject.id)]
    for allocation in dict.fromkeys([*now, *earlier]):
        yield ADDRESS.step(
            case,
            allocation,
            {"instance": subject.id},
            stage=stage,
            title=f"take Elastic IP {allocation} off {subject.id}",
            reversible="associates it with the same interface and private address",
        )
