"""Copies of snapshots: begun once, found again by the step's tag, and waited for until they end.

AWS answers CopySnapshot with an id before it has looked at the keys: a key that cannot be used shows later, as state
`error` with a message. So a copy counts when it is completed, and one in error is never waited on or taken for one.

References:
    https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CopySnapshot.html
    https://docs.aws.amazon.com/ebs/latest/userguide/ebs-copy-snapshot.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from irkit.aws import translating, wait_until
from irkit.capture.once import once
from irkit.capture.quotas import within_quotas
from irkit.errors import AwsError, NotFound
from irkit.escape import for_terminal
from irkit.plan import Running

STEP_TAG = "irkit:step"


@dataclass(frozen=True, slots=True, kw_only=True)
class Copied:
    """A completed copy as AWS describes it, whether it was found rather than made, and the ids of our requests."""

    snapshot: Mapping[str, Any]
    found: bool
    request_ids: tuple[str, ...] = field(default=())

    @property
    def id(self) -> str:
        """The copy's id."""
        return str(self.snapshot["SnapshotId"])


def snapshot(client: Any, ident: str, *, region: str) -> Mapping[str, Any]:
    """EC2's description of one snapshot; `NotFound` when `client` cannot see it."""
    with translating("describe snapshot", ident, region=region):
        answer = client.describe_snapshots(Filters=[{"Name": "snapshot-id", "Values": [ident]}])
    found = answer.get("Snapshots", ())
    if not found:
        raise NotFound(
            f"snapshot {ident} does not exist in {region}", hint="see who deleted it in CloudTrail"
        )
    one: Mapping[str, Any] = found[0]
    return one


def copied(
    running: Running, client: Any, source: str, *, source_region: str, region: str, key: str | None,
    tags: Mapping[str, str],
) -> Copied:  # fmt: skip
    """The completed copy of `source` under `key` that `client` owns in `region`; made unless this step made it before.

    Raises `AwsError` when the copy ends in error, `TimedOut` when it does not end in the step's time.
    """
    requests: list[str] = []
    earlier = _tagged(running, client, region)
    made = (
        earlier[-1]
        if earlier
        else _begun(running, client, source, source_region, region, key, tags, requests)
    )
    ended = _ended(running, client, str(made["SnapshotId"]), region)
    return Copied(snapshot=ended, found=bool(earlier), request_ids=tuple(requests))


def _tagged(running: Running, client: Any, region: str) -> list[Mapping[str, Any]]:
    """Copies that carry the step's id and are not in error, oldest first."""
    with translating("look for copies of the case", region=region):
        pages = client.get_paginator("describe_snapshots").paginate(
            OwnerIds=["self"], Filters=[{"Name": f"tag:{STEP_TAG}", "Values": [running.step_id]}]
        )
        found = [s for page in pages for s in page.get("Snapshots", ()) if s.get("State") != "error"]
    return sorted(found, key=lambda s: (s["StartTime"], s["SnapshotId"]))


def _begun(
    running: Running, client: Any, source: str, source_region: str, region: str, key: str | None,
    tags: Mapping[str, str], requests: list[str],
) -> Mapping[str, Any]:  # fmt: skip
    every = running.case.tags() | dict(tags) | {STEP_TAG: running.step_id, "irkit:source": source}
    asked: dict[str, Any] = {
        "SourceRegion": source_region,
        "SourceSnapshotId": source,
        "Description": f"irkit case {running.case.id}: copy of {source}",
        "Encrypted": True,
        "TagSpecifications": [
            {"ResourceType": "snapshot", "Tags": [{"Key": k, "Value": v} for k, v in every.items()]}
        ],
    } | ({"KmsKeyId": key} if key else {})

    def ask() -> Mapping[str, Any]:
        answer: Mapping[str, Any] = client.copy_snapshot(**asked)
        requests.append(answer["ResponseMetadata"]["RequestId"])
        return answer

    def seen() -> Mapping[str, Any] | None:
        found = _tagged(running, client, region)
        return found[-1] if found else None

    with translating("copy snapshot", source, region=region):
        return within_quotas(
            running, lambda: once(client, "CopySnapshot", ask, seen, stop=lambda: running.stopped)
        )


def _ended(running: Running, client: Any, ident: str, region: str) -> Mapping[str, Any]:
    def probe() -> Mapping[str, Any] | None:
        try:
            with translating("describe snapshot", ident, region=region):
                answer = client.describe_snapshots(Filters=[{"Name": "snapshot-id", "Values": [ident]}])
        except AwsError as error:
            running.progress(f"asking again: {error}")
            return None
        found: Sequence[Mapping[str, Any]] = answer.get("Snapshots", ())
        if not found:
            return None  # AWS does not show it yet, for it was made a moment ago
        running.progress(f"{ident} {found[0].get('Progress') or '0%'} {found[0].get('State')}")
        return found[0] if found[0].get("State") in {"completed", "error"} else None

    left = max(1.0, running.seconds_left - 5)
    ended = wait_until(
        probe, what=f"the completion of copy {ident}", timeout=left, first=0.3, most=15,
        stop=lambda: running.stopped,
    )  # fmt: skip
    if ended.get("State") == "error":
        why = for_terminal(ended.get("StateMessage") or "AWS gives no reason")
        raise AwsError(
            f"copy {ident} ended in error: {why}",
            hint="see that both KMS keys are enabled and that their policies admit the role, then apply the plan again",
        )
    return ended
