"""The timeline for Timesketch: one JSON object a line, with the three fields that its importer asks for.

`message`, `datetime` (ISO 8601) and `timestamp_desc` are required, and the file's name has to end in `.jsonl`
(Timesketch documentation, "Import from JSON or CSV").
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from irkit.escape import for_terminal
from irkit.report.events import Event, timeline_of

if TYPE_CHECKING:
    from irkit.report.casebook import Casebook

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_BEGAN = {"finding": "First seen", "cloudtrail": "First call", "journal": "Response"}
_ENDED = {"finding": "Last seen", "cloudtrail": "Last call", "journal": "Response ended"}


def made(book: Casebook, at: datetime) -> bytes:
    """Every event of the case as JSON lines, oldest first; what lasted is there twice, as it began and as it ended."""
    del at
    rows = sorted(
        (row for event in timeline_of(book) for row in _rows(event, book.facts.id)),
        key=lambda row: int(row["timestamp"]),
    )
    return "".join(json.dumps(row, sort_keys=True) + "\n" for row in rows).encode("ascii")


def _rows(event: Event, case_id: str) -> Iterator[dict[str, Any]]:
    yield _row(event, event.time, _BEGAN[event.source], case_id)
    if event.until is not None:
        yield _row(event, event.until, _ENDED[event.source], case_id)


def _row(event: Event, moment: datetime, description: str, case_id: str) -> dict[str, Any]:
    return {
        "message": for_terminal(event.what),
        "datetime": moment.astimezone(UTC).isoformat(),
        "timestamp": (moment - _EPOCH) // timedelta(microseconds=1),
        "timestamp_desc": description,
        "source_short": event.source,
        "principal": for_terminal(event.who),
        "calls": event.count,
        "basis": for_terminal(", ".join(event.basis)),
        "case_id": case_id,
    }
