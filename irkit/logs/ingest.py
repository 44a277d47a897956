"""From sources to tables: read and decompress in parallel, decode in batches, commit each batch whole.

Memory is bounded by the batches in flight, not by the input. Reading (with SHA-256 and decompression, which drop the
interpreter's lock) runs in threads; each batch is decoded on its own DuckDB cursor.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from pathlib import Path

from irkit.durable import storage
from irkit.errors import IrkitError
from irkit.logs import cloudtrail, flow
from irkit.logs.batches import BatchWriter, Written
from irkit.logs.ledger import Ledger, Taken, opened
from irkit.logs.quarantine import Quarantine
from irkit.logs.recognise import Recognised, Shape, recognise
from irkit.logs.report import IngestReport, Quarantined
from irkit.logs.sources import Clients, LogFile, Window, log_files
from irkit.logs.unpack import MAX_UNPACKED, unpack
from irkit.tables import connection

Keep = Callable[["LogFile", bytes, str], str | None]
_BATCH_BYTES = 16 * 1024 * 1024
_READERS = 8
_AHEAD = 32
_DECODERS = 2
_DIGESTS = "/CloudTrail-Digest/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far an ingest is, for whoever shows it."""

    files: int
    of: int
    bytes: int
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    """One file in memory, or why it is not."""

    file: LogFile
    raw: bytes
    sha256: str
    content: Recognised
    fault: str | None = None
    error: str | None = None


@dataclass(slots=True)
class _Tally:
    """The report while it grows; only the calling thread touches it."""

    files: int = 0
    bytes: int = 0
    records: int = 0
    flows: int = 0
    duplicates: int = 0
    lost_records: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    quarantined: list[Quarantined] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    first: datetime | None = None
    last: datetime | None = None
    regions: set[str] = field(default_factory=set)
    accounts: set[str] = field(default_factory=set)


def ingest(
    sources: str | Path | Iterable[str | Path],
    into: Path,
    *,
    session: Clients | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    progress: Callable[[Progress], None] | None = None,
    keep: Keep | None = None,
    max_unpacked: int = MAX_UNPACKED,
) -> IngestReport:
    """Take the logs of `sources` into the tables folder `into` and say what was taken and what was not.

    A source is a folder, a file or `s3://bucket/prefix`; CloudTrail and flow logs are told apart by content.
    Files taken before are skipped, records seen before (same event id and account) left out, so running it again
    is safe. `since` and `until` spare reading what the paths' dates exclude; files that are read are taken whole.
    `keep(file, content, sha256)` is called once for each file before it is taken, from the calling thread; what it
    returns (an evidence item's id) goes to the ledger. What is broken is in `quarantine/`; the sound records of a
    broken file are taken.
    """
    started = time.monotonic()
    folder = into.resolve()
    with opened(folder) as ledger, connection(threads=_DECODERS) as con, storage("write tables", folder):
        run = _Run(folder, ledger, BatchWriter(folder, con), keep=keep, limit=max_unpacked)
        wanted = list(run.wanted(log_files(sources, Window(since=since, until=until), session)))
        wanted.sort(key=lambda file: (file.day, file.uri))
        run.take(wanted, progress)
        return run.report(time.monotonic() - started)


class _Run:
    """One ingest under way."""

    def __init__(
        self, into: Path, ledger: Ledger, writer: BatchWriter, *, keep: Keep | None, limit: int
    ) -> None:
        self.into = into
        self._ledger = ledger
        self._writer = writer
        self._keep = keep
        self._limit = limit
        self._quarantine = Quarantine(into)
        self._tally = _Tally()
        self._hashes: set[str] = set()

    def wanted(self, files: Iterable[LogFile]) -> Iterator[LogFile]:
        for file in files:
            if _DIGESTS in file.uri:
                self._tally.skipped["digest file"] += 1
            elif file.size == 0:
                self._tally.skipped["empty"] += 1
            elif self._ledger.has(file.uri, file.size, file.etag):
                self._tally.skipped["taken before"] += 1
            elif not file.uri.startswith("s3://") and self.into in Path(file.uri).resolve().parents:
                continue
            else:
                yield file

    def take(self, files: list[LogFile], progress: Callable[[Progress], None] | None) -> None:
        trail: list[tuple[Taken, cloudtrail.Document]] = []
        flows: list[tuple[Taken, flow.Flows]] = []
        sizes = {"trail": 0, "flow": 0}
        under_way: deque[Future[Written]] = deque()

        def flush(which: str) -> None:
            while len(under_way) >= _DECODERS:
                self._settle(under_way.popleft().result())
            if which == "trail" and trail:
                under_way.append(decoders.submit(self._writer.trail, trail.copy()))
                trail.clear()
            elif which == "flow" and flows:
                under_way.append(decoders.submit(self._writer.flows, flows.copy()))
                flows.clear()
            sizes[which] = 0

        with ThreadPoolExecutor(_READERS) as readers, ThreadPoolExecutor(_DECODERS) as decoders:
            for number, read in enumerate(self._read_ahead(readers, files), start=1):
                taken = self._accept(read)
                if taken is not None and read.content.shape is Shape.FLOW:
                    found = flow.read_flows(read.file.uri, read.content.data)
                    flows.append((taken, found))
                    sizes["flow"] += len(read.content.data)
                elif taken is not None:
                    trail.append((taken, self._document(read)))
                    sizes["trail"] += len(read.content.data)
                for which, size in sizes.items():
                    if size >= _BATCH_BYTES:
                        flush(which)
                if progress:
                    rows = self._tally.records + self._tally.flows
                    progress(Progress(files=number, of=len(files), bytes=self._tally.bytes, rows=rows))
            for which in sizes:
                flush(which)
            while under_way:
                self._settle(under_way.popleft().result())
        self._writer.clear()
        if progress:
            rows = self._tally.records + self._tally.flows
            progress(Progress(files=len(files), of=len(files), bytes=self._tally.bytes, rows=rows))

    def _read_ahead(self, readers: ThreadPoolExecutor, files: list[LogFile]) -> Iterator[_Read]:
        """The files in order, a bounded number of them read ahead."""
        waiting = iter(files)
        pending = deque(readers.submit(self._read, file) for file in islice(waiting, _AHEAD))
        while pending:
            yield pending.popleft().result()
            pending.extend(readers.submit(self._read, file) for file in islice(waiting, 1))

    def _read(self, file: LogFile) -> _Read:
        nothing = Recognised(shape=Shape.UNKNOWN, data=b"")
        try:
            raw = file.read()
        except IrkitError as error:
            return _Read(file=file, raw=b"", sha256="", content=nothing, error=str(error))
        unpacked = unpack(raw, limit=self._limit)
        return _Read(
            file=file,
            raw=raw,
            sha256=hashlib.sha256(raw).hexdigest(),
            content=recognise(unpacked.data),
            fault=unpacked.fault,
        )

    def _accept(self, read: _Read) -> Taken | None:
        """Count the file; None when there is nothing in it to take."""
        tally, shape, uri = self._tally, read.content.shape, read.file.uri
        if read.error:
            tally.skipped[f"unreadable ({read.error.split(':')[0][:80]})"] += 1
            return None
        if self._ledger.has_content(read.sha256) or read.sha256 in self._hashes:
            tally.skipped["taken before"] += 1
            return None
        if shape is Shape.DIGEST:
            tally.skipped["digest file"] += 1
            return None
        if shape is Shape.UNKNOWN and not read.fault:
            tally.skipped["not a log"] += 1
            tally.unknown.append(uri)
            return None
        self._hashes.add(read.sha256)
        kept = self._keep(read.file, read.raw, read.sha256) if self._keep else None
        if read.fault:
            self._set_aside(read, read.fault)
            if shape is Shape.UNKNOWN:
                return None
        tally.files += 1
        tally.bytes += len(read.content.data)
        return Taken(
            uri=uri,
            size=read.file.size,
            etag=read.file.etag,
            sha256=read.sha256,
            kind="flow" if shape is Shape.FLOW else "cloudtrail",
            fault=read.fault,
            kept_as=kept,
        )

    def _set_aside(self, read: _Read, reason: str) -> None:
        self._quarantine.file(read.file.uri, read.raw, read.sha256, reason)
        self._tally.quarantined.append(Quarantined(source=read.file.uri, reason=reason))

    def _document(self, read: _Read) -> cloudtrail.Document:
        uri, content = read.file.uri, read.content
        if read.fault is None:
            with suppress(ValueError, RecursionError):
                return cloudtrail.document(uri, content.shape, content.data)
        document, lost = cloudtrail.salvaged(uri, content.data)
        self._lose(lost)
        return document

    def _lose(self, lost: list[cloudtrail.LostRecord]) -> None:
        self._quarantine.records(lost)
        self._tally.lost_records += len(lost)
        reasons: Counter[tuple[str, str]] = Counter((one.file, one.fault.partition(":")[0]) for one in lost)
        self._tally.quarantined += [
            Quarantined(source=f, reason=r, records=n) for (f, r), n in reasons.items()
        ]

    def _settle(self, facts: Written) -> None:
        """Commit a batch that is written, and count it."""
        self._lose(facts.lost)
        self._ledger.commit(facts.batch)
        tally = self._tally
        if facts.batch.files[0].kind == "flow":
            tally.flows += facts.batch.rows
        else:
            tally.records += facts.batch.rows
        tally.duplicates += facts.batch.duplicates
        tally.first = min((t for t in (tally.first, facts.first) if t), default=None)
        tally.last = max((t for t in (tally.last, facts.last) if t), default=None)
        tally.regions.update(facts.regions)
        tally.accounts.update(facts.accounts)

    def report(self, seconds: float) -> IngestReport:
        tally = self._tally
        return IngestReport(
            tables=self.into,
            files=tally.files,
            bytes=tally.bytes,
            records=tally.records,
            flows=tally.flows,
            duplicates=tally.duplicates,
            lost_records=tally.lost_records,
            skipped=dict(tally.skipped),
            quarantined=tuple(tally.quarantined),
            first=tally.first,
            last=tally.last,
            regions=tuple(sorted(tally.regions)),
            accounts=tuple(sorted(tally.accounts)),
            seconds=seconds,
            unknown_files=tuple(tally.unknown),
        )
