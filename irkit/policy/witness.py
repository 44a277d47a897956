"""Finds a request that policies allow, or that the new ones allow and the old ones do not: a witness.

A bounded check, not a proof: it is complete over the values that `irkit.policy.samples` deems worth trying. Keys are
given values one by one; after each, the decision is bounded from both sides (statements whose conditions are still open
taken as allowing, then as denying), and branches that cannot lead anywhere are left. What cannot be finished within the
budget raises `Incomplete`: "nothing found" always means that everything was tried.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from irkit.errors import Incomplete
from irkit.escape import for_terminal
from irkit.policy.actions import arn_formats, matching
from irkit.policy.arns import covers
from irkit.policy.conditions import Context, Test
from irkit.policy.document import Policy, Statement
from irkit.policy.evaluation import (
    Applicable,
    Decision,
    Request,
    action_covered,
    evaluate,
    reach_of,
)
from irkit.policy.patterns import ANY, ONE, Pattern
from irkit.policy.principals import Reach
from irkit.policy.samples import OTHER, Tokens, captured, fillings, shared_arn, tokens_of, values_of

# Decisions taken for one action on one resource before giving up.
BUDGET = 20_000
_RESOURCES = 64
_PLACE = ("aws", "us-east-1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Witness:
    """A request that goes through, the decision on it, and what the same request met under the old policies."""

    request: Request
    decision: Decision
    before: Decision | None = None


@dataclass(slots=True, kw_only=True)
class Search:
    """The search for a witness among requests by one principal.

    `base` says who asks; its action and resource are replaced. `base.context` holds keys that are fixed, an empty tuple
    for one that is certainly absent; all others are open. With `old`, only what `old` does not allow is a witness.
    """

    base: Request
    new: Applicable
    old: Applicable | None = None
    tried: int = 0
    _spent: int = 0
    _narrowed: tuple[Applicable, Applicable | None] = (Applicable(), None)

    def first(self, actions: Sequence[str], resources: Sequence[str]) -> Witness | None:
        """The first witness for one of `actions` on a resource that fits one of `resources`; None when there is none.

        A resource of `*` stands for whatever the action takes. Raises `Incomplete` when the budget does not suffice.
        """
        for action in actions:
            for wanted in resources:
                for resource in arn_formats(action) if wanted == "*" else (wanted,):
                    found = self.on(action, resource)
                    if found is not None:
                        return found
        return None

    def on(self, action: str, wanted: str) -> Witness | None:
        """A witness for one action on a resource that fits the pattern `wanted`."""
        statements = [s for s in self._statements() if action_covered(s, action)]
        if not any(s.allows for s in statements) and self.base.who.kind != "root":
            self.tried += 1
            return None
        tests = [test for s in statements for test in s.condition.tests]
        variables = self._variable_values(statements, tests)
        for resource in self._resources(action, statements, wanted, variables):
            for pattern in (pattern for s in statements for pattern in s.resources):
                self._learn(pattern, [resource], variables)
            request = replace(self.base, action=action, resource=resource)
            keep = frozenset(
                s for s in statements if _resource_state(s, request, frozenset(variables)) is not False
            )
            self._narrowed = (
                _narrow(self.new, keep),
                _narrow(self.old, keep) if self.old is not None else None,
            )
            values = self._values(keep, variables)
            self._spent = 0
            found = self._dig(request, values, sorted(values, key=lambda key: len(values[key])))
            if found is not None:
                return found
        return None

    def _statements(self) -> list[Statement]:
        found: dict[Statement, None] = {}
        for policies in (self.new, self.old):
            for policy in policies.every() if policies is not None else ():
                for statement in policy.statements:
                    if reach_of(statement, self.base) is not Reach.NOBODY:
                        found[statement] = None
        return list(found)

    def _variable_values(
        self, statements: Iterable[Statement], tests: Sequence[Test]
    ) -> dict[str, list[str]]:
        """Values for the keys that stand as variables somewhere."""
        keys = {key for s in statements for p in s.resources for key in p.variables}
        keys |= {key for test in tests for p in test.values for key in p.variables}
        found: dict[str, list[str]] = {}
        for key in keys:
            fixed = self.base.context.get(key)
            found[key] = list(fixed) if fixed is not None else values_of(key, _about(key, tests), {})
        for test in tests:
            texts = self.base.context.get(test.key) or values_of(test.key, _about(test.key, tests), {})
            for pattern in test.values:
                self._learn(pattern, texts, found)
        return found

    def _learn(self, pattern: Pattern, texts: Iterable[str], variables: dict[str, list[str]]) -> None:
        """Add to `variables` the values with which `pattern` stands for one of `texts`."""
        if pattern.variables:
            for text in texts:
                for key, value in captured(pattern, text).items():
                    if key not in self.base.context and value not in variables[key]:
                        variables[key].append(value)

    def _resources(
        self,
        action: str,
        statements: Iterable[Statement],
        wanted: str,
        variables: Mapping[str, Sequence[str]],
    ) -> list[str]:
        """Resources that fit `wanted`, one for each way in which the statements can tell resources apart."""
        asked = tokens_of(wanted)
        if (ANY not in asked and ONE not in asked) or (wanted == "*" and matching(action)):
            return [wanted]
        patterns: dict[Tokens, None] = {}
        for statement in statements:
            for pattern in statement.resources:
                patterns.update(dict.fromkeys(fillings(pattern, variables)))
        distinct = list(patterns)
        groups: list[tuple[Tokens, ...]] = [(tokens_of(self._elsewhere(wanted)), asked), (asked,)]
        groups += [(asked, one) for one in distinct]
        groups += [(asked, one, other) for one, other in combinations(distinct[:12], 2)]
        found: dict[str, None] = {}
        for group in groups:
            placed = shared_arn([tokens_of(self._in_place(wanted)), *group]) if wanted != "*" else None
            text = placed if placed is not None else shared_arn(list(group))
            if text is not None:
                found[text] = None
        return list(found)[:_RESOURCES]

    def _in_place(self, pattern: str) -> str:
        """An ARN pattern with the usual partition and region, and the owner's account, where it leaves them open."""
        parts = pattern.split(":", 5)
        if len(parts) < 6:
            return pattern
        for at, usual in zip((1, 3, 4), (*_PLACE, self.base.resource_account or "*"), strict=True):
            if parts[at] == "*":
                parts[at] = usual
        return ":".join(parts)

    def _elsewhere(self, pattern: str) -> str:
        """A pattern narrowed to resources that no policy is likely to name."""
        return self._in_place(pattern).replace("*", OTHER) if pattern != "*" else pattern

    def _values(
        self,
        relevant: Iterable[Statement],
        variables: Mapping[str, Sequence[str]],
    ) -> dict[str, list[tuple[str, ...]]]:
        """What each open key may be: absent first, then its values, alone and for multivalued keys in pairs."""
        tests = [test for s in relevant for test in s.condition.tests]
        keys = {key for s in relevant for key in s.condition.keys}
        keys |= {key for s in relevant for p in s.resources for key in p.variables}
        found: dict[str, list[tuple[str, ...]]] = {}
        for key in sorted(keys - set(self.base.context)):
            about = _about(key, tests)
            single = list(dict.fromkeys([*variables.get(key, ()), *values_of(key, about, variables)])) or [
                OTHER
            ]
            choices: list[tuple[str, ...]] = [(), *((value,) for value in single)]
            if about and all(test.over or test.operator is None for test in about):
                choices += list(combinations(single[:8], 2))
            found[key] = choices
        return found

    def _dig(
        self, request: Request, values: Mapping[str, list[tuple[str, ...]]], keys: Sequence[str]
    ) -> Witness | None:
        """Give the keys values one after the other, as long as a witness can still come of it."""
        self._spent += 1
        self.tried += 1
        if self._spent > BUDGET:
            raise Incomplete(
                f"{for_terminal(request.action)} on {for_terminal(request.resource)} has more combinations of "
                f"condition keys than irkit tries ({BUDGET})",
                hint="fix some of them with --context",
            )
        open_keys = frozenset(keys)
        if not self._decided(request, open_keys, hopeful=True):
            return None
        if self._decided(request, open_keys, hopeful=False):
            return self._witness(request)
        key, rest = keys[0], keys[1:]
        for value in values[key]:
            context = {**request.context, key: value}
            found = self._dig(replace(request, context=context), values, rest)
            if found is not None:
                return found
        return None

    def _decided(self, request: Request, open_keys: frozenset[str], *, hopeful: bool) -> bool:
        """Whether the request may still be a witness (`hopeful`), or is one whatever the open keys are."""
        new, old = self._narrowed
        allowed = evaluate(request, new, applies=_Guess(open_keys, allow=hopeful)).allowed
        if not allowed or old is None:
            return allowed
        return not evaluate(request, old, applies=_Guess(open_keys, allow=not hopeful)).allowed

    def _witness(self, request: Request) -> Witness:
        """The witness itself, decided once more without any guessing: open keys are left out, they do not matter."""
        before = evaluate(request, self.old) if self.old is not None else None
        return Witness(request=request, decision=evaluate(request, self.new), before=before)


@dataclass(frozen=True, slots=True)
class _Guess:
    """Whether a statement applies, where an open key leaves it undecided: as suits `allow`, or as suits a denial."""

    open_keys: frozenset[str]
    allow: bool

    def __call__(self, statement: Statement, request: Request) -> bool:
        undecided = False
        for state in self._states(statement, request):
            if state is False:
                return False
            undecided = undecided or state is None
        return statement.allows is self.allow if undecided else True

    def _states(self, statement: Statement, request: Request) -> Iterator[bool | None]:
        yield _resource_state(statement, request, self.open_keys)
        for test in statement.condition.tests:
            yield None if test.keys & self.open_keys else test.holds(request.context)


def _resource_state(statement: Statement, request: Request, open_keys: frozenset[str]) -> bool | None:
    """Whether the statement covers the request's resource; None while that hangs on an open key."""
    known = [
        covers(pattern, request.resource, lambda key: _single(request.context, key))
        for pattern in statement.resources
        if not pattern.variables & open_keys
    ]
    undecided = None if len(known) < len(statement.resources) else statement.not_resources
    if statement.not_resources:
        return False if True in known or None in known else undecided
    return True if True in known else undecided


def _narrow(policies: Applicable, keep: frozenset[Statement]) -> Applicable:
    """The same policies with only the statements of `keep` in them."""

    def one(policy: Policy | None) -> Policy | None:
        return policy and replace(policy, statements=tuple(s for s in policy.statements if s in keep))

    def many(listed: tuple[Policy, ...]) -> tuple[Policy, ...]:
        return tuple(found for found in map(one, listed) if found is not None)

    return replace(
        policies,
        identity=many(policies.identity),
        resource=one(policies.resource),
        boundary=one(policies.boundary),
        session=one(policies.session),
        endpoint=one(policies.endpoint),
        scps=tuple(map(many, policies.scps)),
        rcps=tuple(map(many, policies.rcps)),
    )


def _about(key: str, tests: Iterable[Test]) -> list[Test]:
    return [test for test in tests if test.key == key]


def _single(context: Context, key: str) -> str | None:
    values = context.get(key, ())
    return values[0] if len(values) == 1 else None
