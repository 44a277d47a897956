"""What the journal knows about containment steps: what stands, what was there first, what was begun for an instance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from irkit.journal import Entry, Kind

if TYPE_CHECKING:
    from irkit.case import Case

_STATES = (Kind.INTENDED, Kind.DONE, Kind.FAILED, Kind.SKIPPED, Kind.UNDONE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """A step that was tried since it was last undone. `done` is its outcome's entry, None while it never ended well."""

    step: str
    verb: str
    target: str
    title: str
    args: Mapping[str, Any]
    before: Any
    standing: Kind
    intended: Entry
    done: Entry | None

    @property
    def after(self) -> Any:
        """The state that the step left, as far as it is known."""
        return self.done.body.get("after") if self.done else None

    @property
    def instance(self) -> str | None:
        """The instance that the step was for, if it was for one only."""
        found = self.args.get("instance")
        return found if isinstance(found, str) else None


def begun(case: Case) -> list[Begun]:
    """Every step that was tried and not undone since, in the order in which it ended (or began, if it never did)."""
    found: dict[str, Begun] = {}
    for entry in case.journal.entries:
        if entry.step is None or entry.kind not in _STATES:
            continue
        if entry.kind is Kind.UNDONE:
            found.pop(entry.step, None)
        elif entry.kind is Kind.INTENDED:
            found.pop(entry.step, None)
            found[entry.step] = _intended(entry)
        elif entry.kind is Kind.SKIPPED and "result" not in entry.body:
            continue  # it was not tried: another step, which it needs, was not done
        elif entry.step in found:
            held = found.pop(entry.step)
            found[entry.step] = _ended(held, entry)
    return list(found.values())


def _intended(entry: Entry) -> Begun:
    body = entry.body
    return Begun(
        step=str(entry.step),
        verb=str(body.get("verb")),
        target=str(body.get("target")),
        title=str(body.get("title", "")),
        args=body.get("args") or {},
        before=body.get("before"),
        standing=entry.kind,
        intended=entry,
        done=None,
    )


def _ended(held: Begun, entry: Entry) -> Begun:
    done = entry if entry.kind is Kind.DONE else held.done
    before = held.before
    if entry.kind is Kind.DONE and entry.body.get("before") is not None:
        before = entry.body["before"]
    return Begun(
        step=held.step,
        verb=held.verb,
        target=held.target,
        title=held.title,
        args=held.args,
        before=before,
        standing=entry.kind,
        intended=held.intended,
        done=done,
    )


def standing(case: Case, step: str) -> Begun | None:
    """The step with that id, when it was tried and not undone since."""
    return next((b for b in begun(case) if b.step == step), None)


def first_before(case: Case, step: str) -> Any:
    """What the target of `step` was before irkit first touched it; None when it was never tried or was undone since."""
    held = standing(case, step)
    return held.before if held else None


def targets(case: Case, verb: str, instance: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Targets and arguments of the steps with `verb` begun for `instance`: AWS may show them no more once changed."""
    for step in begun(case):
        if step.verb == verb and step.instance == instance and step.standing is not Kind.SKIPPED:
            yield step.target, step.args


def asked_for(case: Case, verb: str, target: str) -> list[Mapping[str, Any]]:
    """The arguments with which a step waited for approval, oldest first: what is approved is a step with these."""
    notes = (e.body.get("approval_asked") for e in case.journal.entries if e.kind is Kind.NOTE)
    held = [n for n in notes if isinstance(n, dict) and (n.get("verb"), n.get("target")) == (verb, target)]
    return [n["args"] for n in held if isinstance(n.get("args"), dict)]
