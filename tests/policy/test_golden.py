"""irkit's decisions against those of an independent evaluator, asked once: see README.md beside this file."""

from __future__ import annotations

from collections import Counter

from tests.policy import golden


def test_every_decision_is_the_one_that_an_independent_evaluator_took() -> None:
    different = [case for case in golden.cases() if golden.decide(case) != case["answer"]]

    assert different == []


def test_the_golden_questions_cover_what_they_are_said_to_cover() -> None:
    asked = list(golden.cases())
    families = Counter(case["family"] for case in asked)
    answers = Counter(case["answer"] for case in asked)
    across = [case for case in asked if case["owner"] != "111111111111"]
    granted = [case for case in across if case["answer"] == "allowed"]

    assert len(asked) >= 5000
    assert families["kms"] >= 1000
    assert families["trust"] >= 800
    assert len(across) >= 1000
    assert len(granted) >= 50
    assert min(answers[answer] for answer in ("allowed", "denied", "not allowed")) >= 1000


def test_an_allow_names_the_statements_that_allow_and_a_deny_those_that_deny() -> None:
    for number, case in enumerate(golden.cases()):
        if number % 7:
            continue
        decision = golden.decision(case)
        if decision.verdict.value == "denied by a statement":
            assert decision.statements
            assert not any(statement.allows for statement in decision.statements)
        else:
            assert all(statement.allows for statement in decision.statements)
        assert decision.why
