"""The proof: AWS is asked again about everything that containment claims, and the answers are set side by side.

A containment that was applied is a claim about the past. Groups are swapped back, targets registered again, profiles
attached, by automation or by the intruder; so each control is read anew, and what is on the instance now that no step
covers is named too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from irkit import markup
from irkit.canonical import timestamp
from irkit.contain import aftermath, history, since
from irkit.contain.containment import CONTROLS, plan
from irkit.contain.control import Args
from irkit.contain.history import Begun
from irkit.contain.verdicts import Finding, Verdict
from irkit.escape import for_terminal
from irkit.journal import Kind
from irkit.plan import reason

__all__ = ["Finding", "Proof", "Verdict", "prove"]

if TYPE_CHECKING:
    import pandas as pd

    from irkit.case import Case

_MADE_FOR_OTHERS = frozenset({"network.quarantine", "network.ssm", "network.hop"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """The verdicts about one instance at one time; a table wherever it is shown."""

    case: str
    instance: str
    at: str
    verdicts: tuple[Verdict, ...]

    @property
    def complete(self) -> bool:
        """Whether something was contained and every control is proved."""
        return bool(self.verdicts) and all(v.finding is Finding.PROVED for v in self.verdicts)

    @property
    def open(self) -> tuple[Verdict, ...]:
        """The controls that are not proved or contradicted: what is, or may be, open."""
        return tuple(v for v in self.verdicts if v.finding is not Finding.PROVED)

    def to_dict(self) -> dict[str, Any]:
        """The proof as JSON types."""
        return {
            "case": self.case,
            "instance": self.instance,
            "at": self.at,
            "complete": self.complete,
            "verdicts": [v.to_dict() for v in self.verdicts],
        }

    def to_frame(self) -> pd.DataFrame:
        """One row a control: control, target, intended, observed, finding, why."""
        import pandas as pd

        columns = ["control", "target", "intended", "observed", "finding", "why"]
        return pd.DataFrame(
            [v.to_dict() | {"observed": for_terminal(v.observed)} for v in self.verdicts], columns=columns
        )

    @property
    def sentence(self) -> str:
        """How many controls are proved, not proved and contradicted, for people to read."""
        counts = {f: sum(v.finding is f for v in self.verdicts) for f in Finding}
        return ", ".join(f"{n} {f.value}" for f, n in counts.items() if n) or "nothing was contained"

    def __repr__(self) -> str:
        return f"<Proof {self.instance}: {self.sentence}>"

    def _repr_html_(self) -> str:
        return markup.table(
            ("control", "on", "intended", "AWS shows", "finding", "why"),
            [(v.control, v.target, v.intended, v.observed, v.finding.value, v.why) for v in self.verdicts],
            caption=f"Containment of {self.instance}, read back {self.at}",
        )


def prove(case: Case, instance_id: str, *, flows: Any = None, calls: Any = None) -> Proof:
    """What AWS shows now of each control on `instance_id`; the verdicts go into the journal.

    `proved`: AWS shows what was intended. `contradicted`: it was done and is not so any more. `not proved`: it was
    never done, failed, or cannot be read. `flows` and `calls` are rows of the tables `flow` and `cloudtrail`, as
    mappings, as a DataFrame or as `since.Records`: with them the proof also says whether anything was accepted, or
    any call allowed, after the cut. `irkit.contain.calls_since` gets calls where no table has them.

    Raises as `plan` does when there is no such instance.
    """
    due = plan(case, instance_id)
    vpcs = {str(s.args["vpc"]) for s in due.steps if "vpc" in s.args}
    claims: dict[tuple[str, str, str], Begun] = {}
    for begun in history.begun(case):
        if begun.verb in CONTROLS and (begun.instance in {instance_id, None}) and _concerns(begun, vpcs):
            key = _key(begun.verb, begun.target, begun.args)
            claims.pop(key, None)
            claims[key] = begun
    verdicts = [_verdict(case, begun) for begun in claims.values()]
    for step in due.steps:
        if "unread" in step.args:
            verdicts.append(
                Verdict(
                    control=step.verb,
                    target=step.target,
                    intended=step.title,
                    observed=None,
                    finding=Finding.NOT_PROVED,
                    why=str(step.args["unread"]),
                )
            )
        elif (
            step.verb in CONTROLS
            and step.verb not in _MADE_FOR_OTHERS
            and _key(step.verb, step.target, step.args) not in claims
        ):
            verdicts.append(_undone(case, step.verb, step.target, step.args))
    if flows is not None:
        verdicts += aftermath.flow_verdicts(case, instance_id, since.records(flows))
    if calls is not None:
        verdicts += aftermath.call_verdicts(case, instance_id, since.records(calls))
    order = {verb: n for n, verb in enumerate(CONTROLS)}
    verdicts.sort(key=lambda v: (order.get(v.control, len(order)), v.target))
    proof = Proof(
        case=case.id, instance=instance_id, at=timestamp(case.journal.now()), verdicts=tuple(verdicts)
    )
    case.note(f"proof of the containment of {instance_id}: {proof.sentence}", proof=proof.to_dict())
    return proof


def _concerns(begun: Begun, vpcs: set[str]) -> bool:
    return begun.verb not in _MADE_FOR_OTHERS or begun.target in vpcs


def _key(verb: str, target: str, args: Args) -> tuple[str, str, str]:
    # The cut with room for Systems Manager and the full one are about the same policy: the later one counts.
    # Several sessions of one role that was assumed are several claims about that role.
    session = str(args.get("userid")) if verb == "identity.assumed-session" else ""
    return verb.removesuffix("-ssm"), target, session


def _verdict(case: Case, begun: Begun) -> Verdict:
    control = CONTROLS[begun.verb]

    def verdict(finding: Finding, observed: Any, why: str = "") -> Verdict:
        return Verdict(
            control=begun.verb,
            target=begun.target,
            intended=control.intended,
            observed=observed,
            finding=finding,
            why=why,
        )

    try:
        state = control.read(case, begun.target, begun.args)
        reached = control.reached(case, begun.target, begun.args, state)
    except Exception as error:  # noqa: BLE001  one control that cannot be read does not hide the others
        return verdict(Finding.NOT_PROVED, None, reason(error, doing="read back", resource=begun.target))
    if reached:
        lacks = _lacks(begun)
        return verdict(Finding.NOT_PROVED if lacks else Finding.PROVED, state, lacks)
    if begun.done is not None and not _lacks(begun):
        return verdict(Finding.CONTRADICTED, state, f"it was done at {begun.done.at} and is not so any more")
    if begun.standing is Kind.SKIPPED:
        if _undone_since(case, begun):
            return verdict(Finding.NOT_PROVED, state, "it was so until an undo; nothing has done it since")
        return verdict(
            Finding.CONTRADICTED, state, "it was already so when it was planned and is not so any more"
        )
    return verdict(Finding.NOT_PROVED, state, _lacks(begun) or "it was tried and did not end well")


def _undone_since(case: Case, begun: Begun) -> bool:
    """Whether something else about the same target, which may have held this too, was undone in the meantime."""
    return any(
        e.kind is Kind.UNDONE and e.body.get("target") == begun.target and e.seq > begun.intended.seq
        for e in case.journal.entries
    )


def _lacks(begun: Begun) -> str:
    return "; ".join(str(m) for m in (begun.done.body.get("missing") or ())) if begun.done else ""


def _undone(case: Case, verb: str, target: str, args: Any) -> Verdict:
    control = CONTROLS[verb]
    try:
        state: Any = control.read(case, target, args)
    except Exception as error:  # noqa: BLE001  as above
        state = reason(error, doing="read", resource=target)
    return Verdict(
        control=verb,
        target=target,
        intended=control.intended,
        observed=state,
        finding=Finding.NOT_PROVED,
        why="no step of this case was done for it",
    )
