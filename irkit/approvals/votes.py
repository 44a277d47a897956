"""Votes on record: signed statements about one step, kept as files of the case and whole in its journal."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irkit import durable
from irkit.approvals.registry import Registry
from irkit.approvals.rules import BREAK_GLASS_MINUTES, Verb, Vote
from irkit.canonical import timestamp
from irkit.errors import BadInput, IrkitError
from irkit.escape import for_terminal
from irkit.evidence import seal as seals
from irkit.journal import Entry, Kind

if TYPE_CHECKING:
    from irkit.case import Case

FOLDER = "approvals"
_KIND = "irkit/approval/1"
_MOST_MINUTES = 7 * 24 * 60


def cast(
    case: Case,
    *,
    step: str,
    what: str,
    by: str,
    verb: Verb,
    reason: str = "",
    minutes: int = 240,
    key: Path | None = None,
    kms_key: str | None = None,
) -> Path:
    """Sign a vote about the step with id `step`, write it as a file and into the journal; returns the file.

    Signed with the Ed25519 key in the file `key` or with the KMS key `kms_key`. `what` is shown to readers.
    """
    if (key is None) == (kms_key is None):
        raise BadInput("a vote is signed with a key or with a KMS key", hint="give one of --key and --kms")
    if not 1 <= minutes <= _MOST_MINUTES:
        raise BadInput(f"an approval cannot last {minutes} minutes", hint=f"1 to {_MOST_MINUTES}")
    now = datetime.now(UTC)
    lasts = min(minutes, BREAK_GLASS_MINUTES) if verb is Verb.BREAK_GLASS else minutes
    statement = {
        "kind": _KIND,
        "case": case.id,
        "step": step,
        "by": by,
        "verb": verb.value,
        "reason": reason,
        "at": timestamp(now),
        "until": timestamp(now + timedelta(minutes=lasts)),
    }
    if key is not None:
        signed = seals.sign_with_key(key, lambda _: statement)
    else:
        signed = seals.sign_with_kms(case, str(kms_key), lambda _: statement)
    text = (json.dumps(signed.to_dict(), indent=1, sort_keys=True) + "\n").encode("ascii")
    path = case.root / FOLDER / f"{step}-{verb.value}-{os.urandom(3).hex()}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    with durable.storage("write the approval", path):
        durable.create(path, text)
    told = {Verb.APPROVE: "approves", Verb.DENY: "denies", Verb.BREAK_GLASS: "BREAKS THE GLASS for"}[verb]
    case.note(
        f"{by} {told} {what}" + (f": {reason}" if reason else ""),
        vote=signed.to_dict(),
        file=path.relative_to(case.root).as_posix(),
        file_sha256=hashlib.sha256(text).hexdigest(),
    )
    return path


def of_step(case: Case, step: str, registry: Registry) -> list[Vote]:
    """Every vote about the step that the journal holds; one whose signature or file does not fit is not genuine."""
    case.journal.refresh()
    entries = [
        e for e in case.journal.entries if e.kind is Kind.NOTE and isinstance(e.body.get("vote"), dict)
    ]
    found = [_vote(case, entry, registry) for entry in entries]
    return [vote for vote in found if vote is not None and vote.step == step]


def _vote(case: Case, entry: Entry, registry: Registry) -> Vote | None:
    try:
        signed = seals.Seal.from_dict(entry.body["vote"])
        said: Mapping[str, Any] = signed.statement
        if said.get("kind") != _KIND:
            return None
        vote = Vote(
            by=str(said["by"]),
            verb=Verb(said["verb"]),
            case=str(said["case"]),
            step=str(said["step"]),
            at=_moment(said["at"]),
            until=_moment(said["until"]),
            reason=for_terminal(said["reason"]),
        )
    except (ValueError, KeyError, TypeError):
        return None
    person = registry.person(vote.by)
    if person is None:
        return vote
    genuine = tuple(signed.public_key.split()) == person.key and seals.fits(signed) and _kept(case, entry)
    return Vote(
        by=person.name,
        verb=vote.verb,
        case=vote.case,
        step=vote.step,
        at=vote.at,
        until=vote.until,
        reason=vote.reason,
        roles=tuple(person.roles),
        genuine=genuine,
    )


def _kept(case: Case, entry: Entry) -> bool:
    """Whether the vote's file is there yet, as it was written."""
    path = case.root / FOLDER / Path(str(entry.body.get("file"))).name
    try:
        with durable.storage("read the approval", path):
            return hashlib.sha256(path.read_bytes()).hexdigest() == entry.body.get("file_sha256")
    except IrkitError:
        return False


def _moment(text: Any) -> datetime:
    moment = datetime.fromisoformat(str(text))
    if moment.tzinfo is None:
        raise ValueError("a time without a zone")
    return moment
