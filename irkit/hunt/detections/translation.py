"""pySigma's reading of a rule's condition as our own: nothing of pySigma is left in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from irkit.hunt.detections.condition import (
    AllOf,
    AnyOf,
    ClockPart,
    Compare,
    Condition,
    Exists,
    HasValue,
    InNetwork,
    Leaf,
    Not,
    Number,
    Regex,
    SameAs,
    Text,
    Truth,
    Wild,
    simplified,
)

if TYPE_CHECKING:
    from sigma.rule import SigmaRule
    from sigma.types import SigmaString

_COMPARISONS = {"LT": "<", "LTE": "<=", "GT": ">", "GTE": ">="}
_FLAGS = {"IGNORECASE": "i", "MULTILINE": "m", "DOTALL": "s"}


def translated(rule: SigmaRule) -> Condition:
    """The rule's condition; raises `ValueError`, or pySigma's own error, for what cannot be asked.

    Several conditions in one rule are alternatives, as Sigma has it.
    """
    parts = tuple(_condition(one.parsed) for one in rule.detection.parsed_condition)
    if not parts:
        raise ValueError("it has no condition")
    return simplified(parts[0] if len(parts) == 1 else AnyOf(parts))


def _condition(node: Any) -> Condition:
    from sigma.conditions import (
        ConditionAND,
        ConditionFieldEqualsValueExpression,
        ConditionNOT,
        ConditionOR,
        ConditionValueExpression,
    )

    match node:
        case ConditionAND():
            return AllOf(tuple(_condition(part) for part in node.args))
        case ConditionOR():
            return AnyOf(tuple(_condition(part) for part in node.args))
        case ConditionNOT():
            return Not(_condition(node.args[0]))
        case ConditionFieldEqualsValueExpression():
            return _leaf(str(node.field), node.value)
        case ConditionValueExpression():
            return _leaf(None, node.value)
    raise ValueError(f"a condition of the kind {type(node).__name__} is not supported")


def _leaf(field: str | None, value: Any) -> Condition:
    from sigma import types

    match value:
        case types.SigmaExpansion():
            return AnyOf(tuple(_leaf(field, one) for one in value.values))
        case types.SigmaNull():
            return Not(Leaf(field, HasValue()))
        case types.SigmaExists():
            found = Leaf(field, Exists())
            return found if value else Not(found)
        case types.SigmaString():
            return _text(field, value, cased=isinstance(value, types.SigmaCasedString))
        case types.SigmaTimestampPart():
            return Leaf(field, ClockPart(value.timestamp_part.name.lower(), int(value.number)))
        case types.SigmaNumber():
            return Leaf(field, Number(value.number))
        case types.SigmaBool():
            return Leaf(field, Truth(value.boolean))
        case types.SigmaRegularExpression():
            flags = "".join(sorted(_FLAGS[flag.name] for flag in value.flags))
            return Leaf(field, Regex(str(value.regexp), flags))
        case types.SigmaCIDRExpression():
            return Leaf(field, InNetwork(value.network))
        case types.SigmaCompareExpression():
            if value.op.name not in _COMPARISONS:
                return Not(Leaf(field, Number(value.number.number)))
            return Leaf(field, Compare(_COMPARISONS[value.op.name], value.number.number))
        case types.SigmaFieldReference():
            return Leaf(field, SameAs(value.field, value.starts_with, value.ends_with))
    raise ValueError(f"a value of the kind {type(value).__name__} is not supported")


def _text(field: str | None, value: SigmaString, *, cased: bool) -> Condition:
    from sigma.types import SpecialChars

    wildcards = {SpecialChars.WILDCARD_MULTI: Wild.MANY, SpecialChars.WILDCARD_SINGLE: Wild.ONE}
    parts: list[str | Wild] = []
    for part in value.s:
        if isinstance(part, str):
            parts.append(part)
        elif isinstance(part, SpecialChars):
            parts.append(wildcards[part])
        else:
            raise ValueError("placeholders (|expand) have no list to be filled from")  # noqa: TRY004 - the rule's fault
    if parts == [Wild.MANY]:
        return Leaf(field, HasValue())
    return Leaf(field, Text(tuple(parts), cased))
