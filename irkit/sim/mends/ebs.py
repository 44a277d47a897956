"""EBS: snapshots that take time, and are shared and copied between accounts."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from moto.ec2.models.elastic_block_store import EBSBackend, Snapshot

from irkit.sim import world
from irkit.sim.faults import Refusal
from irkit.sim.seams import covers, mends

_SNAPSHOT_ID = re.compile(r"^snap-[0-9a-f]{8,17}$")


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _fraction(snapshot: Any) -> float:
    here = world.active()
    if here is None:
        return 1.0
    took = (datetime.now(UTC) - _aware(snapshot.start_time)).total_seconds()
    return 1.0 if here.pace.snapshot_seconds <= 0 else min(took / here.pace.snapshot_seconds, 1.0)


def _status(snapshot: Any) -> str:
    kept = str(snapshot.__dict__.get("_status", "completed"))
    return kept if kept != "completed" or _fraction(snapshot) >= 1.0 else "pending"


def _keep_status(snapshot: Any, value: str) -> None:
    snapshot.__dict__["_status"] = value


def _progress(snapshot: Any) -> str:
    if snapshot.__dict__.get("_status") == "error":
        return "0%"
    return f"{min(99, int(_fraction(snapshot) * 100))}%" if _status(snapshot) == "pending" else "100%"


covers(Snapshot, status=property(_status, _keep_status), progress=property(_progress))


def find(snapshot_id: str, region: str, account: str) -> Any:
    """The snapshot as `account` may see it: its own, or one shared with it. Raises InvalidSnapshot.NotFound."""
    from moto.ec2.models import ec2_backends

    for owner in list(ec2_backends):
        snapshot = ec2_backends[owner][region].snapshots.get(snapshot_id)
        if snapshot is not None and (owner == account or shared_with(snapshot, account)):
            return snapshot
    raise Refusal("InvalidSnapshot.NotFound", f"The snapshot '{snapshot_id}' does not exist.")


def shared_with(snapshot: Any, account: str) -> bool:
    """Whether another account may use the snapshot."""
    return (
        account in snapshot.create_volume_permission_userids
        or "all" in snapshot.create_volume_permission_groups
    )


def key_arn(key_id: str, account: str, region: str) -> str | None:
    """The ARN of a KMS key given by id, alias or ARN (of any simulated account); None if there is none."""
    from moto.kms.models import kms_backends

    if key_id.startswith("arn:"):
        account, region = key_id.split(":")[4], key_id.split(":")[3]
    backend = kms_backends[account][region]
    try:
        plain = key_id.rsplit(":", maxsplit=1)[-1]
        target = (
            backend.get_key_id_from_alias(plain) if plain.startswith("alias/") else plain.removeprefix("key/")
        )
        return str(backend.keys[target].arn) if target else None
    except (KeyError, AttributeError):
        return None


def default_key(backend: Any) -> str:
    """The ARN of the key that AWS manages for EBS in the account and region of `backend`; made when first needed."""
    if not backend.default_kms_key_id:
        backend._create_default_encryption_key()
    return str(backend.default_kms_key_id)


@mends(EBSBackend, "_create_default_encryption_key")
def create_default_encryption_key(original: Any, self: Any) -> str:
    """The key that AWS manages for EBS, and says so of it."""
    arn = str(original(self))
    _key(arn, self.account_id, self.region_name).key_manager = "AWS"
    return arn


def _key(ident: str, account: str, region: str) -> Any:
    from moto.kms.models import kms_backends

    arn = key_arn(ident, account, region)
    return (
        None if arn is None else kms_backends[arn.split(":")[4]][arn.split(":")[3]].keys[arn.split("/")[-1]]
    )


def usable(ident: str | None, backend: Any) -> bool:
    """Whether EBS may use the key for the account of `backend`: it is enabled, and its policy or a grant admits it."""
    if ident is None:
        return True
    key = _key(ident, backend.account_id, backend.region_name)
    if key is None or key.key_state != "Enabled":
        return False
    if key.account_id == backend.account_id:
        return True
    admitted = [str(key.policy), *(str(grant.grantee_principal) for grant in key.grants.values())]
    return any(backend.account_id in text for text in admitted)


@contextmanager
def _lent(backend: Any, snapshot: Any) -> Iterator[None]:
    """Let moto's own code find a snapshot of another account for a moment."""
    with world.current().lock:
        foreign = snapshot.id not in backend.snapshots
        if foreign:
            backend.snapshots[snapshot.id] = snapshot
        try:
            yield
        finally:
            if foreign:
                backend.snapshots.pop(snapshot.id, None)


@mends(EBSBackend, "create_snapshot")
def create_snapshot(original: Any, self: Any, volume_id: str, *args: Any, **kwargs: Any) -> Any:
    """A snapshot of the volume as it is now, under the volume's key."""
    snapshot = original(self, volume_id, *args, **kwargs)
    named = getattr(self.volumes.get(volume_id), "kms_key_id", None)
    snapshot.kms_key_id = key_arn(named, self.account_id, self.region_name) or named if named else None
    snapshot.volume = copy.copy(snapshot.volume)  # a snapshot keeps the size that its volume had
    world.current().disks.snapshot(snapshot.id, volume_id)
    return snapshot


@mends(EBSBackend, "copy_snapshot")
def copy_snapshot(
    original: Any,
    self: Any,
    source_snapshot_id: str,
    source_region: str,
    description: str,
    kms_key_id: str | None,
) -> Any:
    """A copy, also of a snapshot that another account shares; an unusable key ends in state `error`."""
    from moto.ec2.models import ec2_backends

    source = find(source_snapshot_id, source_region, self.account_id)
    if source.status != "completed":
        raise Refusal("IncorrectState", f"Snapshot {source_snapshot_id} is not in the completed state.")
    arn = key_arn(kms_key_id, self.account_id, self.region_name) if kms_key_id else None
    with _lent(ec2_backends[self.account_id][source_region], source):
        made = original(self, source_snapshot_id, source_region, description, arn or kms_key_id)
    made.volume = copy.copy(source.volume)
    made.volume.id = "vol-ffffffff"  # what AWS reports for a copy
    made.start_time = datetime.now(UTC)
    made.encrypted = bool(source.encrypted or kms_key_id)
    if made.encrypted and not kms_key_id:
        made.kms_key_id = default_key(self)
    if not usable(made.kms_key_id, self) or not usable(source.kms_key_id, self):
        made.status = "error"
        made.state_message = "Given key ID is not accessible"
        return made
    world.current().disks.copy(source_snapshot_id, made.id)
    return made


@mends(EBSBackend, "create_volume")
def create_volume(original: Any, self: Any, *args: Any, **kwargs: Any) -> Any:
    """A volume; from a snapshot it holds what the snapshot holds, under the snapshot's key if none is named."""
    snapshot_id = kwargs.get("snapshot_id") or (args[2] if len(args) > 2 else None)
    if not snapshot_id:
        return original(self, *args, **kwargs)
    snapshot = find(snapshot_id, self.region_name, self.account_id)
    with _lent(self, snapshot):
        volume = original(self, *args, **kwargs)
    if volume.encrypted and not volume.kms_key_id:
        volume.kms_key_id = snapshot.kms_key_id
    world.current().disks.restore(snapshot_id, volume.id)
    return volume


@mends(EBSBackend, "delete_snapshot")
def delete_snapshot(original: Any, self: Any, snapshot_id: str) -> Any:
    """Delete a snapshot; a locked one, or one that an image uses, is refused."""
    lock = getattr(self.snapshots.get(snapshot_id), "irkit_lock", None)
    if lock is not None and lock.holds(datetime.now(UTC)):
        raise Refusal("OperationNotPermitted", f"The snapshot {snapshot_id} is locked and cannot be deleted.")
    deleted = original(self, snapshot_id)
    world.current().disks.forget(snapshot_id)
    return deleted
