"""The search for witnesses: what it finds goes through, and what goes through it finds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from irkit.errors import Incomplete
from irkit.policy import Applicable, Kind, Policy, Request, Requester, evaluate, witness
from irkit.policy.outsiders import facts
from irkit.policy.patterns import matches
from irkit.policy.samples import shared, shared_arn, tokens_of
from irkit.policy.witness import Search
from tests.policy import golden
from tests.policy.golden_cases import Questions

texts = st.text(alphabet="ab*?", max_size=7)


def search(case: dict[str, Any]) -> Search:
    return Search(base=replace(golden.request(case), context={}), new=golden.applicable(case))


@given(texts, texts)
@settings(max_examples=500, deadline=None)
def test_a_text_said_to_fit_two_patterns_fits_both(left: str, right: str) -> None:
    found = shared([tokens_of(left), tokens_of(right)])

    if found is not None:
        assert matches(tokens_of(left), found)
        assert matches(tokens_of(right), found)


@given(st.text(alphabet="ab", max_size=5), texts, texts)
@settings(max_examples=500, deadline=None)
def test_two_patterns_that_some_text_fits_are_said_to_share_one(text: str, left: str, right: str) -> None:
    if matches(tokens_of(left), text) and matches(tokens_of(right), text):
        assert shared([tokens_of(left), tokens_of(right)]) is not None


def test_wildcards_do_not_reach_over_the_colons_of_an_arn() -> None:
    assert shared_arn([tokens_of("arn:aws:s3:::b*"), tokens_of("arn:aws:s3:*:*:b/*")]) == "arn:aws:s3:::b/x"
    assert shared_arn([tokens_of("arn:aws:s3:::a/*"), tokens_of("arn:aws:s3:::b/*")]) is None


def test_whatever_an_independent_evaluator_allowed_in_some_context_is_found_when_the_context_is_open() -> (
    None
):
    allowed = [case for case in golden.cases() if case["answer"] == "allowed"]
    missed = [case for case in allowed if search(case).on(case["action"], case["resource"]) is None]

    assert len(allowed) > 400
    assert missed == []


@given(st.integers(0, 2**32))
@settings(max_examples=150, deadline=None)
def test_a_witness_goes_through_when_it_is_asked_for_by_itself(seed: int) -> None:
    case = Questions(seed).one()
    found = search(case).on(case["action"], case["resource"])

    if found is None:
        assert golden.decide(case) != "allowed"
    else:
        assert evaluate(found.request, golden.applicable(case)).allowed


@given(st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_nothing_is_new_compared_with_itself(seed: int) -> None:
    case = Questions(seed).one()
    same = golden.applicable(case)
    compared = Search(base=replace(golden.request(case), context={}), new=same, old=same)

    try:
        found = compared.on(case["action"], case["resource"])
    except Incomplete:
        reject()  # more combinations than are tried: said to be undecided, which is no verdict
    assert found is None


def test_more_combinations_than_the_budget_are_said_to_be_undecided(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(witness, "BUDGET", 50)
    keys = {f"aws:PrincipalTag/k{n}": f"${{aws:RequestTag/r{n}}}" for n in range(6)}
    allow = {
        "Effect": "Allow",
        "Action": "s3:GetObject",
        "Resource": "*",
        "Condition": {"StringEquals": keys},
    }
    deny = {**allow, "Effect": "Deny"}
    document = {"Version": "2012-10-17", "Statement": [allow, deny]}
    who = Requester.read("arn:aws:iam::123456789012:role/r")
    base = Request(who=who, action="", resource="*", resource_account="123456789012", context=facts(who))
    hard = Search(base=base, new=Applicable(identity=(Policy.read(document, kind=Kind.IDENTITY, name="p"),)))

    with pytest.raises(Incomplete, match="more combinations"):
        hard.on("s3:GetObject", "arn:aws:s3:::b/k")
