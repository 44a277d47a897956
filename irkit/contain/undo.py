"""Putting back exactly what was there: from the journal alone, newest first, shown before it is done.

Each step that the journal holds as done becomes one step here. A step that was begun and never ended well is looked at:
what it left behind is put back too. What somebody changed after irkit is not overwritten unless told so.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from irkit import background
from irkit.contain import history, putting_back, retirement
from irkit.contain.containment import CONTROLS, KINDS
from irkit.contain.history import Begun
from irkit.errors import InvalidParameter
from irkit.escape import for_terminal
from irkit.journal import Kind
from irkit.plan import Outcome, Plan, Step, reason

if TYPE_CHECKING:
    from irkit.case import Case

_PREFIX = "undo."
_SHOWN = 8  # digits of a step's id, as a plan on the command line shows it


def undo_plan(
    case: Case, *, only: Iterable[str] | None = None, force: bool = False, retire_replacement: bool = False
) -> Plan:
    """The plan that takes back what the case did to AWS, newest first, one step at a time.

    `only` narrows it to kinds, verbs, step ids (8 digits do), targets or instances. AWS is asked what is there now, so
    that the plan shows what others changed since; that stays as it is unless `force`.
    `retire_replacement` also terminates the instance that a scaling group launched in place of the contained one.
    What cannot be undone is in the plan too, as a step that says why.
    """
    wanted = None if only is None else tuple(dict.fromkeys(only))
    _check(case, wanted or ())
    chosen = [
        begun
        for begun in reversed(_open(case))
        if wanted is None or any(_matches(begun, token) for token in wanted)
    ]
    steps = [
        _step(case, begun, stage=stage, force=force, seen=seen)
        for stage, (begun, seen) in enumerate(zip(chosen, _looked_at(case, chosen, force=force), strict=True))
    ]
    if retire_replacement:
        steps += retirement.steps(case, stage=len(steps), wanted=wanted)
    return Plan(case, steps, title="put back what was there")


def _open(case: Case) -> list[Begun]:
    """What has an effect that was not taken back, and undos that were cut short, oldest first."""
    found = [
        b for b in history.begun(case) if b.intended.body.get("changes") and not b.verb.startswith(_PREFIX)
    ]
    held = [
        b
        for b in found
        if b.standing is not Kind.SKIPPED
        and (b.done is not None or b.verb in CONTROLS)
        and not (b.done is not None and (b.done.body.get("result") or {}).get("refused"))
    ]
    # what was done again counts from when it was first done, so that a group outlives the interfaces in it
    return sorted(held, key=lambda b: int(b.args.get("again", (b.done or b.intended).seq)))


def _matches(begun: Begun, token: str) -> bool:
    return (
        begun.verb == token
        or begun.verb.startswith(f"{token}.")
        or token in {begun.target, begun.instance}
        or (len(token) >= _SHOWN and begun.step.startswith(token))
    )


def _check(case: Case, wanted: tuple[str, ...]) -> None:
    ever = {str(e.body.get(k)) for e in case.journal.entries for k in ("step", "verb", "target")}
    ever |= {str(e.step)[:_SHOWN] for e in case.journal.entries if e.step}
    ever |= {v.partition(".")[0] for v in ever} | {b.instance or "" for b in history.begun(case)} | set(KINDS)
    if strange := [token for token in wanted if token not in ever]:
        raise InvalidParameter(
            f"nothing in case {case.id} is called {for_terminal(strange[0])!r}",
            hint="name a kind (network), a verb (network.interface), a step, a target or an instance",
        )


def _looked_at(case: Case, chosen: list[Begun], *, force: bool) -> list[str]:
    """For each step, what AWS shows now that a reader of the plan must know; '' when it is as the step left it."""

    def look(begun: Begun) -> str:
        try:
            now = putting_back.now(case, begun)
        except Exception as error:  # noqa: BLE001  what cannot be read now is for the undo itself to say
            return f"; cannot be read now: {reason(error, doing='read', resource=begun.target)}"
        if now is None or begun.before is None:
            return ""
        if CONTROLS[begun.verb].equal(now, begun.before):
            return "; it is so again already"
        if not (changed := putting_back.drift(begun, now)):
            return ""
        will = "this overwrites it" if force else "it stays so unless forced"
        return f"; CHANGED SINCE: {putting_back.told(changed)}: {will}"

    looks = [partial(look, begun) for begun in chosen]
    return [f.result() for f in background.side_by_side(looks, name="irkit-undo", workers=8)]


def _impossible(begun: Begun) -> str | None:
    """Why the step cannot be taken back, where it cannot."""
    if begun.done is None:
        control = CONTROLS[begun.verb]
        before = begun.before
        return control.undo(begun.target, begun.args, before, before).impossible if before else None
    undo = begun.done.body.get("undo") or {}
    return undo.get("impossible") or (None if undo.get("calls") else "no way back was recorded")


def _step(case: Case, begun: Begun, *, stage: int, force: bool, seen: str) -> Step:
    never = _impossible(begun)
    args: dict[str, Any] = {
        "of": begun.step,
        "entry": (begun.done or begun.intended).seq,
        "instance": begun.instance,
    }
    if never:
        why = f"cannot be undone: {never}"
        return Step(
            verb=_PREFIX + begun.verb,
            target=begun.target,
            title=f"{_short(begun)}: {why}",
            args=args,
            changes=False,
            act=lambda _: Outcome(skipped=why),
            stage=stage,
        )
    return Step(
        verb=_PREFIX + begun.verb,
        target=begun.target,
        args=args | ({"force": True} if force else {}),
        stage=stage,
        title=f"take back: {_short(begun)} (was: {_was(begun)}){seen}",
        reversible="contain again",
        before=lambda: putting_back.now(case, begun),
        act=lambda running: putting_back.put_back(running, begun, force=force),
    )


def _short(begun: Begun) -> str:
    return begun.title.partition(";")[0]


def _was(begun: Begun) -> str:
    control = CONTROLS.get(begun.verb)
    names = (control.watched if control else None) or tuple(begun.before or ())
    held = {n: begun.before[n] for n in names if begun.before and begun.before.get(n) not in (None, [], "")}
    return "; ".join(f"{k} {v}" for k, v in held.items()) or "nothing"
