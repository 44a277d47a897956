"""Evidence in a bucket: the same layout as in the folder, every object checked by S3 on arrival, none ever overwritten.

Each object goes up with the SHA-256 that was recorded when its bytes were first written; S3 computes its own and
refuses the upload when they differ. https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html
`If-None-Match: *` keeps what is there already.
https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
"""

from __future__ import annotations

import base64
import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import botocore.exceptions as aws

from irkit import durable
from irkit.aws.names import bucket_name
from irkit.aws.refusals import error_code, explained
from irkit.errors import BadInput, IntegrityError, IrkitError
from irkit.plan import Outcome, Plan, Running, Step, Undo

if TYPE_CHECKING:
    from pathlib import Path

    from irkit.case import Case

# One PUT takes 5 GiB at most; what is larger goes up in parts, each with a checksum of its own.
_ONE_PUT = 5 * 1024**3
_WORKERS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    """A file on its way: where it is, which key it gets, and the SHA-256 that it must have."""

    path: Path
    key: str
    sha256: str
    size: int
    media_type: str


def plan(case: Case, bucket: str | None = None, *, deadline: float = 6 * 3600) -> Plan:
    """What depositing the case's evidence in `bucket` (default: the case's `evidence_bucket`) would do.

    Items go to `intake/…` and `active/…` as in the folder; journal, manifest and case.json as they stand go to
    `custody/<case>/<number of entries>/`, so that the journal's head is known outside of this machine.
    """
    target = bucket or case.facts.sources.get("evidence_bucket")
    if not target:
        raise BadInput(
            f"no bucket to deposit the evidence of case {case.id} in",
            hint="give --bucket, or open the case with --source evidence_bucket=NAME",
        )
    bucket_name(target)
    items = case.evidence.items()
    step = Step(
        verb="evidence.deposit",
        target=f"s3://{target}",
        title=f"copy {len(items)} items to s3://{target}, each checked by its SHA-256, none overwritten",
        args={"items": len(items), "last": items[-1].sha256 if items else ""},
        act=partial(_deposit, bucket=target),
        reversible="cannot be undone: evidence is not deleted",
        deadline=deadline,
    )
    return Plan(case, [step], title=f"deposit in s3://{target}")


def _deposit(running: Running, *, bucket: str) -> Outcome:
    case = running.case
    custody = _custody(case)
    files = [
        _File(path=case.root / i.path, key=i.path, sha256=i.sha256, size=i.size, media_type=i.media_type)
        for i in case.evidence.items()
    ]
    files += custody
    client = case.client("s3")
    put = partial(_put, client, bucket, running)
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
        result={"bucket": bucket, "objects": len(versions), "versions": versions},
        undo=Undo(impossible="evidence is not deleted"),
        missing=tuple(lacking),
    )


def _custody(case: Case) -> list[_File]:
    """Journal, manifest and case.json as they are now: copied aside first, since the journal grows."""
    names = ("journal.jsonl", "manifest.json", "manifest-sha256.txt", "case.json")
    with case.journal.exclusive():
        case.evidence.write_manifest()
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


def _put(client: Any, bucket: str, running: Running, file: _File) -> tuple[str, str | None]:
    """Upload one file; its version and None, or '' and why it could not be."""
    if running.stopped:
        return "", "not tried: the deadline has passed"
    wanted = base64.b64encode(bytes.fromhex(file.sha256)).decode("ascii")
    try:
        held = _held(client, bucket, file) if file.size > _ONE_PUT else None
        if held is None:
            return _uploaded(client, bucket, file, wanted), None
    except aws.ClientError as error:
        if error_code(error) not in {"PreconditionFailed", "412"}:
            return "", str(explained(error, doing="deposit", resource=file.key))
        held = _held(client, bucket, file)
    except aws.BotoCoreError as error:
        return "", str(explained(error, doing="deposit", resource=file.key))
    except OSError as error:
        return "", f"cannot be read here: {error.strerror}"
    return held if held is not None else ("", "S3 says that it is there and that it is not")


def _uploaded(client: Any, bucket: str, file: _File, wanted: str) -> str:
    told: dict[str, Any] = {"ContentType": file.media_type, "Metadata": {"sha256": file.sha256}}
    with file.path.open("rb") as body:
        if file.size > _ONE_PUT:
            client.upload_fileobj(body, bucket, file.key, ExtraArgs=told | {"ChecksumAlgorithm": "SHA256"})
            return str(client.head_object(Bucket=bucket, Key=file.key).get("VersionId", ""))
        said = client.put_object(
            Bucket=bucket, Key=file.key, Body=body, ChecksumSHA256=wanted, IfNoneMatch="*", **told
        )
    return str(said.get("VersionId", ""))


def _held(client: Any, bucket: str, file: _File) -> tuple[str, str | None] | None:
    """What the bucket has at the file's key already: its version, or why it is not the file; None when it has nothing.

    Metadata is whatever the uploader said. It is believed only of files that went up in parts, for which S3 has no
    checksum of the whole.
    """
    try:
        head = client.head_object(Bucket=bucket, Key=file.key, ChecksumMode="ENABLED")
    except aws.ClientError as error:
        if error_code(error) in {"404", "NoSuchKey", "NotFound"}:
            return None
        return "", str(explained(error, doing="look at", resource=file.key))
    except aws.BotoCoreError as error:
        return "", str(explained(error, doing="look at", resource=file.key))
    if file.size > _ONE_PUT:
        same = (
            head.get("ContentLength") == file.size and head.get("Metadata", {}).get("sha256") == file.sha256
        )
    else:
        same = head.get("ChecksumSHA256") == base64.b64encode(bytes.fromhex(file.sha256)).decode("ascii")
    if same:
        return str(head.get("VersionId", "")), None
    fault = IntegrityError(
        f"another object is at s3://{bucket}/{file.key}",
        hint="it is left as it is; find out who put it there",
    )
    return "", str(fault)
