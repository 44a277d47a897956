"""EC2's parameters and answers as CloudTrail writes them: the names of the XML API, in sets of items.

Operations of the older API are written with lower first letters and `…Set.items`; newer ones as one `…Request` member
with the API's own names, list entries carrying a `tag` number. Shapes were taken from published CloudTrail records.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from datetime import UTC, datetime
from typing import Any

_SETS = {
    "InstanceIds": ("instancesSet", "instanceId"),
    "VolumeIds": ("volumeSet", "volumeId"),
    "SnapshotIds": ("snapshotSet", "snapshotId"),
    "SecurityGroupIds": ("groupSet", "groupId"),
    "Groups": ("groupSet", "groupId"),
    "GroupIds": ("securityGroupIdSet", "groupId"),
    "GroupNames": ("securityGroupSet", "groupName"),
    "Resources": ("resourcesSet", "resourceId"),
    "NetworkInterfaceIds": ("networkInterfaceIdSet", "networkInterfaceId"),
    "RegionNames": ("regionSet", "regionName"),
    "OwnerIds": ("ownersSet", "owner"),
    "RestorableByUserIds": ("sharedUsersSet", "user"),
    "VpcIds": ("vpcSet", "vpcId"),
    "SubnetIds": ("subnetSet", "subnetId"),
    "ImageIds": ("imagesSet", "imageId"),
    "BlockDeviceMappings": ("blockDeviceMapping", "item"),
    "NetworkInterfaces": ("networkInterfaceSet", "item"),
    "IpPermissions": ("ipPermissions", "item"),
    "IpRanges": ("ipRanges", "item"),
    "Ipv6Ranges": ("ipv6Ranges", "item"),
    "PrefixListIds": ("prefixListIds", "item"),
    "UserIdGroupPairs": ("groups", "item"),
    "SecurityGroupRuleIds": ("securityGroupRuleIds", "securityGroupRuleId"),
}
_ALWAYS_THERE = {
    "DescribeInstances": ("instancesSet", "filterSet"),
    "DescribeSnapshots": ("snapshotSet", "ownersSet", "sharedUsersSet", "filterSet"),
    "DescribeVolumes": ("volumeSet", "filterSet"),
    "DescribeSecurityGroups": ("securityGroupSet", "securityGroupIdSet", "filterSet"),
    "DescribeNetworkInterfaces": ("networkInterfaceIdSet", "filterSet"),
    "DescribeRegions": ("regionSet",),
    "DescribeVpcs": ("vpcSet", "filterSet"),
    "DescribeSubnets": ("subnetSet", "filterSet"),
    "RunInstances": ("blockDeviceMapping",),
}
_RENAMED = {
    ("CreateSecurityGroup", "Description"): "groupDescription",
    ("CreateVolume", "AvailabilityZone"): "zone",
}
_WRAPPED = frozenset(
    {
        "AssociateIamInstanceProfile",
        "CreateFlowLogs",
        "CreateLaunchTemplate",
        "CreateLaunchTemplateVersion",
        "CreateNatGateway",
        "CreateSnapshots",
        "CreateVpcEndpoint",
        "DeleteFlowLogs",
        "DeleteLaunchTemplate",
        "DeleteVpcEndpoints",
        "DescribeFlowLogs",
        "DescribeIamInstanceProfileAssociations",
        "DescribeInstanceCreditSpecifications",
        "DescribeInstanceTypes",
        "DescribeLaunchTemplateVersions",
        "DescribeLaunchTemplates",
        "DescribeLockedSnapshots",
        "DescribeNatGateways",
        "DescribeSecurityGroupRules",
        "DescribeVpcEndpoints",
        "DisassociateIamInstanceProfile",
        "GetEbsEncryptionByDefault",
        "LockSnapshot",
        "ModifyInstanceMetadataOptions",
        "ModifyVolume",
        "ReplaceIamInstanceProfileAssociation",
        "UnlockSnapshot",
    }
)
_IP_PERMISSION: dict[str, Any] = {"groups": {}, "ipRanges": {}, "ipv6Ranges": {}, "prefixListIds": {}}
_SHARES = {"ModifySnapshotAttribute": "createVolumePermission", "ModifyImageAttribute": "launchPermission"}


def request_parameters(operation: str, parsed: dict[str, Any]) -> dict[str, Any]:
    """The call's parameters as CloudTrail shows them."""
    asked = {name: value for name, value in parsed.items() if value is not None and name != "DryRun"}
    if operation in _WRAPPED:
        return {f"{operation}Request": _wrapped(asked) or ""}
    shown: dict[str, Any] = {name: {} for name in _ALWAYS_THERE.get(operation, ())}
    if operation == "RunInstances":
        machines = {
            _lower(name): asked.pop(name) for name in ("ImageId", "MinCount", "MaxCount") if name in asked
        }
        shown["instancesSet"] = {"items": [machines]}
    if operation in _SHARES:
        shown |= _shared(operation, asked)
    for name, value in asked.items():
        renamed = _RENAMED.get((operation, name))
        if renamed is not None:
            shown[renamed] = plain(value)
        else:
            shown |= _member(name, value)
    return shown


def response_elements(operation: str, body: bytes, request_id: str) -> dict[str, Any] | None:
    """What the call made or changed; `_return` where that is all that EC2 says."""
    try:
        root = ET.fromstring(body)  # noqa: S314 - what our own server wrote
    except ET.ParseError:
        return None
    tree = _tree(root)
    answer = {"requestId": request_id, **(tree if isinstance(tree, dict) else {})}
    answer["requestId"] = request_id
    if operation in _WRAPPED:
        return {f"{operation}Response": answer}
    return answer if len(answer) > 1 else {**answer, "_return": True}


def plain(value: Any) -> Any:
    """A scalar as JSON holds it."""
    if isinstance(value, datetime):
        moment = value if value.tzinfo else value.replace(tzinfo=UTC)
        return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
    return "<blob>" if isinstance(value, (bytes, bytearray)) else value


def _lower(name: str) -> str:
    return name[:1].lower() + name[1:]


def _member(name: str, value: Any) -> dict[str, Any]:
    if name == "Filters":
        return {"filterSet": {"items": [_filter(item) for item in value]}}
    if name == "Tags":
        return {"tagSet": {"items": _tags(value)}}
    if name == "TagSpecifications":
        items = [{"resourceType": s.get("ResourceType"), "tags": _tags(s.get("Tags") or [])} for s in value]
        return {"tagSpecificationSet": {"items": items}}
    if isinstance(value, list):
        set_name, entry = _SETS.get(name, (f"{_lower(name)}Set", _lower(name.removesuffix("s"))))
        items = [_nested(v, name) if isinstance(v, dict) else {entry: plain(v)} for v in value]
        return {set_name: {"items": items} if items else {}}
    if isinstance(value, dict):
        return {_lower(name): _nested(value, name)}
    return {_lower(name): plain(value)}


def _nested(value: dict[str, Any], inside: str) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    for name, inner in value.items():
        if inner is not None:
            shown |= _member(name, inner)
    return {**_IP_PERMISSION, **shown} if inside == "IpPermissions" else shown


def _filter(item: dict[str, Any]) -> dict[str, Any]:
    values = [{"value": value} for value in item.get("Values") or []]
    return {"name": item.get("Name"), "valueSet": {"items": values}}


def _tags(tags: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"key": tag.get("Key"), "value": tag.get("Value", "")} for tag in tags]


def _shared(operation: str, asked: dict[str, Any]) -> dict[str, Any]:
    """Sharing is always written as what is added and removed, however it was asked for."""
    member = _SHARES[operation]
    upper = member[:1].upper() + member[1:]
    changes: dict[str, list[dict[str, Any]]] = {}
    for kind, entries in (asked.pop(upper, None) or {}).items():
        changes.setdefault(kind.lower(), []).extend(
            {_lower(k): v for k, v in e.items()} for e in entries or []
        )
    kind = str(asked.pop("OperationType", "add"))
    for name, key in (("UserIds", "userId"), ("GroupNames", "group"), ("UserGroups", "group")):
        changes.setdefault(kind, []).extend({key: value} for value in asked.pop(name, None) or [])
    asked.pop("Attribute", None)
    shown = {kind: {"items": items} for kind, items in changes.items() if items}
    kind_name = "CREATE_VOLUME_PERMISSION" if operation == "ModifySnapshotAttribute" else member
    return {"attributeType": kind_name, member: shown} if shown else {}


def _wrapped(asked: dict[str, Any]) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    for name, value in asked.items():
        if isinstance(value, list):
            entries = [_numbered(entry, n) for n, entry in enumerate(value, 1)]
            shown[name.removesuffix("s")] = entries[0] if len(entries) == 1 else entries
        elif isinstance(value, dict):
            shown[name] = _wrapped(value)
        else:
            shown[name] = plain(value)
    return shown


def _numbered(entry: Any, number: int) -> dict[str, Any]:
    return (
        {**_wrapped(entry), "tag": number}
        if isinstance(entry, dict)
        else {"tag": number, "content": plain(entry)}
    )


def _tree(element: ET.Element) -> Any:
    children = list(element)
    if not children:
        text = element.text or ""
        return {"true": True, "false": False}.get(text, text)
    names = [child.tag.rsplit("}", 1)[-1] for child in children]
    if set(names) == {"item"}:
        return {"items": [_tree(child) for child in children]}
    return {("_return" if n == "return" else n): _tree(c) for n, c in zip(names, children, strict=True)}
