"""Postures: the same steps of capture and containment in three orders, each for another fear.

    balanced        evidence that is about to vanish and the thief's keys first, the network after the host was asked
    contain-first   the cut before everything that takes time: data is being stolen, encrypted or destroyed right now
    stealth         nothing that the intruder can see in the account or on the network; somebody decides later

A posture is a tuple of stages, plain data, in the order in which they run. What a stage takes of the host or cuts off
can be noticed; `noticed` says by whom, so that the choice is made with open eyes.

References:
    https://www.rfc-editor.org/rfc/rfc3227#section-2.1 (order of volatility)
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from irkit.errors import InvalidParameter
from irkit.plan import Outcome, Plan, Running, Status, Step, standing

if TYPE_CHECKING:
    from irkit.case import Case

Room = Literal["capture", "contain"]
_WAITING = (
    "capture.disks.complete"  # the one step that draws on the result of another, of which there may be two
)
_APART = 1000  # stages of steps between two stages of a posture


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One stage: kinds of one room, with their options.

    `optional` kinds are left out where the case does not say what they need, such as a memory tool.
    """

    id: str
    room: Room
    only: tuple[str, ...]
    why: str
    noticed: str = "by nobody"
    options: Mapping[str, Any] = field(default_factory=dict)
    optional: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The stage as JSON types."""
        return {
            "id": self.id,
            "room": self.room,
            "only": list(self.only),
            "optional": list(self.optional),
            "options": dict(self.options),
            "why": self.why,
            "noticed": self.noticed,
        }


_READ = Stage(
    id="read",
    room="capture",
    only=("metadata", "console"),
    why="changes nothing and takes seconds; a terminated instance can be described for about an hour only",
)
_GUARD = Stage(
    id="guard",
    room="contain",
    only=("guard", "fleet"),
    why="or a failing health check destroys the machine and the evidence with it",
    noticed="by whoever watches the load balancer: the machine gets no more requests",
)
_DISKS = Stage(
    id="disks",
    room="capture",
    only=("disks",),
    options={"wait": False},
    why="the moment of the call is the moment of the copy, and the guest does not see it",
)
_HOST = Stage(
    id="host",
    room="capture",
    only=("host",),
    optional=("memory",),
    why="what is in memory is gone after a stop; facts first, then the long dump",
    noticed="by whoever looks at the processes of the machine",
)
_CUT = Stage(
    id="cut",
    room="contain",
    only=("identity", "network"),
    options={"ssm_room": True},
    why="stolen credentials and live connections end before the slow part; the way for Systems Manager stays",
    noticed="by the intruder: calls are denied and connections end",
)
_AGAIN = Stage(
    id="disks-again",
    room="capture",
    only=("disks",),
    options={"disk_set": "B", "wait": False},
    why="what capture of the host wrote to the disk is told apart from what was there: the second set is incremental",
)
_CLOSE = Stage(
    id="close",
    room="contain",
    only=("identity", "network"),
    options={"addresses": True, "replace_profile": True, "metadata_off": True},
    why="nothing is left to use: no room for Systems Manager, no address, a profile that denies everything",
    noticed="by the intruder, and from inside the machine",
)
_COMPLETE = Stage(
    id="complete",
    room="capture",
    only=("disks",),
    options={"disk_set": "A"},
    why="nothing waits for a snapshot but what is done with it; it may take hours",
)
_COMPLETE_AGAIN = dataclasses.replace(_COMPLETE, id="complete-again", options={"disk_set": "B"})
_KEEP = Stage(
    id="keep",
    room="capture",
    only=(),
    optional=("keep",),
    why="snapshots are locked, shared and copied where the account under investigation cannot reach them",
)

_ENDING = (_COMPLETE, _COMPLETE_AGAIN, _KEEP)
_POSTURES: Mapping[str, tuple[Stage, ...]] = {
    "balanced": (_READ, _GUARD, _DISKS, _CUT, _HOST, _AGAIN, _CLOSE, *_ENDING),
    "contain-first": (
        _GUARD,
        # A posture whose first aim is the cut does not wait where no way for Systems Manager can be kept open.
        dataclasses.replace(_CUT, options={"ssm_room": True, "rather_cut": True}),
        _DISKS,
        _READ,
        _HOST,
        _AGAIN,
        _CLOSE,
        *_ENDING,
    ),
    "stealth": (
        _READ,
        dataclasses.replace(
            _GUARD,
            only=("guard",),
            why="protections that only the account shows; the fleet is left as it is, for its change is seen",
            noticed="by whoever reads CloudTrail of the account or tries to terminate the machine",
        ),
        _DISKS,
        _HOST,
        _COMPLETE,
        _KEEP,
    ),
}
NAMES = tuple(_POSTURES)
"""The postures; the first is the default."""


def stages(posture: str) -> tuple[Stage, ...]:
    """The stages of `posture`, in order. Raises `InvalidParameter` for an unknown one."""
    if posture not in _POSTURES:
        raise InvalidParameter(f"there is no posture {posture!r}", hint=f"choose from {', '.join(NAMES)}")
    return _POSTURES[posture]


def plan(
    case: Case, instance_id: str, *, posture: str, room: Room | None = None, only: Iterable[str] = ()
) -> Plan:
    """The stages of `posture` for one instance as one plan; `room` and `only` (ids of stages) narrow it.

    Raises `InvalidParameter` for an unknown posture or stage, and as `capture.plan` and `contain.plan` do.
    """
    whole = stages(posture)
    wanted = tuple(dict.fromkeys(only))
    mine = [s for s in whole if room is None or s.room == room]
    if strange := [name for name in wanted if name not in {s.id for s in mine}]:
        raise InvalidParameter(
            f"{room or 'posture'} has no stage {strange[0]!r} in posture {posture}",
            hint=f"choose from {', '.join(s.id for s in mine) or 'none'}",
        )
    chosen = [s for s in mine if not wanted or s.id in wanted]
    made: dict[str, Step] = {}
    for number, stage in enumerate(chosen):
        planned = _planned(case, instance_id, stage)
        for step in planned:
            placed = dataclasses.replace(_alone(case, step, planned), stage=number * _APART + step.stage)
            # A step of two stages, such as making a group, is one step: it is done in the first.
            made.setdefault(step.id(case.id), placed)
    told = ", ".join(s.id for s in chosen)
    return Plan(
        case, made.values(), title=f"{room or 'respond'} {instance_id}, {posture}: {told or 'no stage'}"
    )


def _alone(case: Case, step: Step, beside: Iterable[Step]) -> Step:
    """`step` with the results of those it needs out of its own stage: another stage has steps with the same verbs."""
    needed = {s.verb: s.id(case.id) for s in beside if s.verb in step.needs}
    if len(needed) < len(step.needs) or step.verb != _WAITING:
        return step

    def act(running: Running) -> Outcome:
        results = dict(running.results)
        for verb, ident in needed.items():
            state, entry = standing(case.journal.of_step(ident))
            if state != Status.DONE or entry is None:
                return Outcome(skipped=f"needs {verb} of its own stage, which is not done")
            results[verb] = entry.body.get("result") or {}
        running.results = results
        return step.act(running)

    return dataclasses.replace(step, act=act)


def _planned(case: Case, instance_id: str, stage: Stage) -> tuple[Step, ...]:
    if stage.room == "contain":
        from irkit import contain

        return contain.plan(case, instance_id, only=stage.only, **stage.options).steps
    from irkit import capture

    steps: tuple[Step, ...] = ()
    if stage.only:
        steps = capture.plan(case, instance_id, only=stage.only, **stage.options).steps
    for kind in stage.optional:
        try:
            more = capture.plan(case, instance_id, only=(kind,)).steps
        except InvalidParameter:  # the case does not say what it takes
            continue
        after = max((s.stage for s in steps), default=0) + 1
        steps += tuple(dataclasses.replace(s, stage=after + s.stage) for s in more)
    return steps
