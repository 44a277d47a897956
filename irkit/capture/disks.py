"""Disks: one set of snapshots of all volumes, at one point in time, begun at once and then watched.

`create_snapshots` has no client token, so the step's id goes onto every snapshot as a tag, and a step that was begun
before asks for snapshots with its tag first: a kill, a lost answer or a missed deadline makes no second set.

References:
    https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateSnapshots.html
    https://docs.aws.amazon.com/ebs/latest/userguide/ebs-resource-quotas.html
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from irkit.aws import error_code, translating, wait_until
from irkit.canonical import plain
from irkit.capture.asking import NO_ANSWER
from irkit.capture.instance import Instance
from irkit.capture.once import once
from irkit.capture.quotas import within_quotas
from irkit.errors import AwsError, IrkitError, WrongState
from irkit.escape import for_terminal
from irkit.journal import Kind
from irkit.plan import Outcome, Running, Step, Undo, reason

if TYPE_CHECKING:
    from irkit.case import Case

BEGIN = "capture.disks"
COMPLETE = "capture.disks.complete"
KEPT = "evidence is never deleted by irkit; delete the snapshots yourself when the case allows it"
_TAGS_REFUSED = frozenset({"TagLimitExceeded", "InvalidParameterValue"})
# A rule of thumb for the wait, not a promise of AWS: the first snapshot of a volume copies all of it.
_SECONDS_A_GIB = 20.0
_LONGEST_WAIT = 8 * 3600.0


def steps(case: Case, instance: Instance, *, label: str = "A") -> list[Step]:
    """Two steps: begin the set, which is its point in time, and wait for it to complete. `label` tells sets apart."""
    _ = case
    args = {"set": label, "volumes": sorted(v.id for v in instance.volumes)}
    begin = Step(
        verb=BEGIN, target=instance.id, args=args, stage=10, deadline=180, reversible="kept: evidence is not deleted",
        title=f"take one snapshot set of all {len(instance.volumes)} volumes, at one point in time",
        act=lambda running: _begin(running, instance, label),
    )  # fmt: skip
    complete = Step(
        verb=COMPLETE, target=instance.id, args=args, stage=90, needs=(BEGIN,), changes=False,
        title="wait until the snapshots are complete", deadline=patience(instance),
        act=lambda running: _complete(running, instance),
    )  # fmt: skip
    return [begin, complete]


def patience(instance: Instance) -> float:
    """Seconds to wait for the instance's snapshots before giving up for now."""
    return wait_of(max((v.size or 0 for v in instance.volumes), default=0))


def wait_of(gib: int | None) -> float:
    """Seconds to wait for a snapshot, or a copy of one, of so many GiB; None is taken for the largest."""
    return _LONGEST_WAIT if gib is None else min(_LONGEST_WAIT, 900.0 + _SECONDS_A_GIB * gib)


def completed(case: Case, instance_id: str) -> dict[str, dict[str, str]]:
    """By set, the snapshot of each volume of the instance that the case has waited for to complete."""
    found: dict[str, dict[str, str]] = {}
    for entry in case.journal.entries:
        body = entry.body
        if entry.kind is Kind.DONE and body.get("verb") == COMPLETE and body.get("target") == instance_id:
            result = body.get("result") or {}
            found[str(result.get("set") or "A")] = dict(result.get("snapshots") or {})
    return found


def _begin(running: Running, instance: Instance, label: str) -> Outcome:
    if not instance.volumes:
        raise WrongState(
            f"{instance.id} has no EBS volumes, so there is nothing to snapshot",
            hint="capture the host and its memory instead, and do not stop it: instance store is lost then",
        )
    requests: list[str] = []
    found = _tagged(running.case, running.step_id) if _begun_before(running) else []
    made = found or _create(running, instance, label, requests)
    pairs, extra = _by_volume(made)
    result = {
        "set": label,
        "snapshots": {volume: s["SnapshotId"] for volume, s in pairs.items()},
        "found": bool(found),
    }
    if extra:
        result["extra"] = extra
    item = running.keep(
        _document(instance, pairs.values(), label), kind="disk-snapshots", name=f"snapshots{_of(label)}.json",
        media_type="application/json",
        notes={"service": "ec2", "operation": "create_snapshots", "set": label, "state": "as begun"}
        | instance.place,
    )  # fmt: skip
    left = [
        f"{v.id} ({v.device}): no snapshot of it in the set" for v in instance.volumes if v.id not in pairs
    ]
    return Outcome(
        result=result | {"item": item.id},
        missing=(*left, *_instance_store(running.case, instance)),
        request_ids=tuple(requests),
        undo=Undo(impossible=KEPT),
    )


def _begun_before(running: Running) -> bool:
    entries = running.case.journal.of_step(running.step_id)
    return sum(e.kind is Kind.INTENDED for e in entries) > 1


def _tagged(case: Case, step_id: str) -> list[Mapping[str, Any]]:
    """Snapshots that carry the step's id, oldest first."""
    with translating("look for snapshots of the case", region=case.facts.region):
        pages = case.client("ec2").get_paginator("describe_snapshots").paginate(
            OwnerIds=["self"], Filters=[{"Name": "tag:irkit:step", "Values": [step_id]}]
        )  # fmt: skip
        found = [s for page in pages for s in page.get("Snapshots", ())]
    return sorted(found, key=lambda s: (s["StartTime"], s["SnapshotId"]))


def _by_volume(made: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Mapping[str, Any]], list[str]]:
    """The first snapshot of each volume, and the ids of others: a request that was sent twice leaves a second set."""
    pairs: dict[str, Mapping[str, Any]] = {}
    for snapshot in made:
        pairs.setdefault(snapshot["VolumeId"], snapshot)
    chosen = {str(s["SnapshotId"]) for s in pairs.values()}
    return pairs, [str(s["SnapshotId"]) for s in made if s["SnapshotId"] not in chosen]


def _create(running: Running, instance: Instance, label: str, requests: list[str]) -> list[Mapping[str, Any]]:
    tags = running.case.tags() | {
        "irkit:step": running.step_id,
        "irkit:instance": instance.id,
        "irkit:set": label,
    }
    asked: dict[str, Any] = {
        "InstanceSpecification": {"InstanceId": instance.id, "ExcludeBootVolume": False},
        "Description": f"irkit case {running.case.id}: {instance.id}, set {label}",
        "TagSpecifications": [
            {"ResourceType": "snapshot", "Tags": [{"Key": k, "Value": v} for k, v in tags.items()]}
        ],
        "CopyTagsFromSource": "volume",
    }
    ec2 = running.case.client("ec2")

    def ask() -> list[Mapping[str, Any]]:
        answer = ec2.create_snapshots(**asked)
        requests.append(answer["ResponseMetadata"]["RequestId"])
        return list(answer.get("Snapshots", ()))

    while True:
        try:
            return within_quotas(running, lambda: once(
                ec2, "CreateSnapshots", ask, lambda: _tagged(running.case, running.step_id) or None,
                stop=lambda: running.stopped,
            ))  # fmt: skip
        except ClientError as error:
            if error_code(error) not in _TAGS_REFUSED or "CopyTagsFromSource" not in asked:
                raise
            # the volumes' tags and ours are more than a snapshot may carry
            del asked["CopyTagsFromSource"]


def _document(instance: Instance, snapshots: Any, label: str) -> bytes:
    devices = {v.id: v for v in instance.volumes}
    rows = [
        {
            "snapshot": s["SnapshotId"],
            "volume": s["VolumeId"],
            "device": devices[s["VolumeId"]].device if s["VolumeId"] in devices else None,
            "root": s["VolumeId"] in devices and devices[s["VolumeId"]].device == instance.root_device,
            "size_gib": s.get("VolumeSize"),
            "started_at": plain(s.get("StartTime")),
            "completed_at": plain(s.get("CompletionTime")),
            "state": s.get("State"),
            "state_message": s.get("StateMessage") or None,
            "encrypted": s.get("Encrypted"),
            "key": s.get("KmsKeyId"),
            "owner": s.get("OwnerId"),
            "tags": {t["Key"]: t["Value"] for t in s.get("Tags", ())},
        }
        for s in snapshots
    ]
    shown = {
        "schema": "irkit/snapshots/1",
        "instance": instance.id,
        "region": instance.region,
        "set": label,
        "snapshots": rows,
    }
    return (json.dumps(shown, indent=1, sort_keys=True) + "\n").encode("ascii")


def _instance_store(case: Case, instance: Instance) -> list[str]:
    """What no snapshot holds: disks of the host computer, gone when the instance stops."""
    try:
        types = case.client("ec2").describe_instance_types(InstanceTypes=[instance.type])["InstanceTypes"]
    except NO_ANSWER as error:
        return [f"instance store: {reason(error, doing='ask whether there is any', resource=instance.type)}"]
    return [store for t in types for store in store_of(t)]


def store_of(kind: Mapping[str, Any]) -> list[str]:
    """One sentence a kind of instance-store disk of an instance type, as `describe_instance_types` tells it."""
    disks = (
        kind.get("InstanceStorageInfo", {}).get("Disks", ())
        if kind.get("InstanceStorageSupported", True)
        else ()
    )
    return [
        f"instance store, {d.get('Count', 1)} × {d.get('SizeInGB', '?')} GB: in no snapshot, lost when it stops"
        for d in disks
    ]


def _complete(running: Running, instance: Instance) -> Outcome:
    begun = running.results.get(BEGIN, {})
    ids = sorted(str(i) for i in dict(begun.get("snapshots", {})).values())
    if not ids:
        raise IrkitError("no snapshots were begun", hint="apply the plan again")
    last: dict[str, Mapping[str, Any]] = {}

    def ended() -> bool | None:
        last.update(_states(running, ids))
        states = [str(last.get(i, {}).get("State", "pending")) for i in ids]
        shown = ", ".join(
            f"{i} {last.get(i, {}).get('Progress') or '0%'} {s}" for i, s in zip(ids, states, strict=True)
        )
        running.progress(shown)
        return True if all(s in {"completed", "error"} for s in states) else None

    # The plan's own deadline ends the step hard; this one ends it with what is known.
    left = max(1.0, running.seconds_left - 5)
    wait_until(
        ended,
        what="the completion of the snapshots",
        timeout=left,
        first=0.5,
        most=15,
        stop=lambda: running.stopped,
    )
    failed = [s for s in last.values() if s.get("State") == "error"]
    if len(failed) == len(ids):
        raise AwsError(f"all snapshots of {instance.id} ended in error: {_why(failed[0])}",
                       hint="see to the volumes' KMS keys, then take a second set (disk_set=\"B\")")  # fmt: skip
    item = running.keep(
        _document(instance, (last[i] for i in ids), str(begun.get("set", ""))), kind="disk-snapshots",
        name=f"snapshots{_of(str(begun.get('set', '')))}-complete.json", media_type="application/json",
        notes={"service": "ec2", "operation": "describe_snapshots", "state": "as completed"} | instance.place,
    )  # fmt: skip
    done = {s["VolumeId"]: s["SnapshotId"] for s in last.values() if s.get("State") == "completed"}
    return Outcome(
        result={"set": str(begun.get("set", "")), "snapshots": done, "item": item.id},
        missing=tuple(f"{s['SnapshotId']} of {s['VolumeId']} ended in error: {_why(s)}" for s in failed),
    )


def _why(snapshot: Mapping[str, Any]) -> str:
    return for_terminal(snapshot.get("StateMessage") or "AWS gives no reason")


def _states(running: Running, ids: Sequence[str]) -> dict[str, Mapping[str, Any]]:
    """The snapshots as they are now; one that AWS does not show yet is left out, for it was made a moment ago."""
    try:
        with translating("describe snapshots", region=running.case.facts.region):
            answer = running.case.client("ec2").describe_snapshots(
                Filters=[{"Name": "snapshot-id", "Values": list(ids)}]
            )
    except AwsError as error:
        running.progress(f"asking again: {error}")
        return {}
    return {s["SnapshotId"]: s for s in answer.get("Snapshots", ())}


def _of(label: str) -> str:
    """What tells the items of a later set from those of the first."""
    return f"-{label}" if label not in {"", "A"} else ""
