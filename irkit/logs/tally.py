"""The figures of an ingest while it runs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from irkit.logs.groups import Written
from irkit.logs.report import IngestReport, Quarantined
from irkit.tables import TableName


@dataclass(slots=True)
class Tally:
    """The report while it grows; only one thread touches it."""

    files: int = 0
    bytes: int = 0
    rows: Counter[TableName] = field(default_factory=Counter)
    duplicates: int = 0
    lost_records: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    quarantined: list[Quarantined] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    first: datetime | None = None
    last: datetime | None = None
    regions: set[str] = field(default_factory=set)
    accounts: set[str] = field(default_factory=set)

    def add(self, written: Written) -> None:
        """Count a group that is committed."""
        self.files += len(written.batch.files)
        self.bytes += written.bytes
        self.rows.update(written.rows)
        self.duplicates += written.batch.duplicates
        self.lost_records += len(written.lost)
        self.quarantined += [
            Quarantined(source=file.uri, reason=file.fault) for file in written.batch.files if file.fault
        ]
        reasons = Counter((one.file, one.fault.partition(":")[0]) for one in written.lost)
        self.quarantined += [
            Quarantined(source=file, reason=reason, records=count)
            for (file, reason), count in reasons.items()
        ]
        self.first = min((t for t in (self.first, written.first) if t), default=None)
        self.last = max((t for t in (self.last, written.last) if t), default=None)
        self.regions |= written.regions
        self.accounts |= written.accounts

    def report(self, into: Path, seconds: float) -> IngestReport:
        """The finished report."""
        return IngestReport(
            tables=into,
            files=self.files,
            bytes=self.bytes,
            records=self.rows["cloudtrail"],
            flows=self.rows["flow"],
            others={
                name: count
                for name, count in self.rows.items()
                if name not in ("cloudtrail", "flow") and count
            },
            duplicates=self.duplicates,
            lost_records=self.lost_records,
            skipped=dict(self.skipped),
            quarantined=tuple(self.quarantined),
            first=self.first,
            last=self.last,
            regions=tuple(sorted(self.regions)),
            accounts=tuple(sorted(self.accounts)),
            seconds=seconds,
            unknown_files=tuple(self.unknown),
        )
