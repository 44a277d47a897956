"""The steps of a case as its journal tells them: what was meant, what came of it, how it is taken back."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from irkit.journal import Entry, Kind

Standing = Literal["done", "done in part", "failed", "skipped", "interrupted", "running", "undone"]
_NOTEBOOK = re.compile(r"(capture|contain|analyze|examine|report)/[a-z0-9-]+")
_ENDS: Mapping[Kind, Standing] = {Kind.DONE: "done", Kind.FAILED: "failed", Kind.SKIPPED: "skipped"}


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRecord:
    """One step and how it stands. `began` and `ended` are the times of its last try; `entries` are sequence numbers.

    `interrupted` means that it was intended and nothing says how it went: it may have taken effect. A notebook in that
    state is `running`: the report itself is made by one.
    """

    step: str
    verb: str
    target: str
    title: str
    standing: Standing
    began: datetime
    ended: datetime
    actor: str
    changes: bool = False
    why: str = ""
    undo: str = ""
    missing: tuple[str, ...] = ()
    result: Mapping[str, Any] = field(default_factory=dict)
    entries: tuple[int, ...] = ()

    @property
    def seconds(self) -> float:
        """How long the last try took."""
        return max(0.0, (self.ended - self.began).total_seconds())

    @property
    def notebook(self) -> bool:
        """Whether the step is the run of a notebook, whose own steps are told one by one."""
        return _NOTEBOOK.fullmatch(self.target) is not None

    @property
    def room(self) -> str:
        """The first part of the verb, such as `network` of `network.quarantine`."""
        return self.verb.partition(".")[0]


def steps_of(entries: Iterable[Entry]) -> tuple[StepRecord, ...]:
    """Every step that `entries` speak of, in the order in which they were first meant."""
    by_step: dict[str, list[Entry]] = {}
    for entry in entries:
        if entry.step and entry.kind in {Kind.INTENDED, Kind.UNDONE, *_ENDS}:
            by_step.setdefault(entry.step, []).append(entry)
    return tuple(_record(step, told) for step, told in by_step.items())


def _record(step: str, told: list[Entry]) -> StepRecord:
    last = told[-1]
    body = {name: value for entry in told for name, value in entry.body.items() if value is not None}
    begun = next((entry for entry in reversed(told) if entry.kind is Kind.INTENDED), last)
    missing = tuple(str(lack) for lack in last.body.get("missing") or ())
    return StepRecord(
        step=step,
        verb=str(body.get("verb", "")),
        target=str(body.get("target", "")),
        title=str(body.get("title") or body.get("verb", "")),
        standing=_standing(
            last, missing, notebook=_NOTEBOOK.fullmatch(str(body.get("target", ""))) is not None
        ),
        began=moment(begun.at),
        ended=moment(last.at),
        actor=last.actor,
        changes=bool(body.get("changes", False)),
        # A failure's reason begins with what was being done, which the title says already.
        why=str(last.body.get("why") or "").removeprefix(f"{body.get('title')}: "),
        undo=_undo(body.get("undo")),
        missing=missing,
        result=_mapping(last.body.get("result")),
        entries=tuple(entry.seq for entry in told),
    )


def _standing(last: Entry, missing: tuple[str, ...], *, notebook: bool) -> Standing:
    if last.kind is Kind.INTENDED:
        return "running" if notebook else "interrupted"
    if last.kind is Kind.UNDONE:
        return "undone"
    return "done in part" if last.kind is Kind.DONE and missing else _ENDS[last.kind]


def _undo(recorded: object) -> str:
    """How the step is taken back, in words: the calls in order, or why it cannot be."""
    undo = _mapping(recorded)
    if undo.get("impossible"):
        return f"cannot be undone: {undo['impossible']}"
    calls = [_mapping(call) for call in undo.get("calls") or ()]
    return ", then ".join(f"{call.get('service', '')}:{call.get('operation', '')}" for call in calls)


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def moment(text: str) -> datetime:
    """The journal's time `text` as an aware datetime."""
    return datetime.fromisoformat(text)
