from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
import yaml

from irkit.hunt import detect, read_rules
from irkit.logs import ingest
from tests.hunt import sigma_by_hand
from tests.logs.builders import record, user, write_trail

_SOURCE = {"product": "aws", "service": "cloudtrail"}


def _base(name: str, api: str) -> dict[str, Any]:
    return {
        "title": name,
        "name": name,
        "logsource": _SOURCE,
        "detection": {"s": {"eventName": api}, "condition": "s"},
    }


BASES = [_base("one", "ListUsers"), _base("two", "ListRoles"), _base("three", "ListBuckets")]


def _correlation(kind: str, rules: list[str], **more: Any) -> dict[str, Any]:
    told = {"type": kind, "rules": rules, "group-by": ["userIdentity.userName"], "timespan": "10m"} | more
    return {"title": f"{kind} {json.dumps(more)} {rules}", "correlation": told}


CORRELATIONS = [
    _correlation("event_count", ["one"], condition={"gte": 3}),
    _correlation("event_count", ["one", "two"], condition={"gt": 5}),
    _correlation("event_count", ["two"], condition={"eq": 2}),
    _correlation("event_count", ["one"], condition={"lt": 2}, timespan="90s"),
    _correlation("event_count", ["one"], condition={"gte": 4}, **{"group-by": ["sourceIPAddress", "awsRegion"]}),
    _correlation("event_count", ["one"], condition={"gte": 9}, **{"group-by": []}),
    _correlation("event_count", ["one"], condition={"gte": 2}, **{"group-by": ["requestParameters.name"]}),
    _correlation("value_count", ["one", "two", "three"], condition={"field": "eventName", "gte": 3}),
    _correlation("value_count", ["one"], condition={"field": "sourceIPAddress", "gte": 2}, timespan="3m"),
    _correlation("value_count", ["three"], condition={"field": "requestParameters.name", "gte": 2}),
    _correlation("temporal", ["one", "two", "three"]),
    _correlation("temporal", ["one", "two", "three"], timespan="2m", condition={"gte": 2}),
    _correlation("temporal_ordered", ["one", "two"], timespan="2m"),
    _correlation("temporal_ordered", ["three", "two", "one"], timespan="5m"),
    _correlation(
        "temporal",
        ["one", "three"],
        aliases={"who": {"one": "userIdentity.userName", "three": "requestParameters.name"}},
        **{"group-by": ["who"]},
    ),
]  # fmt: skip


def _records(seed: int, number: int) -> list[dict[str, Any]]:
    of = random.Random(seed)
    names = ["ann", "bob", "eve"]
    return [
        record(
            f"iam:{of.choice(['ListUsers', 'ListRoles', 'ListBuckets', 'GetUser'])}",
            of.randrange(0, 60 * number // 2) / 60,  # several at the same second, as CloudTrail has them
            identity=user(of.choice(names), "AKIA0000000000000000"),
            ip=of.choice(["192.0.2.1", "192.0.2.2"]),
            request=of.choice([None, {"name": of.choice(names)}, {"other": 1}]),
            awsRegion=of.choice(["us-east-1", "eu-west-1"]),
        )
        for _ in range(number)
    ]


def _compare(folder: Path, seed: int, number: int) -> None:
    made = _records(seed, number)
    write_trail(folder / "raw" / "t.json.gz", made)
    ingest(folder / "raw", folder / "tables")
    (folder / "rules.yml").write_text(yaml.safe_dump_all([*BASES, *CORRELATIONS]))
    read = read_rules([folder / "rules.yml"])
    assert not read.refused
    named = {base["name"]: base for base in BASES}
    said = {
        (rule["title"], *group): hits
        for rule in CORRELATIONS
        for group, hits in sigma_by_hand.correlated(
            rule, [named[name] for name in rule["correlation"]["rules"]], made
        ).items()
    }
    found = detect(folder / "tables", read, most=number)
    assert {(m.rule.about.title, *m.group): {e["event_id"] for e in m.events} for m in found.matches} == said
    assert len({key[0] for key in said}) >= len(CORRELATIONS) - 2


def test_correlations_hold_exactly_where_an_evaluator_without_sql_says(tmp_path: Path) -> None:
    _compare(tmp_path, seed=1, number=150)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(2, 22))
def test_correlations_hold_where_the_evaluator_says_for_many_seeds(tmp_path: Path, seed: int) -> None:
    _compare(tmp_path, seed=seed, number=200)


def test_base_rules_are_told_only_when_the_correlation_says_so(tmp_path: Path) -> None:
    write_trail(tmp_path / "raw" / "t.json.gz", [record("iam:ListUsers", n) for n in range(4)])
    ingest(tmp_path / "raw", tmp_path / "tables")
    counted = _correlation("event_count", ["one"], condition={"gte": 3})
    for generate, titles in ((False, {counted["title"]}), (True, {counted["title"], "one"})):
        told = counted | {"correlation": counted["correlation"] | {"generate": generate}}
        (tmp_path / "r.yml").write_text(yaml.safe_dump_all([BASES[0], told]))
        found = detect(tmp_path / "tables", [tmp_path / "r.yml"])
        assert {m.rule.about.title for m in found.matches} == titles


def test_a_correlation_is_one_finding_for_each_group_and_names_its_rules(tmp_path: Path) -> None:
    made = [record("iam:ListUsers", n, identity=user(name)) for n in range(4) for name in ("ann", "bob")]
    write_trail(tmp_path / "raw" / "t.json.gz", made)
    ingest(tmp_path / "raw", tmp_path / "tables")
    rule = _correlation("event_count", ["one"], condition={"gte": 3}) | {"level": "high"}
    (tmp_path / "r.yml").write_text(yaml.safe_dump_all([BASES[0], rule]))
    first, second = detect(tmp_path / "tables", [tmp_path / "r.yml"]).findings()
    assert {first.facts["group"], second.facts["group"]} == {("ann",), ("bob",)}
    assert first.statement.startswith("4 calls of 1 principal from 1 address between")
    assert first.statement.endswith("The rules one matched within 600 seconds.")
    assert first.id != second.id


@pytest.mark.parametrize(
    ("correlation", "told"),
    [
        (_correlation("event_count", ["absent"], condition={"gte": 1}), "was not read"),
        (_correlation("value_sum", ["one"], condition={"gte": 1, "field": "a"}), "not supported"),
        (_correlation("event_count", ["one"], condition={"lte": 0}), "absence"),
        (_correlation("temporal", ["one", "two"], condition="one and not two"), "not supported"),
        (_correlation("event_count", ["one"], condition={"gte": 1}, timespan="soon"), "timespan"),
        (_correlation("event_count", ["one"], condition={"gte": 1}, **{"group-by": ['resources."x']}), "quotation"),
    ],
)  # fmt: skip
def test_a_correlation_that_cannot_be_asked_is_refused_with_its_reason(
    tmp_path: Path, correlation: dict[str, Any], told: str
) -> None:
    (tmp_path / "r.yml").write_text(yaml.safe_dump_all([*BASES, correlation]))
    read = read_rules([tmp_path / "r.yml"])
    (refused,) = read.refused
    assert told.lower() in refused.reason.lower()
    assert len(read.rules) == 3
