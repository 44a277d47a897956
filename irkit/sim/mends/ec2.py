"""EC2: read-backs that tell the truth, and the calls that moto lacks."""

from __future__ import annotations

from typing import Any

from moto.ec2.models.elastic_network_interfaces import NetworkInterface
from moto.ec2.models.instances import Instance


def _first_interface(instance: Any) -> Any:
    interfaces = instance.__dict__.get("nics")
    return interfaces[min(interfaces)] if interfaces else None


def _groups_of_instance(instance: Any) -> Any:
    interface = _first_interface(instance)
    return interface._group_set if interface is not None else instance.__dict__.get("_irkit_groups", [])


def _keep_groups_of_instance(instance: Any, groups: Any) -> None:
    instance.__dict__["_irkit_groups"] = list(groups or [])
    interface = _first_interface(instance)
    if interface is not None:
        interface._group_set = list(groups or [])


# An instance's groups are those of its first interface; moto keeps two lists and answers with their union.
setattr(NetworkInterface, "group_set", property(lambda interface: interface._group_set))
setattr(Instance, "security_groups", property(_groups_of_instance, _keep_groups_of_instance))
