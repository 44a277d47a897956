"""How a plan is run: each step under its lock, journaled before and after, within its deadline, failing alone."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as Late
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from irkit import background, durable
from irkit.canonical import plain
from irkit.errors import IrkitError
from irkit.escape import for_terminal
from irkit.journal import Entry, Kind
from irkit.plan import Outcome, Progress, Running, Status, Step, StepReport, reason, standing

if TYPE_CHECKING:
    from irkit.case import Case

T = TypeVar("T")


class DeadlineMissed(IrkitError):
    """A step took longer than it was given; it may still take effect."""


@dataclass(slots=True, kw_only=True)
class _Attempt:
    """One step, tried now: its lock, and when it was begun."""

    step: Step
    case: Case
    lock: int = -1
    begun: float = field(default_factory=time.monotonic)
    reported: threading.Event = field(default_factory=threading.Event)

    def report(self, status: Status, **more: Any) -> StepReport:
        return StepReport(
            step=self.step.id(self.case.id),
            verb=self.step.verb,
            target=self.step.target,
            title=self.step.title,
            status=status,
            changes=self.step.changes,
            seconds=time.monotonic() - self.begun,
            **more,
        )

    def record(self, kind: Kind, **body: Any) -> None:
        self.case.journal.append(kind, step=self.step.id(self.case.id), verb=self.step.verb, **body)

    def record_outcome(self, outcome: Outcome, **more: Any) -> None:
        if outcome.skipped is not None:
            self.record(Kind.SKIPPED, why=outcome.skipped, result=plain(outcome.result), **more)
            return
        self.record(
            Kind.DONE,
            target=self.step.target,
            result=plain(outcome.result),
            after=plain(outcome.after),
            request_ids=list(outcome.request_ids),
            undo=outcome.undo.to_dict() if outcome.undo else None,
            changes=self.step.changes,
            missing=list(outcome.missing),
            **({"before": plain(outcome.before)} if outcome.before is not None else {}),
            **more,
        )


class Applying:
    """One run of a plan's steps for `case`; made by `Plan.apply`."""

    def __init__(self, case: Case, progress: Progress) -> None:
        self._case = case
        self._progress = _unfailing(progress)
        self._results: dict[str, Mapping[str, Any]] = {}
        self._stopped: str | None = None
        self._running: list[Running] = []

    def stages(self, steps: Sequence[Step], workers: int) -> list[StepReport]:
        """Run the steps, one stage after the other, and return how each ended."""
        reports: list[StepReport] = []
        for stage in sorted({s.stage for s in steps}):
            batch = [s for s in steps if s.stage == stage]
            done = self._together([partial(self._run, s) for s in batch], workers)
            reports += done
            self._results |= {r.verb: r.result for r in done if r.status is Status.DONE}
            failed = {r.step for r in done if r.status is Status.FAILED}
            vital = (s.title for s in batch if s.vital and s.id(self._case.id) in failed)
            self._stopped = self._stopped or next(vital, None)
        if self._case.evidence.items():
            self._case.evidence.write_manifest()
        return reports

    def _together(self, calls: Sequence[Callable[[], StepReport]], workers: int) -> list[StepReport]:
        try:
            return [f.result() for f in background.side_by_side(calls, name="irkit-step", workers=workers)]
        except BaseException:
            for running in list(self._running):
                running.stop()
            raise

    def _run(self, step: Step) -> StepReport:
        attempt = _Attempt(step=step, case=self._case)
        path = self._case.root / "locks" / step.id(self._case.id)

        def waiting() -> None:
            self._progress(f"{step.verb} {step.target}: another process or thread is at it, waiting")

        try:
            # After a kill or a missed deadline, an orphan may still be at it.
            with durable.locked(path, waiting=waiting, patience=step.deadline) as attempt.lock:
                self._case.journal.refresh()
                return self._run_alone(attempt)
        except durable.Held as error:
            # Nothing was tried, so nothing is journaled: how the step ends, whoever is at it will say.
            return attempt.report(Status.FAILED, why=f"another process or thread is at it: {error.hint}")

    def _run_alone(self, attempt: _Attempt) -> StepReport:
        step = attempt.step
        entries = self._case.journal.of_step(step.id(self._case.id))
        state, last = standing(entries)
        if state == Kind.DONE and last is not None:
            return attempt.report(
                Status.DONE,
                why="done earlier",
                result=last.body.get("result") or {},
                earlier=True,
                missing=tuple(last.body.get("missing") or ()),
            )
        if why := self._hindrance(step):
            attempt.record(Kind.SKIPPED, why=why)
            return attempt.report(Status.SKIPPED, why=why)
        try:
            outcome = self._found(step, _unsettled(entries)) or self._tried(attempt)
            attempt.record_outcome(outcome)
        except Exception as error:  # noqa: BLE001  a step fails alone, whatever went wrong in it
            # Where it was the journal that could not be written, this raises again: no action without a record.
            why = reason(error, doing=step.title, resource="")
            attempt.record(Kind.FAILED, why=why, error=type(error).__name__)
            self._progress(f"{step.verb} {step.target}: failed: {why}")
            return attempt.report(Status.FAILED, why=why)
        finally:
            attempt.reported.set()
        if outcome.skipped is not None:
            return attempt.report(Status.SKIPPED, why=outcome.skipped, result=outcome.result)
        for lack in outcome.missing:
            self._progress(f"{step.verb} {step.target}: not captured: {for_terminal(lack)}")
        return attempt.report(Status.DONE, result=outcome.result, missing=outcome.missing)

    def _hindrance(self, step: Step) -> str:
        unmet = [verb for verb in step.needs if verb not in self._results]
        if unmet:
            return f"needs {', '.join(unmet)}, which is not done"
        return f"stopped by the failure of: {self._stopped}" if self._stopped else ""

    def _found(self, step: Step, intended: Entry | None) -> Outcome | None:
        if step.find is None or intended is None:
            return None
        return _in_time(step, partial(step.find, intended.body.get("before")))

    def _tried(self, attempt: _Attempt) -> Outcome:
        step = attempt.step
        before = _in_time(step, step.before) if step.before else None
        attempt.record(
            Kind.INTENDED,
            target=step.target,
            args=plain(step.args),
            title=step.title,
            changes=step.changes,
            before=plain(before),
        )
        self._progress(f"{step.verb} {step.target}")
        running = Running(
            self._case, step, before=before, progress=self._progress, results=dict(self._results)
        )
        # The thread shares the lock and holds on to it while the step is at it, also when nobody waits any more.
        held, first = os.dup(attempt.lock), threading.Lock()

        def work() -> Outcome:
            try:
                outcome = step.act(running)
                if not first.acquire(blocking=False):
                    attempt.reported.wait()
                    attempt.record_outcome(outcome, late=True)
                return outcome
            finally:
                os.close(held)

        def missed() -> bool:
            if not first.acquire(blocking=False):
                return False
            running.stop()
            return True

        self._running.append(running)
        try:
            return _in_time(step, work, missed=missed)
        finally:
            self._running.remove(running)


def _in_time(step: Step, call: Callable[[], T], *, missed: Callable[[], bool] = lambda: True) -> T:
    """What `call` returns, if it does before the deadline; `missed` tells it, and says whether that was too late."""
    future: Future[T] = background.begin(call, name=f"irkit-{step.verb}")
    try:
        return future.result(timeout=step.deadline)
    except Late:
        if future.done() or not missed():
            return future.result()
        raise DeadlineMissed(
            f"{step.title}: not finished after {step.deadline:.0f} s",
            hint="the other steps went on; apply the plan again to retry this one",
        ) from None


def _unsettled(entries: Sequence[Entry]) -> Entry | None:
    """The entry of an attempt that may have taken effect although nothing says so: cut short, or failed on the way."""
    for entry in reversed(entries):
        if entry.kind is Kind.INTENDED:
            return entry
        if entry.kind in (Kind.DONE, Kind.UNDONE) or (entry.kind is Kind.SKIPPED and "result" in entry.body):
            return None
    return None


def _unfailing(progress: Progress) -> Progress:
    """`progress` without its errors: a terminal that went away must not keep a containment from being done."""

    def show(text: str) -> None:
        with suppress(Exception):
            progress(text)

    return show
