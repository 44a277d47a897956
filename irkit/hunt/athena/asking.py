"""A question to Athena: the same name, the same parameters, the same columns as to the tables here."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from irkit.hunt.answer import Answer
from irkit.hunt.ask import answered, question
from irkit.hunt.athena.lake import Lake
from irkit.tables import Tables

if TYPE_CHECKING:
    from irkit.hunt.question import Question


def ask_lake(lake: Lake, name: str | Question, **params: object) -> Answer:
    """The answer to a question from the tables in Athena; raises as `Lake.frame` does."""
    asked = question(name)
    values = asked.read_params(params)
    before = lake.scanned
    # A question needs no more of the tables than `frame` and `rows`, which a lake has too.
    frame = answered(asked, cast("Tables", lake), values)
    read = lake.scanned - before
    of = "; ".join(f"{source.kind} at {source.location}" for source in lake.sources)
    answer = Answer(
        question=asked,
        params=values,
        frame=frame,
        coverage=f"Athena, {of}; {read:,} bytes read",
        unit="bytes",
        scanned=read,
    )
    answer.label()
    return answer
