"""Findings side by side, as a table wherever they are shown."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from irkit.canonical import timestamp
from irkit.findings.finding import Finding
from irkit.markup import table

if TYPE_CHECKING:
    import pandas as pd

_COLUMNS = ("first seen", "severity", "confidence", "what", "facts", "basis")


@dataclass(frozen=True, slots=True)
class Findings:
    """The findings of a case, in the order given."""

    found: tuple[Finding, ...]

    @classmethod
    def of(cls, findings: Iterable[Finding]) -> Findings:
        """The findings in `findings`."""
        return cls(tuple(findings))

    def __len__(self) -> int:
        return len(self.found)

    def to_dict(self) -> list[dict[str, Any]]:
        """A list of what `Finding.to_dict` gives; the content of an artifact findings*.json."""
        return [finding.to_dict() for finding in self.found]

    def to_frame(self) -> pd.DataFrame:
        """One row a finding."""
        import pandas as pd

        return pd.DataFrame([dict(zip(_COLUMNS, row, strict=True)) for row in self._rows()], columns=_COLUMNS)

    def __repr__(self) -> str:
        grave = sum(f.severity in {"high", "critical"} for f in self.found)
        return f"<Findings: {len(self.found)}, {grave} of them high or critical>"

    def _repr_html_(self) -> str:
        return table(_COLUMNS, self._rows(), caption=repr(self))

    def _rows(self) -> list[tuple[str, ...]]:
        return [
            (
                timestamp(f.first_seen) if f.first_seen else "",
                f.severity,
                f.confidence,
                f.statement,
                "; ".join(f"{kind} {', '.join(values)}" for kind, values in f.facts.items()),
                ", ".join(f.basis),
            )
            for f in self.found
        ]
