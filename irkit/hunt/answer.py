"""The answer to a question: a DataFrame with where it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irkit.escape import for_csv
from irkit.hunt.question import EARLIEST, LATEST, Question
from irkit.markup import table
from irkit.tables import iso

if TYPE_CHECKING:
    import pandas as pd

_SHOWN = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the tables say: a DataFrame that knows what it was asked of.

    It reads like its `frame`: `answer["source_ip"]`, `answer.head()`, `answer.groupby(…)` and the like are pandas's.
    Times are aware UTC, whole numbers whole, texts of pandas' own text type. `scanned` is how many rows the tables that
    were read hold, and `coverage` what they cover, so that an empty answer can be read rightly.
    """

    question: Question
    params: Mapping[str, object]
    frame: pd.DataFrame
    coverage: str
    scanned: int = 0
    unit: str = "rows"

    def label(self) -> None:
        """Write into `frame.attrs` what the frame is, so that it says so without the answer around it."""
        self.frame.attrs |= {
            "provenance": self.provenance,
            "question": self.question.name,
            "tables": list(self.question.reads),
            f"{self.unit}_scanned": self.scanned,
            "coverage": self.coverage,
        }

    def __len__(self) -> int:
        return len(self.frame)

    def __getitem__(self, key: Any) -> Any:
        return self.frame[key]

    def __getattr__(self, name: str) -> Any:
        # Never for what copying and pickling look for, which would come here before there is a frame.
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self.frame, name)

    def __dir__(self) -> list[str]:
        return sorted({*object.__dir__(self), *dir(self.frame)})

    @property
    def provenance(self) -> str:
        """One line: what was asked, of which tables, how many rows those hold, and how many answer."""
        of = ", ".join(self.question.reads)
        read = f"{self.scanned:,} {self.unit} scanned"
        return f"{self.question.name}{_given(self.params)} of {of}: {read}, {self._size()}"

    def _size(self) -> str:
        return f"{len(self.frame):,} {'row' if len(self.frame) == 1 else 'rows'}"

    def to_csv(self, path: str | Path | None = None) -> str | None:
        """The rows as CSV that a spreadsheet shows and does not run; into `path`, or returned when there is none."""
        import csv
        from io import StringIO

        names = [column.name for column in self.question.columns]
        into = StringIO()
        writer = csv.writer(into, lineterminator="\n")
        writer.writerow(names)
        for row in self.rows():
            writer.writerow([for_csv("" if row[name] is None else row[name]) for name in names])
        if path is None:
            return into.getvalue()
        Path(path).write_text(into.getvalue(), encoding="utf-8")
        return None

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
            "tables": list(self.question.reads),
            "rows_scanned": self.scanned,
            "coverage": self.coverage,
            "columns": [column.name for column in self.question.columns],
            "rows": self.rows(),
        }

    def summary(self) -> str:
        """One line: the question, what it was asked with, and how many rows answer it."""
        return f"{self.question.title}{_given(self.params)}: {self._size()}"

    def __repr__(self) -> str:
        return f"Answer({self.provenance})"

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        return {"text/plain": repr(self), "text/html": self.html()}

    def html(self, *, rows: int = _SHOWN) -> str:
        """A static table of the first `rows` rows, escaped, that says how many more there are."""
        more = len(self.frame) - rows
        note = f"{more:,} more rows. " if more > 0 else ""
        names = [column.name for column in self.question.columns]
        shown = zip(*(_plain_column(self.frame[name].head(rows)) for name in names), strict=True)
        return table(names, shown, caption=self.summary(), note=f"{note}{self.provenance}; {self.coverage}.")


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
