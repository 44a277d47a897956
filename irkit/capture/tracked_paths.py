"""Ways out of the instance on which AWS goes on tracking a flow whatever the security groups say.

A quarantine by groups cuts new flows; what runs through one of these lives on until it is idle, so the responder has to
know before, and may want a network ACL or a stop as well.

References:
    https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/security-group-connection-tracking.html
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from irkit.capture.asking import Asker
from irkit.capture.instance import Instance

# Protocols of target groups that only a Network Load Balancer serves.
_NETWORK = frozenset({"TCP", "UDP", "TLS", "TCP_UDP", "QUIC", "TCP_QUIC"})


def lasting(asker: Asker, instance: Instance) -> tuple[str, ...]:
    """Each such way in a few words, such as `a NAT gateway (nat-…)`; empty when there is none."""
    if not instance.vpc:
        return ()
    found = [*_routes(asker, instance), *_endpoints(asker, instance)]
    return tuple(dict.fromkeys(found))


def behind_network_balancer(protocol: str) -> bool:
    """Whether a target group of this protocol belongs to a Network Load Balancer, whose flows are tracked always."""
    return protocol in _NETWORK


def _routes(asker: Asker, instance: Instance) -> Iterator[str]:
    of_vpc = [{"Name": "vpc-id", "Values": [str(instance.vpc)]}]
    tables = asker.ask("ec2", "describe_route_tables", Filters=of_vpc)["RouteTables"] or []
    for subnet in sorted({i.subnet for i in instance.interfaces if i.subnet}):
        for route in _table(tables, subnet).get("Routes", ()):
            if gateway := route.get("NatGatewayId"):
                yield f"a NAT gateway ({gateway})"
            if gateway := route.get("TransitGatewayId"):
                yield f"a transit gateway ({gateway})"
            if gateway := route.get("EgressOnlyInternetGatewayId"):
                yield f"an egress-only internet gateway ({gateway})"
            if str(gateway := route.get("GatewayId") or "").startswith("vpce-") and route.get(
                "DestinationCidrBlock"
            ):
                yield f"a firewall or load-balancer endpoint ({gateway})"


def _table(tables: Iterable[Mapping[str, Any]], subnet: str) -> Mapping[str, Any]:
    """The route table that the subnet follows: its own, else the VPC's main one."""
    main: Mapping[str, Any] = {}
    for table in tables:
        for association in table.get("Associations", ()):
            if association.get("SubnetId") == subnet:
                return table
            main = table if association.get("Main") else main
    return main


def _endpoints(asker: Asker, instance: Instance) -> Iterator[str]:
    of_vpc = [{"Name": "vpc-id", "Values": [str(instance.vpc)]}]
    for endpoint in asker.ask("ec2", "describe_vpc_endpoints", Filters=of_vpc)["VpcEndpoints"] or []:
        service = str(endpoint.get("ServiceName", ""))
        if endpoint.get("VpcEndpointType") == "Interface" and ".vpce-svc-" in service:
            yield f"PrivateLink to {service} ({endpoint['VpcEndpointId']})"
        elif endpoint.get("VpcEndpointType") == "Gateway" and service.endswith(".dynamodb"):
            yield f"the gateway endpoint of DynamoDB ({endpoint['VpcEndpointId']})"
