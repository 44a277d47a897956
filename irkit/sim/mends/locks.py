"""Snapshot locks, which moto does not have.

References:
    https://docs.aws.amazon.com/ebs/latest/userguide/ebs-snapshot-lock.html
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.responses import EC2Response

from irkit.sim.faults import Refusal
from irkit.sim.mends.volumes import paged
from irkit.sim.seams import adds


@dataclass(slots=True)
class SnapshotLock:
    """A lock on a snapshot, in one of AWS's two modes."""

    mode: str
    created: datetime
    days: int | None
    expires: datetime
    cooling_until: datetime | None

    def holds(self, now: datetime) -> bool:
        """Whether the lock still protects the snapshot."""
        return now < self.expires

    @property
    def state(self) -> str:
        """AWS's lock state."""
        now = datetime.now(UTC)
        if not self.holds(now):
            return "expired"
        if self.mode == "governance":
            return "governance"
        return "compliance-cooloff" if self.cooling_until and now < self.cooling_until else "compliance"

    def shown(self) -> dict[str, Any]:
        """The lock's members in an answer."""
        days = self.days if self.days is not None else (self.expires - self.created).days
        members: dict[str, Any] = {
            "LockState": self.state,
            "LockDuration": days,
            "LockCreatedOn": self.created,
            "LockDurationStartTime": self.created,
            "LockExpiresOn": self.expires,
        }
        if self.cooling_until is not None:
            members["CoolOffPeriodExpiresOn"] = self.cooling_until
        return members


@adds(EC2Response)
def lock_snapshot(self: Any) -> ActionResult:
    """Lock a snapshot for a number of days or until a date; a compliance lock only ever grows."""
    snapshot = self.ec2_backend.get_snapshot(self._get_param("SnapshotId"))
    mode, days, until = (
        self._get_param("LockMode"),
        self._get_param("LockDuration"),
        self._get_param("ExpirationDate"),
    )
    if mode not in {"governance", "compliance"} or bool(days) == bool(until):
        raise Refusal(
            "InvalidParameterCombination", "Give LockMode, and one of LockDuration and ExpirationDate."
        )
    now = datetime.now(UTC)
    expires = now + timedelta(days=int(days)) if days else _moment(until)
    hours = self._get_param("CoolOffPeriod")
    if hours and mode == "governance":
        raise Refusal("InvalidParameterCombination", "CoolOffPeriod is for compliance mode only.")
    held: SnapshotLock | None = getattr(snapshot, "irkit_lock", None)
    if held is not None and held.state == "compliance" and (mode != "compliance" or expires < held.expires):
        raise Refusal("OperationNotPermitted", f"The snapshot {snapshot.id} is locked in compliance mode.")
    cooling = now + timedelta(hours=int(hours)) if hours else None
    snapshot.irkit_lock = SnapshotLock(mode, now, int(days) if days else None, expires, cooling)
    return ActionResult(
        {
            "SnapshotId": snapshot.id,
            "CoolOffPeriod": int(hours) if hours else None,
            **snapshot.irkit_lock.shown(),
        }
    )


def _moment(value: Any) -> datetime:
    moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


@adds(EC2Response)
def unlock_snapshot(self: Any) -> ActionResult:
    """Take a governance lock, or one still cooling off, away."""
    snapshot = self.ec2_backend.get_snapshot(self._get_param("SnapshotId"))
    held: SnapshotLock | None = getattr(snapshot, "irkit_lock", None)
    if held is None:
        raise Refusal("IncorrectState", f"The snapshot {snapshot.id} is not locked.")
    if held.state == "compliance":
        raise Refusal("OperationNotPermitted", f"The snapshot {snapshot.id} is locked in compliance mode.")
    del snapshot.irkit_lock
    return ActionResult({"SnapshotId": snapshot.id})


@adds(EC2Response)
def describe_locked_snapshots(self: Any) -> ActionResult:
    """Locked snapshots of the account."""
    named = self._get_param("SnapshotIds") or []
    found = []
    for snapshot in list(self.ec2_backend.snapshots.values()):
        held: SnapshotLock | None = getattr(snapshot, "irkit_lock", None)
        if held is not None and (not named or snapshot.id in named):
            found.append({"OwnerId": snapshot.owner_id, "SnapshotId": snapshot.id, **held.shown()})
    page, following = paged(found, self._get_param("MaxResults"), self._get_param("NextToken"))
    return ActionResult({"Snapshots": page, **({"NextToken": following} if following else {})})
