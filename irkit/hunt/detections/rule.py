"""What a Sigma rule is once it is read: its condition, and what a finding says of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from irkit.findings import Confidence, Severity
from irkit.hunt.detections.condition import Condition

CorrelationKind = Literal["event_count", "value_count", "temporal", "temporal_ordered"]
_CONFIDENCE: Mapping[str, Confidence] = {"stable": "high", "test": "medium"}


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What a rule says about itself. `level` and `status` are Sigma's words; `attack` holds technique ids."""

    key: str
    title: str
    file: str
    level: Severity = "medium"
    status: str = ""
    description: str = ""
    attack: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    false_positives: tuple[str, ...] = ()

    @property
    def confidence(self) -> Confidence:
        """High for a rule that its authors call stable, medium for one under test, else low."""
        return _CONFIDENCE.get(self.status, "low")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A rule for single events. `strange` names fields that CloudTrail does not have: such a test never matches.

    `names` are what a correlation may call it by. A rule that is `silent` only serves correlations.
    """

    about: About
    condition: Condition
    strange: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    silent: bool = False

    def __repr__(self) -> str:
        return f"Rule({self.about.key}: {self.about.title})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Correlation:
    """A rule for several events of other rules within `seconds` of each other that agree in `group_by`.

    `fields` maps a field of `group_by` and a base rule's key to the field that stands for it there.
    `operator` and `count` are the condition: of `event_count` on the events, of `value_count` on the different values
    of `counted`, of `temporal` on the different rules that matched. `temporal_ordered` wants all, in their order.
    """

    about: About
    kind: CorrelationKind
    rules: tuple[Rule, ...]
    group_by: tuple[str, ...]
    seconds: int
    operator: str = ">="
    count: int | float = 1
    counted: str = ""
    fields: Mapping[tuple[str, str], str]

    def field_of(self, rule: Rule, name: str) -> str:
        """The field that `name` means for the events of `rule`."""
        return self.fields.get((name, rule.about.key), name)

    def __repr__(self) -> str:
        return f"Correlation({self.about.key}: {self.kind} of {len(self.rules)} rules)"


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedRule:
    """A rule that was not run, and why."""

    file: str
    title: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleSet:
    """Rules that can be run, those that cannot, and how many were for other logs than CloudTrail."""

    rules: tuple[Rule, ...] = ()
    correlations: tuple[Correlation, ...] = ()
    refused: tuple[RefusedRule, ...] = ()
    elsewhere: int = 0

    def __len__(self) -> int:
        return len(self.rules) + len(self.correlations)

    def __repr__(self) -> str:
        return (
            f"RuleSet({len(self.rules)} rules, {len(self.correlations)} correlations, {len(self.refused)} refused,"
            f" {self.elsewhere} for other logs)"
        )
