"""A control: one thing that containment changes, with all that is needed to do it, find it, prove it and undo it.

Every control answers the same questions about one target: what is there now (`read`), is that what was intended
(`reached`), how is it done (`change`), how is what was there put back (`undo`). Steps, resuming, undo and proof are all
made from these answers, so a new control gets them by giving its answers.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from irkit.aws.refusals import error_code
from irkit.aws.waiting import TimedOut, wait_until
from irkit.canonical import plain
from irkit.contain import history
from irkit.errors import AwsError, IrkitError
from irkit.plan import Call, Outcome, Running, Step, Undo

if TYPE_CHECKING:
    from irkit.case import Case

State: TypeAlias = Mapping[str, Any]
Args: TypeAlias = Mapping[str, Any]


_AGAIN = " (again: somebody undid it)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """What a control's change told: request ids, what a reader should know, and what could not be done."""

    request_ids: tuple[str, ...] = ()
    result: Mapping[str, Any] = field(default_factory=dict)
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """One kind of change. `intended` says in words what holds once it is done.

    `reached` tells whether a state is the intended one; `ours` whether it shows irkit's hand at all (default: the
    same), so that a retry after a half-done attempt still knows what was there first. `refusals` are error codes with
    which AWS says that the thing does not exist for this resource: recorded as missing, not as a failure. `watched` are
    the parts of the state that count when states are compared (default: all); the rest is for the reader.
    """

    verb: str
    intended: str
    read: Callable[[Case, str, Args], State]
    reached: Callable[[Case, str, Args, State], bool]
    change: Callable[[Running, State], Changed]
    undo: Callable[[str, Args, State, State], Undo]
    ours: Callable[[Case, str, Args, State], bool] | None = None
    refusals: frozenset[str] = frozenset()
    watched: tuple[str, ...] | None = None
    settle: float = 30.0

    def step(
        self,
        case: Case,
        target: str,
        args: Args,
        *,
        title: str,
        reversible: str,
        stage: int,
        needs: tuple[str, ...] = (),
        deadline: float = 120.0,
    ) -> Step:
        """The step that brings `target` to what is intended."""
        bare = Step(
            verb=self.verb,
            target=target,
            args=args,
            title=title,
            act=self._act,
            needs=needs,
            reversible=reversible,
            stage=stage,
            deadline=deadline,
        )
        bare, first = self._again(case, bare)
        return dataclasses.replace(
            bare,
            before=lambda: self._before(case, bare) if first is None else first,
            find=lambda before: self._found(case, target, bare.args, before),
        )

    def _again(self, case: Case, step: Step) -> tuple[Step, State | None]:
        """`step`, or where it was done and is no longer so, a new one that does it again and what was there at first.

        A step that is done is never run twice, so doing it again is a step of its own; undone, it too puts back what
        was there before irkit came, not what somebody made of it in between.
        """
        first: State | None = None
        while (held := history.standing(case, step.id(case.id))) is not None and held.done is not None:
            if held.done.body.get("missing") or self._holds(case, step):
                break
            first = held.before
            title = f"{step.title.removesuffix(_AGAIN)}{_AGAIN}"
            step = dataclasses.replace(step, title=title, args={**step.args, "again": held.done.seq})
        return step, first

    def _holds(self, case: Case, step: Step) -> bool:
        try:
            state = self.read(case, step.target, step.args)
        except Exception:  # noqa: BLE001  what cannot be read while planning is for the proof to say, not for the plan
            return True
        return self.reached(case, step.target, step.args, state)

    def equal(self, left: State, right: State) -> bool:
        """Whether two states are the same in what is watched."""
        return not self.drifted(left, right)

    def drifted(self, after: State, now: State) -> dict[str, tuple[Any, Any]]:
        """What someone changed since: for each part of the state, what irkit left and what is there now."""
        names = self.watched or tuple(sorted({*after, *now}))
        return {n: (after.get(n), now.get(n)) for n in names if not same(after.get(n), now.get(n))}

    def _before(self, case: Case, step: Step) -> State:
        state = self.read(case, step.target, step.args)
        first = history.first_before(case, step.id(case.id))
        touched = (self.ours or self.reached)(case, step.target, step.args, state)
        return first if touched and first is not None else state

    def _found(self, case: Case, target: str, args: Args, before: State | None) -> Outcome | None:
        """What an interrupted attempt achieved; None when it has to be done (again)."""
        state = self.read(case, target, args)
        if before is None or self.equal(state, before) or not self.reached(case, target, args, state):
            return None
        return Outcome(
            result={"found": "an earlier attempt was cut short after AWS had done it"},
            before=before,
            after=state,
            undo=self.undo(target, args, before, state),
        )

    def _act(self, running: Running) -> Outcome:
        case, step, before = running.case, running.step, running.before
        state = self.read(case, step.target, step.args)
        if self.reached(case, step.target, step.args, state):
            if self.equal(state, before):
                return Outcome(skipped=f"already so: {self.intended}", after=state)
            return Outcome(before=before, after=state, undo=self.undo(step.target, step.args, before, state))
        try:
            changed = self.change(running, state)
        except Exception as error:
            code = error_code(error)
            if code not in self.refusals:
                raise
            return Outcome(
                before=before,
                after=state,
                result={"refused": code},
                missing=(f"{step.title}: AWS refuses it for this resource ({code})",),
            )
        after = self._settled(running)
        return Outcome(
            before=before,
            after=after,
            undo=self.undo(step.target, step.args, before, after),
            result=changed.result,
            request_ids=changed.request_ids,
            missing=changed.missing,
        )

    def _settled(self, running: Running) -> State:
        case, step = running.case, running.step
        seen: list[State] = []

        def probe() -> State | None:
            seen[:] = [self.read(case, step.target, step.args)]
            return seen[0] if self.reached(case, step.target, step.args, seen[0]) else None

        try:
            return wait_until(
                probe,
                what=step.title,
                timeout=min(self.settle, running.seconds_left),
                stop=lambda: running.stopped,
            )
        except TimedOut as late:
            raise AwsError(
                f"{step.title}: AWS accepted it, but still shows {seen[0] if seen else 'nothing'}",
                hint="apply the plan again; it goes on from there",
            ) from late


def same(left: Any, right: Any) -> bool:
    """Whether two states are equal once both are written as the journal writes them."""
    return plain(left) == plain(right)


def request_id(*responses: Mapping[str, Any]) -> tuple[str, ...]:
    """The request ids of AWS's responses."""
    found = (r.get("ResponseMetadata", {}).get("RequestId") for r in responses)
    return tuple(str(i) for i in found if i)


def call(service: str, operation: str, **params: Any) -> Call:
    """A request as data; `operation` is AWS's name for it, such as `ModifyInstanceAttribute`."""
    return Call(service=service, operation=operation, params=params)


def unreadable(verb: str, target: str, *, title: str, why: IrkitError, stage: int) -> Step:
    """A step that fails with `why`: what could not be looked up stays visible and stops nothing else."""

    def act(_: Running) -> Outcome:
        raise why

    return Step(
        verb=verb,
        target=target,
        title=title,
        act=act,
        changes=False,
        stage=stage,
        args={"instance": target, "unread": str(why)},
    )


def nothing(verb: str, target: str, *, why: str, stage: int) -> Step:
    """A step that says why there is nothing to do."""
    return Step(
        verb=verb,
        target=target,
        title=why,
        act=lambda _: Outcome(skipped=why),
        changes=False,
        stage=stage,
        args={"instance": target},
    )
