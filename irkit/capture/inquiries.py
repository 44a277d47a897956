"""What the metadata capture asks AWS about an instance: questions that stand alone, and chains of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from irkit.aws import arn_parts
from irkit.capture.asking import Asker
from irkit.capture.instance import Instance

Question = tuple[str, str, Mapping[str, Any]]
_ATTRIBUTES = (
    "userData", "disableApiTermination", "disableApiStop", "instanceInitiatedShutdownBehavior", "blockDeviceMapping",
    "sourceDestCheck", "groupSet", "enclaveOptions", "ebsOptimized",
)  # fmt: skip


def questions(instance: Instance) -> Iterator[Question]:
    """What to ask about the instance that needs no other answer first."""
    iid = instance.id
    yield "ec2", "describe_instances", {"InstanceIds": [iid]}
    yield "ec2", "describe_instance_status", {"InstanceIds": [iid], "IncludeAllInstances": True}
    for attribute in _ATTRIBUTES:
        yield "ec2", "describe_instance_attribute", {"InstanceId": iid, "Attribute": attribute}
    volumes = [v.id for v in instance.volumes]
    if volumes:
        yield "ec2", "describe_volumes", {"VolumeIds": volumes}
        yield (
            "ec2",
            "describe_snapshots",
            {"OwnerIds": ["self"], "Filters": [{"Name": "volume-id", "Values": volumes}]},
        )
    yield "ec2", "describe_network_interfaces", _filter("attachment.instance-id", iid)
    groups = sorted({*instance.groups, *(g for i in instance.interfaces for g in i.groups)})
    if groups:
        yield "ec2", "describe_security_groups", {"GroupIds": groups}
        yield "ec2", "describe_security_group_rules", _filter("group-id", *groups)
    subnets = sorted({i.subnet for i in instance.interfaces if i.subnet})
    if subnets:
        yield "ec2", "describe_subnets", {"SubnetIds": subnets}
        yield "ec2", "describe_network_acls", _filter("association.subnet-id", *subnets)
    if instance.vpc:
        yield "ec2", "describe_vpcs", {"VpcIds": [instance.vpc]}
        yield "ec2", "describe_nat_gateways", {"Filter": [{"Name": "vpc-id", "Values": [instance.vpc]}]}
        yield "ec2", "describe_internet_gateways", _filter("attachment.vpc-id", instance.vpc)
        yield "ec2", "describe_route_tables", _filter("vpc-id", instance.vpc)
        yield "ec2", "describe_vpc_endpoints", _filter("vpc-id", instance.vpc)
    yield "ec2", "describe_addresses", _filter("instance-id", iid)
    watched = [r for r in (instance.vpc, *subnets, *(i.id for i in instance.interfaces)) if r]
    yield "ec2", "describe_flow_logs", {"Filters": [{"Name": "resource-id", "Values": watched}]}
    yield "ec2", "get_instance_uefi_data", {"InstanceId": iid}
    yield "ec2", "describe_images", {"ImageIds": [instance.image]}
    yield "ec2", "describe_instance_types", {"InstanceTypes": [instance.type]}
    yield "ec2", "describe_iam_instance_profile_associations", _filter("instance-id", iid)
    yield "ec2", "describe_tags", _filter("resource-id", iid, *volumes)
    template = instance.tags.get("aws:ec2launchtemplate:id")
    if template:
        yield "ec2", "describe_launch_template_versions", {"LaunchTemplateId": template}
    yield "autoscaling", "describe_auto_scaling_instances", {"InstanceIds": [iid]}
    yield "elb", "describe_load_balancers", {}
    yield "ssm", "describe_instance_information", {"Filters": [{"Key": "InstanceIds", "Values": [iid]}]}
    yield "ssm", "list_command_invocations", {"InstanceId": iid}
    for kind in ("AWS:InstanceInformation", "AWS:Application", "AWS:Network"):
        yield "ssm", "list_inventory_entries", {"InstanceId": iid, "TypeName": kind}
    yield "ssm", "get_service_setting", {"SettingId": _HOST_MANAGEMENT}


# Whether Systems Manager manages instances that have no role for it (Default Host Management Configuration).
# https://docs.aws.amazon.com/systems-manager/latest/userguide/fleet-manager-default-host-management-configuration.html
_HOST_MANAGEMENT = "/ssm/managed-instance/default-ec2-instance-management-role"


def _filter(name: str, *values: str) -> dict[str, Any]:
    return {"Filters": [{"Name": name, "Values": list(values)}]}


def chains(asker: Asker, instance: Instance) -> list[Callable[[], None]]:
    """Questions whose parameters come from other answers, each chain on its own."""

    def fleet() -> None:
        group = instance.scaling_group
        if group:
            asker.ask("autoscaling", "describe_auto_scaling_groups", AutoScalingGroupNames=[group])
            asker.ask("autoscaling", "describe_scaling_activities", AutoScalingGroupName=group)
            asker.ask("autoscaling", "describe_lifecycle_hooks", AutoScalingGroupName=group)

    def balancers() -> None:
        target_groups = asker.ask("elbv2", "describe_target_groups")["TargetGroups"] or []
        for group in target_groups:
            if group.get("VpcId") in {None, instance.vpc}:
                asker.ask("elbv2", "describe_target_health", TargetGroupArn=group["TargetGroupArn"])

    def identity() -> None:
        if not instance.profile:
            return
        profile = asker.ask(
            "iam", "get_instance_profile", InstanceProfileName=arn_parts(instance.profile).name
        )
        for role in (profile["InstanceProfile"] or {}).get("Roles", ()):
            _role(asker, role["RoleName"])

    return [fleet, balancers, identity, lambda: _findings(asker, instance), lambda: _history(asker, instance)]


def _findings(asker: Asker, instance: Instance) -> None:
    about = {"Criterion": {"resource.instanceDetails.instanceId": {"Equals": [instance.id]}}}
    known = asker.ask("guardduty", "list_detectors")
    if known.ok and not known["DetectorIds"]:
        asker.absent.append("guardduty: it has no detector in the region, so it has found nothing there")
    for detector in known["DetectorIds"] or []:
        listed = asker.ask("guardduty", "list_findings", DetectorId=detector, FindingCriteria=about)
        found = listed["FindingIds"] or []
        if listed.ok and not found:
            asker.absent.append(f"guardduty: detector {detector} has no finding about the instance")
        for n in range(0, len(found), 50):
            asker.ask("guardduty", "get_findings", DetectorId=detector, FindingIds=found[n : n + 50])


def _history(asker: Asker, instance: Instance) -> None:
    recorders = asker.ask("config", "describe_configuration_recorders")
    if recorders.ok and not recorders["ConfigurationRecorders"]:
        asker.absent.append("config: nothing is recorded in the region, so it knows no history")
    elif recorders.ok:
        for kind, ident in _recorded(instance):
            asker.ask("config", "get_resource_config_history", resourceType=kind, resourceId=ident)


def _recorded(instance: Instance) -> Iterator[tuple[str, str]]:
    """The resources whose past AWS Config may know: the instance, its disks, interfaces and groups."""
    yield "AWS::EC2::Instance", instance.id
    for volume in instance.volumes:
        yield "AWS::EC2::Volume", volume.id
    for interface in instance.interfaces:
        yield "AWS::EC2::NetworkInterface", interface.id
    for group in sorted({*instance.groups, *(g for i in instance.interfaces for g in i.groups)}):
        yield "AWS::EC2::SecurityGroup", group


def _role(asker: Asker, name: str) -> None:
    role = asker.ask("iam", "get_role", RoleName=name)["Role"] or {}
    boundary = role.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn")
    if boundary:
        _policy(asker, boundary)
    for policy in asker.ask("iam", "list_role_policies", RoleName=name)["PolicyNames"] or []:
        asker.ask("iam", "get_role_policy", RoleName=name, PolicyName=policy)
    for attached in asker.ask("iam", "list_attached_role_policies", RoleName=name)["AttachedPolicies"] or []:
        _policy(asker, attached["PolicyArn"])
    asker.ask("iam", "list_role_tags", RoleName=name)
    asker.ask("iam", "list_instance_profiles_for_role", RoleName=name)


def _policy(asker: Asker, arn: str) -> None:
    """All versions of a policy that AWS keeps: an older one, more generous, may have been the default in between."""
    for version in asker.ask("iam", "list_policy_versions", PolicyArn=arn)["Versions"] or []:
        asker.ask("iam", "get_policy_version", PolicyArn=arn, VersionId=version["VersionId"])
