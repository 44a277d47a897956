"""Keep: what becomes of the snapshots. Locked where they are, shared or copied to the forensics account, and looked at.

In order, for each volume of each completed set:

    capture.keep.lock      the snapshot is locked, so that whoever took the account cannot delete it
    capture.keep.transfer  under a key that AWS manages it cannot be shared: it is copied under a key that can
    capture.keep.grant     the forensics account is admitted to the keys (once for the set)
    capture.keep.share     the forensics account, and nobody else, sees the snapshot
    capture.keep.copy      the forensics account makes a copy of its own, under its own key, in its region
    capture.keep.custody   who can see what, and what locks it, is read back and kept as evidence (once for the set)

Every copy carries the id of its step as a tag, so none is made twice. A copy's own VolumeId means nothing; the tags
and the record say which volume it is of.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from irkit.capture import copying, custody, disks, locking, sharing
from irkit.capture.destination import Destination
from irkit.errors import NotFound, WrongState
from irkit.journal import Kind
from irkit.plan import Outcome, Running, Step, Undo, standing

if TYPE_CHECKING:
    from irkit.case import Case

VERB = "capture.keep"
_STAGE = 100
_LOCKED = "not by irkit: the lock protects evidence"


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """A volume whose snapshot is kept: its id, and its size in GiB where that is known."""

    id: str
    size: int | None = None


@dataclass(slots=True, kw_only=True)
class _Set:
    """The steps of one snapshot set as they are planned, so that a step can ask how an earlier one ended."""

    case: Case
    to: Destination
    instance: str
    owner: str
    label: str
    transfers: dict[str, Step] = field(default_factory=dict)
    shares: dict[str, Step] = field(default_factory=dict)
    copies: dict[str, Step] = field(default_factory=dict)

    @property
    def region(self) -> str:
        return self.case.facts.region

    def snapshot(self, volume: str) -> str | None:
        """The completed snapshot of the volume in this set; None while there is none."""
        return disks.completed(self.case, self.instance).get(self.label, {}).get(volume)

    def result(self, step: Step | None) -> Mapping[str, Any] | None:
        """The result of a step that is done; None of one that is not."""
        if step is None:
            return None
        state, entry = standing(self.case.journal.of_step(step.id(self.case.id)))
        return (entry.body.get("result") or {}) if entry is not None and state == Kind.DONE else None


def steps(
    case: Case, instance_id: str, *, owner: str, volumes: Iterable[Volume], label: str | None, to: Destination
) -> list[Step]:
    """The steps that keep the sets of the instance that are there, and set `label`, whose `volumes` will be taken.

    `owner` is the suspect's account. Raises `NotFound` when there is nothing to keep and none is about to be taken.
    """
    known = {v.id: v for v in volumes}
    sets = {
        name: [known.get(volume, Volume(id=volume)) for volume in taken]
        for name, taken in disks.completed(case, instance_id).items()
    }
    if label is not None and label not in sets:
        sets[label] = list(known.values())
    if not sets:
        raise NotFound(
            f"case {case.id} has no completed snapshots of {instance_id} to keep",
            hint="take them first: irkit capture --only disks --only keep",
        )
    planned: list[Step] = []
    for name, members in sorted(sets.items()):
        of = _Set(case=case, to=to, instance=instance_id, owner=owner, label=name)
        for volume in members:
            planned += _of_volume(of, volume)
        if of.shares:
            planned.append(_grant(of))
        planned.append(_custody(of, [v.id for v in members]))
    return planned


def _of_volume(of: _Set, volume: Volume) -> list[Step]:
    made = []
    terms = f"{of.to.lock.mode}, {of.to.lock.days} days" if of.to.lock else ""
    wait = disks.wait_of(volume.size)
    kept = "kept: evidence is not deleted"
    if of.to.lock:
        made.append(_step(of, "lock", volume, 0, f"lock the snapshot: {terms}",
                          partial(_lock, of, volume.id), reversible=_LOCKED, deadline=60))  # fmt: skip
    if of.to.abroad(of.owner):
        where = of.to.account
        of.transfers[volume.id] = _step(
            of, "transfer", volume, 0, "copy the snapshot to a key that can be shared, if it is under none",
            partial(_transfer, of, volume.id), reversible=kept, deadline=wait)  # fmt: skip
        of.shares[volume.id] = _step(
            of, "share", volume, 1, f"share the snapshot with account {where} and with nobody else",
            partial(_share, of, volume.id), reversible="no longer shared", deadline=120,
            before=partial(_seen, of, volume.id), find=partial(_shared_by_us, of, volume.id))  # fmt: skip
        made += [of.transfers[volume.id], of.shares[volume.id]]
    if of.to.copies(of.owner):
        where = f"account {of.to.account or of.owner}, {of.to.region}"
        of.copies[volume.id] = _step(of, "copy", volume, 2, f"copy the snapshot to {where}, and wait for the copy",
                                     partial(_copy, of, volume.id), reversible=kept, deadline=wait)  # fmt: skip
        made.append(of.copies[volume.id])
        if of.to.lock:
            made.append(_step(of, "lock-copy", volume, 3, f"lock the copy: {terms}",
                              partial(_lock_copy, of, volume.id), reversible=_LOCKED, deadline=60))  # fmt: skip
    return made


def _step(
    of: _Set,
    what: str,
    volume: Volume,
    order: int,
    title: str,
    act: Callable[[Running], Outcome],
    **more: Any,
) -> Step:
    args = {"instance": of.instance, "set": of.label, **of.to.args()}
    return Step(
        verb=f"{VERB}.{what}", target=volume.id, title=title, args=args, stage=_STAGE + order, act=act, **more
    )


def _grant(of: _Set) -> Step:
    return Step(
        verb=f"{VERB}.grant", target=of.instance, args={"set": of.label, **of.to.args()}, stage=_STAGE + 1,
        title=f"let {of.to.principal()} use the keys that the snapshots are under", reversible="grants revoked",
        act=partial(_granted, of), deadline=60,
    )  # fmt: skip


def _custody(of: _Set, volumes: list[str]) -> Step:
    return Step(
        verb=f"{VERB}.custody", target=of.instance, args={"set": of.label, **of.to.args()}, stage=_STAGE + 4,
        title="read back who can see each snapshot and what locks it, and keep that", changes=False, deadline=120,
        act=lambda running: _read_back(of, volumes, running),
    )  # fmt: skip


def _absent(of: _Set, volume: str) -> Outcome:
    return Outcome(skipped=f"set {of.label} has no completed snapshot of {volume}")


def _lock(of: _Set, volume: str, running: Running) -> Outcome:
    snapshot = of.snapshot(volume)
    if snapshot is None or of.to.lock is None:
        return _absent(of, volume)
    return locking.locked(running.case.client("ec2"), snapshot, of.to.lock, region=of.region)


def _transfer(of: _Set, volume: str, running: Running) -> Outcome:
    snapshot = of.snapshot(volume)
    if snapshot is None:
        return _absent(of, volume)
    ec2, kms = running.case.client("ec2"), running.case.client("kms")
    said = copying.snapshot(ec2, snapshot, region=of.region)
    key = said.get("KmsKeyId")
    if not said.get("Encrypted") or not key:
        return Outcome(result={"snapshot": snapshot, "made": False, "key": None}, undo=_nothing_to_undo())
    if sharing.manager(kms, key, region=of.region) == "CUSTOMER":
        return Outcome(result={"snapshot": snapshot, "made": False, "key": key}, undo=_nothing_to_undo())
    if of.to.transfer_key is None:
        raise WrongState(
            f"{snapshot} is under {key}, which AWS manages and lets nobody share",
            hint="name a key of this account's own: --keep transfer_key=alias/NAME",
        )
    copy = copying.copied(
        running, ec2, snapshot, source_region=of.region, region=of.region, key=of.to.transfer_key,
        tags={"irkit:instance": of.instance, "irkit:volume": volume, "irkit:set": of.label},
    )  # fmt: skip
    return Outcome(
        result={"snapshot": copy.id, "made": True, "of": snapshot, "key": copy.snapshot.get("KmsKeyId")},
        request_ids=copy.request_ids, undo=Undo(impossible=disks.KEPT),
    )  # fmt: skip


def _nothing_to_undo() -> Undo:
    return Undo(impossible="nothing was copied: it could be shared as it was")


def _granted(of: _Set, running: Running) -> Outcome:
    done = [of.result(step) for step in of.transfers.values()]
    keys = [str(r["key"]) for r in done if r and r.get("key")]
    return sharing.granted(running, keys, of.to.principal())


def _seen(of: _Set, volume: str) -> Any:
    ready = of.result(of.transfers[volume])
    if ready is None:
        return None
    now = sharing.visible(of.case.client("ec2"), str(ready["snapshot"]), region=of.region)
    return {"accounts": list(now.accounts), "public": now.public}


def _shared_by_us(of: _Set, volume: str, before: Any) -> Outcome | None:
    ready, account = of.result(of.transfers[volume]), str(of.to.account)
    if ready is None or before is None:
        return None
    snapshot = str(ready["snapshot"])
    now = sharing.visible(of.case.client("ec2"), snapshot, region=of.region)
    if account not in now.accounts:
        return None
    return sharing.outcome(snapshot, account, now, ours=account not in before["accounts"], region=of.region)


def _share(of: _Set, volume: str, running: Running) -> Outcome:
    ready = of.result(of.transfers[volume])
    if ready is None:
        return Outcome(skipped=f"the snapshot of {volume} is not ready to be shared")
    held = (running.before or {}).get("accounts", ())
    return sharing.shared(running, str(ready["snapshot"]), str(of.to.account), held=held)


def _copy(of: _Set, volume: str, running: Running) -> Outcome:
    if of.to.abroad(of.owner):
        shared = of.result(of.shares[volume])
        source = None if shared is None else str(shared["snapshot"])
    else:
        source = of.snapshot(volume)
    if source is None:
        return Outcome(skipped=f"no snapshot of {volume} is there for account {of.to.account} to copy")
    copy = copying.copied(
        running, of.to.client("ec2"), source, source_region=of.region, region=of.to.region, key=of.to.key,
        tags={"irkit:instance": of.instance, "irkit:volume": volume, "irkit:set": of.label},
    )  # fmt: skip
    said = copy.snapshot
    result = {"snapshot": copy.id, "of": source, "account": said.get("OwnerId"), "region": of.to.region,
              "key": said.get("KmsKeyId"), "encrypted": said.get("Encrypted"), "found": copy.found}  # fmt: skip
    return Outcome(result=result, request_ids=copy.request_ids, undo=Undo(impossible=disks.KEPT))


def _lock_copy(of: _Set, volume: str, running: Running) -> Outcome:
    _ = running
    copy = of.result(of.copies[volume])
    if copy is None or of.to.lock is None:
        return Outcome(skipped=f"there is no completed copy of {volume} to lock")
    return locking.locked(of.to.client("ec2"), str(copy["snapshot"]), of.to.lock, region=of.to.region)


def _read_back(of: _Set, volumes: list[str], running: Running) -> Outcome:
    chains = []
    for volume in volumes:
        snapshot = of.snapshot(volume)
        if snapshot is not None:
            ready, copy = of.result(of.transfers.get(volume)), of.result(of.copies.get(volume))
            chains.append(custody.Chain(
                volume=volume, snapshot=snapshot, shared=None if ready is None else str(ready["snapshot"]),
                copy=None if copy is None else str(copy["snapshot"]),
            ))  # fmt: skip
    if not chains:
        return Outcome(skipped=f"set {of.label} has no completed snapshots")
    return custody.read_back(running, chains, to=of.to, owner=of.owner, label=of.label)
