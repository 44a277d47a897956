"""What holds for every policy, tried on policies made up by Hypothesis."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from irkit.policy import Applicable, Kind, Policy, Verdict, evaluate
from irkit.policy.patterns import compiled, glob, matches
from tests.policy import golden
from tests.policy.golden_cases import Questions

questions = st.integers(0, 2**32).map(lambda seed: Questions(seed).one())
texts = st.text(alphabet="ab/:*?.\n-", max_size=12)
patterns = st.text(alphabet="ab/:*?.\n-", max_size=10)


def meaning(pattern: str) -> re.Pattern[str]:
    """The same wildcards as a regular expression."""
    return re.compile(
        "".join(".*" if c == "*" else "." if c == "?" else re.escape(c) for c in pattern), re.DOTALL
    )


def statement(effect: str, **more: Any) -> dict[str, Any]:
    return {"Effect": effect, "Action": "*", "Resource": "*", **more}


def identity(*statements: dict[str, Any]) -> Policy:
    document = {"Version": "2012-10-17", "Statement": list(statements)}
    return Policy.read(document, kind=Kind.IDENTITY, name="added")


@given(patterns, texts)
@settings(max_examples=1000, deadline=None)
def test_wildcards_mean_what_the_regular_expression_means(pattern: str, text: str) -> None:
    tokens = compiled(pattern, variables=False).filled(lambda _: None)

    assert tokens is not None
    assert matches(tokens, text) is (meaning(pattern).fullmatch(text) is not None)


@given(patterns, texts)
@settings(max_examples=300, deadline=None)
def test_actions_compare_without_case(pattern: str, text: str) -> None:
    assert glob(pattern, text) is glob(pattern.upper(), text) is glob(pattern, text.upper())


def test_many_wildcards_on_a_long_text_take_no_longer_than_pattern_times_text() -> None:
    tokens = compiled("*a" * 60 + "b", variables=False).filled(lambda _: None)

    assert tokens is not None
    assert not matches(tokens, "a" * 5000)


@given(questions)
@settings(max_examples=200, deadline=None)
def test_a_deny_of_everything_wins_over_whatever_else_is_said(case: dict[str, Any]) -> None:
    given_ = golden.applicable(case)
    request = golden.request(case)
    denying = replace(given_, identity=(*given_.identity, identity(statement("Deny"))))

    assert evaluate(request, denying).verdict is Verdict.DENIED


@given(questions)
@settings(max_examples=200, deadline=None)
def test_an_allow_added_to_the_caller_takes_nothing_away(case: dict[str, Any]) -> None:
    given_ = golden.applicable(case)
    request = golden.request(case)
    allowing = replace(given_, identity=(*given_.identity, identity(statement("Allow"))))
    before, after = evaluate(request, given_), evaluate(request, allowing)

    assert after.verdict is before.verdict or (
        before.verdict is Verdict.NOT_ALLOWED and after.verdict is Verdict.ALLOWED
    )


@given(questions)
@settings(max_examples=200, deadline=None)
def test_a_limit_added_to_a_request_grants_nothing(case: dict[str, Any]) -> None:
    given_ = golden.applicable(case)
    request = golden.request(case)
    level = (identity(statement("Allow", Resource="arn:aws:s3:::evidence/*")),)
    limited = replace(given_, scps=(*given_.scps, tuple(replace(p, kind=Kind.SCP) for p in level)))

    assert evaluate(request, given_).allowed or not evaluate(request, limited).allowed


@given(questions)
@settings(max_examples=100, deadline=None)
def test_nothing_is_allowed_to_anybody_by_no_policy_at_all(case: dict[str, Any]) -> None:
    request = golden.request(case)
    if request.resource.split(":")[2] in {"kms", "iam"}:
        return

    assert evaluate(request, Applicable()).verdict is Verdict.NOT_ALLOWED


@given(questions, st.randoms(use_true_random=False))
@settings(max_examples=150, deadline=None)
def test_the_order_of_policies_and_statements_does_not_matter(case: dict[str, Any], order: Any) -> None:
    shuffled = dict(case)
    shuffled["identity"] = [
        {**document, "Statement": order.sample(document["Statement"], len(document["Statement"]))}
        for document in order.sample(case.get("identity", []), len(case.get("identity", [])))
    ]

    assert golden.decide(shuffled) == golden.decide(case)
