"""Evidence in a bucket: the same layout as in the folder, every object checked by S3 on arrival, none ever overwritten.

Each object goes up with the SHA-256 that was recorded when its bytes were first written; S3 computes its own and
refuses the upload when they differ. https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html
`If-None-Match: *` keeps what is there already.
https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
The bucket is looked at first, and each request names the account that must own it: evidence goes nowhere else. A
retention and a legal hold can go with each object, and a KMS key that it is encrypted under.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import botocore.exceptions as aws

from irkit import durable
from irkit.aws.names import account_id, bucket_name
from irkit.aws.refusals import error_code, explained
from irkit.canonical import plain
from irkit.errors import BadInput, IntegrityError, IrkitError, WrongState
from irkit.evidence import bucket as buckets
from irkit.evidence.bucket import Retention
from irkit.journal import Kind
from irkit.plan import Outcome, Plan, Running, Step, Undo

if TYPE_CHECKING:
    from pathlib import Path

    from irkit.case import Case

# One PUT takes 5 GiB at most; what is larger goes up in parts, each with a checksum of its own.
_ONE_PUT = 5 * 1024**3
_WORKERS = 8
VERB = "evidence.deposit"


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    """A file on its way: where it is, which key it gets, and the SHA-256 that it must have."""

    path: Path
    key: str
    sha256: str
    size: int
    media_type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How objects are put: encrypted under which key, kept for how long, under legal hold or not, in whose bucket."""

    kms_key: str | None = None
    retention: Retention | None = None
    legal_hold: bool = False
    owner: str | None = None

    @property
    def locking(self) -> bool:
        """Whether the bucket must be able to lock objects."""
        return self.retention is not None or self.legal_hold

    def args(self) -> dict[str, Any]:
        """The terms as the journal holds them; nothing for those that are not set."""
        lasting = f"{self.retention.mode}:{self.retention.days}" if self.retention else None
        shown = {
            "kms_key": self.kms_key,
            "retention": lasting,
            "legal_hold": self.legal_hold,
            "owner": self.owner,
        }
        return {k: v for k, v in shown.items() if v}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Target:
    """A bucket that was looked at, the client for its region, and the members that each upload into it gets."""

    client: Any
    bucket: str
    ours: Mapping[str, Any]
    put: Mapping[str, Any]
    until: datetime | None
    terms: Terms = field(default_factory=Terms)


def plan(
    case: Case,
    bucket: str | None = None,
    *,
    kms_key: str | None = None,
    retention: str | None = None,
    legal_hold: bool = False,
    owner: str | None = None,
    deadline: float = 6 * 3600,
) -> Plan:
    """What depositing the case's evidence in `bucket` (default: the case's `evidence_bucket`) would do.

    Items go to `intake/…` and `active/…` as in the folder; journal, manifest and case.json as they stand go to
    `custody/<case>/<number of entries>/`, with the seals, so that the journal's head is known outside of this machine.

    `retention` (such as `governance:90`, in days) and `legal_hold` lock every object, those too that were put there
    before; the bucket must have Object Lock. `owner` is the account that the bucket must belong to, by default the one
    that the case names (`evidence_owner`, or the forensics account).
    """
    target = bucket or case.facts.sources.get("evidence_bucket")
    if not target:
        raise BadInput(
            f"no bucket to deposit the evidence of case {case.id} in",
            hint="give --bucket, or open the case with --source evidence_bucket=NAME",
        )
    bucket_name(target)
    owned = account_id(owner) if owner else buckets.owner_of(case)
    terms = Terms(
        kms_key=kms_key, legal_hold=legal_hold, owner=owned,
        retention=Retention.parsed(retention) if retention else None,
    )  # fmt: skip
    items = case.evidence.items()
    step = Step(
        verb=VERB,
        target=f"s3://{target}",
        title=f"copy {len(items)} items to s3://{target}, each checked by its SHA-256, none overwritten",
        args={
            "items": len(items),
            "last": items[-1].sha256 if items else "",
            **terms.args(),
            **_again(case, f"s3://{target}"),
        },
        act=partial(_deposit, bucket=target, terms=terms),
        reversible="cannot be undone: evidence is not deleted",
        deadline=deadline,
    )
    return Plan(case, [step], title=f"deposit in s3://{target}")


def _again(case: Case, target: str) -> dict[str, int]:
    """What makes a deposit another step than the last one there that left something out; nothing if none did."""
    done = [e for e in case.journal.entries if e.kind is Kind.DONE and e.body.get("verb") == VERB]
    short = [e.seq for e in done if e.body.get("target") == target and e.body.get("missing")]
    return {"again": short[-1]} if short else {}


def _target(case: Case, name: str, terms: Terms) -> tuple[_Target, buckets.Bucket]:
    """Where objects go. Raises before anything is sent: no such bucket, not ours, or it cannot lock."""
    found = buckets.look(case, name, owner=terms.owner)
    if terms.locking and not found.lockable:
        raise WrongState(
            f"the bucket {name} has no Object Lock, so what is put there can be deleted",
            hint="enable Object Lock on it (it needs versioning), or deposit without a retention and legal hold",
        )
    ours = {"ExpectedBucketOwner": terms.owner} if terms.owner else {}
    put: dict[str, Any] = {}
    if terms.kms_key:
        put |= {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": terms.kms_key}
    until = terms.retention.until(datetime.now(UTC)) if terms.retention else None
    if terms.retention:
        put |= {"ObjectLockMode": terms.retention.mode, "ObjectLockRetainUntilDate": until}
    if terms.legal_hold:
        put |= {"ObjectLockLegalHoldStatus": "ON"}
    client = case.client("s3", region=found.region)
    return _Target(client=client, bucket=name, ours=ours, put=put, until=until, terms=terms), found


def _deposit(running: Running, *, bucket: str, terms: Terms) -> Outcome:
    case = running.case
    target, found = _target(case, bucket, terms)
    custody = _custody(case)
    files = [
        _File(path=case.root / i.path, key=i.path, sha256=i.sha256, size=i.size, media_type=i.media_type)
        for i in case.evidence.items()
    ]
    files += custody
    put = partial(_put, target, running)
    lacking: list[str] = []
    versions: dict[str, str] = {}
    with ThreadPoolExecutor(max_workers=_WORKERS) as pool:
        for number, (file, (version, why)) in enumerate(zip(files, pool.map(put, files), strict=True), 1):
            if why is None:
                versions[file.key] = version
            else:
                lacking.append(f"{file.key}: {why}")
            if number % 100 == 0 or number == len(files):
                running.progress(f"{number} of {len(files)} objects")
    if not versions:
        raise IrkitError(
            lacking[0] if lacking else "nothing to deposit", hint="check the bucket and the permissions"
        )
    return Outcome(
        result={
            "bucket": bucket,
            "region": found.region,
            "objects": len(versions),
            "versions": versions,
            "object_lock": found.lockable,
            "default_retention": found.default_retention,
            "locked_until": plain(target.until),
            **terms.args(),
        },
        undo=Undo(impossible="evidence is not deleted"),
        missing=tuple(lacking),
    )


def _custody(case: Case) -> list[_File]:
    """Journal, manifest and case.json as they are now: copied aside first, since the journal grows."""
    names: tuple[str, ...] = ("journal.jsonl", "manifest.json", "manifest-sha256.txt", "case.json")
    with case.journal.exclusive():
        case.evidence.write_manifest()
        names += tuple(f"seals/{p.name}" for p in sorted((case.root / "seals").glob("*.json")))
        entries = len(case.journal.entries)
        contents = {name: (case.root / name).read_bytes() for name in names}
    files = []
    for name, content in contents.items():
        copy = case.active / "notes" / "deposited" / f"{entries:08d}" / name
        durable.replace(copy, content)
        files.append(
            _File(
                path=copy,
                key=f"custody/{case.id}/{entries:08d}/{name}",
                sha256=hashlib.sha256(content).hexdigest(),
                size=len(content),
                media_type="application/json" if name.endswith("json") else "text/plain",
            )
        )
    return files


def _put(target: _Target, running: Running, file: _File) -> tuple[str, str | None]:
    """Upload one file; its version and None, or '' and why it could not be."""
    if running.stopped:
        return "", "not tried: the deadline has passed"
    wanted = base64.b64encode(bytes.fromhex(file.sha256)).decode("ascii")
    try:
        held = _held(target, file) if file.size > _ONE_PUT else None
        if held is None:
            return _uploaded(target, file, wanted), None
    except aws.ClientError as error:
        if error_code(error) not in {"PreconditionFailed", "412"}:
            return "", str(explained(error, doing="deposit", resource=file.key))
        held = _held(target, file)
    except aws.BotoCoreError as error:
        return "", str(explained(error, doing="deposit", resource=file.key))
    except OSError as error:
        return "", f"cannot be read here: {error.strerror}"
    return held if held is not None else ("", "S3 says that it is there and that it is not")


def _uploaded(target: _Target, file: _File, wanted: str) -> str:
    told: dict[str, Any] = {"ContentType": file.media_type, "Metadata": {"sha256": file.sha256}}
    told |= {**target.put, **target.ours}
    client, bucket = target.client, target.bucket
    with file.path.open("rb") as body:
        if file.size > _ONE_PUT:
            client.upload_fileobj(body, bucket, file.key, ExtraArgs=told | {"ChecksumAlgorithm": "SHA256"})
            return str(client.head_object(Bucket=bucket, Key=file.key, **target.ours).get("VersionId", ""))
        said = client.put_object(
            Bucket=bucket,
            Key=file.key,
            Body=body,
            ChecksumAlgorithm="SHA256",
            ChecksumSHA256=wanted,
            IfNoneMatch="*",
            **told,
        )
    return str(said.get("VersionId", ""))


def _held(target: _Target, file: _File) -> tuple[str, str | None] | None:
    """What the bucket has at the file's key already: its version, or why it is not the file; None when it has nothing.

    Metadata is whatever the uploader said. It is believed only of files that went up in parts, for which S3 has no
    checksum of the whole. What is the file is locked as the terms say, if it is not yet.
    """
    try:
        head = target.client.head_object(
            Bucket=target.bucket, Key=file.key, ChecksumMode="ENABLED", **target.ours
        )
        version = str(head.get("VersionId", ""))
        if not _same(head, file):
            fault = IntegrityError(
                f"another object is at s3://{target.bucket}/{file.key}",
                hint="it is left as it is; find out who put it there",
            )
            return "", str(fault)
        _lock(target, file.key, version, head)
    except aws.ClientError as error:
        if error_code(error) in {"404", "NoSuchKey", "NotFound"}:
            return None
        return "", str(explained(error, doing="look at", resource=file.key))
    except aws.BotoCoreError as error:
        return "", str(explained(error, doing="look at", resource=file.key))
    return version, None


def _same(head: Mapping[str, Any], file: _File) -> bool:
    if file.size > _ONE_PUT:
        told = head.get("Metadata", {}).get("sha256")
        return head.get("ContentLength") == file.size and told == file.sha256
    return head.get("ChecksumSHA256") == base64.b64encode(bytes.fromhex(file.sha256)).decode("ascii")


def _lock(target: _Target, key: str, version: str, head: Mapping[str, Any]) -> None:
    """Lock an object that was there before; a lock that is as good already is left."""
    of: dict[str, Any] = {"Bucket": target.bucket, "Key": key, **({"VersionId": version} if version else {})}
    wanted, until = target.terms.retention, target.until
    if wanted is not None and until is not None:
        held = head.get("ObjectLockRetainUntilDate")
        strong = head.get("ObjectLockMode") in {wanted.mode, "COMPLIANCE"}
        # A day's grace: applying again the next hour is no reason to move every date by an hour.
        if not strong or held is None or (until - held).total_seconds() > 86_400:
            retention = {"Mode": wanted.mode, "RetainUntilDate": until}
            target.client.put_object_retention(**of, Retention=retention, **target.ours)
    if target.terms.legal_hold and head.get("ObjectLockLegalHoldStatus") != "ON":
        target.client.put_object_legal_hold(**of, LegalHold={"Status": "ON"}, **target.ours)
