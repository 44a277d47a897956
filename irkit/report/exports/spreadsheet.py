"""The timeline as CSV."""

from __future__ import annotations

from typing import TYPE_CHECKING

from irkit.report.events import timeline_of, to_csv

if TYPE_CHECKING:
    from datetime import datetime

    from irkit.report.casebook import Casebook


def made(book: Casebook, at: datetime) -> bytes:
    """Every event of the case, oldest first, in cells that no spreadsheet runs."""
    del at
    return to_csv(timeline_of(book)).encode("utf-8")
