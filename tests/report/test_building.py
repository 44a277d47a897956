from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from irkit import report
from irkit.case import Case
from irkit.errors import StorageError
from irkit.evidence import Place, verify
from irkit.report import Built
from tests.hunt import world
from tests.report import cases
from tests.report.conftest import Reported
from tests.report.parsed import Page

AT = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)


def _without_time(html: str) -> str:
    return re.sub(r'<dd id="made">[^<]*</dd>', "", html)


def test_the_report_becomes_an_item_of_the_case_and_a_copy_lies_where_people_look(
    investigated: Reported,
) -> None:
    built, case = investigated.built, investigated.case
    assert built.path == case.active / "reports" / "report.html"
    assert built.item.place is Place.ACTIVE
    assert built.item.kind == "report"
    assert case.evidence.read(built.item) == built.path.read_bytes()
    assert built.sha256 == built.item.sha256 == hashlib.sha256(built.path.read_bytes()).hexdigest()
    assert built.warnings == ()
    assert verify(case.root).sound


def test_a_report_of_an_investigation_has_all_six_figures_and_every_finding(investigated: Reported) -> None:
    assert investigated.built.figures == ("activity", "heat", "lineage", "outbound", "steps", "inventory")
    assert investigated.built.findings == 18
    assert len(investigated.page.images) == 6


def test_the_same_case_gives_the_same_bytes_apart_from_the_line_that_says_when(
    investigated: Reported,
) -> None:
    again = report.build(Case.load(str(investigated.before)), at=AT).path.read_text(encoding="utf-8")
    assert again != investigated.html
    assert _without_time(again) == _without_time(investigated.html)


def test_a_report_made_again_lists_the_one_before_it(tmp_path: Path) -> None:
    case = cases.opened(tmp_path)
    first, second = report.build(case), report.build(case)
    assert first.item.sha256 in second.path.read_text(encoding="utf-8")
    assert [item.id for item in case.evidence.items(kind="report")] == [first.item.id, second.item.id]


def test_an_empty_case_gives_a_report_that_says_how_little_there_is(tmp_path: Path) -> None:
    built = report.build(cases.opened(tmp_path), into=tmp_path / "elsewhere")
    page = Page(built.path.read_text(encoding="utf-8"))
    assert built.path == tmp_path / "elsewhere" / "report.html"
    assert page.faults == []
    assert "Was data exfiltrated? Not assessable" in page.text
    assert "no capture or containment step is in the journal" in page.text
    assert "no CloudTrail record was ingested" in page.text
    assert "no findings were kept" in page.text


def test_damaged_artifacts_cost_what_they_held_and_not_the_report(tmp_path: Path) -> None:
    case = cases.opened(tmp_path)
    artifacts = case.active / "artifacts"
    (artifacts / "answers").mkdir(parents=True)
    (artifacts / "findings.json").write_text('[{"id": "x"}]')
    (artifacts / "preflight.json").write_text("[" * 100_000)
    (artifacts / "proof.json").write_bytes(b"\xff\xfe\x00")
    (artifacts / "answers" / "a.json").write_text('{"question": "beacons", "rows": "none"}')
    (artifacts / "answers" / "b.json").write_text("7")
    (artifacts / "ingest.json").write_text('{"quarantined": 7, "skipped": [], "lost_records": "many"}')
    (case.tables_dir / "cloudtrail").mkdir(parents=True)
    (case.tables_dir / "cloudtrail" / "part.parquet").write_bytes(b"PAR1 not really")
    built = report.build(case)
    page = Page(built.path.read_text(encoding="utf-8"))
    assert page.faults == []
    assert len(built.warnings) == 5
    for name in ("findings.json", "preflight.json", "proof.json", "b.json", "tables of ingested logs"):
        assert any(name in warning for warning in built.warnings), name
        assert name in page.text


def test_evidence_that_was_changed_is_said_at_the_top_of_the_report(tmp_path: Path) -> None:
    case = cases.opened(tmp_path)
    item = case.evidence.add(b"as it was", kind="console-output", name="console.txt", source="i-1")
    path = case.evidence.path(item)
    path.chmod(0o600)
    path.write_bytes(b"as it is!")
    built = report.build(case)
    page = Page(built.path.read_text(encoding="utf-8"))
    assert "The case did not verify" in page.text
    assert "NOT SOUND" in page.text
    assert any("console.txt: changed" in warning for warning in built.warnings)


def test_a_folder_that_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="cannot write the report"):
        report.build(cases.opened(tmp_path / "cases"), into=tmp_path / "file" / "reports")


def test_what_was_built_tells_itself_in_one_line_and_as_a_static_table(investigated: Reported) -> None:
    built: Built = investigated.built
    assert "18 findings, 6 figures" in repr(built)
    assert "\n" not in repr(built)
    assert built.sha256 in built._repr_html_()
    assert built.to_dict()["item"] == built.item.id


def test_the_instance_is_named_from_the_preflight_or_else_from_the_steps(investigated: Reported) -> None:
    assert f"Suspect instance</dt><dd>{world.INSTANCE}" in investigated.html
