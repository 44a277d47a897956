"""The gate: which steps of a plan may run now, which wait, and for whose approval."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from irkit.approvals import registry, votes
from irkit.approvals.registry import Registry, Requirement
from irkit.approvals.rules import Ask, Decision, decide
from irkit.canonical import plain
from irkit.errors import Refused
from irkit.escape import for_terminal
from irkit.journal import Kind
from irkit.plan import Outcome, Plan, Report, Running, Status, Step, standing

if TYPE_CHECKING:
    from irkit.case import Case

_ASKED = "approval_asked"


class ApprovalNeeded(Refused):
    """Steps wait for approval. `report` is how those went that did not have to wait."""

    report: Report | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A step that waits, what it asks for, and what has been said so far."""

    step: str
    verb: str
    target: str
    title: str
    ask: Ask
    decision: Decision
    args: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The step as JSON types."""
        return {
            "step": self.step,
            "verb": self.verb,
            "target": self.target,
            "title": self.title,
            "role": self.ask.role,
            "number": self.ask.number,
            "requester": self.ask.requester,
            "why": self.decision.why,
            "passed_over": list(self.decision.passed_over),
        }


def divide(
    case: Case, plan: Plan, asks: Mapping[str, Requirement], *, stop: bool
) -> tuple[Plan, list[Waiting]]:
    """The part of `plan` that may run now, and the steps that wait; what is asked for goes into the journal.

    `asks` are a playbook's own, by verb; the approvers file's are added. With `stop` nothing after the first step that
    waits runs, for a playbook is an order; without it a step waits alone, so that no containment waits for another.
    """
    known = registry.of_case(case)
    may: list[Step] = []
    wait: list[Waiting] = []
    for step in plan.steps:
        need = asks.get(step.verb) or (known[0].required(step.verb) if known else None)
        held = None if need is None or _is_done(case, step) else _waiting(case, step, need, known)
        if held is not None:
            wait.append(held)
            if stop:
                break
        else:
            may.append(step if need is None else _guarded(case, step, need))
    for held in wait:
        _ask(case, held)
    return Plan(case, may, title=plan.title), wait


def refuse(case: Case, waiting: list[Waiting], report: Report | None) -> ApprovalNeeded:
    """The error that says which steps wait, and how to approve the first."""
    first = waiting[0]
    more = f" (and {len(waiting) - 1} more steps)" if len(waiting) > 1 else ""
    hint = f"irkit case approve {case.id} --step {first.verb} --as NAME --key FILE"
    if registry.of_case(case) is None:
        hint = "this case names no approvers: open one with --source approvers=FILE"
    said = "; ".join((first.decision.why, *first.decision.passed_over))
    error = ApprovalNeeded(f"{first.verb} waits for approval{more}: {for_terminal(said)}", hint=hint)
    error.report = report
    return error


def asked(case: Case) -> list[Waiting]:
    """Every step that was asked about and neither done nor approved since, oldest first."""
    case.journal.refresh()
    known = registry.of_case(case)
    found: dict[str, Waiting] = {}
    for entry in case.journal.entries:
        body = entry.body.get(_ASKED)
        if entry.kind is not Kind.NOTE or not isinstance(body, dict):
            continue
        ask = Ask(
            case=case.id,
            step=str(body["step"]),
            requester=str(body["requester"]),
            role=str(body["role"]),
            number=int(body["number"]),
            minutes=int(body["minutes"]),
        )
        decision = _decision(case, ask, known)
        if standing(case.journal.of_step(ask.step))[0] == Status.DONE:
            found.pop(ask.step, None)
        else:
            found[ask.step] = Waiting(
                step=ask.step,
                verb=str(body["verb"]),
                target=str(body["target"]),
                title=str(body["title"]),
                ask=ask,
                decision=decision,
            )
    return list(found.values())


def _is_done(case: Case, step: Step) -> bool:
    return standing(case.journal.of_step(step.id(case.id)))[0] == Status.DONE


def _waiting(case: Case, step: Step, need: Requirement, known: tuple[Registry, str] | None) -> Waiting | None:
    ask = _asking(case, step, need)
    decision = _decision(case, ask, known)
    if decision.allowed:
        return None
    return Waiting(
        step=ask.step,
        verb=step.verb,
        target=step.target,
        title=step.title,
        ask=ask,
        decision=decision,
        args=step.args,
    )


def _asking(case: Case, step: Step, need: Requirement) -> Ask:
    return Ask(
        case=case.id,
        step=step.id(case.id),
        requester=case.journal.actor,
        role=need.role,
        number=need.number,
        minutes=need.minutes,
    )


def _decision(case: Case, ask: Ask, known: tuple[Registry, str] | None) -> Decision:
    if known is None:
        why = f"it needs {ask.number} with the role {ask.role}, and nobody is named who could approve"
        return Decision(allowed=False, why=why)
    return decide(ask, votes.of_step(case, ask.step, known[0]), datetime.now(UTC))


def _guarded(case: Case, step: Step, need: Requirement) -> Step:
    """The step, which asks once more when it runs, and says in the journal whose approval it runs with."""
    act: Callable[[Running], Outcome] = step.act

    def checked(running: Running) -> Outcome:
        known = registry.of_case(case)
        decision = _decision(case, _asking(case, step, need), known)
        if not decision.allowed:
            raise ApprovalNeeded(
                f"{step.verb} has no approval any more: {for_terminal(decision.why)}",
                hint=f"irkit case approve {case.id} --step {step.verb} --as NAME --key FILE",
            )
        told = "BREAK GLASS: " if decision.break_glass else ""
        case.note(
            f"{told}{step.verb} runs now, {decision.why}",
            approved={
                "step": running.step_id,
                "by": list(decision.by),
                "break_glass": decision.break_glass,
                "approvers_sha256": known[1] if known else None,
            },
        )
        return act(running)

    return dataclasses.replace(step, act=checked)


def _ask(case: Case, held: Waiting) -> None:
    """Put into the journal what is asked for, once."""
    body = {
        "step": held.step,
        "verb": held.verb,
        "target": held.target,
        "title": held.title,
        "args": plain(held.args),
        "requester": held.ask.requester,
        "role": held.ask.role,
        "number": held.ask.number,
        "minutes": held.ask.minutes,
    }
    if any(e.body.get(_ASKED) == body for e in case.journal.entries if e.kind is Kind.NOTE):
        return
    people = f"{held.ask.number} with the role {held.ask.role}"
    case.note(f"{held.verb} waits for the approval of {people}", **{_ASKED: body})
