"""What stands around the suspect and decides what can be captured: keys, fleet, balancers, neighbours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from irkit.capture.asking import NO_ANSWER, Asker, side_by_side
from irkit.capture.destination import Destination
from irkit.capture.disks import store_of
from irkit.capture.instance import Instance
from irkit.errors import IrkitError
from irkit.evidence import bucket as buckets
from irkit.evidence.bucket import Bucket
from irkit.plan import reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A KMS key that volumes are under. A key that AWS manages cannot be shared, and so nor can what it encrypts."""

    id: str
    state: str
    shareable: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetGroup:
    """A target group that the instance takes traffic from, and its health there."""

    arn: str
    name: str
    state: str
    protocol: str = ""


@dataclass(slots=True, kw_only=True)
class Surroundings:
    """What was found; a lookup that failed leaves its part empty and its reason in `unknown`."""

    keys: tuple[Key, ...] = ()
    memory_mib: int | None = None
    instance_store: tuple[str, ...] = ()
    scaling: Mapping[str, Any] = field(default_factory=dict)
    target_groups: tuple[TargetGroup, ...] = ()
    classic_balancers: tuple[str, ...] = ()
    role_sharers: tuple[str, ...] = ()
    group_sharers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    bucket_trouble: str | None = None
    bucket: Bucket | None = None
    tracked: tuple[str, ...] = ()
    forensics_trouble: str | None = None
    unknown: tuple[str, ...] = ()


def key_states(asker: Asker, instance: Instance) -> tuple[Key, ...]:
    """The keys of the instance's volumes."""

    def one(ident: str) -> Key:
        said = asker.ask("kms", "describe_key", KeyId=ident)["KeyMetadata"] or {}
        manager = said.get("KeyManager")
        return Key(
            id=ident,
            state=str(said.get("KeyState", "unknown")),
            shareable=None if manager is None else manager == "CUSTOMER",
        )

    return tuple(side_by_side(one, sorted({v.key for v in instance.volumes if v.key})))


def hardware(asker: Asker, instance: Instance) -> tuple[int | None, tuple[str, ...]]:
    """Memory in MiB, and the disks of the host computer that no snapshot will hold."""
    types = asker.ask("ec2", "describe_instance_types", InstanceTypes=[instance.type])["InstanceTypes"] or [
        {}
    ]
    memory = types[0].get("MemoryInfo", {}).get("SizeInMiB")
    return (int(memory) if memory else None), tuple(store_of(types[0]))


def scaling(asker: Asker, instance: Instance) -> Mapping[str, Any]:
    """The instance's place in an Auto Scaling group, with the group's sizes; empty when it is in none."""
    found = asker.ask("autoscaling", "describe_auto_scaling_instances", InstanceIds=[instance.id])[
        "AutoScalingInstances"
    ]
    if not found:
        return {}
    member = found[0]
    name = member["AutoScalingGroupName"]
    groups = asker.ask("autoscaling", "describe_auto_scaling_groups", AutoScalingGroupNames=[name])[
        "AutoScalingGroups"
    ]
    group = groups[0] if groups else {}
    return {
        "group": name,
        "state": member.get("LifecycleState"),
        "protected": member.get("ProtectedFromScaleIn"),
        "health_check": group.get("HealthCheckType"),
        "min": group.get("MinSize"),
        "desired": group.get("DesiredCapacity"),
        "members": len(group.get("Instances", ())),
    }


def target_groups(asker: Asker, instance: Instance) -> tuple[TargetGroup, ...]:
    """The target groups that name the instance or an address of its; with no reverse look-up, all are asked."""
    names = {instance.id, *instance.addresses}
    every = asker.ask("elbv2", "describe_target_groups")["TargetGroups"] or []

    def one(group: Mapping[str, Any]) -> list[TargetGroup]:
        arn = str(group["TargetGroupArn"])
        health = (
            asker.ask("elbv2", "describe_target_health", TargetGroupArn=arn)["TargetHealthDescriptions"] or []
        )
        return [
            TargetGroup(
                arn=arn,
                name=str(group.get("TargetGroupName", "")),
                state=str(h.get("TargetHealth", {}).get("State", "")),
                protocol=str(group.get("Protocol", "")),
            )
            for h in health
            if h.get("Target", {}).get("Id") in names
        ]  # fmt: skip

    near = [g for g in every if g.get("VpcId") in {None, "", instance.vpc}]
    return tuple(found for group in side_by_side(one, near) for found in group)


def classic_balancers(asker: Asker, instance: Instance) -> tuple[str, ...]:
    """The classic load balancers that the instance is behind."""
    every = asker.ask("elb", "describe_load_balancers")["LoadBalancerDescriptions"] or []
    return tuple(
        str(b["LoadBalancerName"])
        for b in every
        if instance.id in {i.get("InstanceId") for i in b.get("Instances", ())}
    )


def evidence_bucket(asker: Asker, name: str | None) -> tuple[Bucket | None, str | None]:
    """The evidence bucket as it stands, and why it cannot be used by us; (None, None) when the case names none."""
    if not name:
        return None, None
    try:
        found = buckets.look(asker.case, name, owner=buckets.owner_of(asker.case))
    except IrkitError as error:
        return None, error.message
    said = asker.ask("s3", "list_objects_v2", Bucket=name, Prefix=f"ssm/{asker.case.id}/")
    told = {"NoSuchBucket": "it does not exist", "AccessDenied": "we may not read it"}
    return found, None if said.ok else told.get(said.code, said.why)


def forensics_trouble(asker: Asker) -> str | None:
    """Why copies cannot be made in the forensics account; None when they can, or when none are to be made."""
    try:
        to = Destination.of(asker.case)
        if to.role is None:
            return None
        said = to.client("sts").get_caller_identity()
        if said["Account"] != to.account:
            return f"the role is one of account {said['Account']}, not of {to.account}"
        key = (
            to.client("kms").describe_key(KeyId=to.key)["KeyMetadata"] if to.key else {"KeyState": "Enabled"}
        )
    except (*NO_ANSWER, IrkitError) as error:
        return reason(error, doing="work in the forensics account", resource="")
    return None if key["KeyState"] == "Enabled" else f"its key {to.key} is {key['KeyState']}"


def role_sharers(asker: Asker, instance: Instance) -> tuple[str, ...]:
    """Other instances with the same role, by whichever profile: what is done to the role is done to them."""
    if not instance.profile:
        return ()
    every = (
        asker.ask("ec2", "describe_iam_instance_profile_associations")["IamInstanceProfileAssociations"] or []
    )
    profiles = {instance.profile}
    for role in instance.roles:
        held = asker.ask("iam", "list_instance_profiles_for_role", RoleName=role)["InstanceProfiles"] or []
        profiles |= {str(p["Arn"]) for p in held}
    same = {a["InstanceId"] for a in every if a.get("IamInstanceProfile", {}).get("Arn") in profiles}
    return tuple(sorted(same - {instance.id}))


def group_sharers(asker: Asker, instance: Instance) -> Mapping[str, tuple[str, ...]]:
    """By security group, what else is in it: instances, or interfaces of something that is no instance."""
    groups = sorted({*instance.groups, *(g for i in instance.interfaces for g in i.groups)})
    if not groups:
        return {}
    filters = [{"Name": "group-id", "Values": groups}]
    found: dict[str, set[str]] = {g: set() for g in groups}
    for interface in (
        asker.ask("ec2", "describe_network_interfaces", Filters=filters)["NetworkInterfaces"] or []
    ):
        holder = interface.get("Attachment", {}).get("InstanceId") or interface["NetworkInterfaceId"]
        for group in interface.get("Groups", ()):
            if holder != instance.id and group["GroupId"] in found:
                found[group["GroupId"]].add(str(holder))
    return {g: tuple(sorted(others)) for g, others in found.items()}
