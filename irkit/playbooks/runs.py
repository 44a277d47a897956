"""Runs: what was begun for a case is in its journal until it has ended, so that it can be taken up again.

A run is a capture, a containment or a playbook. `start` journals it and applies its plan; `resume` finds the runs that
a kill cut short, makes the same plans again and applies them, which skips what is done.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from irkit.canonical import digest, plain
from irkit.case import Case
from irkit.errors import BadInput, IrkitError, StorageError
from irkit.journal import Kind
from irkit.plan import Plan, Progress, Report, silent

if TYPE_CHECKING:
    from irkit.approvals.registry import Requirement


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run as the journal has it: `what` was begun with which arguments."""

    id: str
    what: str
    args: Mapping[str, Any]


def planned(case: Case, what: str, args: Mapping[str, Any]) -> Plan:
    """The plan of a run: `capture`, `contain` take `instance_id`, `only`; `playbook` takes `playbook`, `inputs`.

    `capture` takes `keep` and `memory` too, over what the case says: where snapshots go, and what dumps memory;
    `contain` takes `options`. With `posture` both are those stages of the posture that `stages` names, else all of
    theirs. `credentials` takes `users`, `keys`, `roles` and the rows of a `chain`.
    """
    if what in ("capture", "contain") and args.get("posture"):
        from irkit.playbooks import postures

        room: postures.Room = "capture" if what == "capture" else "contain"
        wanted = args.get("stages") or ()
        return postures.plan(case, args["instance_id"], posture=args["posture"], room=room, only=wanted)
    if what == "capture":
        from irkit import capture

        keep = dict(args.get("keep") or {})
        memory = dict(args.get("memory") or {})
        only = args.get("only") or None
        return capture.plan(case, args["instance_id"], only=only, keep=keep, memory=memory)
    if what == "contain":
        from irkit import contain

        options = dict(args.get("options") or {})
        return contain.plan(case, args["instance_id"], only=args.get("only") or None, **options)
    if what == "credentials":
        return _credentials(case, args)
    if what == "playbook":
        from irkit.playbooks import run, schema

        playbook = schema.load(args["playbook"])
        plan = run.plan(case, playbook, dict(args["inputs"]))
        if not _known(case, _id(case, what, args)):
            run.look(case, playbook, dict(args["inputs"]))
        return plan
    raise BadInput(
        f"the journal knows a run of {what}, which this version of irkit does not", hint="use a newer irkit"
    )


def _credentials(case: Case, args: Mapping[str, Any]) -> Plan:
    from irkit import contain

    plans = [contain.user(case, name) for name in args.get("users") or ()]
    plans += [contain.keys(case, args["keys"])] if args.get("keys") else []
    plans += [contain.sessions(case, name) for name in args.get("roles") or ()]
    plans += [contain.chained(case, args["chain"])] if args.get("chain") else []
    steps = {s.id(case.id): s for plan in plans for s in plan.steps}
    return Plan(case, steps.values(), title="; ".join(p.title for p in plans) or "no credentials to contain")


def start(case: Case, what: str, args: Mapping[str, Any], *, progress: Progress = silent) -> Report:
    """Journal the run, apply its plan, journal how it ended. The plan is made first: bad input begins nothing."""
    plan = planned(case, what, args)
    return _applied(case, begun(case, what, args), plan, progress)


def begun(case: Case, what: str, args: Mapping[str, Any]) -> Run:
    """The run, which is in the journal from now on; the one that stands there unfinished, if it is the same."""
    run = Run(id=_id(case, what, args), what=what, args=args)
    if run.id not in {r.id for r in unfinished(case)}:
        case.journal.append(Kind.RUN, run=run.id, what=what, args=plain(args))
    return run


def ended(case: Case, run: Run, report: Report) -> None:
    """Journal that the run has ended, and what it left undone."""
    case.journal.append(
        Kind.ENDED,
        run=run.id,
        what=run.what,
        complete=report.complete,
        failed=[s.verb for s in report.failed],
        missing=[f"{s.verb}: {m}" for s in report.steps for m in s.missing],
    )


def _id(case: Case, what: str, args: Mapping[str, Any]) -> str:
    return digest([case.id, what, plain(args)])[:16]


def _known(case: Case, run: str) -> bool:
    """Whether the run was begun before, so that what it was about may be gone by now."""
    return any(e.kind is Kind.RUN and e.body["run"] == run for e in case.journal.entries)


def unfinished(case: Case) -> list[Run]:
    """The runs that were begun and have not ended, oldest first."""
    case.journal.refresh()
    open_runs: dict[str, Run] = {}
    for entry in case.journal.entries:
        if entry.kind is Kind.RUN:
            run = Run(id=entry.body["run"], what=entry.body["what"], args=entry.body["args"])
            open_runs[run.id] = run
        elif entry.kind is Kind.ENDED:
            open_runs.pop(entry.body["run"], None)
    return list(open_runs.values())


def resume(case: Case, *, progress: Progress = silent) -> list[tuple[Run, Report]]:
    """Settle what a kill left behind and take up every run that has not ended; returns how each of them went.

    A run that cannot be taken up keeps no other from it: its error is raised when the others have ended.
    """
    case.evidence.recover(note=progress)
    if case.journal.torn:
        case.note("resumed after a write was cut short")
    ended, errors = [], []
    for run in unfinished(case):
        name = f"{run.what} {run.args.get('instance_id') or run.args.get('playbook') or ''}".rstrip()
        progress(f"resuming {name}")
        try:
            ended.append((run, _applied(case, run, planned(case, run.what, run.args), progress)))
        except StorageError:
            raise
        except IrkitError as error:
            progress(f"cannot resume {name}: {error}")
            errors.append(error)
    case.close()
    if errors:
        raise errors[0]
    return ended


def _applied(case: Case, run: Run, plan: Plan, progress: Progress) -> Report:
    """Apply what may run now; where a step waits for approval the run does not end, and `ApprovalNeeded` says so."""
    from irkit.approvals import gate

    may, waiting = gate.divide(case, plan, _approvals(run), stop=run.what == "playbook")
    report = may.apply(progress=progress)
    # Once more at the end: the kernel of a run that was killed outlives it by a moment, and may have held its part.
    case.evidence.recover(note=progress)
    if waiting:
        case.close()
        raise gate.refuse(case, waiting, report)
    ended(case, run, report)
    case.close()
    return report


def _approvals(run: Run) -> dict[str, Requirement]:
    """What the run itself asks for before its steps, by verb."""
    if run.what != "playbook":
        return {}
    from irkit.playbooks import run as playing
    from irkit.playbooks import schema

    return playing.approvals(schema.load(run.args["playbook"]), dict(run.args["inputs"]))
