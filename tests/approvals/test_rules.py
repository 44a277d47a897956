"""The table of rules against cases in files: for every rule some that it allows and some that it denies."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from irkit.approvals.rules import RULES, Ask, Decision, Verb, Vote, decide

START = datetime(2026, 11, 23, 9, tzinfo=UTC)
STEP = "0123456789abcdef"
FILES = sorted(Path(__file__).parent.glob("*.yaml"))
CASES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    (f"{path.stem}: {case['says']}", book["ask"], case)
    for path in FILES
    for book in [yaml.safe_load(path.read_text(encoding="utf-8"))]
    for case in book["cases"]
]


def vote(raw: dict[str, Any]) -> Vote:
    at = START + timedelta(minutes=raw["at"])
    return Vote(
        by=raw["by"],
        verb=Verb(raw.get("verb", "approve")),
        case=raw.get("case", "C-1"),
        step=raw.get("step", STEP),
        at=at,
        until=at + timedelta(minutes=raw.get("lasts", 240)),
        reason=raw.get("reason", ""),
        roles=tuple(raw.get("roles", ["ir-lead"])),
        genuine=raw.get("genuine", True),
    )


def decided(ask: dict[str, Any], case: dict[str, Any]) -> Decision:
    asked = Ask(case="C-1", step=STEP, requester="ana", **ask)
    return decide(asked, [vote(v) for v in case["votes"]], START + timedelta(minutes=case.get("now", 10)))


@pytest.mark.parametrize(("name", "ask", "case"), CASES, ids=[c[0] for c in CASES])
def test_a_case_is_decided_as_its_file_says(name: str, ask: dict[str, Any], case: dict[str, Any]) -> None:
    decision = decided(ask, case)
    assert decision.allowed is case["allowed"], decision
    assert case["why"] in "; ".join((decision.why, *decision.passed_over))
    assert bool(decision.break_glass) is case.get("break_glass", False)


def test_every_rule_has_cases_that_allow_and_cases_that_deny() -> None:
    found: dict[str, set[bool]] = defaultdict(set)
    for _, _, case in CASES:
        found[case.get("rule", "")].add(case["allowed"])
    lacking = {rule.name for rule in RULES} - {name for name, seen in found.items() if seen == {True, False}}
    assert lacking == set()
    print(f"\n{len(CASES)} cases for {len(RULES)} rules, {sum(c['allowed'] for _, _, c in CASES)} allowed")


VOTES = st.builds(
    Vote,
    by=st.sampled_from(["ana", "bea", "dan", "eve"]),
    verb=st.sampled_from(Verb),
    case=st.sampled_from(["C-1", "C-2"]),
    step=st.sampled_from([STEP, "f" * 16]),
    at=st.integers(-400, 20).map(lambda m: START + timedelta(minutes=m)),
    until=st.integers(-400, 400).map(lambda m: START + timedelta(minutes=m)),
    reason=st.sampled_from(["", "nobody answers the phone"]),
    roles=st.lists(st.sampled_from(["ir-lead", "break-glass"]), unique=True).map(tuple),
    genuine=st.booleans(),
)


@given(votes=st.lists(VOTES, max_size=6), number=st.integers(1, 3))
def test_whatever_is_said_nothing_runs_on_the_requesters_word_or_on_a_forgery(
    votes: list[Vote], number: int
) -> None:
    ask = Ask(case="C-1", step=STEP, requester="ana", role="ir-lead", number=number)
    decision = decide(ask, votes, START)
    real = [v for v in votes if v.genuine and (v.case, v.step) == ("C-1", STEP)]
    if decision.allowed and not decision.break_glass:
        assert len(set(decision.by) - {"ana"}) >= number
        assert all(any(v.by == n and "ir-lead" in v.roles for v in real) for n in decision.by)
    if decision.break_glass:
        assert any(v.verb is Verb.BREAK_GLASS and v.reason and "break-glass" in v.roles for v in real)
    assert not decide(ask, [v for v in votes if not v.genuine], START).allowed
