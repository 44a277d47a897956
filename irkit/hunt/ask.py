"""Asking: a question's name and its parameters in, an answer out."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irkit.errors import NotFound
from irkit.escape import for_terminal
from irkit.hunt.answer import Answer
from irkit.hunt.catalog import Catalog
from irkit.hunt.question import Question
from irkit.hunt.questions import QUESTIONS
from irkit.tables import Column, HasTables, Tables

if TYPE_CHECKING:
    import pandas as pd

_BY_NAME: Mapping[str, Question] = {question.name: question for question in QUESTIONS}

questions = Catalog(QUESTIONS)


def question(name: str | Question) -> Question:
    """The question called `name`; a question is taken as it is."""
    if isinstance(name, Question):
        return name
    if name not in _BY_NAME:
        near = difflib.get_close_matches(name, _BY_NAME, n=3, cutoff=0.4)
        hint = f"did you mean {' or '.join(near)}?" if near else "see `irkit logs questions`"
        raise NotFound(f"there is no question {for_terminal(name)!r}", hint=hint)
    return _BY_NAME[name]


def ask(where: Tables | HasTables | Path | str, name: str | Question, **params: object) -> Answer:
    """The answer to the question `name`, from open tables, a tables folder or a case.

    Parameters may be given as text, as a command line does; `questions()` tells what each question takes.
    """
    asked = question(name)
    values = asked.read_params(params)
    with nullcontext(where) if isinstance(where, Tables) else Tables.open(where) as tables:
        answer = Answer(
            question=asked,
            params=values,
            frame=answered(asked, tables, values),
            coverage=tables.extent.sentence(),
            scanned=sum(tables.rows(f"select count(*) from {name}")[0][0] for name in asked.reads),  # noqa: S608
        )
    answer.label()
    return answer


def answered(asked: Question, tables: Tables, values: Mapping[str, object]) -> pd.DataFrame:
    """The rows that answer a question whose parameters were read, in its columns and types."""
    frame = asked.walk(tables, values) if asked.walk else tables.frame(*asked.bind(values))
    if asked.shape:
        frame = asked.shape(frame)
    return _typed(frame, asked.columns)


def _typed(frame: pd.DataFrame, columns: tuple[Column, ...]) -> pd.DataFrame:
    """The frame in the columns' order; whole numbers stay whole where some are missing, texts are text."""
    frame = frame[[column.name for column in columns]]
    wanted = {"BIGINT": ("int64", "Int64"), "INTEGER": ("int64", "Int64"), "BOOLEAN": ("bool", "boolean")}
    types: dict[str, Any] = {}
    for column in columns:
        if column.type in wanted:
            whole, some_missing = wanted[column.type]
            types[column.name] = some_missing if frame[column.name].isna().any() else whole
        elif column.type == "DOUBLE":
            types[column.name] = "float64"
        elif column.type == "VARCHAR":
            types[column.name] = "str"
    return frame.astype(types)
