"""VPC endpoints and interface addresses: endpoints get addresses, groups and DNS names of their VPC, as AWS gives them.

What AWS made for an endpoint is AWS's: its interfaces cannot be changed.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from moto.ec2.models.elastic_network_interfaces import NetworkInterfaceBackend
from moto.ec2.models.vpcs import VPCBackend
from moto.ec2.responses import EC2Response

from irkit.sim.faults import Refusal
from irkit.sim.seams import mends

if TYPE_CHECKING:
    from moto.core.responses import EmptyResult


@mends(VPCBackend, "create_vpc_endpoint")
def create_vpc_endpoint(original: Any, self: Any, *args: Any, **kwargs: Any) -> Any:
    """An endpoint; its interfaces have addresses of their subnets and its groups, the VPC's default group if none."""
    made = original(self, *args, **kwargs)
    if str(made.vpc_endpoint_type).lower() != "interface":
        return made
    if made.private_dns_enabled is None:  # AWS's own services get their usual name, those of others do not
        made.private_dns_enabled = ".vpce-svc-" not in made.service_name
    if not made.security_group_ids:
        default = self.get_security_group_by_name_or_id("default", made.vpc_id)
        made.security_group_ids = [default.id] if default is not None else []
    groups = [self.get_security_group_from_id(i) for i in made.security_group_ids]
    for subnet_id, interface_id in zip(made.subnet_ids or [], made.network_interface_ids, strict=True):
        interface = self.get_network_interface(interface_id)
        interface.requester_managed = True
        interface.description = f"VPC Endpoint Interface {made.id}"
        interface._group_set = groups
        address = _free(self, self.get_subnet(subnet_id))
        interface.private_ip_address = address
        interface.private_ip_addresses = [{"PrivateIpAddress": address, "Primary": True}]
    return made


def _free(backend: Any, subnet: Any) -> str:
    """An address of the subnet that nothing has, from the upper end."""
    taken = _taken(backend, subnet.vpc_id)
    hosts = list(ipaddress.ip_network(subnet.cidr_block).hosts())
    return next(str(a) for a in reversed(hosts) if str(a) not in taken)


def _taken(backend: Any, vpc_id: str) -> set[str]:
    return {
        str(a.get("PrivateIpAddress"))
        for interface in list(backend.enis.values())
        if interface.vpc_id == vpc_id
        for a in interface.private_ip_addresses
    }


@mends(NetworkInterfaceBackend, "assign_private_ip_addresses")
def assign_private_ip_addresses(
    original: Any, self: Any, eni_id: str, addresses: list[str] | None = None, count: int | None = None
) -> Any:
    """Give an interface addresses of its subnet that nothing else has."""
    interface = self.get_network_interface(eni_id)
    subnet = ipaddress.ip_network(interface.subnet.cidr_block)
    _within(addresses or [], subnet)
    if used := sorted(set(addresses or []) & _taken(self, interface.vpc_id)):
        raise Refusal(
            "InvalidParameterValue",
            f"{used[0]} is already assigned but you did not specify --allow-reassignment",
        )
    return original(self, eni_id, addresses, count)


@mends(NetworkInterfaceBackend, "assign_ipv6_addresses")
def assign_ipv6_addresses(
    original: Any,
    self: Any,
    eni_id: str,
    ipv6_addresses: list[str] | None = None,
    ipv6_count: int | None = None,
) -> Any:
    """Give an interface IPv6 addresses of its subnet; a subnet without IPv6 has none to give."""
    interface = self.get_network_interface(eni_id)
    ranges = [a.get("ipv6CidrBlock") for a in interface.subnet.ipv6_cidr_block_associations.values()]
    if not ranges:
        raise Refusal("InvalidParameterValue", f"The subnet {interface.subnet.id} has no IPv6 CIDR block")
    for found in ranges[:1]:
        _within(ipv6_addresses or [], ipaddress.ip_network(str(found), strict=False))
    return original(self, eni_id, ipv6_addresses, ipv6_count)


def _within(addresses: Iterable[str], subnet: ipaddress.IPv4Network | ipaddress.IPv6Network) -> None:
    for address in addresses:
        if ipaddress.ip_address(address) not in subnet:
            raise Refusal(
                "InvalidParameterValue", f"Address {address} does not fall within the subnet's address range"
            )


@mends(EC2Response, "unassign_private_ip_addresses")
def unassign_private_ip_addresses(original: Any, self: Any) -> EmptyResult:
    """Take secondary addresses off an interface; the primary one stays, and strangers are named."""
    interface = self.ec2_backend.get_network_interface(self._get_param("NetworkInterfaceId"))
    held = {a["PrivateIpAddress"]: a.get("Primary") for a in interface.private_ip_addresses}
    for address in self._get_param("PrivateIpAddresses") or []:
        if held.get(address, True):
            raise Refusal(
                "InvalidParameterValue", f"Some of [{address}] are not assigned to interface {interface.id}"
            )
    result: EmptyResult = original(self)
    return result
