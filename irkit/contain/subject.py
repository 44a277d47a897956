"""The instance to contain: as much of it as containment needs, read once, nothing changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from irkit.aws.names import instance_id as checked
from irkit.aws.refusals import translating
from irkit.contain import own_host
from irkit.errors import NotFound, Refused, WrongState

if TYPE_CHECKING:
    from irkit.case import Case


@dataclass(frozen=True, slots=True, kw_only=True)
class Interface:
    """A network interface of the instance. `requester_managed`: an AWS service made it and lets nobody else change it.

    `addresses` and `addresses6` are its private IPv4 and its IPv6 addresses, the primary one first; an Elastic IP may
    lead to any of the former.
    """

    id: str
    vpc: str
    subnet: str
    groups: tuple[str, ...]
    attachment: str | None
    delete_on_termination: bool
    index: int
    addresses: tuple[str, ...] = ()
    addresses6: tuple[str, ...] = ()
    requester_managed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """An EBS volume of the instance."""

    id: str
    device: str
    delete_on_termination: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """An EC2 instance as containment sees it."""

    id: str
    state: str
    spot: bool
    interfaces: tuple[Interface, ...]
    volumes: tuple[Volume, ...]
    profile_arn: str | None

    @property
    def addresses(self) -> tuple[str, ...]:
        """The private IPv4 addresses of all its interfaces."""
        return tuple(a for i in self.interfaces for a in i.addresses)

    @property
    def vpcs(self) -> tuple[str, ...]:
        """The VPCs that its interfaces are in; usually one."""
        return tuple(dict.fromkeys(i.vpc for i in self.interfaces))


def describe(case: Case, instance: str) -> Subject:
    """The instance as it is now.

    Raises `InvalidName`, `NotFound`, `WrongState` (terminated) or `Refused` (it is the responder's own host).
    """
    checked(instance)
    with translating("describe", instance, region=case.facts.region):
        said = case.client("ec2").describe_instances(InstanceIds=[instance])
    found = next((i for r in said["Reservations"] for i in r["Instances"]), None)
    if found is None:
        raise NotFound(
            f"{instance} does not exist in {case.facts.region}",
            hint="check the id, the account and the region",
        )
    state = str(found["State"]["Name"])
    if state in {"terminated", "shutting-down"}:
        raise WrongState(
            f"{instance} is {state}: there is nothing left to contain",
            hint="capture what is left: snapshots, logs; keys and sessions can still be revoked",
        )
    if how := own_host.told_by(case, instance):
        raise Refused(
            f"{instance} is the machine that irkit runs on ({how}); containing it would cut off the responder",
            hint="run irkit from another machine",
        )
    managed = _requester_managed(case, instance) if found.get("NetworkInterfaces") else frozenset()
    interfaces = tuple(_interface(i, managed) for i in found.get("NetworkInterfaces", []))
    return Subject(
        id=instance,
        state=state,
        spot=found.get("InstanceLifecycle") == "spot",
        interfaces=interfaces,
        volumes=tuple(_volume(m) for m in found.get("BlockDeviceMappings", []) if "Ebs" in m),
        profile_arn=(found.get("IamInstanceProfile") or {}).get("Arn"),
    )


def _requester_managed(case: Case, instance: str) -> frozenset[str]:
    """The interfaces of the instance that an AWS service manages; DescribeInstances does not tell.

    Empty when that cannot be asked: the interface's own step then meets AWS's refusal and fails alone.
    """
    held = [{"Name": "attachment.instance-id", "Values": [instance]}]
    try:
        pages = case.client("ec2").get_paginator("describe_network_interfaces").paginate(Filters=held)
        return frozenset(
            i["NetworkInterfaceId"]
            for page in pages
            for i in page["NetworkInterfaces"]
            if i.get("RequesterManaged")
        )
    except (BotoCoreError, ClientError):
        return frozenset()


def _interface(raw: Mapping[str, Any], managed: frozenset[str]) -> Interface:
    attachment = raw.get("Attachment") or {}
    private = sorted(raw.get("PrivateIpAddresses", []), key=lambda a: not a.get("Primary"))
    return Interface(
        id=raw["NetworkInterfaceId"],
        vpc=raw["VpcId"],
        subnet=raw.get("SubnetId", ""),
        groups=tuple(g["GroupId"] for g in raw.get("Groups", [])),
        attachment=attachment.get("AttachmentId"),
        delete_on_termination=bool(attachment.get("DeleteOnTermination")),
        index=int(attachment.get("DeviceIndex", 0)),
        addresses=tuple(a["PrivateIpAddress"] for a in private),
        addresses6=tuple(a["Ipv6Address"] for a in raw.get("Ipv6Addresses", [])),
        requester_managed=raw["NetworkInterfaceId"] in managed,
    )


def _volume(raw: Mapping[str, Any]) -> Volume:
    return Volume(
        id=raw["Ebs"]["VolumeId"],
        device=raw["DeviceName"],
        delete_on_termination=bool(raw["Ebs"].get("DeleteOnTermination")),
    )
