from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from irkit.errors import BadInput, InvalidParameter, NotFound
from irkit.hunt import Detections, detect, read_rules, shipped_rules
from irkit.logs import ingest
from irkit.tables import Tables
from tests.hunt import sigma_by_hand, sigma_edges
from tests.hunt import world as w
from tests.logs.builders import DATASETS, at, record, write_trail

SIGMA = DATASETS.parent / "sigma"
BOMB = "\n".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 20)}]" for n in range(1, 9))
HEAD = {"title": "t", "logsource": {"product": "aws", "service": "cloudtrail"}}


def _write(folder: Path, *rules: dict[str, Any]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number, rule in enumerate(rules):
        (folder / f"{number:03}.yml").write_text(yaml.safe_dump(rule, sort_keys=False))
    return folder


def _rule(selection: Any, condition: str = "selection", **more: Any) -> dict[str, Any]:
    return HEAD | {"detection": {"selection": selection, "condition": condition}} | more


def _ids(found: Detections) -> dict[tuple[str, ...], set[str]]:
    """The events of each rule, and of each group of a correlation."""
    return {(m.rule.about.title, *m.group): {event["event_id"] for event in m.events} for m in found.matches}


def _by_hand(folder: Path, records: list[dict[str, Any]]) -> dict[tuple[str, ...], set[str]]:
    """The same, said by the evaluator; a rule that only serves a correlation is not told on its own."""
    documents = [
        one
        for path in sorted(folder.glob("*.yml"))
        for one in yaml.safe_load_all(path.read_text(encoding="utf-8"))
    ]
    named = {one["name"]: one for one in documents if "name" in one}
    correlations = [one for one in documents if "correlation" in one]
    serving = {name for one in correlations for name in one["correlation"]["rules"]}
    said: dict[tuple[str, ...], set[str]] = {}
    for rule in documents:
        if "correlation" not in rule and rule.get("name") not in serving:
            hits = {r["eventID"] for r in records if sigma_by_hand.matches(rule, r)}
            said |= {(rule["title"],): hits} if hits else {}
    for rule in correlations:
        bases = [named[name] for name in rule["correlation"]["rules"]]
        groups = sigma_by_hand.correlated(rule, bases, records)
        said |= {(rule["title"], *group): hits for group, hits in groups.items()}
    return said


def _edges(folder: Path, *, seed: int, records: int, rules: int) -> None:
    made = sigma_edges.records(seed, records)
    write_trail(folder / "raw" / "trail.json.gz", made)
    ingest(folder / "raw", folder / "tables")
    written = _write(folder / "rules", *sigma_edges.rules(seed, rules))
    read = read_rules([written])
    assert not read.refused
    said = _by_hand(written, json.loads(json.dumps(made)))
    assert len(said) > rules / 4
    assert _ids(detect(folder / "tables", read, most=records)) == said


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    if not SIGMA.is_dir():
        pytest.skip("the shared data sets are not beside the checkout")
    into = tmp_path_factory.mktemp("real")
    ingest(DATASETS, into)
    records: dict[str, dict[str, Any]] = {}
    for path in sorted(DATASETS.rglob("*.json")):
        told = json.loads(path.read_text(encoding="utf-8"))
        for one in told["Records"] if isinstance(told, dict) else told:
            records.setdefault(one["eventID"], one)
    return into, list(records.values())


@pytest.mark.parametrize(
    "folder", [pytest.param(SIGMA, id="sigmahq"), pytest.param(shipped_rules(), id="shipped")]
)
def test_rules_hit_exactly_what_an_evaluator_without_sql_says_of_real_records(
    real: tuple[Path, list[dict[str, Any]]], folder: Path
) -> None:
    tables, records = real
    read = read_rules([folder])
    assert not read.refused
    said = _by_hand(folder, records)
    assert len(said) >= 10
    assert _ids(detect(tables, read, most=len(records))) == said


def test_rules_made_to_be_awkward_hit_exactly_what_an_evaluator_without_sql_says(tmp_path: Path) -> None:
    _edges(tmp_path, seed=1, records=120, rules=60)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(2, 12))
def test_many_awkward_rules_hit_exactly_what_the_evaluator_says(tmp_path: Path, seed: int) -> None:
    _edges(tmp_path, seed=seed, records=200, rules=150)


def test_a_hit_is_a_finding_with_techniques_and_its_events(tables: Tables, tmp_path: Path) -> None:
    rule = _rule(
        {"eventName": "createaccesskey"},
        level="high",
        status="test",
        tags=["attack.persistence", "attack.t1098.001"],
        id="12345678-1234-4234-8234-123456789012",
    )
    (finding,) = detect(tables, [_write(tmp_path, rule)]).findings()
    assert (finding.severity, finding.confidence, finding.source) == ("high", "medium", "sigma")
    assert finding.attack == ("T1098.001",)
    assert finding.basis == ("sigma:12345678-1234-4234-8234-123456789012",)
    assert finding.facts["access_key"] == ("AKIAADMIN00000000000", w.KEY)
    assert len(finding.facts["event"]) == 2
    assert finding.statement.startswith(
        "2 calls of 2 principals from 2 addresses between 2026-11-20T10:05:00Z and"
    )
    assert (finding.first_seen, finding.last_seen) == (at(5), at(45))


def test_one_call_is_told_in_the_singular(tables: Tables, tmp_path: Path) -> None:
    (finding,) = detect(tables, [_write(tmp_path, _rule({"eventName": "CreateUser"}))]).findings()
    assert (
        finding.statement == "1 call of 1 principal from 1 address at 2026-11-20T10:43:00Z: iam:CreateUser."
    )


def test_counts_are_of_all_events_and_events_are_the_first_ones(tables: Tables, tmp_path: Path) -> None:
    found = detect(tables, [_write(tmp_path, _rule({"eventName": "GetObject"}))], most=3)
    (match,) = found.matches
    assert match.count == 69
    assert [event["event_time"] for event in match.events] == sorted(e["event_time"] for e in match.events)
    assert match.events[0]["event_time"] == match.first
    assert found.findings()[0].statement.endswith("The first 3 are listed.")


def test_a_time_window_limits_what_rules_see(tables: Tables, tmp_path: Path) -> None:
    rules = [_write(tmp_path, _rule({"eventName": "CreateAccessKey"}))]
    assert detect(tables, rules, since=at(10)).matches[0].count == 1
    assert not detect(tables, rules, since="2026-11-20T11:30:00Z").matches
    with pytest.raises(InvalidParameter, match="no time"):
        detect(tables, rules, until="noon")


def test_a_hostile_rule_cannot_leave_its_literal(tables: Tables, tmp_path: Path) -> None:
    hostile = "x') or true or lower('"
    rules = [
        _rule({"eventName": hostile}, title="a"),
        _rule({f"requestParameters.{hostile}": hostile}, title="b"),
        _rule({"requestParameters.a'b|contains": hostile}, title="c"),
        _rule([hostile], title="d"),
        _rule({"userAgent|re": "a' or '1'='1"}, title="e"),
    ]
    found = detect(tables, [_write(tmp_path, *rules)])
    assert len(found.rules) == 5
    assert not found.matches


def test_rules_for_other_logs_are_counted_and_not_run(tables: Tables, tmp_path: Path) -> None:
    rule = _rule({"a": "b"}) | {"logsource": {"product": "okta", "service": "okta"}}
    found = detect(tables, [_write(tmp_path, rule)])
    assert (len(found.rules), found.rules.elsewhere) == (0, 1)
    assert "1 for other logs" in found.summary()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("title: [", "not YAML"),
        ("", "empty"),
        ("- 1", "no mapping"),
        (f"a0: &a0 [x]\n{BOMB}", "more than 20,000 values"),
        ("a: &x [*x]", "recursion"),
        (yaml.safe_dump(_rule({"eventName|nonsense": "x"})), "nonsense"),
        (yaml.safe_dump(_rule({"eventName|expand": "%admins%"})), "placeholder"),
        (yaml.safe_dump(_rule({"eventName|re": "("})), "invalid"),
        (yaml.safe_dump(_rule({"sourceIPAddress|cidr": "10.0.0.0/99"})), "CIDR"),
        (yaml.safe_dump(_rule({"requestParameters.ip|cidr": "2001:db8::/32"})), "IPv6"),
        (yaml.safe_dump(_rule({'requestParameters.a"b': "x"})), "quotation"),
        (yaml.safe_dump(_rule({"a": "b"}, "selection | count() > 5")), "pipe"),
        (yaml.safe_dump(_rule({"a": "b"}, "no_such")), "no_such"),
        (yaml.safe_dump({"title": "t", "logsource": {"product": "aws"}}), "detection"),
        (yaml.safe_dump({"title": "f", "filter": {}, "logsource": {"product": "aws"}}), "filters"),
        ("x" * 1_100_000, "larger than"),
        ("\x00", "YAML"),
    ],
)
def test_a_bad_rule_is_refused_with_its_reason_and_the_others_run(
    tables: Tables, tmp_path: Path, text: str, told: str
) -> None:
    folder = _write(tmp_path, _rule({"eventName": "CreateUser"}))
    (folder / "bad.yml").write_text(text, encoding="utf-8")
    found = detect(tables, [folder])
    assert len(found.matches) == 1
    (refused,) = found.refused
    assert refused.file == "bad.yml"
    assert told.lower() in refused.reason.lower()
    assert "\n" not in refused.reason


def test_an_ipv6_network_is_found_in_the_source_address(tmp_path: Path) -> None:

    write_trail(
        tmp_path / "t.json.gz",
        [record(ip="2001:db8:1::7"), record(ip="2001:0db8:2::1"), record(ip="10.1.1.1")],
    )
    ingest(tmp_path / "t.json.gz", tmp_path / "tables")
    rules = _write(tmp_path / "rules", _rule({"sourceIPAddress|cidr": "2001:db8::/32"}))
    assert detect(tmp_path / "tables", [rules]).matches[0].count == 2


def test_a_field_that_cloudtrail_does_not_have_is_named(tables: Tables, tmp_path: Path) -> None:
    found = detect(tables, [_write(tmp_path, _rule({"status": "success", "eventName": "CreateUser"}))])
    assert not found.matches
    assert found.rules.rules[0].strange == ("status",)
    assert found.to_dict()["never_matching"][0]["fields"] == ["status"]


def test_a_rule_given_twice_counts_once_and_an_id_used_twice_is_told(tables: Tables, tmp_path: Path) -> None:
    rule = _rule({"eventName": "CreateUser"}, id="12345678-1234-4234-8234-123456789012")
    folder = _write(tmp_path, rule, rule, rule | {"detection": {"s": {"eventName": "x"}, "condition": "s"}})
    found = detect(tables, [folder, folder])
    assert len(found.matches) == 1
    assert {one.file for one in found.refused} == {"002.yml"}


def test_a_folder_without_rules_or_a_path_that_is_not_there_is_told(tables: Tables, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no rule"):
        detect(tables, [tmp_path])
    with pytest.raises(NotFound, match="no file or folder"):
        detect(tables, [tmp_path / "x"])


def test_detections_show_themselves_escaped_and_as_data(tables: Tables, tmp_path: Path) -> None:
    rule = _rule({"eventName": "CreateUser"}, title="<b>bold</b>")
    found = detect(tables, [_write(tmp_path, rule)])
    assert "&lt;b&gt;bold" in found._repr_html_()
    assert "<b>" not in found._repr_html_()
    assert repr(found) == "Detections(1 rule run, 1 matched; 0 refused, 0 for other logs)"
    data = json.loads(json.dumps(found.to_dict()))
    assert data["matches"][0]["events"][0]["event_name"] == "CreateUser"
    assert str(found.events()["event_time"].dtype).endswith("UTC]")
    assert len(found.to_frame()) == 1


def test_rules_answer_empty_tables(tmp_path: Path) -> None:
    found = detect(tmp_path)
    assert not found.matches
    assert not found.events().size
    assert found.coverage.startswith("0 CloudTrail records")
