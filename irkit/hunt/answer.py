"""The answer to a question: a DataFrame with where it comes from."""

from __future__ import annotations

from collections.abc import Mapping
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
        names = [column.name for column in self.question.columns]
        columns = [_plain_column(self.frame[name]) for name in names]
        return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]

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
        shown = zip(*(_plain_column(self.frame[name].head(rows)) for name in names), strict=True)
        return table(names, shown, caption=self.summary(), note=f"{note}Asked of {self.coverage}.")


def _given(params: Mapping[str, object]) -> str:
    given = {name: value for name, value in params.items() if value not in (EARLIEST, LATEST, "", ())}
    return " (" + ", ".join(f"{name}={_plain(value)}" for name, value in given.items()) + ")" if given else ""


def _plain_column(column: pd.Series[Any]) -> list[Any]:
    """The values of a column as JSON knows them; pandas' missing values are None."""
    missing = column.isna().tolist()
    if column.dtype.kind == "M":
        column = column.dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    return [None if gone else value for value, gone in zip(column.tolist(), missing, strict=True)]


def _plain(value: object) -> Any:
    """A parameter's value as JSON knows it."""
    if isinstance(value, tuple):
        return list(value)
    return iso(value) if isinstance(value, datetime) else value
