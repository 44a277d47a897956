"""Flows that stay tracked whatever the groups say: the hop cannot end them, so they are named.

AWS tracks them always: through NAT gateways, egress-only internet gateways, transit gateways, firewall and
load-balancer endpoints, Network Load Balancers and PrivateLink. They end when idle (350 s and more), when the
instance stops, or with a network ACL on the subnet.

References:
    https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/security-group-connection-tracking.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from irkit.contain.balancers import registrations
from irkit.errors import Incomplete
from irkit.plan import Outcome, Step, reason

if TYPE_CHECKING:
    from irkit.case import Case
    from irkit.contain.subject import Subject

_ALTERNATIVE = "a network ACL on the subnet, a firewall on the host or a stop would end them"
_GATEWAYS = {
    "NatGatewayId": "a NAT gateway",
    "TransitGatewayId": "a transit gateway",
    "EgressOnlyInternetGatewayId": "an egress-only internet gateway",
}


def tracking(case: Case, subject: Subject, *, stage: int) -> Step:
    """The step that looks for flows which the quarantine cannot end at once; it reads only."""

    def act(_: Any) -> Outcome:
        lasting: set[str] = set()
        unread: list[str] = []
        for look in (_routes, _balancers, _foreign_endpoints):
            try:
                lasting |= set(look(case, subject))
            except ClientError as error:
                unread.append(reason(error, doing="look for tracked flows of", resource=subject.id))
        named = [
            f"flows through {what} stay tracked and may go on until they are idle: {_ALTERNATIVE}"
            for what in sorted(lasting)
        ]
        if unread:  # a reading that lacks a part is not done: it is made again on the next run
            raise Incomplete("; ".join([*unread, *named]), hint="apply the plan again")
        result = {"tracked": sorted(lasting), "alternative": _ALTERNATIVE if lasting else None}
        return Outcome(result=result, missing=tuple(named))

    return Step(
        verb="network.tracked",
        target=subject.id,
        args={"instance": subject.id},
        changes=False,
        stage=stage,
        act=act,
        title=f"look for connections of {subject.id} that stay tracked (NAT, NLB, PrivateLink)",
    )


def _routes(case: Case, subject: Subject) -> Iterator[str]:
    client = case.client("ec2")
    for vpc in subject.vpcs:
        pages = client.get_paginator("describe_route_tables").paginate(
            Filters=[{"Name": "vpc-id", "Values": [vpc]}]
        )
        tables = [t for page in pages for t in page["RouteTables"]]
        for subnet in {i.subnet for i in subject.interfaces if i.vpc == vpc}:
            for route in (_table_of(tables, subnet) or {}).get("Routes", []):
                yield from (f"{name} ({route[key]})" for key, name in _GATEWAYS.items() if route.get(key))
                if str(route.get("GatewayId", "")).startswith("vpce-") and not route.get(
                    "DestinationPrefixListId"
                ):
                    yield f"a firewall or load-balancer endpoint ({route['GatewayId']})"


def _table_of(tables: list[dict[str, Any]], subnet: str) -> Mapping[str, Any] | None:
    main = None
    for table in tables:
        for association in table.get("Associations", []):
            if association.get("SubnetId") == subnet:
                return table
            main = table if association.get("Main") else main
    return main


def _balancers(case: Case, subject: Subject) -> Iterator[str]:
    yield from (
        f"the network load balancer of target group {r.name}"
        for r in registrations(case, subject)
        if r.network
    )


def _foreign_endpoints(case: Case, subject: Subject) -> Iterator[str]:
    """PrivateLink to somebody else's service; AWS's own endpoints are no way out for an intruder by themselves."""
    pages = (
        case.client("ec2")
        .get_paginator("describe_vpc_endpoints")
        .paginate(Filters=[{"Name": "vpc-id", "Values": list(subject.vpcs)}])
    )
    for endpoint in (e for page in pages for e in page["VpcEndpoints"]):
        if endpoint["VpcEndpointType"] == "Interface" and ".vpce-svc-" in endpoint["ServiceName"]:
            yield f"PrivateLink to {endpoint['ServiceName']} ({endpoint['VpcEndpointId']})"
