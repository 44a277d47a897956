"""The answer to a question: a DataFrame with where it comes from."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from irkit.hunt.question import EARLIEST, LATEST, Question
from irkit.markup import table
from irkit.tables import iso

if TYPE_CHECKING:
    import pandas as pd

_SHOWN = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the tables say. `coverage` tells what they hold, so that an empty answer can be read rightly."""

    question: Question
    params: Mapping[str, object]
    frame: pd.DataFrame
    coverage: str

    def __len__(self) -> int:
        return len(self.frame)

    def to_frame(self) -> pd.DataFrame:
        """The rows; times are aware UTC."""
        return self.frame

    def rows(self) -> list[dict[str, Any]]:
        """The rows as plain Python values: None where there is none, times as text in UTC."""
        return [
            {str(name): _plain(value) for name, value in row.items()}
            for row in self.frame.to_dict(orient="records")
        ]

    def values(self, column: str) -> tuple[str, ...]:
        """The distinct values of `column` as text, in order of appearance, without the missing ones."""
        return tuple(dict.fromkeys(str(row[column]) for row in self.rows() if row[column] is not None))

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON types."""
        return {
            "question": self.question.name,
            "title": self.question.title,
            "params": {name: _plain(value) for name, value in self.params.items()},
            "coverage": self.coverage,
            "columns": [column.name for column in self.question.columns],
            "rows": self.rows(),
        }

    def summary(self) -> str:
        """One line: the question, what it was asked with, and how many rows answer it."""
        return f"{self.question.title}{_given(self.params)}: {len(self.frame):,} rows"

    def __repr__(self) -> str:
        return f"Answer({self.question.name}{_given(self.params)}: {len(self.frame):,} rows)"

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        return {"text/plain": repr(self), "text/html": self.html()}

    def html(self, *, rows: int = _SHOWN) -> str:
        """A static table of the first `rows` rows, escaped, that says how many more there are."""
        more = len(self.frame) - rows
        note = f"{more:,} more rows. " if more > 0 else ""
        names = [column.name for column in self.question.columns]
        shown = (_cells(row.values()) for row in self.frame.head(rows).to_dict(orient="records"))
        return table(names, shown, caption=self.summary(), note=f"{note}Asked of {self.coverage}.")


def _cells(values: Iterable[object]) -> list[object]:
    return [_plain(value) for value in values]


def _given(params: Mapping[str, object]) -> str:
    given = {name: value for name, value in params.items() if value not in (EARLIEST, LATEST, "", ())}
    return " (" + ", ".join(f"{name}={_plain(value)}" for name, value in given.items()) + ")" if given else ""


def _plain(value: object) -> Any:
    """`value` as JSON knows it; pandas' missing values are None."""
    import pandas as pd

    if isinstance(value, tuple | list):
        return [_plain(member) for member in value]
    if value is None or (not isinstance(value, str | dict) and pd.isna(value)):  # type: ignore[call-overload]
        return None
    if isinstance(value, datetime):
        return iso(value)
    if hasattr(value, "item"):
        value = value.item()
    try:
        json.dumps(value)
    except TypeError:
        return str(value)
    return value
