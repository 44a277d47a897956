from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from irkit.findings import Finding
from irkit.logs import ingest
from irkit.report.casebook import read
from irkit.report.incident import incident_of
from irkit.report.next_steps import suggestions
from irkit.report.summary import exfiltration, lasted, replies
from tests.hunt import world
from tests.logs.builders import record, write_flows, write_trail
from tests.report import cases
from tests.report.conftest import Reported

WHEN = datetime(2026, 11, 20, 10, tzinfo=UTC)


def finding(**more: Any) -> Finding:
    told: dict[str, Any] = {
        "id": "f",
        "title": "t",
        "statement": "s",
        "severity": "high",
        "confidence": "high",
    }
    return Finding(**(told | more))


def book_with(folder: Path, *findings: Finding, logs: str = "") -> Any:
    case = cases.opened(folder / "cases")
    cases.keep(case, "findings", [each.to_dict() for each in findings])
    records = world.trail_records() if "data" in logs else [record(), record("iam:ListUsers")]
    if logs:
        write_trail(folder / "raw" / "trail.json.gz", records)
    if "flow" in logs:
        write_flows(folder / "raw" / "flow.log.gz", world.flow_lines())
    if logs:
        ingest(folder / "raw", case.tables_dir)
    return read(case)


def test_data_is_confirmed_to_have_left_when_a_sure_finding_measured_it(tmp_path: Path) -> None:
    book = book_with(tmp_path, finding(attack=("T1530",), facts={"object_count": ("180",)}))
    assert exfiltration(book)[0] == "confirmed"


@pytest.mark.parametrize(
    "told",
    [
        {"attack": ("T1537",), "facts": {"snapshot": ("snap-1",)}},
        {"attack": ("T1048",), "facts": {"bytes_out": ("9",)}, "confidence": "medium"},
        {"attack": ("T1567.002",)},
    ],
)
def test_it_is_suspected_when_nothing_measured_it_or_the_finding_is_less_sure(
    tmp_path: Path, told: dict[str, Any]
) -> None:
    assert exfiltration(book_with(tmp_path, finding(**told)))[0] == "suspected"


def test_mining_alone_is_no_sign_that_data_left(tmp_path: Path) -> None:
    pool = finding(attack=("T1496", "T1071"), facts={"bytes_out": ("60000",), "pool": ("198.19.9.9:3333",)})
    assert exfiltration(book_with(tmp_path, pool, logs="data flow"))[0] == "no evidence"


@pytest.mark.parametrize(
    ("logs", "lacking"), [("", "no data events"), ("trail flow", "no data events"), ("data", "no flow")]
)
def test_silence_is_not_assessable_where_the_logs_could_not_have_shown_it(
    tmp_path: Path, logs: str, lacking: str
) -> None:
    verdict, because = exfiltration(book_with(tmp_path, finding(), logs=logs))
    assert verdict == "not assessable"
    assert lacking in because[0].text


def test_without_an_analysis_nothing_is_answered(tmp_path: Path) -> None:
    told = replies(read(cases.opened(tmp_path)))
    assert told[0].verdict == "not assessable"
    assert all("no analysis has been run" in reply.points[0].text for reply in told)


def test_every_answer_names_the_findings_that_give_it(investigated: Reported) -> None:
    known = {f.id for f in read(investigated.case).findings}
    for reply in replies(read(investigated.case)):
        assert reply.points
        assert {ident for point in reply.points for ident in point.findings} <= known


def test_what_is_held_with_low_confidence_does_not_widen_the_incident() -> None:
    sure = finding(first_seen=WHEN, last_seen=WHEN, facts={"access_key": ("AKIASURE",)})
    unsure = finding(
        first_seen=WHEN - timedelta(days=9), confidence="low", facts={"access_key": ("AKIAMAYBE",)}
    )
    incident = incident_of([sure, unsure])
    assert incident.keys == ("AKIASURE",)
    assert incident.window == (WHEN, WHEN)


def test_suggestions_follow_from_facts_and_put_unsettled_steps_first(investigated: Reported) -> None:
    said = suggestions(read(investigated.case))
    assert said[0].startswith(
        "Settle what failed or was interrupted: Deny the stolen session; Move to standby"
    )
    assert any("AKIAPLANTED000000000" in text for text in said)
    assert any("Rebuild the instance" in text for text in said)


@pytest.mark.parametrize(
    ("seconds", "text"), [(45, "45 s"), (600, "10 min"), (7200, "2.0 h"), (260000, "3.0 days"), (0, "0 s")]
)
def test_spans_are_told_in_a_unit_that_people_think_in(seconds: int, text: str) -> None:
    assert lasted(timedelta(seconds=seconds)) == text


def test_findings_of_several_investigations_are_told_together_each_once(tmp_path: Path) -> None:
    case = cases.opened(tmp_path / "cases")
    same, mine, theirs = finding(id="same"), finding(id="x", title="mine"), finding(id="x", title="theirs")
    cases.keep(case, "findings", [same.to_dict(), mine.to_dict()])
    cases.keep(case, "findings-key-akia1", [same.to_dict(), theirs.to_dict()])
    assert {f.id: f.title for f in read(case).findings} == {"same": "t", "x": "mine", "x-key-akia1": "theirs"}
