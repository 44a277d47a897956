"""Several runs of one kind side by side: one journal, one summary, and no run that fails takes another with it.

All plans are made first. Then every run is written into the journal before the first of them begins, so that after a
kill `irkit case resume` takes up those too that were still waiting for their turn.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from irkit import background
from irkit.errors import IrkitError, StorageError
from irkit.markup import table
from irkit.plan import Plan, Progress, Report, Status, reason, silent
from irkit.playbooks import runs

if TYPE_CHECKING:
    import pandas as pd

    from irkit.case import Case

T = TypeVar("T")
JOBS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One run of a batch: what it was given, how it went, or why it could not even be planned."""

    args: Mapping[str, Any]
    report: Report | None = None
    error: str = ""
    seconds: float = 0.0

    @property
    def instance(self) -> str:
        """The instance that it is about."""
        return str(self.args["instance_id"])

    @property
    def exit_code(self) -> int:
        """0 complete, 1 nothing was done, 3 something is missing, 4 it waits for an approval."""
        if self.report is None:
            return 1
        return 4 if self.error else self.report.exit_code

    @property
    def lacking(self) -> tuple[str, ...]:
        """What is missing, in words."""
        if self.report is None:
            return (self.error,)
        failed = [f"{s.verb} {s.target}: {s.why}" for s in self.report.failed]
        waits = (self.error,) if self.error else ()
        return (*waits, *failed, *(f"{s.verb}: {m}" for s in self.report.steps for m in s.missing))

    def to_dict(self) -> dict[str, Any]:
        """The part as JSON types."""
        shown = self.report.to_dict() if self.report is not None else {"complete": False, "steps": []}
        return {
            "instance_id": self.instance, "exit_code": self.exit_code, "error": self.error or None,
            "seconds": round(self.seconds, 2), **shown,
        }  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """How several runs went, in the order in which they were asked for."""

    parts: tuple[Part, ...]
    seconds: float = field(default=0.0)

    @property
    def complete(self) -> bool:
        """Whether every run did everything."""
        return all(p.exit_code == 0 for p in self.parts)

    @property
    def exit_code(self) -> int:
        """0 when complete, 1 when no run did anything, 3 when something is missing."""
        codes = {p.exit_code for p in self.parts}
        return codes.pop() if len(codes) == 1 else 3

    def rows(self) -> list[tuple[str, str, str, str, str]]:
        """One row a run: instance, how it ended, steps done of all, seconds, and what is missing."""
        return [
            (p.instance, _word(p), _count(p), f"{p.seconds:.1f}", "; ".join(p.lacking))
            for p in self.parts
        ]  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """The batch as JSON types."""
        return {
            "schema": "irkit/batch/1", "complete": self.complete, "exit_code": self.exit_code,
            "seconds": round(self.seconds, 2), "instances": [p.to_dict() for p in self.parts],
        }  # fmt: skip

    def to_frame(self) -> pd.DataFrame:
        """One row a run, as `rows`."""
        import pandas as pd

        return pd.DataFrame(self.rows(), columns=["instance", "ended", "steps", "seconds", "missing"])

    def __repr__(self) -> str:
        whole = sum(p.exit_code == 0 for p in self.parts)
        return f"<Batch: {whole} of {len(self.parts)} complete, {self.seconds:.1f} s>"

    def _repr_html_(self) -> str:
        return table(("instance", "ended", "steps", "seconds", "missing"), self.rows())


def start(
    case: Case, what: str, each: Sequence[Mapping[str, Any]], *, jobs: int = JOBS, progress: Progress = silent
) -> Batch:
    """Plan every run, journal all that can be planned, then carry them out, `jobs` at a time.

    A run that cannot be planned or that fails is told in its part. Raises `StorageError` when nothing can be written.
    """
    begun = time.monotonic()
    made = plans(case, what, each, jobs=jobs)
    work: list[Callable[[], Part]] = []
    for args, (_, plan) in zip(each, made, strict=True):
        run = runs.begun(case, what, args) if isinstance(plan, Plan) else None
        work.append(partial(_carried_out, case, args, run, plan, progress))
    try:
        parts = _together(work, jobs)
    finally:
        case.evidence.recover(note=progress)
        case.close()
    return Batch(parts=tuple(parts), seconds=time.monotonic() - begun)


def plans(
    case: Case, what: str, each: Sequence[Mapping[str, Any]], *, jobs: int = JOBS
) -> list[tuple[str, Plan | str]]:
    """For each run its instance and its plan, or why it cannot be planned; nothing is begun."""
    case.aws.share()
    made = _together([partial(_planned, case, what, args) for args in each], jobs)
    return [(str(args["instance_id"]), plan) for args, plan in zip(each, made, strict=True)]


def _together(calls: Sequence[Callable[[], T]], jobs: int) -> list[T]:
    return [f.result() for f in background.side_by_side(calls, name="irkit-batch", workers=jobs)]


def _planned(case: Case, what: str, args: Mapping[str, Any]) -> Plan | str:
    try:
        return runs.planned(case, what, args)
    except StorageError:
        raise
    except IrkitError as error:
        return str(error)


def _carried_out(
    case: Case, args: Mapping[str, Any], run: runs.Run | None, plan: Plan | str, progress: Progress
) -> Part:
    if run is None or isinstance(plan, str):
        return Part(args=args, error=str(plan))
    from irkit.approvals import gate

    begun = time.monotonic()
    try:
        may, waiting = gate.divide(case, plan, {}, stop=False)
        report = may.apply(progress=progress)
        if waiting:  # the run does not end: resume goes on when somebody has agreed
            needed = str(gate.refuse(case, waiting, report))
            return Part(args=args, report=report, error=needed, seconds=time.monotonic() - begun)
        runs.ended(case, run, report)
    except StorageError:
        raise
    except Exception as error:  # noqa: BLE001  one run fails alone, whatever went wrong in it; resume takes it up again
        return Part(
            args=args, error=reason(error, doing=plan.title, resource=""), seconds=time.monotonic() - begun
        )
    return Part(args=args, report=report, seconds=time.monotonic() - begun)


def _word(part: Part) -> str:
    return {0: "complete", 3: "in part", 4: "waits"}.get(part.exit_code, "failed")


def _count(part: Part) -> str:
    steps = part.report.steps if part.report is not None else ()
    return f"{sum(s.status is Status.DONE for s in steps)} of {len(steps)}"
