from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import stix2

from irkit import report
from irkit.case import Case
from irkit.errors import InvalidParameter, Refused
from irkit.evidence import verify
from irkit.report import casebook
from irkit.report.exports import FORMATS, Exported, custody, export, stix
from tests.report import cases
from tests.report.conftest import Reported

AT = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    """A case of its own: exporting adds evidence, and other tests count the evidence of the shared one."""
    return cases.investigated(tmp_path_factory.mktemp("exported"))


@pytest.fixture(scope="module")
def written(case: Case, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Exported]:
    return {e.format: e for e in export(case, into=tmp_path_factory.mktemp("out"), at=AT)}


def bundle_of(case: Case) -> Any:
    return stix2.parse(stix.bundle(casebook.read(case), AT), allow_custom=False, version="2.1")


def of_type(bundle: Any, kind: str) -> list[Any]:
    return [o for o in bundle.objects if o.type == kind]


def test_all_formats_but_pdf_are_written_and_kept_as_evidence_that_verifies(
    case: Case, written: dict[str, Exported]
) -> None:
    assert set(written) == set(FORMATS) - {"pdf"}
    for exported in written.values():
        kept = case.root / exported.item.path
        assert kept.read_bytes() == exported.path.read_bytes()
        assert exported.path.name == FORMATS[exported.format].file
    assert not verify(case.root).problems


def test_the_same_case_exports_to_the_same_bytes(case: Case) -> None:
    book = casebook.read(case)
    for name in ("timesketch", "csv", "stix", "case-uco"):
        make = FORMATS[name].made()
        assert make(book, AT) == make(book, AT)


def test_an_unknown_format_is_refused_and_the_known_ones_are_named(case: Case) -> None:
    with pytest.raises(InvalidParameter, match="'docx': choose from timesketch, csv, stix, case-uco, pdf"):
        export(case, ["docx"])


def test_timesketch_lines_have_what_its_importer_asks_for_oldest_first(
    case: Case, written: dict[str, Exported]
) -> None:
    lines = written["timesketch"].path.read_text(encoding="ascii").splitlines()
    rows = [json.loads(line) for line in lines]
    assert all({"message", "datetime", "timestamp_desc"} <= row.keys() for row in rows)
    assert [r["timestamp"] for r in rows] == sorted(r["timestamp"] for r in rows)
    for row in rows:
        assert datetime.fromisoformat(row["datetime"]).timestamp() == pytest.approx(row["timestamp"] / 1e6)
    lasting = sum(event.until is not None for event in report.timeline(case))
    exported_after = sum(row["message"] == "" for row in rows)
    assert lasting > 0
    assert exported_after == 0
    assert sum(row["timestamp_desc"] in {"Last seen", "Last call"} for row in rows) > 0


def test_the_csv_timeline_has_a_row_for_every_event(case: Case, written: dict[str, Exported]) -> None:
    rows = list(csv.DictReader(StringIO(written["csv"].path.read_text(encoding="utf-8"))))
    whats = {row["what"] for row in rows}
    assert any(what.startswith("s3:GetObject × 31") for what in whats)
    assert {row["source"] for row in rows} == {"finding", "cloudtrail", "journal"}


def test_the_stix_library_reads_the_bundle_without_custom_content(case: Case) -> None:
    bundle = bundle_of(case)
    findings = casebook.read(case).findings
    assert len(of_type(bundle, "note")) == len(findings)
    (whole,) = of_type(bundle, "report")
    ids = {o.id for o in bundle.objects}
    assert set(whole.object_refs) <= ids
    for told in of_type(bundle, "relationship"):
        assert {told.source_ref, told.target_ref} <= ids


def test_addresses_and_keys_of_the_intruder_are_indicators(case: Case) -> None:
    patterns = {indicator.pattern for indicator in of_type(bundle_of(case), "indicator")}
    told = casebook.read(case).findings
    addresses = {a for f in told for a in f.facts.get("address", ())}
    keys = {k for f in told for k in f.facts.get("access_key", ())}
    assert addresses
    assert keys
    assert {f"[ipv4-addr:value = '{a}']" for a in addresses} <= patterns
    for key in keys:
        assert any(f"user-account:user_id = '{key}'" in pattern for pattern in patterns)


def test_ids_of_observables_are_those_that_the_standard_prescribes(case: Case) -> None:
    """Other tools compute the same id from the same value, which is how two bundles are joined."""
    kinds = {"ipv4-addr": stix2.IPv4Address, "file": stix2.File, "directory": stix2.Directory}
    kinds |= {"user-account": stix2.UserAccount, "domain-name": stix2.DomainName}
    checked = 0
    for told in stix.bundle(casebook.read(case), AT)["objects"]:
        if told["type"] in kinds:
            given = {k: v for k, v in told.items() if k not in {"id", "type", "spec_version"}}
            assert kinds[told["type"]](**given).id == told["id"]
            checked += 1
    assert checked > 3


def test_our_own_account_is_no_indicator(case: Case) -> None:
    own = casebook.read(case).account
    assert own
    assert not any(own in i.pattern for i in of_type(bundle_of(case), "indicator"))


@pytest.mark.parametrize(
    ("kind", "value", "pattern"),
    [
        ("address", "2001:DB8::1", "[ipv6-addr:value = '2001:db8::1']"),
        ("pool", "pool.example:3333", "[domain-name:value = 'pool.example']"),
        ("pool", "198.51.100.9:4444", "[ipv4-addr:value = '198.51.100.9']"),
        ("file", "/tmp/it's\\x", "[file:name = 'it\\'s\\\\x' AND file:parent_directory_ref.path = '/tmp']"),
        (
            "account",
            "999988887777",
            "[user-account:account_type = 'aws-account' AND user-account:user_id = '999988887777']",
        ),
    ],
)
def test_a_fact_becomes_the_pattern_that_finds_it_again(kind: str, value: str, pattern: str) -> None:
    seen = stix._seen(kind, value, "111122223333")
    assert seen is not None
    assert seen.pattern == pattern
    stix2.Indicator(
        pattern=seen.pattern, pattern_type="stix", valid_from=AT
    )  # the library parses the pattern


def test_counts_times_and_our_own_names_become_no_indicator() -> None:
    assert stix._seen("bytes_out", "5238921", "111122223333") is None
    assert stix._seen("account", "111122223333", "111122223333") is None
    assert stix._seen("bucket", "customer-exports", "111122223333") is None


def nodes_of(graph: Mapping[str, Any], kind: str) -> list[dict[str, Any]]:
    return [node for node in graph["@graph"] if node["@type"] == kind]


def test_the_graph_of_custody_has_every_item_with_its_hash_and_every_step_with_who_did_it(case: Case) -> None:
    book = casebook.read(case)
    graph = custody.graph(book, AT)
    hashes = {
        facet["uco-observable:hash"][0]["uco-types:hashValue"]["@value"]
        for file in nodes_of(graph, "uco-observable:File")
        for facet in file["uco-core:hasFacet"]
        if "uco-observable:hash" in facet
    }
    assert hashes == {item.sha256 for item in book.items}
    records = nodes_of(graph, "case-investigation:ProvenanceRecord")
    assert {r["case-investigation:exhibitNumber"] for r in records} == {item.id for item in book.items}
    actions = nodes_of(graph, "case-investigation:InvestigativeAction")
    assert len(actions) == len(book.steps)
    ids = {node["@id"] for node in graph["@graph"]}
    for action in actions:
        assert action["uco-action:performer"]["@id"] in ids
        assert {tool["@id"] for tool in action["uco-action:instrument"]} <= ids
        assert {result["@id"] for result in action.get("uco-action:result", [])} <= ids


def test_the_graph_of_custody_conforms_to_the_shapes_of_case_and_uco(written: dict[str, Exported]) -> None:
    program = "from case_utils.case_validate import main; main()"
    command = [sys.executable, "-W", "ignore", "-c", program, str(written["case-uco"].path)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=150)
    assert "Conforms: True" in ran.stdout, ran.stdout + ran.stderr
    assert ran.returncode == 0


def test_what_an_intruder_wrote_stays_text_in_every_export(trapped: Reported, tmp_path: Path) -> None:
    case = Case.load(str(shutil.copytree(trapped.before, tmp_path / "trap")))
    made = {e.format: e.path.read_bytes() for e in export(case, into=tmp_path / "out", at=AT)}
    stix2.parse(made["stix"], allow_custom=False, version="2.1")
    for name, content in made.items():
        text = content.decode("utf-8")
        assert not any(c in text for c in "\x1b\u202e\u2066\u200b\x00"), name
    for line in made["timesketch"].decode("ascii").splitlines():
        assert "\x1b" not in json.loads(line)["message"]


@pytest.mark.needs_chromium
def test_the_report_is_printed_with_all_its_pages(case: Case, tmp_path: Path, chromium: str) -> None:
    del chromium
    (printed,) = export(case, ["pdf"], into=tmp_path)
    content = printed.path.read_bytes()
    assert content.startswith(b"%PDF-")
    assert content.rstrip().endswith(b"%%EOF")
    assert content.count(b"/Type /Page\n") + content.count(b"/Type /Page/") + content.count(b"/Type/Page") > 3


def test_without_a_browser_the_refusal_says_what_to_install(
    case: Case, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("IRKIT_CHROMIUM", str(tmp_path / "no-such-browser"))
    before = len(case.evidence.items())
    with pytest.raises(Refused, match="there is no chromium here: install chromium"):
        export(case, ["csv", "pdf"], into=tmp_path)
    assert len(case.evidence.items()) == before
    assert not list(tmp_path.iterdir())
