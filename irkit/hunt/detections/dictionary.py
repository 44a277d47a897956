"""What a test says of each different value of a column, found out once instead of once an event.

An account has a few hundred operations and thousands of programs and addresses, and millions of events. A test of such
a column becomes the exact list of the values that pass it; a rule for which none passes is decided without a scan.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import TYPE_CHECKING

from irkit.hunt.detections.condition import (
    Condition,
    Exists,
    HasValue,
    InNetwork,
    Known,
    Leaf,
    OneOf,
    SameAs,
    Test,
    leaves,
    simplified,
)
from irkit.hunt.detections.fields import REPETITIVE, place
from irkit.hunt.detections.predicate import column_test

if TYPE_CHECKING:
    from irkit.tables import Tables

_MOST_VALUES = 20_000
_MOST_LISTED = 1_000


class Dictionary:
    """The different values of the columns that conditions test, and what the tests say of them."""

    def __init__(self, tables: Tables, conditions: Iterable[Condition]) -> None:
        asked: dict[str, set[Test]] = {}
        for condition in conditions:
            for leaf in leaves(condition):
                column = repetitive_column(leaf)
                if column is not None:
                    asked.setdefault(column, set()).add(leaf.test)
        self._passed: dict[tuple[str, Test], frozenset[str]] = {}
        for column, tests in asked.items():
            self._resolve(tables, column, sorted(tests, key=repr))

    def _resolve(self, tables: Tables, column: str, tests: list[Test]) -> None:
        by_hand = [test for test in tests if isinstance(test, InNetwork) and _by_hand(test)]
        # Only a test that SQL cannot make is worth more values than this.
        limit = "" if by_hand else f" limit {_MOST_VALUES + 1}"
        found = tables.rows(f"select distinct {column} from cloudtrail where {column} is not null{limit}")  # noqa: S608
        values = [str(value) for (value,) in found]
        for wanted in by_hand:
            self._passed[column, wanted] = frozenset(value for value in values if _within(wanted, value))
        asked = [test for test in tests if not _by_hand(test)]
        if not asked or len(values) > _MOST_VALUES:
            return
        said = ", ".join(f"coalesce({column_test(test, 'v')}, false)" for test in asked)
        rows = tables.rows(f"select v, {said} from (select unnest($found) as v) t", {"found": values})  # noqa: S608
        for number, test in enumerate(asked, start=1):
            self._passed[column, test] = frozenset(row[0] for row in rows if row[number])

    def decide(self, leaf: Leaf) -> Condition:
        """What is known of a test beforehand: that none passes, or which values do."""
        column = repetitive_column(leaf)
        if leaf.field is not None and place(leaf.field).column is None:
            return Known(False)
        passed = None if column is None else self._passed.get((column, leaf.test))
        if passed is None:
            return leaf
        if not passed:
            return Known(False)
        if len(passed) > _MOST_LISTED and not _by_hand(leaf.test):
            return leaf
        return Leaf(leaf.field, OneOf(tuple(sorted(passed))))

    def resolved(self, condition: Condition) -> Condition:
        """`condition` with the tests of repetitive columns decided."""
        return simplified(condition, self.decide)


def repetitive_column(leaf: Leaf) -> str | None:
    """The repetitive column that a leaf tests, if it does."""
    if leaf.field is None or isinstance(leaf.test, SameAs | HasValue | Exists):
        return None
    where = place(leaf.field)
    return where.column if where.column in REPETITIVE and not where.json else None


def _by_hand(test: Test) -> bool:
    return isinstance(test, InNetwork) and test.network.version == 6


def _within(test: InNetwork, value: str) -> bool:
    try:
        return ipaddress.ip_address(value) in test.network
    except ValueError:
        return False
