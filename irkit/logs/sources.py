"""Where logs come from: folders, files and S3 prefixes, listed without reading what a time window cannot need.

AWS lays logs out as `…/AWSLogs/<account>/CloudTrail/<region>/yyyy/mm/dd/…`; flow logs alike, and an organization's
trail has the organization's id before the account. Where a path carries a date, folders outside the window are not
entered; a day of slack on either side allows for late delivery.

References:
    https://docs.aws.amazon.com/awscloudtrail/latest/userguide/get-and-view-cloudtrail-log-files.html
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from irkit.durable import storage
from irkit.errors import BadInput, NotFound

_DATED = re.compile(r"/(\d{4})(?:/(\d{2})(?:/(\d{2}))?)?(?=/|$)")
_SLACK = timedelta(days=1)


class Clients(Protocol):
    """What gives boto3 clients: `irkit.aws.Sessions`, a case's session, or a plain `boto3.Session`."""

    def client(self, service: str) -> Any:
        """A boto3 client for `service`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogFile:
    """One file that may hold logs. `etag` changes when the content does; '' when that is not known."""

    uri: str
    size: int
    etag: str
    read: Callable[[], bytes]

    @property
    def day(self) -> str:
        """The date in its path as `2026/11/20`, or ''."""
        found = [m for m in _DATED.finditer(self.uri) if m[3]]
        return "/".join(found[-1].groups()) if found else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A time range that listings are pruned by; an open end is None."""

    since: datetime | None = None
    until: datetime | None = None

    def may_hold(self, path: str) -> bool:
        """Whether what lies at `path`, or below it, may be from the window."""
        found = list(_DATED.finditer(path))
        if not found or (self.since is None and self.until is None):
            return True
        first, last = _span(*found[-1].groups())
        if first is None or last is None:
            return True
        return (self.until is None or first - _SLACK <= self.until) and (
            self.since is None or last + _SLACK >= self.since
        )


def _span(year: str, month: str | None, day: str | None) -> tuple[datetime | None, datetime | None]:
    """When the year, month or day in a path begins and ends."""
    try:
        first = datetime(int(year), int(month or 1), int(day or 1), tzinfo=UTC)
    except ValueError:
        return None, None
    if day:
        return first, first + timedelta(days=1)
    if month:
        return first, (first + timedelta(days=32)).replace(day=1)
    return (first, first.replace(year=first.year + 1)) if first.year < 9999 else (None, None)


def log_files(
    sources: str | Path | Iterable[str | Path], window: Window, clients: Clients | None
) -> Iterator[LogFile]:
    """Every file of `sources` that the window may need, sorted within a source."""
    listed: Sequence[str | Path] = [sources] if isinstance(sources, str | Path) else list(sources)
    for source in listed:
        if str(source).startswith("s3://"):
            if clients is None:
                raise BadInput(
                    f"{source} needs an AWS session", hint="open a case, or give session=boto3.Session()"
                )
            yield from _s3_files(str(source), window, clients)
        else:
            yield from _local_files(Path(source), window)


def _local_files(source: Path, window: Window) -> Iterator[LogFile]:
    if source.is_file():
        yield _local_file(source)
        return
    if not source.is_dir():
        raise NotFound(
            f"there is no file or folder {source}", hint="check the path, or use s3://bucket/prefix"
        )
    for folder, below, names in os.walk(source):
        inside = Path(folder).relative_to(source).as_posix()
        below[:] = sorted(name for name in below if window.may_hold(f"/{inside}/{name}"))
        for name in sorted(names):
            path = Path(folder, name)
            if path.is_file() and not path.is_symlink():
                yield _local_file(path)


def _local_file(path: Path) -> LogFile:
    def read() -> bytes:
        with storage("read", path):
            return path.read_bytes()

    with storage("read", path):
        size = path.stat().st_size
    return LogFile(uri=str(path), size=size, etag="", read=read)


def _s3_files(source: str, window: Window, clients: Clients) -> Iterator[LogFile]:
    bucket, _, prefix = source.removeprefix("s3://").partition("/")
    if not bucket:
        raise BadInput(f"{source} names no bucket", hint="write s3://bucket/prefix")
    from irkit.aws.refusals import translating

    s3 = clients.client("s3")
    with translating("list logs", resource=source):
        objects = (
            _walked(s3, bucket, prefix, window) if window.since or window.until else _flat(s3, bucket, prefix)
        )
        for entry in objects:
            key = entry["Key"]
            if not key.endswith("/"):
                yield LogFile(
                    uri=f"s3://{bucket}/{key}",
                    size=entry["Size"],
                    etag=entry["ETag"].strip('"'),
                    read=_s3_reader(s3, bucket, key),
                )


def _s3_reader(s3: Any, bucket: str, key: str) -> Callable[[], bytes]:
    from irkit.aws.refusals import translating

    def read() -> bytes:
        with translating("read a log", resource=f"s3://{bucket}/{key}"):
            body: bytes = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        return body

    return read


def _flat(s3: Any, bucket: str, prefix: str) -> Iterator[dict[str, Any]]:
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        yield from page.get("Contents", ())


def _walked(s3: Any, bucket: str, prefix: str, window: Window) -> Iterator[dict[str, Any]]:
    """Folder by folder, leaving out dates outside the window; from a dated folder on, flat."""
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix, Delimiter="/")
    folders: list[str] = []
    for page in pages:
        yield from page.get("Contents", ())
        folders += [found["Prefix"] for found in page.get("CommonPrefixes", ())]
    for folder in folders:
        path = "/" + folder.rstrip("/")
        if not window.may_hold(path):
            continue
        dated = list(_DATED.finditer(path))
        if dated and dated[-1][3]:
            yield from _flat(s3, bucket, folder)
        else:
            yield from _walked(s3, bucket, folder, window)
