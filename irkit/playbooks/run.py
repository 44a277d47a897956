"""Run a playbook for a case: each step a notebook, each notebook a journaled step that is not repeated on resume."""

from __future__ import annotations

from functools import partial
from typing import Any

from irkit import plan as plans
from irkit.approvals.registry import Requirement
from irkit.case import Case
from irkit.errors import Incomplete
from irkit.journal import Kind
from irkit.notebook import keeping
from irkit.notebook.models import model_of
from irkit.notebook.parameters import checked
from irkit.plan import Outcome, Plan, Running
from irkit.playbooks.schema import Playbook, Step

# A notebook that takes too long is ended and kept; the step waits for that.
_GRACE = 30.0
# Notebooks that draw on what others took, and can be run as often as one likes.
_DRAWING = ("analyze/", "report/")
_ENDS = (Kind.DONE, Kind.FAILED, Kind.SKIPPED)


def plan(case: Case, playbook: Playbook, given: dict[str, Any]) -> Plan:
    """What `playbook` would run for `case`; inputs and every notebook's parameters are checked here, before it does."""
    inputs = playbook.resolve(given)
    failures = _failures(case)
    steps = []
    for number, step in enumerate(playbook.steps):
        parameters = _parameters(case, step, inputs)
        before = [failures.get(f"{playbook.id}.{earlier.id}", 0) for earlier in playbook.steps[:number]]
        # What was drawn while something before it was missing is drawn anew once that has been tried again.
        anew = {"after": max(before)} if any(before) and step.notebook.startswith(_DRAWING) else {}
        checked(model_of(step.notebook), parameters)
        skipped = (
            None if step.when is None or step.when.holds(inputs) else f"not called for: {_because(step)}"
        )
        steps.append(
            plans.Step(
                verb=f"{playbook.id}.{step.id}",
                target=step.notebook,
                title=step.title + _asking(step),
                args={k: v for k, v in parameters.items() if k != "cases"} | anew,
                act=partial(_run, step, parameters, skipped),
                needs=tuple(f"{playbook.id}.{need}" for need in step.needs),
                changes=step.mutates,
                reversible="irkit case undo" if step.notebook.startswith("contain/") else "",
                stage=number,
                deadline=step.timeout + _GRACE,
                vital=step.on_failure == "stop",
            )
        )
    return Plan(case, steps, title=f"playbook {playbook.id}")


def _asking(step: Step) -> str:
    need = step.approval
    return f" (needs approval: {need.number} with the role {need.role})" if need else ""


def approvals(playbook: Playbook, given: dict[str, Any]) -> dict[str, Requirement]:
    """What the playbook asks for before its steps run, by verb; steps that the inputs do not call for ask nothing."""
    inputs = playbook.resolve(given)
    return {
        f"{playbook.id}.{step.id}": step.approval
        for step in playbook.steps
        if step.approval is not None and (step.when is None or step.when.holds(inputs))
    }


def look(case: Case, playbook: Playbook, given: dict[str, Any]) -> None:
    """Ask AWS whether the instances among the inputs are there, if a step would act on them; changes nothing.

    Raises as `irkit.capture.describe` does: a wrong id is told before anything is begun, not by every step.
    """
    from irkit.capture import describe

    if not any(step.notebook.startswith(("capture/", "contain/")) for step in playbook.steps):
        return
    inputs = playbook.resolve(given)
    for name, spec in playbook.inputs.items():
        if spec.type == "instance_id" and inputs[name]:
            describe(case, inputs[name])


def _parameters(case: Case, step: Step, inputs: dict[str, Any]) -> dict[str, Any]:
    fields = model_of(step.notebook).model_fields
    mode = {"mode": "apply"} if "mode" in fields else {}
    return {"case_id": case.id, "cases": str(case.root.parent), **mode, **step.parameters(inputs)}


def _because(step: Step) -> str:
    if step.when is None:
        return ""
    return f"input {step.when.input} is {'not set' if step.when.is_set else 'another value'}"


def _run(step: Step, parameters: dict[str, Any], skipped: str | None, running: Running) -> Outcome:
    if skipped is not None:
        return Outcome(skipped=skipped)
    begun = running.case.journal.head[0]
    ran, item = keeping.run(
        running.case,
        step.notebook,
        parameters,
        timeout=step.timeout,
        progress=running.progress,
        step=running.step_id,
        label=step.id,
    )
    if _left_failed(running.case, since=begun):
        # Not done in part but failed, so that the next run tries it again; what it did get done is not repeated.
        raise Incomplete(
            "; ".join(ran.missing),
            hint=f"run the playbook again to retry; the executed notebook is item {item.id}",
        )
    return Outcome(result={"status": ran.status, "notebook": item.id}, missing=ran.missing)


def _failures(case: Case) -> dict[str, int]:
    """For each verb that has failed, the entry that says so last."""
    return {str(e.body.get("verb")): e.seq for e in case.journal.entries if e.kind is Kind.FAILED}


def _left_failed(case: Case, *, since: int) -> bool:
    """Whether a step that was tried after entry `since` stands as failed."""
    case.journal.refresh()
    tried = {e.step: e.kind for e in case.journal.entries if e.seq > since and e.step and e.kind in _ENDS}
    return Kind.FAILED in tried.values()
