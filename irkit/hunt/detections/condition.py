"""What a rule's condition says, apart from any query language: tests of fields, joined by all, any and not.

Sigma's own reading of values is pySigma's; these few types are what is left of it, and all that SQL is made of.

References:
    https://sigmahq.io/docs/basics/conditions.html and https://sigmahq.io/docs/basics/modifiers.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Network, IPv6Network


class Wild(Enum):
    """A wildcard in a text."""

    MANY = "*"
    ONE = "?"


@dataclass(frozen=True, slots=True)
class Text:
    """The whole value is this text, in which wildcards may stand; case counts only if `cased`."""

    parts: tuple[str | Wild, ...]
    cased: bool = False

    @property
    def plain(self) -> bool:
        """Whether there is no wildcard in it."""
        return not any(isinstance(part, Wild) for part in self.parts)

    def anywhere(self) -> Text:
        """This text with anything before and after it."""
        return Text((Wild.MANY, *self.parts, Wild.MANY), self.cased)


@dataclass(frozen=True, slots=True)
class Number:
    """The value is this number, however it is written (`0` and `0.0`)."""

    value: int | float


@dataclass(frozen=True, slots=True)
class Truth:
    """The value is true or false, as a JSON boolean or as text."""

    value: bool


@dataclass(frozen=True, slots=True)
class Regex:
    """The pattern occurs in the value. `flags` are any of the letters i, m, s."""

    pattern: str
    flags: str = ""


@dataclass(frozen=True, slots=True)
class InNetwork:
    """The value is an address in this network."""

    network: IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Compare:
    """The value is a number that is `<`, `<=`, `>` or `>=` this one."""

    operator: str
    number: int | float


@dataclass(frozen=True, slots=True)
class SameAs:
    """The value is (or begins, or ends with) the value of another field of the event; case does not count."""

    field: str
    begins: bool = False
    ends: bool = False


@dataclass(frozen=True, slots=True)
class ClockPart:
    """A part of a time (`hour`, `minute`, `day`, `week`, `month`, `year`, in UTC) is this number."""

    part: str
    value: int


@dataclass(frozen=True, slots=True)
class HasValue:
    """There is a value: not missing, not null, and of a list at least one member."""


@dataclass(frozen=True, slots=True)
class Exists:
    """The field is there, be its value null."""


@dataclass(frozen=True, slots=True)
class OneOf:
    """The value is exactly one of these: what a test came to once the values were known."""

    values: tuple[str, ...]


Test = Text | Number | Truth | Regex | InNetwork | Compare | SameAs | ClockPart | HasValue | Exists | OneOf


@dataclass(frozen=True, slots=True)
class Leaf:
    """A test of one field; `field` None means of all of them (a keyword)."""

    field: str | None
    test: Test


@dataclass(frozen=True, slots=True)
class AllOf:
    """Each part holds."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """One part holds, or more."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The part does not hold; what cannot be told (a missing field) does not hold."""

    part: Condition


@dataclass(frozen=True, slots=True)
class Known:
    """Decided before any event is looked at."""

    value: bool


Condition = Leaf | AllOf | AnyOf | Not | Known


def leaves(condition: Condition) -> Iterator[Leaf]:
    """Every test in a condition."""
    match condition:
        case Leaf():
            yield condition
        case AllOf(parts) | AnyOf(parts):
            for part in parts:
                yield from leaves(part)
        case Not(part):
            yield from leaves(part)
        case Known():
            return


def simplified(condition: Condition, decide: Callable[[Leaf], Condition] = lambda leaf: leaf) -> Condition:
    """`condition` with every leaf replaced by what `decide` makes of it, and with what follows from that."""
    match condition:
        case Leaf():
            return decide(condition)
        case Known():
            return condition
        case Not(part):
            inner = simplified(part, decide)
            return Known(not inner.value) if isinstance(inner, Known) else Not(inner)
        case AllOf(parts) | AnyOf(parts):
            # An AND is decided by one part that is false, an OR by one that is true.
            decisive = isinstance(condition, AnyOf)
            kept: list[Condition] = []
            for part in parts:
                inner = simplified(part, decide)
                if isinstance(inner, Known):
                    if inner.value is decisive:
                        return Known(decisive)
                else:
                    kept.append(inner)
            if not kept:
                return Known(not decisive)
            return kept[0] if len(kept) == 1 else type(condition)(tuple(kept))
