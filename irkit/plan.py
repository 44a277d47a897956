"""Plans: what would be done, shown before it is done; and the one place where it is done.

A verb returns a `Plan` of `Step`s and changes nothing. `plan.apply()` runs the steps in the order of their stages, each
journaled before and after, each with its own deadline, each failing alone. Run again, it skips what is done, and asks
AWS about a step that was begun and never ended before it does it a second time.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, BinaryIO

from irkit.canonical import digest, plain
from irkit.errors import IrkitError
from irkit.escape import for_terminal
from irkit.journal import Entry, Kind
from irkit.markup import table

if TYPE_CHECKING:
    import pandas as pd

    from irkit.case import Case
    from irkit.evidence import Item

Progress = Callable[[str], None]


def silent(_: str) -> None:
    """Progress that nobody watches."""


class Status(StrEnum):
    """How a step stands."""

    PLANNED = "planned"
    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request to AWS, as data: how a step can be taken back is written down as these."""

    service: str
    operation: str
    params: Mapping[str, Any]
    region: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """The call as the journal holds it."""
        return {
            "service": self.service,
            "operation": self.operation,
            "params": plain(self.params),
            "region": self.region,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Undo:
    """How to put back exactly what was there: calls, in the order to make them; or why it cannot be done."""

    calls: tuple[Call, ...] = ()
    impossible: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """The undo as the journal holds it."""
        return {"calls": [c.to_dict() for c in self.calls], "impossible": self.impossible}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a step did. `missing` lists what it could not get although it went on: the step is then done in part.

    `skipped` says why there was nothing to do. `before` and `after` are the state of what was changed.
    """

    result: Mapping[str, Any] = field(default_factory=dict)
    before: Any = None
    after: Any = None
    request_ids: tuple[str, ...] = ()
    undo: Undo | None = None
    missing: tuple[str, ...] = ()
    skipped: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One journaled action. Its id follows from case, verb, target and arguments, so the same plan has the same ids.

    `act` does it. `before` reads the state that `act` changes, and what it returns is journaled ahead of the call.
    `find` is asked when an earlier run was cut short in the middle, or failed there: the outcome if AWS shows that the
    step took effect, None if it did not. `needs` are verbs that must be done first. `deadline` is in seconds. `changes`
    tells a change of AWS from a reading of it. `stage` orders; steps of one stage run side by side. When a `vital`
    step fails, the stages after it are skipped; no step of capture or containment is vital.
    """

    verb: str
    target: str
    title: str
    act: Callable[[Running], Outcome]
    args: Mapping[str, Any] = field(default_factory=dict)
    before: Callable[[], Any] | None = None
    find: Callable[[Any], Outcome | None] | None = None
    needs: tuple[str, ...] = ()
    changes: bool = True
    reversible: str = ""
    stage: int = 0
    deadline: float = 120.0
    vital: bool = False

    def id(self, case_id: str) -> str:
        """16 hexadecimal digits that are the same whenever the same step is planned again for the case."""
        return digest([case_id, self.verb, self.target, plain(self.args)])[:16]


class Running:
    """What a step's `act` is given: the case, a place for evidence, progress, and whether it is still wanted."""

    def __init__(
        self,
        case: Case,
        step: Step,
        *,
        before: Any,
        progress: Progress,
        results: Mapping[str, Mapping[str, Any]],
    ) -> None:
        self.case = case
        self.step = step
        self.step_id = step.id(case.id)
        self.before = before
        self.results = results
        self._progress = progress
        self._end = time.monotonic() + step.deadline
        self._stopped = threading.Event()

    @property
    def seconds_left(self) -> float:
        """Seconds until the step's deadline; never below 0."""
        return max(0.0, self._end - time.monotonic())

    def stop(self) -> None:
        """Tell the step that nobody waits for it any more."""
        self._stopped.set()

    @property
    def stopped(self) -> bool:
        """Whether the step should end without doing more."""
        return self._stopped.is_set()

    def progress(self, text: str) -> None:
        """Show `text` as what the step is doing."""
        self._progress(f"{self.step.verb} {self.step.target}: {for_terminal(text)}")

    def kept(self, kind: str, name: str) -> Item | None:
        """The item of this step that an earlier, interrupted run stored already."""
        from irkit.evidence.store import ORIGINAL_NAME

        mine = self.case.evidence.items(kind=kind, step=self.step_id)
        return next((i for i in mine if i.notes.get(ORIGINAL_NAME, i.name) == name), None)

    def keep(
        self,
        data: bytes | BinaryIO | Iterable[bytes],
        *,
        kind: str,
        name: str,
        media_type: str = "application/octet-stream",
        source: str | None = None,
        partial: bool = False,
        notes: Mapping[str, Any] | None = None,
    ) -> Item:
        """Store `data` as an evidence item of this step; the item of an earlier run with this name stays the item."""
        return self.kept(kind, name) or self.case.evidence.add(
            data,
            kind=kind,
            name=name,
            source=source or self.step.target,
            step=self.step_id,
            media_type=media_type,
            partial=partial,
            notes=notes,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class StepReport:
    """How one step ended."""

    step: str
    verb: str
    target: str
    title: str
    status: Status
    changes: bool
    why: str = ""
    result: Mapping[str, Any] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    seconds: float = 0.0
    earlier: bool = False

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON types."""
        return {
            "step": self.step,
            "verb": self.verb,
            "target": self.target,
            "title": self.title,
            "status": self.status.value,
            "changes": self.changes,
            "why": self.why,
            "result": plain(self.result),
            "missing": list(self.missing),
            "seconds": round(self.seconds, 2),
            "earlier": self.earlier,
        }


@dataclass(frozen=True, slots=True)
class Report:
    """How a plan went; a table wherever it is shown."""

    steps: tuple[StepReport, ...]

    @property
    def complete(self) -> bool:
        """Whether everything was done, with nothing missing."""
        return all(s.status is not Status.FAILED and not s.missing for s in self.steps)

    @property
    def failed(self) -> tuple[StepReport, ...]:
        """The steps that failed."""
        return tuple(s for s in self.steps if s.status is Status.FAILED)

    @property
    def exit_code(self) -> int:
        """0 when complete, 1 when nothing was done, 3 when something is missing."""
        if self.complete:
            return 0
        return 3 if any(s.status is Status.DONE for s in self.steps) else 1

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON types."""
        return {"complete": self.complete, "steps": [s.to_dict() for s in self.steps]}

    def to_frame(self) -> pd.DataFrame:
        """One row a step: verb, target, status, what it says, seconds."""
        import pandas as pd

        rows = [
            {
                "verb": s.verb,
                "target": s.target,
                "status": s.status.value,
                "what": s.why or s.title,
                "missing": "; ".join(s.missing),
                "seconds": round(s.seconds, 2),
            }
            for s in self.steps
        ]
        return pd.DataFrame(rows, columns=["verb", "target", "status", "what", "missing", "seconds"])

    def __repr__(self) -> str:
        counts = {status: sum(s.status is status for s in self.steps) for status in Status}
        return "<Report: " + ", ".join(f"{n} {s.value}" for s, n in counts.items() if n) + ">"

    def _repr_html_(self) -> str:
        return table(
            ("step", "on", "status", "what happened"),
            [
                (
                    s.verb,
                    s.target,
                    s.status.value + (" (in part)" if s.missing else ""),
                    "; ".join(filter(None, (s.why or s.title, *s.missing))),
                )
                for s in self.steps
            ],
        )


class Plan:
    """Steps that have not run. Showing it changes nothing; `apply` runs it."""

    def __init__(self, case: Case, steps: Iterable[Step], *, title: str) -> None:
        self.case = case
        self.title = title
        self.steps: tuple[Step, ...] = tuple(sorted(steps, key=lambda s: s.stage))

    def __add__(self, other: Plan) -> Plan:
        return Plan(self.case, (*self.steps, *other.steps), title=f"{self.title}; {other.title}")

    def __len__(self) -> int:
        return len(self.steps)

    def rows(self) -> list[dict[str, Any]]:
        """One dictionary a step: stage, id, verb, target, title, whether it changes AWS, how it is undone, state."""
        return [
            {
                "stage": s.stage,
                "step": s.id(self.case.id),
                "verb": s.verb,
                "target": s.target,
                "title": s.title,
                "changes": s.changes,
                "undo": s.reversible,
                "state": self._state(s),
            }
            for s in self.steps
        ]

    def to_dict(self) -> dict[str, Any]:
        """The plan as JSON types."""
        return {"case": self.case.id, "title": self.title, "steps": self.rows()}

    def to_frame(self) -> pd.DataFrame:
        """One row a step, as `rows`."""
        import pandas as pd

        return pd.DataFrame(self.rows())

    def __repr__(self) -> str:
        changing = sum(s.changes for s in self.steps)
        return f"<Plan {self.title}: {len(self.steps)} steps, {changing} change AWS; apply() runs them>"

    def _repr_html_(self) -> str:
        return table(
            ("stage", "step", "on", "what it does", "changes AWS", "undone by"),
            [
                (s.stage, s.verb, s.target, s.title, "yes" if s.changes else "no", s.reversible)
                for s in self.steps
            ],
        )

    def _state(self, step: Step) -> str:
        return standing(self.case.journal.of_step(step.id(self.case.id)))[0]

    def apply(self, *, progress: Progress = silent, workers: int = 8) -> Report:
        """Run the steps: journaled, resumable, each failing alone. Raises `StorageError` when nothing can be journaled.

        What a step has begun when its deadline passes goes on in the background while the process lives; if it ends
        well after all, the journal says so.
        """
        from irkit.applying import Applying

        done = Applying(self.case, progress).stages(self.steps, workers)
        order = {s.id(self.case.id): n for n, s in enumerate(self.steps)}
        return Report(tuple(sorted(done, key=lambda r: order[r.step])))


def standing(entries: Sequence[Entry]) -> tuple[str, Entry | None]:
    """The state of a step and the entry that says so. An interruption leaves `intended` standing."""
    for entry in reversed(entries):
        if entry.kind in (Kind.INTENDED, Kind.DONE, Kind.FAILED, Kind.SKIPPED, Kind.UNDONE):
            return entry.kind.value, entry
    return Status.PLANNED.value, None


def reason(error: Exception, *, doing: str, resource: str) -> str:
    """`error` in one line, AWS's codes translated."""
    if isinstance(error, IrkitError):
        return str(error)
    import botocore.exceptions as aws

    if isinstance(error, aws.BotoCoreError | aws.ClientError):
        from irkit.aws.refusals import explained

        return str(explained(error, doing=doing, resource=resource))
    return f"{doing}: {type(error).__name__}: {for_terminal(error)}"
