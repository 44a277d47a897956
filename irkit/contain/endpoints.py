"""The way from a quarantined host to Systems Manager and S3 that leads through the VPC's own endpoints.

While host and memory are captured, the quarantine lets out HTTPS to these and to nothing else. The agent needs `ssm`
and `ssmmessages`; agents of before 2024 also `ec2messages`. Evidence leaves through the gateway endpoint of S3, named
by its prefix list, or through an interface endpoint. What the way lacks is said: there is no prefix list for Systems
Manager, so without endpoints a quarantine with room for it would have to open HTTPS to everywhere.

References:
    https://docs.aws.amazon.com/systems-manager/latest/userguide/setup-create-vpc.html
    https://docs.aws.amazon.com/vpc/latest/privatelink/gateway-endpoints.html
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from irkit.aws.refusals import translating
from irkit.contain.routes import table_of

if TYPE_CHECKING:
    from irkit.case import Case
    from irkit.contain.subject import Interface

NEEDED = ("ssm", "ssmmessages")
WELCOME = ("ec2messages", "s3")


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """What a quarantine with room has to let out. `lacking` says why that would not reach Systems Manager, if so.

    `addresses` are those of endpoint interfaces, IPv4 and IPv6; `prefix_lists` those of gateway endpoints. `without`
    says what the host cannot reach although Systems Manager reaches it.
    """

    addresses: tuple[str, ...] = ()
    prefix_lists: tuple[str, ...] = ()
    lacking: tuple[str, ...] = ()
    without: tuple[str, ...] = ()


def way_out(case: Case, vpc: str, interfaces: Iterable[Interface]) -> Way:
    """The way of these interfaces of a host in `vpc`; raises as `translating` does when AWS cannot be asked."""
    faces = tuple(interfaces)
    with translating("look up the endpoints of", vpc, region=case.facts.region):
        client = case.client("ec2")
        mine = [{"Name": "vpc-id", "Values": [vpc]}]
        pages = client.get_paginator("describe_vpc_endpoints").paginate(Filters=mine)
        found = [e for page in pages for e in page["VpcEndpoints"] if e.get("State") == "available"]
        private = {_service(e): e for e in found if e["VpcEndpointType"] == "Interface"}
        usable = {name: e for name, e in private.items() if name in {*NEEDED, *WELCOME}}
        closed = {name: why for name, e in usable.items() if (why := _closed(case, e, faces))}
        lacking = [closed.get(n, f"no endpoint for {n}") for n in NEEDED if n not in usable or n in closed]
        open_ones = [e for name, e in usable.items() if name not in closed]
        lists = _gateways(case, found, mine, faces)
        addresses = _addresses(case, open_ones)
    without = [why for name, why in closed.items() if name not in NEEDED]
    if not lists and "s3" not in {_service(e) for e in open_ones}:
        without.append("S3 is out of reach: what the host uploads itself, such as memory, cannot leave")
    return Way(
        addresses=tuple(addresses), prefix_lists=tuple(lists), lacking=tuple(lacking), without=tuple(without)
    )


def _service(endpoint: Mapping[str, Any]) -> str:
    return str(endpoint["ServiceName"]).rpartition(".")[2]


def _closed(case: Case, endpoint: Mapping[str, Any], faces: tuple[Interface, ...]) -> str | None:
    """Why the endpoint would not serve the host once that is in the quarantine group; None when it would."""
    name, service = endpoint["VpcEndpointId"], _service(endpoint)
    if not endpoint.get("PrivateDnsEnabled", True):
        return f"endpoint {name} for {service} has no private DNS name: the host would look elsewhere"
    groups = [g["GroupId"] for g in endpoint.get("Groups", [])]
    pages = (
        case.client("ec2")
        .get_paginator("describe_security_group_rules")
        .paginate(Filters=[{"Name": "group-id", "Values": groups}])
    )
    admitted = [r for page in pages for r in page["SecurityGroupRules"] if not r["IsEgress"] and _https(r)]
    addresses = [a for face in faces for a in (*face.addresses[:1], *face.addresses6[:1])]
    if groups and not any(_holds(r, a) for r in admitted for a in addresses):
        return (
            f"endpoint {name} for {service} admits members of other groups only, not the address of the host"
        )
    return None


def _https(rule: Mapping[str, Any]) -> bool:
    if rule.get("IpProtocol") == "-1":
        return True
    return rule.get("IpProtocol") == "tcp" and int(rule["FromPort"]) <= 443 <= int(rule["ToPort"])


def _holds(rule: Mapping[str, Any], address: str) -> bool:
    cidr = rule.get("CidrIpv4") or rule.get("CidrIpv6")
    with suppress(ValueError):
        return bool(cidr) and ipaddress.ip_address(address) in ipaddress.ip_network(str(cidr))
    return False


def _gateways(
    case: Case, endpoints: list[dict[str, Any]], mine: list[dict[str, Any]], faces: tuple[Interface, ...]
) -> list[str]:
    """The prefix lists of S3's gateway endpoint, when the routes of the host's subnets lead there."""
    gateways = [e for e in endpoints if e["VpcEndpointType"] == "Gateway" and _service(e) == "s3"]
    if not gateways:
        return []
    client = case.client("ec2")
    pages = client.get_paginator("describe_route_tables").paginate(Filters=mine)
    tables = [t for page in pages for t in page["RouteTables"]]
    routed = {str((table_of(tables, f.subnet) or {}).get("RouteTableId")) for f in faces}
    served = [e["ServiceName"] for e in gateways if routed & set(e.get("RouteTableIds", []))]
    if not served:
        return []
    named = [{"Name": "prefix-list-name", "Values": served}]
    lists = client.get_paginator("describe_managed_prefix_lists").paginate(Filters=named)
    return sorted(p["PrefixListId"] for page in lists for p in page["PrefixLists"])


def _addresses(case: Case, endpoints: list[dict[str, Any]]) -> list[str]:
    interfaces = sorted(i for e in endpoints for i in e.get("NetworkInterfaceIds", []))
    if not interfaces:
        return []
    said = case.client("ec2").describe_network_interfaces(NetworkInterfaceIds=interfaces)
    found = said["NetworkInterfaces"]
    six = [a["Ipv6Address"] for i in found for a in i.get("Ipv6Addresses", [])]
    return sorted({*(i["PrivateIpAddress"] for i in found), *six})
