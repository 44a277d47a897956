from __future__ import annotations

import re

import pytest

from tests.report import cases
from tests.report.conftest import Reported

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def test_the_page_answers_what_who_how_when_and_whether_data_left(investigated: Reported) -> None:
    text = investigated.page.text
    assert "Was data exfiltrated? Confirmed." in text
    for question in ("What was accessed?", "By whom?", "How?", "When?"):
        assert question in text
    for fact in (
        "customer-exports",
        "ASIASTOLEN0000000000",
        "203.0.113.50",
        "2026-11-20T10:40:00Z",
        "777777777777",
    ):
        assert fact in text


def test_every_finding_names_its_severity_its_techniques_and_links_to_what_it_rests_on(
    investigated: Reported,
) -> None:
    html = investigated.html
    assert '<a href="#answer-credentials_used_elsewhere">credentials_used_elsewhere</a>' in html
    assert re.search(r'<a href="#item-E\d{4}">host-facts.json</a>', html)
    text = investigated.page.text
    assert "critical" in text
    assert re.search(r"T1552\.005\s+Cloud Instance Metadata API \(Credential Access\)", text)


def test_containment_tells_each_step_how_it_stands_how_it_is_undone_and_what_was_proved(
    investigated: Reported,
) -> None:
    text = investigated.page.text
    for said in (
        "Put the interface into quarantine",
        "ec2:modify_network_interface_attribute",
        "cannot be undone: evidence is never deleted",
        "AccessDenied: iam:PutRolePolicy",
        "not proved",
        "the policy is not on the role",
    ):
        assert said in text, said


def test_evidence_is_listed_with_hash_time_and_tool_and_large_kinds_are_folded(
    investigated: Reported,
) -> None:
    text, case = investigated.page.text, investigated.case
    for item in case.evidence.items()[:-1]:  # the last is this report
        assert item.sha256 in text
    assert "All 30 items with SHA-256" in text
    assert "All 1 item" not in text


def test_methods_print_the_sql_and_the_parameters_of_every_question(investigated: Reported) -> None:
    text = investigated.page.text
    assert "from cloudtrail" in text
    assert "10.0.1.10" in text
    assert re.search(r"\d+ CloudTrail records of", text)


def test_what_is_not_covered_is_said(investigated: Reported) -> None:
    text = investigated.page.text
    for said in (
        "sockets: ss is not on the machine",
        "host-facts.json holds less than there was: ss is not on the machine",
        "broken.json.gz",
        "interrupted; it may have taken effect",
        "IMDSv1 is allowed",
        "identity.deny on Web: not proved",
        "The account is simulated (web-to-role-theft)",
    ):
        assert said in text, said


def test_the_custody_annex_has_every_entry_of_the_journal_and_the_head(investigated: Reported) -> None:
    page = investigated.page
    entries = investigated.case.journal.entries[:-1]
    assert {f"entry-{entry.seq}" for entry in entries} <= set(page.anchors)
    assert entries[-1].hash in page.text


@pytest.mark.parametrize("which", ["investigated", "trapped"])
def test_nothing_in_the_page_runs_loads_or_breaks_out(which: str, request: pytest.FixtureRequest) -> None:
    page = request.getfixturevalue(which).page
    assert page.faults == []
    assert page.policy == POLICY
    assert all(image["alt"] for image in page.images)
    assert len(page.titles) == 1


def test_traps_are_shown_as_the_text_that_they_are(trapped: Reported) -> None:
    page = trapped.page
    for shown in (
        "<script>alert(1)</script>",
        "</title></style><img src=x onerror=alert(1)>",
        "{{7*7}}{% raw %}",
        "javascript:alert(1)",
        "\\x1b[31mred",
        "abc\\u202egnp.exe\\u2066",
        "two\\nlines\\r\\nand a\\ttab",
        "\\udcff \\x00",
        "日本語",
    ):
        assert shown in page.text, shown
    assert "49{%" not in page.text


def test_no_control_bidirectional_or_lone_surrogate_character_reaches_the_page(trapped: Reported) -> None:
    assert not re.search(
        r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", trapped.html
    )


def test_no_trap_stops_a_figure(trapped: Reported) -> None:
    assert trapped.built.warnings == ()
    assert set(trapped.built.figures) >= {"activity", "heat", "outbound", "steps", "inventory"}


def test_the_banner_tells_a_simulated_account_from_a_real_one(investigated: Reported, tmp_path) -> None:
    from irkit import report

    assert 'class="banner">Simulated account 111122223333' in investigated.html
    real = report.build(cases.opened(tmp_path)).path.read_text(encoding="utf-8")
    assert "Simulated account" not in real
