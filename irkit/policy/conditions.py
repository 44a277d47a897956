"""The Condition block: every key under every operator must hold.

Set operators, IfExists, Null and missing keys as in the IAM User Guide, "Set operators for multivalued context keys",
"IfExists" and "Condition operator to check existence of condition keys". Operators and keys compare without case.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from irkit.errors import BadInput
from irkit.escape import for_terminal
from irkit.policy.operators import OPERATORS, Operator
from irkit.policy.patterns import Pattern, compiled, condition_key

_NAME = re.compile(r"(?:(?P<set>foranyvalue|forallvalues):)?(?P<name>[a-z]+?)(?P<optional>ifexists)?")
# A key of the request in lower case and its values: one for a plain key, any number for a multivalued one.
Context = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Test:
    """One key under one operator; `operator` None is the Null operator."""

    key: str
    operator: Operator | None
    over: Literal["", "any", "all"]
    optional: bool
    values: tuple[Pattern, ...]
    where: str

    @property
    def keys(self) -> frozenset[str]:
        """The condition keys that decide it, variables' included."""
        return frozenset({self.key}).union(*(value.variables for value in self.values))

    def holds(self, context: Context) -> bool:
        """Whether the test holds for a request with this context."""
        found = context.get(self.key, ())
        if self.operator is None:
            missing = "false" if found else "true"
            return any(missing == (value.literal or "").lower() for value in self.values)
        if not found:
            if self.over:
                return self.over == "all"
            return self.optional or self.operator.negated
        if len(found) > 1 and not self.over:
            raise BadInput(
                f"policy {for_terminal(self.where)} compares {self.key}, which has {len(found)} values in the request,"
                " without ForAnyValue or ForAllValues",
                hint="AWS does not say what happens then; add one of them",
            )
        return (any if self.over == "any" else all)(
            self._one(value, context, self.operator) for value in found
        )

    def _one(self, value: str, context: Context, operator: Operator) -> bool:
        """Whether one value of the request passes.

        A variable without a value matches nothing; under a negated operator the test then does not hold either.
        """

        def lookup(key: str) -> str | None:
            values = context.get(key, ())
            if len(values) > 1:
                raise BadInput(
                    f"policy {for_terminal(self.where)} takes a variable from {key}, which has {len(values)} values",
                    hint="a policy variable needs a key with one value",
                )
            return values[0] if values else None

        filled = [pattern.filled(lookup) for pattern in self.values]
        matched = any(tokens is not None and operator.compare(value, tokens) for tokens in filled)
        if not operator.negated:
            return matched
        return not matched and None not in filled


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """A Condition element, read; holds when each of its tests does."""

    tests: tuple[Test, ...]

    @classmethod
    def read(cls, element: Any, *, where: str, variables: bool) -> Condition:
        """The element as parsed JSON; raises `BadInput` for operators, keys and values that IAM does not have."""
        if not isinstance(element, Mapping):
            raise BadInput(f"policy {for_terminal(where)} has a Condition that is no object", hint="check it")
        tests: list[Test] = []
        for name, block in element.items():
            if not isinstance(block, Mapping) or not block:
                raise BadInput(
                    f"policy {for_terminal(where)}: {for_terminal(name)} has no keys", hint="check it"
                )
            tests.extend(
                _test(str(name), str(key), value, where, variables=variables) for key, value in block.items()
            )
        return cls(tests=tuple(tests))

    @property
    def keys(self) -> frozenset[str]:
        """The condition keys that decide it."""
        return frozenset().union(*(test.keys for test in self.tests))

    def holds(self, context: Context) -> bool:
        """Whether every test holds."""
        return all(test.holds(context) for test in self.tests)


def _test(name: str, key: str, value: Any, where: str, *, variables: bool) -> Test:
    named = _NAME.fullmatch(name.lower())
    operator = OPERATORS.get(named["name"]) if named else None
    if named is None or (operator is None and (named["name"] != "null" or named["set"] or named["optional"])):
        raise BadInput(
            f"policy {for_terminal(where)} has the condition operator {for_terminal(name)!r}, which IAM does not have",
            hint="check its spelling",
        )
    listed = value if isinstance(value, list) else [value]
    texts = [_text(one, where) for one in listed]
    if not texts:
        raise BadInput(
            f"policy {for_terminal(where)}: {for_terminal(key)} has no values", hint="give at least one"
        )
    wildcards = operator is not None and operator.wildcards
    patterns = tuple(compiled(text, variables=variables, wildcards=wildcards) for text in texts)
    for pattern in patterns:
        _comparable(operator, pattern, where)
    return Test(
        key=condition_key(key),
        operator=operator,
        over="any" if named["set"] == "foranyvalue" else "all" if named["set"] else "",
        optional=named["optional"] is not None,
        values=patterns,
        where=where,
    )


# A value of each family that a policy's own value can be tried with when it is read.
_SAMPLES = {"number": "0", "date": "2026-01-01", "bool": "true", "binary": "", "address": "192.0.2.1"}


def _comparable(operator: Operator | None, pattern: Pattern, where: str) -> None:
    """Raise for a value that can never be compared under its operator, before any request is asked."""
    if pattern.variables:
        return
    tokens = pattern.filled(lambda _: None) or ()
    if operator is None:
        if (pattern.literal or "").lower() not in {"true", "false"}:
            raise BadInput(f"policy {for_terminal(where)}: Null takes true or false", hint="check its value")
        return
    sample = _SAMPLES.get(operator.family, "arn:aws:iam::123456789012:root")
    try:
        operator.compare(sample, tokens)
    except BadInput as error:
        raise BadInput(
            f"policy {for_terminal(where)}, {operator.name}: {error.message}", hint=error.hint
        ) from error


def _text(value: Any, where: str) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    raise BadInput(f"policy {for_terminal(where)} has a condition value that is no text", hint="check it")
