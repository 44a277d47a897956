"""The incident as the findings draw it: whose keys, from where, when."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from irkit.findings import Finding

_TIMES = ("time_entry", "time_first_use", "time_last_use")


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """What all findings together name. `first` and `last` bound it, None while no finding has a time."""

    keys: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    principals: tuple[str, ...] = ()
    pools: tuple[str, ...] = ()
    first: datetime | None = None
    last: datetime | None = None

    @property
    def window(self) -> tuple[datetime, datetime] | None:
        """First and last moment, or None."""
        return (self.first, self.last) if self.first and self.last else None


def incident_of(findings: Iterable[Finding]) -> Incident:
    """The incident that `findings` describe; what is held with low confidence only does not widen it."""
    sure = [finding for finding in findings if finding.confidence != "low"]
    times = [m for f in sure for m in (f.first_seen, f.last_seen) if m]
    times += [m for kind in _TIMES for text in facts(sure, kind) if (m := moment_or_none(text))]
    return Incident(
        keys=_sought(sure, "access_key"),
        addresses=_sought(sure, "address"),
        principals=_sought(sure, "principal", "session"),
        pools=_sought(sure, "pool"),
        first=min(times, default=None),
        last=max(times, default=None),
    )


def facts(findings: Iterable[Finding], *kinds: str) -> tuple[str, ...]:
    """The distinct values of the facts of these kinds, in order of appearance."""
    values = (v for finding in findings for kind in kinds for v in finding.facts.get(kind, ()))
    return tuple(dict.fromkeys(values))


def _sought(findings: Iterable[Finding], *kinds: str) -> tuple[str, ...]:
    """Values to look for in tables: DuckDB and Arrow take no lone surrogates, and no log holds one."""
    return tuple(value.encode("utf-8", "replace").decode() for value in facts(findings, *kinds))


def moment_or_none(value: object) -> datetime | None:
    """`value` as an aware datetime when it is one or says one (UTC where no zone is given); else None."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    if not isinstance(value, datetime):
        return None
    return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
