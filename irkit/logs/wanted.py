"""What of a source is wanted."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A time range, accounts and regions (none given means all), and the fields of flow logs without a header."""

    since: datetime | None = None
    until: datetime | None = None
    accounts: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    fields: tuple[str, ...] | None = None

    def to_dict(self) -> dict[str, Any]:
        """What is given, as JSON types."""
        given: dict[str, Any] = {
            "since": self.since.isoformat() if self.since else None,
            "until": self.until.isoformat() if self.until else None,
            "accounts": list(self.accounts),
            "regions": list(self.regions),
            "fields": list(self.fields or ()),
        }
        return {name: value for name, value in given.items() if value}


EVERYTHING = Wanted()
