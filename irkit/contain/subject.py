"""The instance to contain: as much of it as containment needs, read once, nothing changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from irkit.aws.names import instance_id as checked
from irkit.aws.refusals import translating
from irkit.errors import NotFound, Refused, WrongState

if TYPE_CHECKING:
    from irkit.case import Case


@dataclass(frozen=True, slots=True, kw_only=True)
class Interface:
    """A network interface of the instance."""

    id: str
    vpc: str
    subnet: str
    groups: tuple[str, ...]
    attachment: str | None
    delete_on_termination: bool
    index: int
    description: str = ""
    owner: str = ""


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
    addresses: tuple[str, ...]
    metadata_endpoint: str | None

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
    # aws:userid of a session from an instance's metadata service ends in the instance id
    if case.aws.identity().user_id.rpartition(":")[2] == instance:
        raise Refused(
            f"{instance} is the machine that irkit runs on; containing it would cut off the responder",
            hint="run irkit from another machine",
        )
    interfaces = tuple(_interface(i) for i in found.get("NetworkInterfaces", []))
    return Subject(
        id=instance,
        state=state,
        spot=found.get("InstanceLifecycle") == "spot",
        interfaces=interfaces,
        volumes=tuple(_volume(m) for m in found.get("BlockDeviceMappings", []) if "Ebs" in m),
        profile_arn=(found.get("IamInstanceProfile") or {}).get("Arn"),
        addresses=tuple(
            a["PrivateIpAddress"]
            for i in found.get("NetworkInterfaces", [])
            for a in i.get("PrivateIpAddresses", [])
        ),
        metadata_endpoint=(found.get("MetadataOptions") or {}).get("HttpEndpoint"),
    )


def _interface(raw: Mapping[str, Any]) -> Interface:
    attachment = raw.get("Attachment") or {}
    return Interface(
        id=raw["NetworkInterfaceId"],
        vpc=raw["VpcId"],
        subnet=raw.get("SubnetId", ""),
        groups=tuple(g["GroupId"] for g in raw.get("Groups", [])),
        attachment=attachment.get("AttachmentId"),
        delete_on_termination=bool(attachment.get("DeleteOnTermination")),
        index=int(attachment.get("DeviceIndex", 0)),
        description=str(raw.get("Description", "")),
        owner=str(raw.get("OwnerId", "")),
    )


def _volume(raw: Mapping[str, Any]) -> Volume:
    return Volume(
        id=raw["Ebs"]["VolumeId"],
        device=raw["DeviceName"],
        delete_on_termination=bool(raw["Ebs"].get("DeleteOnTermination")),
    )
