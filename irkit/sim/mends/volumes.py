"""Volumes and snapshots as the EC2 API shows them: sets, pages, sharing, attachments."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.responses import EC2Response

from irkit.sim import world
from irkit.sim.faults import Refusal
from irkit.sim.mends.ebs import default_key, shared_with
from irkit.sim.seams import mends


def _true(value: Any) -> bool:
    return str(value).lower() == "true"


@mends(EC2Response, "create_snapshots")
def create_snapshots(_original: Any, self: Any) -> ActionResult:
    """One snapshot of each volume of an instance, of one moment."""
    wanted = self._get_param("InstanceSpecification") or {}
    instance = self.ec2_backend.get_instance(wanted.get("InstanceId"))
    if instance.state not in {"running", "stopped", "stopping"}:
        raise Refusal("IncorrectState", f"The instance {instance.id} is in state {instance.state}.")
    excluded = set(wanted.get("ExcludeDataVolumeIds") or [])
    tags = self._parse_tag_specification().get("snapshot", {})
    copies = self._get_param("CopyTagsFromSource") == "volume"
    volumes = []
    for device, mapping in instance.get_block_device_mapping:
        root = device == instance.root_device_name
        if root and _true(wanted.get("ExcludeBootVolume")):
            continue
        if mapping.volume_id in excluded:
            if root:
                raise Refusal("InvalidParameterValue", "Use ExcludeBootVolume to exclude the root volume.")
            continue
        volumes.append(mapping.volume_id)
    if unknown := excluded - {mapping.volume_id for _, mapping in instance.get_block_device_mapping}:
        raise Refusal("InvalidParameterValue", f"Not attached to {instance.id}: {', '.join(sorted(unknown))}")
    made = []
    for volume_id in volumes:
        snapshot = self.ec2_backend.create_snapshot(
            volume_id, description=self._get_param("Description") or ""
        )
        if copies:
            own = {tag["key"]: tag["value"] for tag in self.ec2_backend.get_volume(volume_id).get_tags()}
            snapshot.add_tags({key: value for key, value in own.items() if not key.startswith("aws:")})
        snapshot.add_tags(tags)
        made.append(snapshot)
    return ActionResult({"Snapshots": [_in_set(snapshot) for snapshot in made]})


def _tags(snapshot: Any) -> list[dict[str, str]]:
    return [{"Key": tag["key"], "Value": tag["value"]} for tag in snapshot.get_tags()]


def _in_set(snapshot: Any) -> dict[str, Any]:
    return {
        "Description": snapshot.description,
        "Tags": _tags(snapshot),
        "Encrypted": snapshot.encrypted,
        "VolumeId": snapshot.volume.id,
        "State": snapshot.status,
        "VolumeSize": snapshot.volume.size,
        "StartTime": snapshot.start_time,
        "Progress": "",
        "OwnerId": snapshot.owner_id,
        "SnapshotId": snapshot.id,
    }


def _listed(snapshot: Any) -> dict[str, Any]:
    shown = {
        "SnapshotId": snapshot.id,
        "VolumeId": snapshot.volume.id,
        "State": snapshot.status,
        "StateMessage": getattr(snapshot, "state_message", None),
        "StartTime": snapshot.start_time,
        "Progress": snapshot.progress,
        "OwnerId": snapshot.owner_id,
        "VolumeSize": snapshot.volume.size,
        "Description": snapshot.description,
        "Encrypted": snapshot.encrypted,
        "KmsKeyId": snapshot.kms_key_id,
        "StorageTier": snapshot.storage_tier,
        "Tags": _tags(snapshot),
    }
    if snapshot.status == "completed":
        shown["CompletionTime"] = snapshot.start_time + timedelta(
            seconds=world.current().pace.snapshot_seconds
        )
    return {name: value for name, value in shown.items() if value is not None}


@mends(EC2Response, "describe_snapshots")
def describe_snapshots(_original: Any, self: Any) -> ActionResult:
    """Snapshots that the account owns or may use, by owner, restorer, id and filter, page by page."""
    from moto.ec2.utils import generic_filter

    account, named = self.current_account, list(self._get_param("SnapshotIds") or [])
    visible = {snapshot.id: snapshot for snapshot in _visible(account, self.region)}
    for snapshot_id in named:
        if snapshot_id not in visible:
            raise Refusal("InvalidSnapshot.NotFound", f"The snapshot '{snapshot_id}' does not exist.")
    found = [visible[snapshot_id] for snapshot_id in named] if named else list(visible.values())
    owners = {account if owner == "self" else owner for owner in self._get_param("OwnerIds") or []}
    if owners:
        found = [snapshot for snapshot in found if snapshot.owner_id in owners]
    restorers = self._get_param("RestorableByUserIds") or []
    if restorers:
        found = [
            s for s in found if any(_restorable(s, account if user == "self" else user) for user in restorers)
        ]
    filters = self._filters_from_querystring()
    if filters:
        found = generic_filter(filters, found)
    page, following = paged(found, self._get_param("MaxResults"), self._get_param("NextToken"))
    answer: dict[str, Any] = {"Snapshots": [_listed(snapshot) for snapshot in page]}
    return ActionResult(answer | ({"NextToken": following} if following else {}))


def _restorable(snapshot: Any, user: str) -> bool:
    if user == "all":
        return "all" in snapshot.create_volume_permission_groups
    return snapshot.owner_id == user or shared_with(snapshot, user)


def _visible(account: str, region: str) -> list[Any]:
    from moto.ec2.models import ec2_backends

    found = list(ec2_backends[account][region].snapshots.values())
    for owner in list(ec2_backends):
        if owner != account:
            found += [
                s for s in list(ec2_backends[owner][region].snapshots.values()) if shared_with(s, account)
            ]
    return found


def paged(found: list[Any], size: Any, token: Any) -> tuple[list[Any], str | None]:
    """One page, and the token of the next; all of it when no size is asked for."""
    if not size:
        return found, None
    if token and not str(token).isdigit():
        raise Refusal("InvalidParameterValue", "The value for nextToken is invalid.")
    start = int(token or 0)
    stop = start + int(size)
    return found[start:stop], str(stop) if stop < len(found) else None


@mends(EC2Response, "copy_snapshot")
def copy_snapshot(original: Any, self: Any) -> ActionResult:
    """A copy; one that was asked to be encrypted is, under the default key where none is named."""
    answer: ActionResult = original(self)
    said: Any = answer.result
    made = self.ec2_backend.get_snapshot(said["SnapshotId"])
    if _true(self._get_param("Encrypted")) and not made.encrypted:
        made.encrypted, made.kms_key_id = True, default_key(self.ec2_backend)
    return answer


@mends(EC2Response, "modify_snapshot_attribute")
def modify_snapshot_attribute(original: Any, self: Any) -> ActionResult:
    """Share or stop sharing; never what is under the default key, and nothing encrypted with everyone."""
    snapshot_id = self._get_param("SnapshotId")
    snapshot = self.ec2_backend.get_snapshot(snapshot_id)
    changes = self._get_param("CreateVolumePermission") or {}
    adds_users = (self._get_param("OperationType") == "add" and bool(self._get_param("UserIds"))) or bool(
        changes.get("Add")
    )
    default = not snapshot.kms_key_id or snapshot.kms_key_id == self.ec2_backend.default_kms_key_id
    if adds_users and snapshot.encrypted and default:
        raise Refusal("OperationNotPermitted", "Encrypted snapshots with EBS default key cannot be shared")
    if "all" in (self._get_param("GroupNames") or []) and snapshot.encrypted:
        raise Refusal("OperationNotPermitted", "Encrypted snapshots cannot be shared with all accounts")
    if not changes:
        answer: ActionResult = original(self)
        return answer
    for kind, change in (
        ("Add", self.ec2_backend.add_create_volume_permission),
        ("Remove", self.ec2_backend.remove_create_volume_permission),
    ):
        users = [entry["UserId"] for entry in changes.get(kind) or [] if "UserId" in entry]
        groups = [entry["Group"] for entry in changes.get(kind) or [] if "Group" in entry]
        if users or groups:
            change(snapshot_id, user_ids=users, groups=groups)
    return ActionResult(None)


@mends(EC2Response, "attach_volume")
def attach_volume(original: Any, self: Any) -> ActionResult:
    """Attach a free volume to an instance in its zone, at a device name that is free."""
    volume = self.ec2_backend.get_volume(self._get_param("VolumeId"))
    instance = self.ec2_backend.get_instance(self._get_param("InstanceId"))
    device = self._get_param("Device")
    if volume.attachment is not None:
        raise Refusal("VolumeInUse", f"{volume.id} is already attached to an instance")
    if instance.state not in {"running", "stopped"}:
        raise Refusal("IncorrectState", f"Instance '{instance.id}' is not 'running' or 'stopped'.")
    if volume.zone.name != instance.availability_zone:
        raise Refusal(
            "InvalidVolume.ZoneMismatch",
            f"The volume '{volume.id}' is not in the same availability zone as instance '{instance.id}'",
        )
    if device in instance.block_device_mapping:
        raise Refusal(
            "InvalidParameterValue",
            f"Invalid value '{device}' for unixDevice. Attachment point {device} is already in use",
        )
    answer: ActionResult = original(self)
    return answer


@mends(EC2Response, "detach_volume")
def detach_volume(_original: Any, self: Any) -> ActionResult:
    """Detach a volume; the instance need not be named, and a running instance keeps its root."""
    volume = self.ec2_backend.get_volume(self._get_param("VolumeId"))
    attachment = volume.attachment
    if attachment is None:
        raise Refusal("IncorrectState", f"Volume '{volume.id}' is in the 'available' state.")
    instance, named = attachment.instance, self._get_param("InstanceId")
    if named and named != instance.id:
        raise Refusal(
            "InvalidAttachment.NotFound", f"Volume '{volume.id}' is not attached to instance '{named}'."
        )
    if attachment.device == instance.root_device_name and instance.state == "running":
        raise Refusal(
            "IncorrectState", f"Unable to detach root volume '{volume.id}' from instance '{instance.id}'"
        )
    detached = self.ec2_backend.detach_volume(volume.id, instance.id, attachment.device)
    return ActionResult(
        {
            "VolumeId": volume.id,
            "InstanceId": instance.id,
            "Device": detached.device,
            "State": "detaching",
            "AttachTime": detached.attach_time,
        }
    )
