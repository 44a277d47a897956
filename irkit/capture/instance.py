"""The suspect: one EC2 instance as it stands now, with its disks, interfaces and role."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from irkit.aws import arn_parts, instance_id, translating
from irkit.canonical import plain
from irkit.errors import AwsError, NotFound, Refused, WrongState
from irkit.escape import for_terminal
from irkit.markup import table

if TYPE_CHECKING:
    from irkit.case import Case


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """An EBS volume. `size` is in GiB, None when unknown; `key` is the KMS key's ARN when it is encrypted."""

    id: str
    device: str
    size: int | None
    type: str
    encrypted: bool
    key: str | None
    delete_on_termination: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Interface:
    """A network interface. `addresses` are all its private ones, `public` the public ones that map to them."""

    id: str
    device_index: int
    subnet: str
    addresses: tuple[str, ...]
    ipv6: tuple[str, ...]
    public: tuple[str, ...]
    groups: tuple[str, ...]
    delete_on_termination: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """An instance as `describe` found it. `raw` is EC2's own description; everything else is read out of it.

    `private_address` and `public_address` are the primary ones, `addresses` all of them on all interfaces.
    `roles` are the names of the roles behind the profile; AWS allows one.
    """

    id: str
    account: str
    region: str
    state: str
    platform: str
    architecture: str
    type: str
    image: str
    key_name: str | None
    vpc: str | None
    subnet: str | None
    zone: str
    private_address: str | None
    public_address: str | None
    addresses: tuple[str, ...]
    interfaces: tuple[Interface, ...]
    volumes: tuple[Volume, ...]
    root_device: str
    profile: str | None
    roles: tuple[str, ...]
    launched_at: str
    lifecycle: str
    groups: tuple[str, ...]
    tags: Mapping[str, str]
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def windows(self) -> bool:
        """Whether the instance runs Windows."""
        return self.platform.lower().startswith("windows")

    @property
    def name(self) -> str:
        """The `Name` tag, made safe to show, or the id."""
        return for_terminal(self.tags.get("Name") or self.id)

    @property
    def place(self) -> dict[str, str]:
        """Where it is, as notes of an evidence item: account and region."""
        return {"account": self.account, "region": self.region}

    @property
    def scaling_group(self) -> str | None:
        """The Auto Scaling group that launched it, by the tag that AWS sets and no user can."""
        return self.tags.get("aws:autoscaling:groupName")

    def to_dict(self) -> dict[str, Any]:
        """The instance as JSON types, without EC2's own description."""
        return {name: plain(value) for name, value in asdict(self).items() if name != "raw"}

    def __repr__(self) -> str:
        disks = f"{len(self.volumes)} volumes"
        return f"<Instance {self.id} {self.name}: {self.state}, {self.type}, {self.platform}, {disks}>"

    def _repr_html_(self) -> str:
        shown = self.to_dict()
        flat = {k: v for k, v in shown.items() if not isinstance(v, list | dict)}
        flat |= {"volumes": ", ".join(f"{v.id} ({v.device}, {v.size} GiB)" for v in self.volumes)}
        flat |= {"interfaces": ", ".join(f"{i.id} ({', '.join(i.addresses)})" for i in self.interfaces)}
        flat |= {"roles": ", ".join(self.roles), "groups": ", ".join(self.groups)}
        return table(("property", "value"), flat.items(), caption=f"{self.id} {self.name}")


def describe(case: Case, instance: str) -> Instance:
    """The instance with the id `instance` as it is now; reads only, and writes nothing into the case.

    Raises `InvalidName` for what is no instance id, `NotFound` for one that EC2 does not know, `WrongState` for one
    that is terminated, `RegionDisabled` and `NoCredentials` as they say.
    """
    ident = instance_id(instance)
    region = case.facts.region
    with translating("describe instance", ident, region=region):
        answer = case.client("ec2").describe_instances(InstanceIds=[ident])
    found = [(r, i) for r in answer.get("Reservations", ()) for i in r.get("Instances", ())]
    if not found:
        raise NotFound(f"{ident} does not exist in {region}", hint="check the id, the account and the region")
    reservation, raw = found[0]
    state = str(raw.get("State", {}).get("Name", "unknown"))
    if state == "terminated":
        why = for_terminal(raw.get("StateTransitionReason", "")) or "no reason given"
        raise WrongState(
            f"{ident} is terminated ({why}); its memory and its disks that went with it are gone",
            hint="look for volumes and snapshots that remain (aws ec2 describe-snapshots), and hunt in the logs",
        )
    volumes = _volumes(case, raw)
    profile = raw.get("IamInstanceProfile", {}).get("Arn")
    return _instance(
        raw, reservation, region=region, state=state, volumes=volumes, roles=_roles(case, profile)
    )


def _instance(
    raw: Mapping[str, Any], reservation: Mapping[str, Any], *, region: str, state: str,
    volumes: tuple[Volume, ...], roles: tuple[str, ...],
) -> Instance:  # fmt: skip
    interfaces = tuple(_interface(i) for i in raw.get("NetworkInterfaces", ()))
    addresses = [raw.get("PrivateIpAddress"), raw.get("PublicIpAddress")]
    addresses += [a for i in interfaces for a in (*i.addresses, *i.ipv6, *i.public)]
    return Instance(
        id=raw["InstanceId"],
        account=str(reservation.get("OwnerId", "")),
        region=region,
        state=state,
        platform=str(raw.get("PlatformDetails") or raw.get("Platform") or "Linux/UNIX"),
        architecture=str(raw.get("Architecture", "")),
        type=str(raw.get("InstanceType", "")),
        image=str(raw.get("ImageId", "")),
        key_name=raw.get("KeyName"),
        vpc=raw.get("VpcId"),
        subnet=raw.get("SubnetId"),
        zone=str(raw.get("Placement", {}).get("AvailabilityZone", "")),
        private_address=raw.get("PrivateIpAddress"),
        public_address=raw.get("PublicIpAddress"),
        addresses=tuple(dict.fromkeys(a for a in addresses if a)),
        interfaces=tuple(sorted(interfaces, key=lambda i: i.device_index)),
        volumes=volumes,
        root_device=str(raw.get("RootDeviceName", "")),
        profile=raw.get("IamInstanceProfile", {}).get("Arn"),
        roles=roles,
        launched_at=str(plain(raw.get("LaunchTime", ""))),
        lifecycle=str(raw.get("InstanceLifecycle", "on-demand")),
        groups=tuple(g["GroupId"] for g in raw.get("SecurityGroups", ())),
        tags={str(t["Key"]): str(t["Value"]) for t in raw.get("Tags", ())},
        raw=raw,
    )


def _interface(raw: Mapping[str, Any]) -> Interface:
    private: Sequence[Mapping[str, Any]] = raw.get("PrivateIpAddresses") or [raw]
    attachment = raw.get("Attachment", {})
    return Interface(
        id=str(raw.get("NetworkInterfaceId", "")),
        device_index=int(attachment.get("DeviceIndex", 0)),
        subnet=str(raw.get("SubnetId", "")),
        addresses=tuple(p["PrivateIpAddress"] for p in private if p.get("PrivateIpAddress")),
        ipv6=tuple(p["Ipv6Address"] for p in raw.get("Ipv6Addresses", ()) if p.get("Ipv6Address")),
        public=tuple(
            p["Association"]["PublicIp"] for p in private if p.get("Association", {}).get("PublicIp")
        ),
        groups=tuple(g["GroupId"] for g in raw.get("Groups", ())),
        delete_on_termination=bool(attachment.get("DeleteOnTermination", False)),
    )


def _volumes(case: Case, raw: Mapping[str, Any]) -> tuple[Volume, ...]:
    mapped = {
        m["Ebs"]["VolumeId"]: m
        for m in raw.get("BlockDeviceMappings", ())
        if m.get("Ebs", {}).get("VolumeId")
    }
    if not mapped:
        return ()
    try:
        with translating("describe the volumes of", raw["InstanceId"], region=case.facts.region):
            pages = case.client("ec2").get_paginator("describe_volumes").paginate(VolumeIds=sorted(mapped))
            said = {v["VolumeId"]: v for page in pages for v in page.get("Volumes", ())}
    except (NotFound, Refused, AwsError):
        said = {}  # the ids are enough to take snapshots of; preflight and metadata name what is not known
    return tuple(
        Volume(
            id=ident,
            device=str(mapping.get("DeviceName", "")),
            size=said.get(ident, {}).get("Size"),
            type=str(said.get(ident, {}).get("VolumeType", "")),
            encrypted=bool(said.get(ident, {}).get("Encrypted", False)),
            key=said.get(ident, {}).get("KmsKeyId"),
            delete_on_termination=bool(mapping["Ebs"].get("DeleteOnTermination", False)),
        )
        for ident, mapping in mapped.items()
    )


def _roles(case: Case, profile: str | None) -> tuple[str, ...]:
    """The names of the profile's roles; none when there is no profile or IAM does not let us look."""
    if not profile:
        return ()
    try:
        with translating("read instance profile", profile):
            said = case.client("iam").get_instance_profile(InstanceProfileName=arn_parts(profile).name)
    except (NotFound, Refused, AwsError):
        # preflight and the metadata step name what could not be read; the rest of the description stands
        return ()
    return tuple(r["RoleName"] for r in said["InstanceProfile"].get("Roles", ()))
