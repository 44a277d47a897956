"""Run a playbook for a case: each step a notebook, each notebook a journaled step that is not repeated on resume."""

from __future__ import annotations

from functools import partial
from typing import Any

from irkit import plan as plans
from irkit.case import Case
from irkit.notebook import keeping
from irkit.notebook.models import model_of
from irkit.notebook.parameters import checked
from irkit.plan import Outcome, Plan, Running
from irkit.playbooks.schema import Playbook, Reference, Step

# A notebook that takes too long is ended and kept; the step waits for that.
_GRACE = 30.0


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
                reversible="irkit case undo" if step.notebook.startswith("contain/") else "",
                stage=number,
                deadline=step.timeout + _GRACE,
                vital=step.on_failure == "stop",
            )
        )
    return Plan(case, steps, title=f"playbook {playbook.id}")


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
    ran, item = keeping.run(
        running.case,
        step.notebook,
        parameters,
        timeout=step.timeout,
        progress=running.progress,
        step=running.step_id,
        label=step.id,
    )
    return Outcome(result={"status": ran.status, "notebook": item.id}, missing=ran.missing)
