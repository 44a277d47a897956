"""Validation of CloudTrail files by their digests, in a bucket or in a local copy, with a verdict for each file.

A bucket has each digest's signature in the object's metadata. A local copy has not, but each digest carries the
signature of the one before it, so all but the newest can be proved offline, given CloudTrail's public keys.

References:
    https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-log-file-validation-intro.html
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from irkit.errors import BadInput, IrkitError
from irkit.logs.digests import Digest, Listed, PublicKeys, read_digest
from irkit.logs.sources import Clients, LogFile, Window, log_files
from irkit.logs.unpack import Unpacking
from irkit.logs.verdicts import FileVerdict, Validation, Verdict

_DIGEST = "/CloudTrail-Digest/"
_LOG = re.compile(r"/CloudTrail/[^/]+/\d{4}/\d\d/\d\d/[^/]*_CloudTrail_[^/]*_(\d{8}T\d{4})Z_[^/]*$")
_READERS = 8


def validate(
    sources: str | Path | Iterable[str | Path],
    *,
    session: Clients | None = None,
    keys: PublicKeys | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Validation:
    """Verdicts on every digest and every log file of `sources`: folders, `s3://bucket/prefix` or `trail:NAME`.

    `keys` are CloudTrail's public keys; without them they are asked of CloudTrail, which needs `session`. `since` and
    `until` limit what is looked at; the first digest of the range then follows one that is not looked at, which is no
    fault. Nothing is changed, and no verdict rests on a file's name or date.
    """
    files = list(log_files(sources, Window(since=since, until=until), session))
    by_key = {_key(file): file for file in files}
    digests = [file for file in files if _DIGEST in file.uri]
    chains: defaultdict[str, list[_Held]] = defaultdict(list)
    verdicts: list[FileVerdict] = []
    with ThreadPoolExecutor(_READERS, thread_name_prefix="irkit-digest") as readers:
        for held in readers.map(lambda file: _held(file, session), digests):
            if isinstance(held, FileVerdict):
                verdicts.append(held)
            else:
                chains[held.digest.chain].append(held)
    for chain in chains.values():
        chain.sort(key=lambda held: held.digest.end)
    if keys is None and chains:
        keys = _asked(session, [held.digest for chain in chains.values() for held in chain])
    judged = [one for chain in chains.values() for one in _judged(chain, keys, cut=since is not None)]
    verdicts += [one.verdict for one in judged]
    verdicts += [gap for chain in chains.values() for gap in _gaps(chain, set(by_key), cut=since is not None)]
    with ThreadPoolExecutor(_READERS, thread_name_prefix="irkit-verify") as readers:
        checks = [(one, listed) for one in judged for listed in one.digest.files]
        verdicts += readers.map(lambda check: _log_verdict(check[0], check[1], by_key), checks)
    listed = {one.key for digest in judged for one in digest.digest.files}
    verdicts += _unlisted(by_key, listed, judged)
    return Validation(verdicts=tuple(sorted(verdicts, key=lambda one: (one.kind, one.uri))))


@dataclass(frozen=True, slots=True)
class _Held:
    """A digest that is here, with the signature that its object carries."""

    file: LogFile
    digest: Digest
    signature: str | None


@dataclass(frozen=True, slots=True)
class _Judged:
    digest: Digest
    verdict: FileVerdict
    trusted: bool = field(default=False)


def _key(file: LogFile) -> str:
    """The object's key; of a local copy the part of the path that begins as keys do."""
    if file.uri.startswith("s3://"):
        return file.uri.removeprefix("s3://").partition("/")[2]
    path = Path(file.uri).as_posix()
    _, found, rest = path.rpartition("/AWSLogs/")
    return f"AWSLogs/{rest}" if found else path


def _held(file: LogFile, session: Clients | None) -> _Held | FileVerdict:
    try:
        text = _unpacked(file)
        return _Held(file, read_digest(text), _signature(file, session))
    except (ValueError, IrkitError) as error:
        return FileVerdict(uri=file.uri, kind="digest", verdict="changed", why=str(error))


def _unpacked(file: LogFile) -> bytes:
    pieces = Unpacking(file.read())
    text = b"".join(pieces)
    if pieces.fault:
        raise ValueError(pieces.fault)
    return text


def _signature(file: LogFile, session: Clients | None) -> str | None:
    if not file.uri.startswith("s3://") or session is None:
        return None
    from irkit.aws.refusals import translating

    bucket, _, key = file.uri.removeprefix("s3://").partition("/")
    with translating("read the signature", resource=file.uri):
        metadata: dict[str, Any] = session.client("s3").head_object(Bucket=bucket, Key=key)["Metadata"]
    return metadata.get("signature")


def _asked(session: Clients | None, digests: list[Digest]) -> PublicKeys:
    """The keys of the digests' time, as CloudTrail gives them."""
    if session is None:
        raise BadInput(
            "checking digests needs CloudTrail's public keys",
            hint="give --keys FILE with what `aws cloudtrail list-public-keys` printed, or AWS credentials",
        )
    from irkit.aws.refusals import translating

    first, last = min(one.start for one in digests), max(one.end for one in digests)
    with translating("list the public keys of CloudTrail", resource="cloudtrail"):
        pages = session.client("cloudtrail").get_paginator("list_public_keys")
        found = [
            key for page in pages.paginate(StartTime=first, EndTime=last) for key in page["PublicKeyList"]
        ]
    return PublicKeys.of_answer(found)


def _judged(chain: list[_Held], keys: PublicKeys | None, *, cut: bool) -> Iterator[_Judged]:
    """A verdict on each digest of a chain: its signature, and whether it follows the one before."""
    known = {held.digest.key: held for held in chain}
    vouched = {
        held.digest.previous_key: held.digest.previous_signature for held in chain if held.digest.previous_key
    }
    for held in chain:
        digest = held.digest
        signature = held.signature or vouched.get(digest.key)
        before = known.get(digest.previous_key or "")
        verdict: Verdict = "sound"
        why = "signed by CloudTrail"
        if not held.file.uri.endswith(digest.key):
            verdict, why = "changed", f"it is the digest {digest.key}, in another place"
        elif keys is None or digest.fingerprint not in keys:
            verdict, why = "unproved", f"the public key {digest.fingerprint} is not among those given"
        elif signature is None:
            verdict, why = "unproved", "its signature is not here: it is the newest of a local copy"
        elif not keys.signed(digest, signature):
            verdict, why = "changed", "its signature is not CloudTrail's"
        elif before is not None and before.digest.sha256 != digest.previous_sha256:
            verdict, why = "sound", "signed by CloudTrail; the digest before it has been changed"
        elif digest.previous_key and before is None and cut:
            why = "signed by CloudTrail; the digest before it is outside of the range"
        yield _Judged(
            digest,
            FileVerdict(uri=held.file.uri, kind="digest", verdict=verdict, why=why),
            trusted=verdict == "sound",
        )


def _gaps(chain: list[_Held], there: set[str], *, cut: bool) -> Iterator[FileVerdict]:
    """Digests that a later one names and that are not there; `there` are the keys of all files."""
    for number, held in enumerate(chain):
        key = held.digest.previous_key
        if key and key not in there and _local(key) not in there and not (cut and number == 0):
            why = f"{held.digest.key.rsplit('/', 1)[-1]} follows it"
            yield FileVerdict(
                uri=f"s3://{held.digest.bucket}/{key}", kind="digest", verdict="missing", why=why
            )


def _log_verdict(judged: _Judged, listed: Listed, by_key: dict[str, LogFile]) -> FileVerdict:
    kind: Literal["log"] = "log"
    file = by_key.get(listed.key) or by_key.get(_local(listed.key))
    if file is None:
        uri = f"s3://{judged.digest.bucket}/{listed.key}"
        return FileVerdict(uri=uri, kind=kind, verdict="missing", why="a digest lists it")
    try:
        pieces = Unpacking(file.read())
        whole = hashlib.sha256()
        for piece in pieces:
            whole.update(piece)
        fault = pieces.fault
    except IrkitError as error:
        return FileVerdict(uri=file.uri, kind=kind, verdict="unproved", why=str(error))
    if fault or whole.hexdigest() != listed.sha256:
        why = fault or "its content has another hash than the digest says"
        return FileVerdict(uri=file.uri, kind=kind, verdict="changed", why=why)
    if not judged.trusted:
        return FileVerdict(
            uri=file.uri, kind=kind, verdict="unproved", why="the digest that lists it is not sound"
        )
    return FileVerdict(uri=file.uri, kind=kind, verdict="sound", why="its hash is in a signed digest")


def _local(key: str) -> str:
    """`key` without the prefix that a trail may have, as `_key` names local files."""
    _, found, rest = f"/{key}".rpartition("/AWSLogs/")
    return f"AWSLogs/{rest}" if found else key


def _unlisted(by_key: dict[str, LogFile], listed: set[str], judged: list[_Judged]) -> Iterator[FileVerdict]:
    """Log files that no digest lists: extra in the time that the region's digests cover, pending after it."""
    spans: dict[str, tuple[datetime, datetime]] = {}
    for one in judged:
        where = _place(one.digest.key)
        begin, end = spans.get(where, (one.digest.start, one.digest.end))
        spans[where] = (min(begin, one.digest.start), max(end, one.digest.end))
    names = {_local(key) for key in listed}
    for key, file in by_key.items():
        match = _LOG.search(f"/{key}")
        span = spans.get(_place(key))
        if match is None or span is None or key in listed or _local(key) in names:
            continue
        when = datetime.strptime(match[1], "%Y%m%dT%H%M").replace(tzinfo=UTC)
        if when < span[0].replace(second=0, microsecond=0):
            yield FileVerdict(
                uri=file.uri, kind="log", verdict="unproved", why="older than the oldest digest that is here"
            )
        elif when <= span[1]:
            yield FileVerdict(uri=file.uri, kind="log", verdict="extra", why="no digest lists it")
        else:
            yield FileVerdict(uri=file.uri, kind="log", verdict="pending", why="newer than the newest digest")


def _place(key: str) -> str:
    """Account and region of a key."""
    match = re.search(r"AWSLogs/(?:o-[^/]+/)?(\d{12})/CloudTrail(?:-Digest)?/([^/]+)/", key)
    return f"{match[1]}/{match[2]}" if match else ""
