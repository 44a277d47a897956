"""What an ingest took and what it could not take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irkit.markup import table
from irkit.tables import iso

if TYPE_CHECKING:
    import pandas as pd

_SHOWN = 20
_TITLES = {"s3_access": "S3 access", "dns": "DNS", "elb": "load balancer"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantined:
    """A broken file, or the broken records of a file (`records` of them), and why."""

    source: str
    reason: str
    records: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestReport:
    """One run of `ingest`: counts, extent, and everything that was left out."""

    tables: Path
    files: int
    bytes: int
    records: int
    flows: int
    duplicates: int
    lost_records: int
    skipped: Mapping[str, int]
    quarantined: tuple[Quarantined, ...]
    first: datetime | None = None
    last: datetime | None = None
    regions: tuple[str, ...] = ()
    accounts: tuple[str, ...] = ()
    seconds: float = 0.0
    unknown_files: tuple[str, ...] = field(default=(), repr=False)
    others: Mapping[str, int] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether nothing was quarantined or unreadable."""
        return not self.quarantined and not any(reason.startswith("unreadable") for reason in self.skipped)

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON types."""
        return {
            "tables": str(self.tables),
            "files": self.files,
            "bytes": self.bytes,
            "records": self.records,
            "flows": self.flows,
            "others": dict(self.others),
            "duplicates": self.duplicates,
            "lost_records": self.lost_records,
            "skipped": dict(self.skipped),
            "quarantined": [
                {"source": q.source, "reason": q.reason, "records": q.records} for q in self.quarantined
            ],
            "first": iso(self.first) if self.first else None,
            "last": iso(self.last) if self.last else None,
            "regions": list(self.regions),
            "accounts": list(self.accounts),
            "seconds": round(self.seconds, 3),
            "unknown_files": list(self.unknown_files),
        }

    def to_frame(self) -> pd.DataFrame:
        """The figures as a DataFrame with the columns `what` and `value`."""
        import pandas as pd

        return pd.DataFrame(self._figures(), columns=["what", "value"])

    def _figures(self) -> list[tuple[str, str]]:
        when = f"{iso(self.first)} to {iso(self.last)}" if self.first and self.last else "nothing dated"
        rows = [
            ("files taken", f"{self.files:,} ({self.bytes:,} bytes)"),
            ("CloudTrail records", f"{self.records:,}"),
            ("flow records", f"{self.flows:,}"),
            *(
                (f"{_TITLES.get(name, name)} records", f"{count:,}")
                for name, count in sorted(self.others.items())
            ),
            ("time", when),
            ("regions", ", ".join(self.regions) or "none"),
            ("accounts", ", ".join(self.accounts) or "none"),
            ("duplicates left out", f"{self.duplicates:,}"),
            ("records lost", f"{self.lost_records:,}"),
        ]
        rows += [(f"files skipped: {reason}", f"{count:,}") for reason, count in sorted(self.skipped.items())]
        for found in self.quarantined[:_SHOWN]:
            what = f"{found.reason} ({found.records:,} records)" if found.records else found.reason
            rows.append((f"quarantined: {found.source.rsplit('/', 1)[-1]}", what))
        if len(self.quarantined) > _SHOWN:
            rows.append(("quarantined", f"{len(self.quarantined) - _SHOWN:,} more"))
        return rows

    def __repr__(self) -> str:
        return (
            f"IngestReport({self.files:,} files: {self.records:,} CloudTrail and {self.flows:,} flow records,"
            f" {self.duplicates:,} duplicates, {sum(self.skipped.values()):,} files skipped,"
            f" {len(self.quarantined):,} quarantined, {self.seconds:.1f} s)"
        )

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        html = table(["what", "value"], self._figures(), caption="Logs ingested")
        return {"text/plain": repr(self), "text/html": html}
