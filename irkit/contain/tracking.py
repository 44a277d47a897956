"""Flows that stay tracked whatever the groups say: the hop cannot end them, so they are named, with what would.

AWS tracks them always: through NAT gateways, egress-only internet gateways, transit gateways, firewall and
load-balancer endpoints, Network Load Balancers, PrivateLink and the gateway endpoint of DynamoDB. They end when idle
(350 s and more), when the instance stops, or with a network ACL on a subnet that they pass.

Not looked for, because nothing in the instance's account and region tells: Global Accelerator.

References:
    https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/security-group-connection-tracking.html
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from irkit.contain.balancers import registrations
from irkit.contain.routes import table_of
from irkit.errors import Incomplete
from irkit.plan import Outcome, Step, reason

if TYPE_CHECKING:
    from irkit.case import Case
    from irkit.contain.subject import Subject

ALTERNATIVES = (
    "tracked='nacl' denies the instance's addresses in the subnets that these flows pass; "
    "tracked='host-firewall' shuts the host's own network over Systems Manager; "
    "tracked='stop' stops the instance, which loses its memory"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lasting:
    """Something through which flows stay tracked. `subnets` are where its own interfaces are, as far as it has any."""

    what: str
    subnets: tuple[str, ...] = ()


def lasting(case: Case, subject: Subject) -> tuple[list[Lasting], list[str]]:
    """What keeps flows of `subject` tracked, and in words what could not be looked up."""
    found: dict[str, Lasting] = {}
    unread: list[str] = []
    for look in (_routes, _balancers, _endpoints):
        try:
            found |= {held.what: held for held in look(case, subject)}
        except ClientError as error:
            unread.append(reason(error, doing="look for tracked flows of", resource=subject.id))
    return [found[name] for name in sorted(found)], unread


def tracking(case: Case, subject: Subject, *, stage: int, handled: bool = False) -> Step:
    """The step that looks for flows which the quarantine cannot end at once; it reads only.

    With `handled` another step of the plan ends them, and they are told as a result, not as what is missing.
    """

    def act(_: Any) -> Outcome:
        found, unread = lasting(case, subject)
        named = [
            f"flows through {held.what} stay tracked and may go on until they are idle: {ALTERNATIVES}"
            for held in found
        ]
        if unread:  # a reading that lacks a part is not done: it is made again on the next run
            raise Incomplete("; ".join([*unread, *named]), hint="apply the plan again")
        result = {
            "tracked": [held.what for held in found],
            "alternative": ALTERNATIVES if found and not handled else None,
        }
        return Outcome(result=result, missing=() if handled else tuple(named))

    return Step(
        verb="network.tracked",
        target=subject.id,
        args={"instance": subject.id} | ({"handled": True} if handled else {}),
        changes=False,
        stage=stage,
        act=act,
        title=f"look for connections of {subject.id} that stay tracked (NAT, NLB, PrivateLink)",
    )


def _routes(case: Case, subject: Subject) -> Iterator[Lasting]:
    client = case.client("ec2")
    for vpc in subject.vpcs:
        pages = client.get_paginator("describe_route_tables").paginate(
            Filters=[{"Name": "vpc-id", "Values": [vpc]}]
        )
        tables = [t for page in pages for t in page["RouteTables"]]
        for subnet in {i.subnet for i in subject.interfaces if i.vpc == vpc}:
            for route in (table_of(tables, subnet) or {}).get("Routes", []):
                yield from _route(client, vpc, route)


def _route(client: Any, vpc: str, route: dict[str, Any]) -> Iterator[Lasting]:
    if gateway := route.get("NatGatewayId"):
        said = client.describe_nat_gateways(NatGatewayIds=[gateway])["NatGateways"]
        subnets = tuple(g["SubnetId"] for g in said if g.get("SubnetId"))
        yield Lasting(what=f"a NAT gateway ({gateway})", subnets=subnets)
    if gateway := route.get("TransitGatewayId"):
        held = [
            {"Name": "transit-gateway-id", "Values": [gateway]},
            {"Name": "vpc-id", "Values": [vpc]},
        ]
        pages = client.get_paginator("describe_transit_gateway_vpc_attachments").paginate(Filters=held)
        attached = [a for page in pages for a in page["TransitGatewayVpcAttachments"]]
        yield Lasting(
            what=f"a transit gateway ({gateway})",
            subnets=tuple(s for a in attached for s in a.get("SubnetIds", [])),
        )
    if gateway := route.get("EgressOnlyInternetGatewayId"):
        yield Lasting(what=f"an egress-only internet gateway ({gateway})")
    if str(gateway := route.get("GatewayId", "")).startswith("vpce-"):
        for endpoint in client.describe_vpc_endpoints(VpcEndpointIds=[gateway])["VpcEndpoints"]:
            if endpoint["VpcEndpointType"] != "Gateway":
                yield Lasting(
                    what=f"a firewall or load-balancer endpoint ({gateway})",
                    subnets=tuple(endpoint.get("SubnetIds", [])),
                )
            elif endpoint["ServiceName"].endswith(".dynamodb"):
                yield Lasting(what=f"the gateway endpoint of DynamoDB ({gateway})")


def _balancers(case: Case, subject: Subject) -> Iterator[Lasting]:
    for held in registrations(case, subject):
        if held.network:
            subnets = tuple(_subnets(case, held.balancers)) if held.balancers else ()
            yield Lasting(what=f"the network load balancer of target group {held.name}", subnets=subnets)


def _subnets(case: Case, balancers: tuple[str, ...]) -> Iterator[str]:
    said = case.client("elbv2").describe_load_balancers(LoadBalancerArns=list(balancers))
    for balancer in said["LoadBalancers"]:
        yield from (z["SubnetId"] for z in balancer.get("AvailabilityZones", []) if z.get("SubnetId"))


def _endpoints(case: Case, subject: Subject) -> Iterator[Lasting]:
    """PrivateLink to somebody else's service; AWS's own endpoints are no way out for an intruder by themselves."""
    pages = (
        case.client("ec2")
        .get_paginator("describe_vpc_endpoints")
        .paginate(Filters=[{"Name": "vpc-id", "Values": list(subject.vpcs)}])
    )
    for endpoint in (e for page in pages for e in page["VpcEndpoints"] if e.get("State") == "available"):
        if endpoint["VpcEndpointType"] == "Interface" and ".vpce-svc-" in endpoint["ServiceName"]:
            yield Lasting(
                what=f"PrivateLink to {endpoint['ServiceName']} ({endpoint['VpcEndpointId']})",
                subnets=tuple(endpoint.get("SubnetIds", [])),
            )
