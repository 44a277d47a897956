"""What a question is: a documented query with typed parameters and a known result.

The SQL keeps to a subset that DuckDB and Trino (Athena) read alike: no QUALIFY, no FILTER, no list functions, no
`time_bucket`; medians are `approx_quantile`. Parameters are bound, never formatted in.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import TYPE_CHECKING, Any

from irkit.errors import InvalidParameter
from irkit.escape import for_terminal
from irkit.tables import SCHEMAS, Column, TableName, Tables

if TYPE_CHECKING:
    import pandas as pd

EARLIEST = datetime(1900, 1, 1, tzinfo=UTC)
LATEST = datetime(9999, 1, 1, tzinfo=UTC)
_KEY_ID = re.compile(r"A[A-Z0-9]{15,127}")
_INSTANCE = re.compile(r"i-(?:[0-9a-f]{8}|[0-9a-f]{17})")


class Kind(Enum):
    """What a parameter takes. Plurals take a list, or text with commas."""

    TEXT = "text"
    TEXTS = "texts"
    ACCESS_KEY = "access key id"
    INSTANCE = "instance id"
    ADDRESS = "address"
    ADDRESSES = "addresses"
    MOMENT = "time"
    WHOLE = "whole number"
    NUMBER = "number"


class _Required(Enum):
    REQUIRED = "required"


REQUIRED = _Required.REQUIRED


@dataclass(frozen=True, slots=True, kw_only=True)
class Param:
    """A parameter of a question."""

    name: str
    kind: Kind
    doc: str
    default: object = REQUIRED

    def read(self, value: object) -> object:
        """`value`, which may be text from a command line, as the parameter's type; else `InvalidParameter`."""
        try:
            return _READERS[self.kind](value)
        except (ValueError, TypeError) as error:
            shown = for_terminal(value)[:80]
            raise InvalidParameter(
                f"{self.name}={shown!r} is no {self.kind.value}",
                hint=_SUCH_AS.get(self.kind) or str(error) or self.doc,
            ) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A question that `ask` can answer.

    `sql` selects the answer with `$name` for each parameter. `shape` turns what it selected into the answer where SQL
    alone cannot; `walk` answers from the tables without SQL of its own and then names them in `walks`. The answer has
    `columns`, in this order.
    """

    name: str
    title: str
    doc: str
    columns: tuple[Column, ...]
    params: tuple[Param, ...] = ()
    sql: str = ""
    shape: Callable[[pd.DataFrame], pd.DataFrame] | None = None
    walk: Callable[[Tables, Mapping[str, Any]], pd.DataFrame] | None = None
    walks: tuple[TableName, ...] = ()
    attack: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "doc", " ".join(self.doc.split()))

    @property
    def reads(self) -> tuple[TableName, ...]:
        """The tables that the answer is drawn from."""
        named = re.findall(r"\b(?:from|join)\s+([a-z0-9_]+)", self.sql)
        return tuple(name for name in SCHEMAS if name in named) or self.walks

    def read_params(self, given: Mapping[str, object]) -> dict[str, object]:
        """The parameters with defaults filled in and types checked."""
        known = {param.name for param in self.params}
        if strange := sorted(set(given) - known):
            hint = f"it takes {', '.join(sorted(known)) or 'no parameters'}"
            raise InvalidParameter(f"{self.name} has no parameter {for_terminal(strange[0])!r}", hint=hint)
        values: dict[str, object] = {}
        for param in self.params:
            value = given.get(param.name, param.default)
            if value is REQUIRED or value is None:
                raise InvalidParameter(f"{self.name} needs {param.name}", hint=param.doc)
            values[param.name] = param.read(value)
        return values

    def bind(self, values: Mapping[str, object]) -> tuple[str, dict[str, object]]:
        """The SQL and what to bind.

        `$list` becomes as many placeholders as the list has members; `$given_list` is 1 when it has any, else 0.
        """
        bound: dict[str, object] = {}

        def place(match: re.Match[str]) -> str:
            name = match[1]
            if name.startswith("given_"):
                bound[name] = int(bool(values[name.removeprefix("given_")]))
                return f"${name}"
            value = values[name]
            if not isinstance(value, tuple):
                bound[name] = value
                return f"${name}"
            # An empty list matches nothing; '' is no address, key or name.
            members = value or ("",)
            bound.update({f"{name}_{i}": member for i, member in enumerate(members)})
            return "(" + ", ".join(f"${name}_{i}" for i in range(len(members))) + ")"

        return re.sub(r"\$([a-z_]+)", place, self.sql), bound

    def __repr__(self) -> str:
        takes = ", ".join(p.name if p.default is REQUIRED else f"{p.name}=…" for p in self.params)
        return f"{self.name}({takes}): {self.title}"


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("give text")
    return value


def _members(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    if isinstance(value, list | tuple | set | frozenset):
        return tuple(_text(member) for member in value)
    raise TypeError("give a list, or text with commas")


def _matching(pattern: re.Pattern[str], example: str) -> Callable[[object], str]:
    def read(value: object) -> str:
        text = _text(value).strip()
        if not pattern.fullmatch(text):
            raise ValueError(f"it looks like {example}")
        return text

    return read


def _address(value: object) -> str:
    text = _text(value).strip()
    # Exports with anonymised addresses carry octets with leading zeros, which are text to look for all the same.
    if not re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,3}){3}", text):
        ipaddress.ip_address(text)
    return text


def _moment(value: object) -> datetime:
    if isinstance(value, str):
        value = datetime.fromisoformat(value.strip())
    if not isinstance(value, datetime):
        raise TypeError("give a time such as 2026-11-20T10:00:00Z")
    return value if value.tzinfo else value.replace(tzinfo=UTC)


def _whole(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise TypeError("give a whole number")
    return int(value)


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise TypeError("give a number")
    return float(value)


# What Python says of these ("invalid literal for int() with base 10") helps nobody.
_SUCH_AS = {
    Kind.MOMENT: "give a time such as 2026-11-20T10:00:00Z",
    Kind.WHOLE: "give a whole number such as 12",
    Kind.NUMBER: "give a number such as 0.5",
}
_READERS: Mapping[Kind, Callable[[object], object]] = {
    Kind.TEXT: _text,
    Kind.TEXTS: _members,
    Kind.ACCESS_KEY: _matching(_KEY_ID, "AKIA… or ASIA…, 16 or more capitals and digits"),
    Kind.INSTANCE: _matching(_INSTANCE, "i-0123456789abcdef0"),
    Kind.ADDRESS: _address,
    Kind.ADDRESSES: lambda value: tuple(_address(member) for member in _members(value)),
    Kind.MOMENT: _moment,
    Kind.WHOLE: _whole,
    Kind.NUMBER: _number,
}


def moment(value: datetime | str) -> datetime:
    """`value` as an aware time, UTC where it names no zone; `InvalidParameter` for what is no time."""
    read = SINCE.read(value)
    assert isinstance(read, datetime)  # noqa: S101 - what a parameter of this kind reads
    return read


SINCE = Param(
    name="since", kind=Kind.MOMENT, doc="from this time on (UTC where no zone is given)", default=EARLIEST
)
UNTIL = Param(name="until", kind=Kind.MOMENT, doc="before this time", default=LATEST)
