"""Snapshot locks: while one holds, nobody deletes the snapshot; under compliance not even its owner's root.

References:
    https://docs.aws.amazon.com/ebs/latest/userguide/ebs-snapshot-lock.html
    https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_LockSnapshot.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from irkit.aws import translating
from irkit.canonical import plain
from irkit.capture.destination import Lock
from irkit.plan import Outcome, Undo

_HOLDING = frozenset({"governance", "compliance", "compliance-cooloff"})


def state(ec2: Any, snapshot: str, *, region: str) -> dict[str, Any] | None:
    """The lock on `snapshot` as AWS tells it (`mode`, `expires`, `cooling_until`); None when none holds."""
    with translating("ask for the lock of", snapshot, region=region):
        found = ec2.describe_locked_snapshots(SnapshotIds=[snapshot]).get("Snapshots", ())
    held = next((s for s in found if s.get("LockState") in _HOLDING), None)
    if held is None:
        return None
    return {
        "snapshot": snapshot,
        "mode": str(held["LockState"]),
        "days": held.get("LockDuration"),
        "expires": plain(held.get("LockExpiresOn")),
        "cooling_until": plain(held.get("CoolOffPeriodExpiresOn")),
    }


def satisfies(held: Mapping[str, Any] | None, wanted: Lock) -> bool:
    """Whether the lock that stands is at least as strong, and for as many days, as `wanted`."""
    if held is None:
        return False
    strong = str(held["mode"]).startswith("compliance") or wanted.mode == "governance"
    return strong and int(held.get("days") or 0) >= wanted.days


def locked(ec2: Any, snapshot: str, wanted: Lock, *, region: str) -> Outcome:
    """Lock `snapshot`, unless a lock as good holds."""
    requests: list[str] = []
    held = state(ec2, snapshot, region=region)
    if not satisfies(held, wanted):
        asked: dict[str, Any] = {"SnapshotId": snapshot, "LockMode": wanted.mode, "LockDuration": wanted.days}
        if wanted.hours:
            asked["CoolOffPeriod"] = wanted.hours
        with translating("lock snapshot", snapshot, region=region):
            answer = ec2.lock_snapshot(**asked)
        requests.append(str(answer["ResponseMetadata"]["RequestId"]))
        held = state(ec2, snapshot, region=region)
    return outcome(snapshot, held, wanted, requests=requests)


def outcome(
    snapshot: str, held: Mapping[str, Any] | None, wanted: Lock, *, requests: list[str] | None = None
) -> Outcome:
    """What locking came to, and how it can be taken back."""
    lacking = () if satisfies(held, wanted) else (f"{snapshot}: AWS shows no {wanted.mode} lock on it",)
    return Outcome(
        result={"lock": held or {"snapshot": snapshot, "mode": None}},
        after=held,
        request_ids=tuple(requests or ()),
        undo=_undo(snapshot, wanted),
        missing=lacking,
    )


def _undo(snapshot: str, wanted: Lock) -> Undo:
    if wanted.mode == "compliance" and not wanted.hours:
        return Undo(impossible=f"a compliance lock ends by itself after {wanted.days} days")
    return Undo(
        impossible=f"irkit unlocks no evidence; by hand: aws ec2 unlock-snapshot --snapshot-id {snapshot}"
    )
