"""Where logs come from: folders, files, S3 prefixes, trails and Event History, listed without waste.

AWS lays logs out as `…/AWSLogs/<account>/CloudTrail/<region>/yyyy/mm/dd/…`; flow logs alike, and an organization's
trail has the organization's id before the account. Where a path carries a date, an account or a region, folders outside
of what is wanted are not entered; a day of slack on either side allows for late delivery.

References:
    https://docs.aws.amazon.com/awscloudtrail/latest/userguide/get-and-view-cloudtrail-log-files.html
    https://docs.aws.amazon.com/vpc/latest/userguide/flow-logs-s3-path.html
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from irkit.durable import storage
from irkit.errors import BadInput, NotFound

_DATED = re.compile(r"/(\d{4})(?:/(\d{2})(?:/(\d{2}))?)?(?=/|$)")
_HIVE = re.compile(r"/(?:year|month|day|hour|aws-account-id|aws-service|aws-region)=")
_ACCOUNT = re.compile(r"/AWSLogs/(?:o-[a-z0-9]+/)?(\d{12})(?=/|$)")
_REGION = re.compile(
    r"/(?:CloudTrail(?:-Digest|-Insight|-NetworkActivity)?|vpcflowlogs|elasticloadbalancing|vpcdnsquerylogs)"
    r"/([a-z]{2,3}(?:-[a-z]+)+-\d)(?=/|$)"
)
_SLACK = timedelta(days=1)


class Clients(Protocol):
    """What gives boto3 clients: `irkit.aws.Sessions`, a case's session, or a plain `boto3.Session`."""

    def client(self, service: str) -> Any:
        """A boto3 client for `service`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogFile:
    """One file that may hold logs. `etag` changes when the content does; '' when that is not known.

    `read` gives all of it; `path` is where it lies on this machine, if it does; `save(to)` puts it into a file without
    ever holding it in memory.
    """

    uri: str
    size: int
    etag: str
    read: Callable[[], bytes]
    path: Path | None = None
    save: Callable[[Path], None] | None = None

    @property
    def day(self) -> str:
        """The date in its path as `2026/11/20`, or ''."""
        found = [m for m in _DATED.finditer(_plain(self.uri)) if m[3]]
        return "/".join(found[-1].groups()) if found else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """What listings are pruned by: a time range (an open end is None), accounts and regions (none given means all)."""

    since: datetime | None = None
    until: datetime | None = None
    accounts: frozenset[str] = frozenset()
    regions: frozenset[str] = frozenset()

    @property
    def narrow(self) -> bool:
        """Whether anything is left out at all."""
        return bool(self.since or self.until or self.accounts or self.regions)

    def may_hold(self, path: str) -> bool:
        """Whether what lies at `path`, or below it, may be wanted."""
        account, region = _ACCOUNT.search(path), _REGION.search(path)
        if self.accounts and account and account[1] not in self.accounts:
            return False
        if self.regions and region and region[1] not in self.regions:
            return False
        found = list(_DATED.finditer(_plain(path)))
        if not found or (self.since is None and self.until is None):
            return True
        first, last = _span(*found[-1].groups())
        if first is None or last is None:
            return True
        return (self.until is None or first - _SLACK <= self.until) and (
            self.since is None or last + _SLACK >= self.since
        )


def _plain(path: str) -> str:
    """`path` without the names that Hive-compatible prefixes put before each value."""
    return _HIVE.sub("/", path) if "=" in path else path


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
    sources: str | Path | Iterable[str | Path | LogFile], window: Window, clients: Clients | None
) -> Iterator[LogFile]:
    """Every file of `sources` that the window may need, sorted within a source.

    A source is a path, `s3://bucket/prefix`, `trail:NAME`, or `history:` for Event History, whose days are
    files of their own that are looked up when they are read.
    """
    listed: list[str | Path | LogFile] = [sources] if isinstance(sources, str | Path) else list(sources)
    for source in listed:
        if isinstance(source, LogFile):
            yield source
            continue
        scheme, _, rest = str(source).partition(":")
        if scheme not in ("s3", "trail", "history") or Path(source).exists():
            yield from _local_files(Path(source), window)
            continue
        if clients is None:
            raise BadInput(
                f"{source} needs an AWS session", hint="open a case, or give session=boto3.Session()"
            )
        if scheme == "s3":
            from irkit.logs.buckets import s3_files

            yield from s3_files(str(source), window, clients)
        elif scheme == "trail":
            from irkit.logs.trails import trail_files

            yield from trail_files(rest, window, clients)
        else:
            from irkit.logs.history import history_files

            yield from history_files(rest, window, clients)


def _local_files(source: Path, window: Window) -> Iterator[LogFile]:
    if source.is_file():
        yield _local_file(str(source))
        return
    if not source.is_dir():
        raise NotFound(
            f"there is no file or folder {source}",
            hint="check the path, or use s3://bucket/prefix, trail:NAME or history:",
        )
    root = str(source)
    for folder, below, names in os.walk(root):
        inside = folder[len(root) :].replace(os.sep, "/")
        below[:] = sorted(name for name in below if window.may_hold(f"{inside}/{name}"))
        for name in sorted(names):
            path = os.path.join(folder, name)  # noqa: PTH118 - hundreds of thousands of them, and Path is ten times slower
            if not os.path.islink(path) and os.path.isfile(path):  # noqa: PTH113, PTH114 - as above
                yield _local_file(path)


def _local_file(path: str) -> LogFile:
    where = Path(path)

    def read() -> bytes:
        with storage("read", where):
            return where.read_bytes()

    with storage("read", where):
        size = os.stat(path).st_size  # noqa: PTH116 - as above
    return LogFile(uri=path, size=size, etag="", read=read, path=where)
