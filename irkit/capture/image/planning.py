"""What reading a snapshot would take, in blocks, bytes, time and money, before anything is read.

References:
    https://docs.aws.amazon.com/ebs/latest/userguide/ebs-accessing-snapshot.html
    https://docs.aws.amazon.com/ebs/latest/userguide/ebsapi-quotas.html (1,000 blocks a second, of an account and of a
    snapshot)
    https://docs.aws.amazon.com/ebs/latest/userguide/ebsapi-pricing.html (USD 0.003 a thousand blocks)
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from irkit.aws import names, translating
from irkit.canonical import plain
from irkit.capture.image.blocks import Listing, counted
from irkit.capture.image.download import duration, size
from irkit.capture.image.taking import Request, take
from irkit.capture.image.transport import TRANSPORTS
from irkit.errors import BadInput, InvalidParameter, NotFound, WrongState
from irkit.escape import for_terminal
from irkit.plan import Plan, Step

if TYPE_CHECKING:
    from irkit.case import Case

VERB = "capture.image"
WORKERS = 32
# A million blocks, 500 GiB: more would keep the plan waiting.
_PAGES_COUNTED = 100
_BLOCKS_A_SECOND = 1000
_USD_A_BLOCK = 0.003 / 1000
# What a machine with two busy cores reads through TLS; SHA-256 of the holes runs beside it.
_USUAL_BYTES_A_SECOND = 150e6
_HASHED_A_SECOND = 1e9
_SLOW_BYTES_A_SECOND = 10e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What a download would take. `exact` is False when the blocks are too many to count in a plan: it is more then.

    `fastest_seconds` is what AWS's quota allows, `usual_seconds` what 150 MB/s and one core for SHA-256 would take.
    `usd` is the price of the requests in most regions; reading from outside the region costs data transfer on top.
    """

    blocks: int
    bytes: int
    disk_bytes: int
    exact: bool
    fastest_seconds: float
    usual_seconds: float
    usd: float
    free_bytes: int

    def __str__(self) -> str:
        """The estimate in a sentence."""
        least = "" if self.exact else "at least "
        return (
            f"{least}{self.blocks} blocks ({size(self.bytes)} of a disk of {size(self.disk_bytes)}), "
            f"about {duration(self.usual_seconds)}, {duration(self.fastest_seconds)} at AWS's quota, "
            f"USD {self.usd:.2f} of requests; {size(self.free_bytes)} free here"
        )

    def to_dict(self) -> dict[str, Any]:
        """The estimate as JSON types."""
        return asdict(self)


def plan(
    case: Case,
    snapshot_id: str,
    *,
    since: str | None = None,
    to: Path | str | None = None,
    transport: str = "boto3",
    workers: int = WORKERS,
) -> Plan:
    """What reading the snapshot into a raw image would do; nothing is read until `apply()`.

    `since` names an earlier snapshot of the same volume: only what changed is read, onto that one's image where the
    case has it, else into a partial file. `to` is a file (or a folder) outside of the case for the image itself; block
    list and record stay in the case. `transport` is `boto3` or `raw`, `workers` how many blocks are in flight.

    Raises `NotFound`, `WrongState` (not completed, archived), `Refused`, and `BadInput` for what cannot be used.
    """
    if transport not in TRANSPORTS:
        raise InvalidParameter(
            f"there is no transport {for_terminal(transport)}", hint=f"choose among {', '.join(TRANSPORTS)}"
        )
    if not 1 <= workers <= 256:
        raise InvalidParameter(
            f"{workers} blocks in flight", hint="choose from 1 to 256; 32 is a good number"
        )
    snapshot = readable(case, snapshot_id)
    if since is not None:
        readable(case, since)
    target = _target(to, snapshot_id, since)
    request = Request(snapshot=snapshot, since=since, to=target, transport=transport, workers=workers)
    estimated = estimate(case, snapshot_id, since=since, at=target or case.root)
    step = Step(
        verb=VERB,
        target=snapshot_id,
        args={"since": since, "to": str(target) if target else None},
        title=f"read {'what changed since ' + since if since else 'the snapshot'} into a raw image: {estimated}",
        act=lambda running: take(running, request),
        changes=False,
        stage=95,
        deadline=3600
        + estimated.bytes / _SLOW_BYTES_A_SECOND * (1 if estimated.exact else 32)
        + estimated.disk_bytes / 2e8,
    )
    return ImagePlan(case, step, estimated)


class ImagePlan(Plan):
    """The plan of one image; `estimate` says what it would take."""

    def __init__(self, case: Case, step: Step, estimated: Estimate) -> None:
        super().__init__(case, [step], title=f"image of {step.target}")
        self.estimate = estimated

    def to_dict(self) -> dict[str, Any]:
        """The plan as JSON types, with its estimate."""
        return super().to_dict() | {"estimate": self.estimate.to_dict()}


def estimate(case: Case, snapshot_id: str, *, since: str | None, at: Path) -> Estimate:
    """Count what would be read, by listing it, and look at the free space of the disk that `at` is on."""
    listing = Listing(case.client("ebs"), snapshot_id, since)
    blocks, disk, block_size, exact = counted(listing, most_pages=_PAGES_COUNTED)
    usual = max(blocks * block_size / _USUAL_BYTES_A_SECOND, disk / _HASHED_A_SECOND)
    return Estimate(
        blocks=blocks,
        bytes=blocks * block_size,
        disk_bytes=disk,
        exact=exact,
        fastest_seconds=max(blocks / _BLOCKS_A_SECOND, disk / _HASHED_A_SECOND),
        usual_seconds=usual,
        usd=round(blocks * _USD_A_BLOCK, 4),
        free_bytes=free(at),
    )


def free(path: Path) -> int:
    """Bytes that may still be written where `path` is, or would be."""
    there = path
    while not there.exists():
        there = there.parent
    found = os.statvfs(there)
    return found.f_bavail * found.f_frsize


def readable(case: Case, snapshot_id: str) -> Mapping[str, Any]:
    """The snapshot as AWS describes it, JSON types. Raises `NotFound`, `WrongState` or `InvalidName`."""
    names.snapshot_id(snapshot_id)
    with translating("describe", snapshot_id, region=case.facts.region):
        found = case.client("ec2").describe_snapshots(SnapshotIds=[snapshot_id])["Snapshots"]
    if not found:
        raise NotFound(f"{snapshot_id} does not exist", hint="check the id, the account and the region")
    told = cast("dict[str, Any]", plain(found[0]))
    state = told.get("State")
    if state == "error":
        why = for_terminal(told.get("StateMessage") or "AWS gives no reason")
        raise WrongState(f"{snapshot_id} ended in error: {why}", hint="take another snapshot of the volume")
    if state != "completed":
        raise WrongState(
            f"{snapshot_id} is {for_terminal(state)}, {for_terminal(told.get('Progress') or '0%')} done",
            hint="a snapshot can be read once it is completed; run the same command again then",
        )
    if told.get("StorageTier") == "archive":
        raise WrongState(
            f"{snapshot_id} is archived",
            hint="restore it first: aws ec2 restore-snapshot-tier; that takes up to 72 hours",
        )
    return told


def _target(to: Path | str | None, snapshot_id: str, since: str | None) -> Path | None:
    if to is None:
        return None
    path = Path(to).expanduser().absolute()
    if path.is_dir():
        path /= f"{snapshot_id}.raw" if since is None else f"{snapshot_id}.since-{since}.raw"
    if not path.parent.is_dir():
        raise BadInput(
            f"there is no folder {for_terminal(path.parent)}", hint="make it, or choose another --to"
        )
    if path.exists() and not path.with_name(path.name + ".part").exists():
        raise BadInput(
            f"{for_terminal(path)} is there already", hint="it is never overwritten; choose another --to"
        )
    return path
