"""Network ACLs against flows that security groups cannot end: the instance's addresses are denied where flows pass.

A network ACL is stateless and cuts what is up already. But its rules match the far end only: the source of what enters
the subnet, the destination of what leaves it. In the instance's own subnet a rule cannot name the instance, and would
hit its neighbours. It can be named in the subnet of what its flows lead through, such as a NAT gateway: there it is the
source of what comes in and the destination of what goes back. So the ACL of that subnet is cloned, the instance's
addresses are denied ahead of everything else, and the subnet is associated with the clone; all other traffic goes on.

Where the gateway is in the instance's own subnet, or has no subnet, this cannot help, and the plan says so.

References:
    https://docs.aws.amazon.com/vpc/latest/userguide/nacl-rules.html
    https://docs.aws.amazon.com/vpc/latest/tgw/tgw-nacls.html
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from irkit.aws.refusals import translating
from irkit.aws.waiting import TimedOut, wait_until
from irkit.contain import history
from irkit.contain.control import Args, Changed, Control, State, call, request_id, unreadable
from irkit.contain.groups import PURPOSE
from irkit.contain.tracking import lasting
from irkit.errors import AwsError, Incomplete, IrkitError, NotFound, WrongState
from irkit.plan import Outcome, Running, Step, Undo

if TYPE_CHECKING:
    from irkit.case import Case
    from irkit.contain.subject import Subject

SUBNET = "irkit:subnet"
_VISIBLE_SECONDS = 20.0
_LAST = 32766  # from here on are the entries that every ACL has and nobody can change


def _associated(case: Case, subnet: str) -> tuple[Mapping[str, Any], str]:
    """The ACL that the subnet is associated with, and the association's id."""
    held = [{"Name": "association.subnet-id", "Values": [subnet]}]
    pages = case.client("ec2").get_paginator("describe_network_acls").paginate(Filters=held)
    for acl in (a for page in pages for a in page["NetworkAcls"]):
        for association in acl["Associations"]:
            if association["SubnetId"] == subnet:
                return acl, str(association["NetworkAclAssociationId"])
    raise NotFound(f"{subnet} has no network ACL", hint="see whether the subnet is still there")


def _clone(case: Case, subnet: str) -> Mapping[str, Any] | None:
    """The ACL that the case made for the subnet; tags alone, which can be forged, do not make one."""
    if not any(b.verb == DENIED.verb and b.target == subnet for b in history.begun(case)):
        return None
    tags = {"irkit:case": case.id, PURPOSE: "acl", SUBNET: subnet}
    filters = [{"Name": f"tag:{k}", "Values": [v]} for k, v in tags.items()]
    pages = case.client("ec2").get_paginator("describe_network_acls").paginate(Filters=filters)
    found = sorted((a for page in pages for a in page["NetworkAcls"]), key=lambda a: str(a["NetworkAclId"]))
    return found[0] if found else None


def _read(case: Case, subnet: str, args: Args) -> State:
    acl, association = _associated(case, subnet)
    clone = _clone(case, subnet)
    return {
        "Acl": acl["NetworkAclId"],
        "Association": association,
        "Clone": clone["NetworkAclId"] if clone else None,
        "Open": [
            a
            for a in sorted(args["addresses"])
            if any(_passes(acl["Entries"], a, egress=e) for e in (True, False))
        ],
    }


def _passes(entries: Iterable[Mapping[str, Any]], address: str, *, egress: bool) -> bool:
    """Whether any traffic with `address` gets through: AWS takes the entry with the lowest number that matches."""
    mine = sorted((e for e in entries if e["Egress"] is egress), key=lambda e: int(e["RuleNumber"]))
    far = ipaddress.ip_address(address)
    for entry in mine:
        if far not in ipaddress.ip_network(str(entry.get("CidrBlock") or entry.get("Ipv6CidrBlock"))):
            continue
        if entry["RuleAction"] == "allow":
            return True
        if str(entry["Protocol"]) == "-1":
            return False
    return False


def _change(running: Running, state: State) -> Changed:
    case, subnet = running.case, running.step.target
    addresses = sorted(running.step.args["addresses"])
    client = case.client("ec2")
    if state["Acl"] == state["Clone"]:  # somebody took our entries out of it
        _deny(case, str(state["Clone"]), addresses)
        return Changed(result={"acl": state["Clone"]})
    if state["Clone"]:  # an attempt that was cut short may have left a half-made one
        client.delete_network_acl(NetworkAclId=state["Clone"])
    original, association = _associated(case, subnet)
    tags = case.tags() | {"Name": f"irkit-acl-{case.id}", PURPOSE: "acl", SUBNET: subnet}
    specification = {
        "ResourceType": "network-acl",
        "Tags": [{"Key": k, "Value": v} for k, v in tags.items()],
    }
    made = client.create_network_acl(VpcId=original["VpcId"], TagSpecifications=[specification])
    clone = str(made["NetworkAcl"]["NetworkAclId"])
    expected = _copied(original["Entries"], room=len(addresses))
    for entry in expected:
        client.create_network_acl_entry(NetworkAclId=clone, **entry)
    _deny(case, clone, addresses)
    _checked(case, clone, expected, addresses)
    said = client.replace_network_acl_association(AssociationId=association, NetworkAclId=clone)
    return Changed(request_ids=request_id(made, said), result={"acl": clone, "cloned": state["Acl"]})


def _copied(entries: Iterable[Mapping[str, Any]], *, room: int) -> list[dict[str, Any]]:
    """The entries as they are asked for, moved up where the lowest numbers, `room` of them, are not free."""
    own = [e for e in entries if int(e["RuleNumber"]) < _LAST]
    shift = room if any(int(e["RuleNumber"]) <= room for e in own) else 0
    if shift and max(int(e["RuleNumber"]) for e in own) + shift >= _LAST:
        raise WrongState(
            "the network ACL uses both the lowest and the highest numbers",
            hint="choose tracked='host-firewall' or 'stop'",
        )
    kept = ("Protocol", "RuleAction", "Egress", "CidrBlock", "Ipv6CidrBlock", "PortRange", "IcmpTypeCode")
    return [
        {k: e[k] for k in kept if e.get(k) is not None} | {"RuleNumber": int(e["RuleNumber"]) + shift}
        for e in own
    ]


def _deny(case: Case, acl: str, addresses: list[str]) -> None:
    """Deny each address both ways, ahead of every other entry of the ACL."""
    client = case.client("ec2")
    for egress in (True, False):
        held = client.describe_network_acls(NetworkAclIds=[acl])["NetworkAcls"][0]["Entries"]
        taken = {int(e["RuleNumber"]) for e in held if e["Egress"] is egress}
        first = min((int(e["RuleNumber"]) for e in held if e["Egress"] is egress and e["RuleAction"] == "allow"),
                    default=_LAST)  # fmt: skip
        free = (n for n in range(1, first) if n not in taken)
        for address in (a for a in addresses if _passes(held, a, egress=egress)):
            number = next(free, None)
            if number is None:
                raise WrongState(
                    f"network ACL {acl} has no number left ahead of what it allows",
                    hint="see in CloudTrail who changed it; undo with force and plan again",
                )
            far = {"Ipv6CidrBlock": f"{address}/128"} if ":" in address else {"CidrBlock": f"{address}/32"}
            client.create_network_acl_entry(
                NetworkAclId=acl, RuleNumber=number, Protocol="-1", RuleAction="deny", Egress=egress, **far
            )


def _checked(case: Case, acl: str, expected: list[dict[str, Any]], addresses: list[str]) -> None:
    """Raise unless the clone says what it has to: a subnet must not be given an ACL that cuts its other traffic."""

    def complete() -> bool | None:
        held = case.client("ec2").describe_network_acls(NetworkAclIds=[acl])["NetworkAcls"][0]["Entries"]
        lacks = {_key(e) for e in expected} - {_key(e) for e in held}
        passing = [a for a in addresses if any(_passes(held, a, egress=e) for e in (True, False))]
        return None if lacks or passing else True

    try:
        wait_until(complete, what=f"seeing every entry of {acl}", timeout=_VISIBLE_SECONDS)
    except TimedOut as late:
        raise AwsError(
            f"network ACL {acl} does not show what it was given; the subnet keeps its own",
            hint="apply the plan again",
        ) from late


def _key(entry: Mapping[str, Any]) -> tuple[Any, ...]:
    far = entry.get("CidrBlock") or entry.get("Ipv6CidrBlock")
    return int(entry["RuleNumber"]), entry["Egress"], entry["RuleAction"], str(entry["Protocol"]), far


def _undo(_: str, __: Args, before: State, after: State) -> Undo:
    if not after.get("Clone"):
        return Undo()
    back = call(
        "ec2",
        "ReplaceNetworkAclAssociation",
        AssociationId=after["Association"],
        NetworkAclId=before["Acl"],
    )
    delete = call("ec2", "DeleteNetworkAcl", NetworkAclId=after["Clone"])
    return Undo(calls=(back, delete) if after["Acl"] == after["Clone"] else (delete,))


DENIED = Control(
    verb="network.acl",
    intended="the subnet that its tracked flows pass lets nothing from or to its addresses through",
    read=_read,
    reached=lambda _c, _t, _a, state: not state["Open"],
    ours=lambda _c, _t, _a, state: state["Clone"] is not None,
    change=_change,
    undo=_undo,
    watched=("Acl", "Clone", "Open"),
)
CONTROLS = (DENIED,)


def steps(case: Case, subject: Subject, *, stage: int) -> Iterator[Step]:
    """The ACLs that end the tracked flows of `subject`, and a step that says which flows no ACL can end."""
    try:
        with translating("look for tracked flows of", subject.id, region=case.facts.region):
            found, unread = lasting(case, subject)
            if unread:
                raise Incomplete("; ".join(unread), hint="apply the plan again")
    except IrkitError as why:
        title = f"look for the subnets that tracked flows of {subject.id} pass"
        yield unreadable("network.acls", subject.id, why=why, stage=stage, title=title)
        found = []
    own = {i.subnet for i in subject.interfaces}
    six = [a for i in subject.interfaces for a in i.addresses6]
    args = {"instance": subject.id, "addresses": sorted([*subject.addresses, *six])}
    passed = {s: held.what for held in found for s in held.subnets if s not in own}
    earlier = dict(history.targets(case, DENIED.verb, subject.id))
    for subnet in dict.fromkeys([*passed, *earlier]):
        yield DENIED.step(
            case,
            subnet,
            earlier.get(subnet, args),
            stage=stage,
            title=f"deny the addresses of {subject.id} in {subnet} ({passed.get(subnet, 'denied earlier')}), by a "
            "copy of its network ACL; other traffic of the subnet goes on",
            reversible="gives the subnet its own network ACL back and deletes the copy",
        )
        if fresh := sorted(set(args["addresses"]) - set(earlier.get(subnet, args)["addresses"])):
            yield _left(subject, subnet, stage, why=(
                f"{', '.join(fresh)} of {subject.id} came after its addresses were denied in {subnet}: "
                "undo network.acl and apply this again"
            ))  # fmt: skip
    for held in found:
        if not held.subnets or set(held.subnets) & own:
            yield _left(subject, held.what, stage, why=(
                f"flows through {held.what} stay tracked, and no network ACL can name {subject.id} on their way: "
                "tracked='host-firewall' or tracked='stop' would end them"
            ))  # fmt: skip


def _left(subject: Subject, what: str, stage: int, *, why: str) -> Step:
    return Step(
        verb="network.acl-beyond",
        target=subject.id,
        args={"instance": subject.id, "what": what, "why": why},
        title=why,
        changes=False,
        stage=stage,
        act=lambda _: Outcome(missing=(why,)),
    )
