"""Policies that are a little weaker than they should be, to see whether some test notices."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from irkit.policy.conditions import Condition, Test
from irkit.policy.document import Policy, Statement
from irkit.policy.patterns import compiled


def weaker(policy: Policy, *, intruder: str) -> Iterator[tuple[str, Policy]]:
    """The policy with one statement removed or made weaker; `intruder` is the ARN that a mutant lets in."""
    for at, statement in enumerate(policy.statements):
        before, after = policy.statements[:at], policy.statements[at + 1 :]
        yield f"{statement.name}: removed", replace(policy, statements=before + after)
        made = _denying_less(statement, intruder) if not statement.allows else _allowing_more(statement)
        for how, mutant in made:
            yield f"{statement.name}: {how}", replace(policy, statements=(*before, mutant, *after))


def _denying_less(statement: Statement, intruder: str) -> Iterator[tuple[str, Statement]]:
    for test in statement.condition.tests:
        if test.operator is not None and test.operator.negated and test.key == "aws:principalarn":
            let_in = replace(test, values=(*test.values, compiled(intruder, variables=False)))
            yield "lets an intruder in", _with(statement, test, let_in)
        elif len(test.values) > 1:
            for value in test.values:
                fewer = replace(test, values=tuple(v for v in test.values if v != value))
                yield f"{test.key} without {value.text}", _with(statement, test, fewer)
    if statement.not_actions:
        wider = ("s3:Delete*", "s3:PutBucket*", "s3:PutObject*", "s3:Get*", "s3:List*")
        yield "spares more actions", replace(statement, actions=(*statement.actions, *wider))
    elif len(statement.actions) > 1:
        for action in statement.actions:
            yield (
                f"without {action}",
                replace(statement, actions=tuple(a for a in statement.actions if a != action)),
            )
    if len(statement.resources) > 1 and not statement.not_resources:
        for one in statement.resources:
            yield (
                f"without {one.text}",
                replace(statement, resources=tuple(r for r in statement.resources if r != one)),
            )


def _allowing_more(statement: Statement) -> Iterator[tuple[str, Statement]]:
    for test in statement.condition.tests:
        yield f"without the condition on {test.key}", _with(statement, test, None)
        if len(test.values) > 1:
            for value in test.values:
                fewer = replace(test, values=tuple(v for v in test.values if v != value))
                yield f"{test.key} without {value.text}", _with(statement, test, fewer)
    service = statement.actions[0].partition(":")[0]
    yield "for every action", replace(statement, actions=(f"{service}:*",))
    if len(statement.actions) > 1:
        for action in statement.actions:
            yield (
                f"without {action}",
                replace(statement, actions=tuple(a for a in statement.actions if a != action)),
            )


def _with(statement: Statement, old: Test, new: Test | None) -> Statement:
    tests = (new if test is old else test for test in statement.condition.tests)
    return replace(statement, condition=Condition(tests=tuple(test for test in tests if test is not None)))
