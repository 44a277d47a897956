"""Run a playbook for a case: each step a notebook, each notebook a journaled step that is not repeated on resume."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from irkit import plan as plans
from irkit.case import Case
from irkit.errors import IrkitError
from irkit.escape import for_terminal
from irkit.evidence import Place
from irkit.journal import Entry, Journal, Kind
from irkit.notebook.models import model_of
from irkit.notebook.parameters import checked
from irkit.notebook.runner import execute
from irkit.plan import Outcome, Plan, Running
from irkit.playbooks.schema import Playbook, Reference, Step


def plan(case: Case, playbook: Playbook, given: dict[str, Any]) -> Plan:
    """What `playbook` would run for `case`; inputs and every notebook's parameters are checked here, before it does."""
    inputs = playbook.resolve(given)
    steps = []
    for number, step in enumerate(playbook.steps):
        parameters = _parameters(case, step, inputs)
        checked(model_of(step.notebook), parameters)
        skipped = (
            None if step.when is None or step.when.holds(inputs) else f"not called for: {_because(step)}"
        )
        steps.append(
            plans.Step(
                verb=f"{playbook.id}.{step.id}",
                target=step.notebook,
                title=step.title,
                args={k: v for k, v in parameters.items() if k != "cases"},
                act=partial(_run, step, parameters, skipped),
                needs=tuple(f"{playbook.id}.{need}" for need in step.needs),
                changes=step.mutates,
                reversible="irkit case undo" if step.mutates else "",
                stage=number,
                deadline=step.timeout,
                vital=step.on_failure == "stop",
            )
        )
    return Plan(case, steps, title=f"playbook {playbook.id}")


def _parameters(case: Case, step: Step, inputs: dict[str, Any]) -> dict[str, Any]:
    given = {k: inputs[v.input] if isinstance(v, Reference) else v for k, v in step.with_.items()}
    fields = model_of(step.notebook).model_fields
    mode = {"mode": "apply"} if "mode" in fields else {}
    return {"case_id": case.id, "cases": str(case.root.parent), **mode, **given}


def _because(step: Step) -> str:
    if step.when is None:
        return ""
    return f"input {step.when.input} is {'not set' if step.when.is_set else 'another value'}"


def _run(step: Step, parameters: dict[str, Any], skipped: str | None, running: Running) -> Outcome:
    if skipped is not None:
        return Outcome(skipped=skipped)
    case = running.case
    output = case.active / "notes" / "running" / f"{running.step_id}.ipynb"
    try:
        with following(case.journal, running.progress):
            ran = execute(step.notebook, parameters, output, timeout=step.timeout)
    except IrkitError:
        _register(running, step, output, partial_=True)
        raise
    item = _register(running, step, output, partial_=ran.status == "partial")
    return Outcome(result={"status": ran.status, "notebook": item}, missing=ran.missing)


def _register(running: Running, step: Step, output: Any, *, partial_: bool) -> str | None:
    """Keep the executed notebook as an item of the case: what was run, with its outputs, is evidence of the method."""
    if not output.is_file():
        return None
    with output.open("rb") as file:
        item = running.case.evidence.add(
            file,
            kind="notebook",
            name=f"{step.id}-{step.notebook.replace('/', '-')}.ipynb",
            source=step.notebook,
            step=running.step_id,
            place=Place.ACTIVE,
            media_type="application/x-ipynb+json",
            partial=partial_,
        )
    output.unlink()
    return item.id


@contextmanager
def following(journal: Journal, progress: Callable[[str], None], *, every: float = 0.5) -> Iterator[None]:
    """Show what other processes write to the journal while the block runs: a notebook's kernel has no other voice."""
    ended = threading.Event()
    watcher = Journal(journal.path, actor=journal.actor)
    seen = len(watcher.entries)

    def watch() -> None:
        nonlocal seen
        while not ended.wait(every):
            watcher.refresh()
            for entry in watcher.entries[seen:]:
                if line := _spoken(entry):
                    progress(line)
            seen = len(watcher.entries)

    thread = threading.Thread(target=watch, name="irkit-following", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _spoken(entry: Entry) -> str | None:
    verb = entry.body.get("verb")
    if verb is None:
        return None
    if entry.kind is Kind.DONE:
        missing = entry.body.get("missing") or []
        return f"{verb} done" + (f", {len(missing)} not captured" if missing else "")
    if entry.kind in (Kind.FAILED, Kind.SKIPPED):
        return f"{verb} {entry.kind.value}: {for_terminal(entry.body.get('why', ''))}"
    return None
