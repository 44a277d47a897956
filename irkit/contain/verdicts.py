"""What is known about one control: the words that a proof is written in."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from irkit.canonical import plain


class Finding(StrEnum):
    """What asking AWS again, or reading its logs, showed."""

    PROVED = "proved"
    NOT_PROVED = "not proved"
    CONTRADICTED = "contradicted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What is known about one control: what was intended, what AWS shows now, and what follows."""

    control: str
    target: str
    intended: str
    observed: Any
    finding: Finding
    why: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The verdict as JSON types."""
        return {
            "control": self.control,
            "target": self.target,
            "intended": self.intended,
            "observed": plain(self.observed),
            "finding": self.finding.value,
            "why": self.why,
        }
