"""From sources to tables: fetch ahead, decode in groups side by side, commit each group whole.

Memory is bounded by the groups in flight, not by the input. Reading, hashing, decompression, decoding and writing all
drop the interpreter's lock, so threads use the cores as well as processes would, without their start and their pipes.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from shutil import rmtree

from irkit.durable import storage
from irkit.logs.fetch import Arrived, Fetcher
from irkit.logs.groups import Fetched, GroupWriter, Written
from irkit.logs.ledger import Ledger, opened
from irkit.logs.progress import Progress
from irkit.logs.quarantine import Quarantine
from irkit.logs.recognise import PARQUET, Shape
from irkit.logs.report import IngestReport
from irkit.logs.sources import Clients, LogFile, Window, log_files
from irkit.logs.tally import Tally
from irkit.logs.unpack import GZIP, MAX_UNPACKED, ZSTD, Content
from irkit.tables import connection

Keep = Callable[[LogFile, Content, str], str | None]
_WORKERS = 2
# How much a group may grow to when it is unpacked, by what its files are packed with.
_GROUP_BYTES = 28 * 1024**2
_GROUP_FILES = 512
_EXPANSION = 10
_DIGESTS = "/CloudTrail-Digest/"


def ingest(
    sources: str | Path | Iterable[str | Path | LogFile],
    into: Path,
    *,
    session: Clients | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    accounts: Iterable[str] = (),
    regions: Iterable[str] = (),
    fields: Sequence[str] | None = None,
    progress: Callable[[Progress], None] | None = None,
    keep: Keep | None = None,
    max_unpacked: int = MAX_UNPACKED,
) -> IngestReport:
    """Take the logs of `sources` into the tables folder `into` and say what was taken and what was not.

    A source is a folder, a file, `s3://bucket/prefix`, `trail:NAME` or `history:` (Event History; `history:REGION` for
    another region than the session's). CloudTrail, flow, DNS, S3 and load balancer logs are told apart by content.
    Files taken before are skipped, records seen before (same event id and account) left out, so running it again is
    safe. `since`, `until`, `accounts` and `regions` spare reading what the paths exclude; files that are read are taken
    whole. `fields` names the fields of flow logs without a header, such as `["srcaddr", "dstaddr", "start"]`.
    `keep(file, content, sha256)` is called once for each file before it is taken, from the calling thread; what it
    returns (an evidence item's id) goes to the ledger; `content` is a path where the file is large. What is broken is
    in `quarantine/`; the sound records of a broken file are taken. No file gives more than `max_unpacked` bytes.
    """
    folder = into.resolve()
    window = Window(since=since, until=until, accounts=frozenset(accounts), regions=frozenset(regions))
    with (
        opened(folder) as ledger,
        connection(threads=1, memory="512MB") as con,
        storage("write tables", folder),
        _frugal(),
    ):
        run = _Run(
            folder, ledger, GroupWriter(folder, con, limit=max_unpacked, fields=fields), keep, progress
        )
        try:
            wanted = sorted(
                run.wanted(log_files(sources, window, session)), key=lambda file: (file.day, file.uri)
            )
            run.take(wanted)
        finally:
            rmtree(folder / ".staging", ignore_errors=True)
        return run.report()


@contextmanager
def _frugal() -> Iterator[None]:
    """Arrow's memory from the system, which takes back what is freed; its own pool keeps a hundred MiB for later."""
    import pyarrow as pa

    before = pa.default_memory_pool()
    pa.set_memory_pool(pa.system_memory_pool())
    try:
        yield
    finally:
        pa.set_memory_pool(before)


@dataclass(frozen=True, slots=True)
class _Group:
    """Files that are being decoded."""

    files: list[Fetched]
    future: Future[Written]


class _Run:
    """One ingest under way."""

    def __init__(
        self,
        into: Path,
        ledger: Ledger,
        writer: GroupWriter,
        keep: Keep | None,
        progress: Callable[[Progress], None] | None,
    ) -> None:
        self._into = into
        self._ledger = ledger
        self._writer = writer
        self._keep = keep
        self._progress = progress
        self._quarantine = Quarantine(into)
        self._tally = Tally()
        self._hashes: set[str] = set()
        self._fetcher = Fetcher(into / ".staging" / "spool")
        self._started = time.monotonic()
        rmtree(into / ".staging", ignore_errors=True)

    def wanted(self, files: Iterable[LogFile]) -> Iterator[LogFile]:
        """The files that are worth reading; the others are counted."""
        own = f"{self._into}/"
        for file in files:
            if _DIGESTS in file.uri:
                self._tally.skipped["digest file"] += 1
            elif file.size == 0:
                self._tally.skipped["empty"] += 1
            elif self._ledger.has(file.uri, file.size, file.etag):
                self._tally.skipped["taken before"] += 1
            elif file.path is not None and str(file.path.absolute()).startswith(own):
                continue
            else:
                yield file

    def take(self, files: list[LogFile]) -> None:
        """Read, decode and commit `files`."""
        group: list[Fetched] = []
        weight = numbers = read = 0
        size = sum(file.size for file in files)
        under_way: deque[_Group] = deque()
        with ThreadPoolExecutor(_WORKERS, thread_name_prefix="irkit-decode") as decoders:

            def flush() -> None:
                nonlocal group, weight, numbers
                while len(under_way) >= _WORKERS:
                    self._settle(under_way.popleft())
                if group:
                    under_way.append(_Group(group, decoders.submit(self._writer.write, numbers, group)))
                    group, weight, numbers = [], 0, numbers + 1

            try:
                for number, arrived in enumerate(self._fetcher.arrivals(files), start=1):
                    read += arrived.file.size
                    fetched = self._accept(arrived)
                    if fetched is not None:
                        group.append(fetched)
                        weight += _weight(arrived)
                    if weight >= _GROUP_BYTES or len(group) >= _GROUP_FILES:
                        flush()
                    self._tell(number, len(files), read, size)
                flush()
            finally:
                # What was begun is finished: its rows are sound, and the next run need not make them again.
                while under_way:
                    self._settle(under_way.popleft())
        self._tell(len(files), len(files), size, size)

    def _tell(self, files: int, of: int, read: int, size: int) -> None:
        if self._progress is not None:
            tally, seconds = self._tally, time.monotonic() - self._started
            self._progress(
                Progress(
                    files=files,
                    of=of,
                    bytes=tally.bytes,
                    rows=tally.rows.total(),
                    read=read,
                    size=size,
                    seconds=seconds,
                )
            )

    def _accept(self, arrived: Arrived) -> Fetched | None:
        """Count the file; None when there is nothing in it to take."""
        tally, uri = self._tally, arrived.file.uri
        if arrived.error:
            tally.skipped[f"unreadable ({arrived.error.split(':')[0][:80]})"] += 1
            return None
        if self._ledger.has_content(arrived.sha256) or arrived.sha256 in self._hashes:
            tally.skipped["taken before"] += 1
        elif arrived.shape is Shape.DIGEST:
            tally.skipped["digest file"] += 1
        elif arrived.shape is Shape.UNKNOWN and not _packed(arrived.content):
            tally.skipped["not a log"] += 1
            tally.unknown.append(uri)
        else:
            self._hashes.add(arrived.sha256)
            kept = self._keep(arrived.file, arrived.content, arrived.sha256) if self._keep else None
            return Fetched(
                file=arrived.file,
                content=arrived.content,
                sha256=arrived.sha256,
                shape=arrived.shape,
                kept_as=kept,
            )
        self._fetcher.release(arrived.content)
        return None

    def _settle(self, group: _Group) -> None:
        """Commit a group that is written, and count it."""
        written = group.future.result()
        for fetched, taken in zip(group.files, written.batch.files, strict=True):
            if taken.fault:
                self._quarantine.file(taken.uri, fetched.content, taken.sha256, taken.fault)
            self._fetcher.release(fetched.content)
        self._quarantine.records(written.lost)
        self._ledger.commit(written.batch)
        self._tally.add(written)

    def report(self) -> IngestReport:
        """What was done."""
        return self._tally.report(self._into, time.monotonic() - self._started)


def _packed(content: Content) -> bool:
    """Whether `content` says that something is packed in it, so that a log in it may be damaged."""
    start = content[:4] if isinstance(content, bytes) else b""
    return start.startswith((GZIP, ZSTD, PARQUET))


def _weight(arrived: Arrived) -> int:
    content = arrived.content
    start = content[:4] if isinstance(content, bytes) else b""
    return arrived.file.size * (_EXPANSION if start.startswith((GZIP, ZSTD, PARQUET)) else 1) + 1024
