"""What could not be taken from a file, in words."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class LostRecord:
    """A record, or a stretch of a file, that is no record."""

    file: str
    number: int
    fault: str
    text: str
