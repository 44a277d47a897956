"""Where the snapshots of a set are and who can reach them, read back from AWS after all was done, and kept."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from irkit.canonical import plain
from irkit.capture import copying, locking, sharing
from irkit.capture.destination import Destination
from irkit.errors import Incomplete
from irkit.plan import Outcome, Running

NAME = "snapshot-custody.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """From the volume to what is kept of it: its snapshot, the one that is shared, and the copy, where they exist."""

    volume: str
    snapshot: str
    shared: str | None
    copy: str | None


def read_back(
    running: Running, chains: Sequence[Chain], *, to: Destination, owner: str, label: str
) -> Outcome:
    """Keep the whereabouts of every snapshot of the chains as one item.

    Raises `Incomplete`, and keeps nothing, while a snapshot is not where it was meant to get: the next run looks again.
    """
    rows = [_row(running, chain, to, owner) for chain in chains]
    lacking = [fault for row in rows for fault in _faults(row, to, owner)]
    if lacking:
        raise Incomplete("; ".join(lacking), hint="see to the reason, then apply the plan again")
    shown = {
        "schema": "irkit/snapshot-custody/1",
        "instance": running.step.target,
        "set": label,
        "account": owner,
        "region": running.case.facts.region,
        "destination": to.args(),
        "volumes": rows,
    }
    item = running.keep(
        (json.dumps(plain(shown), indent=1, sort_keys=True) + "\n").encode("ascii"), kind="disk-snapshots", name=NAME,
        media_type="application/json",
        notes={"service": "ec2", "operation": "describe_snapshot_attribute", "set": label, "state": "as kept"},
    )  # fmt: skip
    copies = {row["volume"]: row["copy"]["snapshot"] for row in rows if row["copy"]}
    return Outcome(result={"item": item.id, "set": label, "copies": copies})


def _row(running: Running, chain: Chain, to: Destination, owner: str) -> dict[str, Any]:
    home = running.case.facts.region
    ec2 = running.case.client("ec2")
    passed_on = chain.shared if chain.shared != chain.snapshot else None
    return {
        "volume": chain.volume,
        "source": _place(ec2, chain.snapshot, home, locks=to.lock is not None),
        "transfer": _place(ec2, passed_on, home, locks=False) if passed_on else None,
        "copy": _place(to.client("ec2"), chain.copy, to.region, locks=to.lock is not None) if chain.copy else None,
        "shared": chain.shared if to.abroad(owner) else None,
    }  # fmt: skip


def _place(ec2: Any, snapshot: str, region: str, *, locks: bool) -> dict[str, Any]:
    said = copying.snapshot(ec2, snapshot, region=region)
    seen = sharing.visible(ec2, snapshot, region=region)
    return {
        "snapshot": snapshot,
        "owner": said.get("OwnerId"),
        "region": region,
        "state": said.get("State"),
        "size_gib": said.get("VolumeSize"),
        "encrypted": said.get("Encrypted"),
        "key": said.get("KmsKeyId"),
        "visible_to": list(seen.accounts),
        "public": seen.public,
        "lock": locking.state(ec2, snapshot, region=region) if locks else None,
    }


def _faults(row: dict[str, Any], to: Destination, owner: str) -> Iterator[str]:
    """What is not as it was meant to be. A snapshot that strangers see is told by the step that shares it."""
    volume, source, copy = row["volume"], row["source"], row["copy"]
    if to.abroad(owner):
        offered = row["transfer"] or (source if row["shared"] else None)
        if offered is None or to.account not in offered["visible_to"]:
            yield f"account {to.account} cannot see a snapshot of {volume}"
    if to.copies(owner):
        if copy is None:
            yield f"there is no completed copy of the snapshot of {volume}"
        elif copy["visible_to"] or copy["public"]:
            who = "everyone" if copy["public"] else ", ".join(copy["visible_to"])
            yield f"the copy {copy['snapshot']} can be seen by {who}"
        elif not copy["encrypted"]:
            yield f"the copy {copy['snapshot']} is not encrypted"
    if to.lock:
        for place in filter(None, (source, copy)):
            if not locking.satisfies(place["lock"], to.lock):
                yield f"{place['snapshot']} is not locked"
