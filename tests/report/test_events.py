from __future__ import annotations

import csv
from datetime import UTC, datetime
from io import StringIO

from irkit import report
from irkit.report.events import COLUMNS, to_csv, to_frame
from tests.report.conftest import Reported


def test_the_timeline_merges_findings_calls_and_steps_oldest_first(investigated: Reported) -> None:
    events = report.timeline(investigated.case)
    assert [event.time for event in events] == sorted(event.time for event in events)
    assert {event.source for event in events} == {"finding", "cloudtrail", "journal"}
    assert all(event.time.tzinfo is not None for event in events)


def test_calls_of_one_kind_are_told_as_one_event_with_their_number(investigated: Reported) -> None:
    reads = [e for e in report.timeline(investigated.case) if e.what.startswith("s3:GetObject")]
    assert [(e.what, e.count) for e in reads] == [("s3:GetObject × 31 from 203.0.113.50", 31)]
    assert reads[0].until == datetime(2026, 11, 20, 10, 54, 30, tzinfo=UTC)
    assert reads[0].who == "role/Export with ASIASECOND0000000000"


def test_calls_that_pause_for_long_are_told_as_two_events(investigated: Reported) -> None:
    identity = [e for e in report.timeline(investigated.case) if e.what.startswith("sts:GetCallerIdentity")]
    assert [f"{e.time:%H:%M}" for e in identity] == ["10:40", "11:00"]


def test_only_calls_of_the_incident_are_told_not_those_of_the_machine_itself(investigated: Reported) -> None:
    calls = [e for e in report.timeline(investigated.case) if e.source == "cloudtrail"]
    assert {address for e in calls for address in ("203.0.113.50", "198.51.100.60") if address in e.what}
    assert not any("10.0.1.10" in e.what or "UpdateInstanceInformation" in e.what for e in calls)


def test_a_step_is_one_event_that_says_how_it_ended_and_names_its_entries(investigated: Reported) -> None:
    (denied,) = [
        e for e in report.timeline(investigated.case) if e.what.startswith("Deny the stolen session")
    ]
    assert denied.what == "Deny the stolen session (Web): failed: ValueError: AccessDenied: iam:PutRolePolicy"
    assert all(basis.startswith("entry ") for basis in denied.basis)


def test_csv_holds_every_event_and_no_cell_that_a_spreadsheet_would_run(trapped: Reported) -> None:
    events = report.timeline(trapped.case)
    rows = list(csv.reader(StringIO(to_csv(events))))
    assert rows[0] == list(COLUMNS)
    assert len(rows) == len(events) + 1
    assert not any(cell.lstrip()[:1] in {"=", "+", "-", "@"} and cell for row in rows for cell in row)
    assert not any(c in cell for row in rows for cell in row for c in "\n\r\t\x1b\u202e")


def test_the_timeline_is_a_frame_with_aware_times(investigated: Reported) -> None:
    frame = to_frame(report.timeline(investigated.case))
    assert list(frame.columns) == list(COLUMNS)
    assert str(frame["time"].dt.tz) == "UTC"
