"""The containment of an instance as one plan: guard rails, fleet, network, identity, in that order."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from irkit.contain import credentials, fleet, guard, identity, network, users
from irkit.contain.control import Control
from irkit.contain.subject import describe
from irkit.errors import InvalidParameter
from irkit.plan import Plan, Step

if TYPE_CHECKING:
    from irkit.case import Case

_STEPS: Mapping[str, Callable[..., list[Step]]] = {
    "guard": guard.steps,
    "fleet": fleet.steps,
    "network": network.steps,
    "identity": identity.steps,
}
KINDS = tuple(_STEPS)
"""The kinds of containment, in the order in which they run; network and identity run side by side."""

CONTROLS: Mapping[str, Control] = {
    c.verb: c for room in (guard, fleet, network, identity, credentials, users) for c in room.CONTROLS
}
"""Every control, by its verb."""


def plan(
    case: Case,
    instance_id: str,
    *,
    only: Iterable[str] | None = None,
    stage: int | None = None,
    rather_cut: bool = False,
    **options: Any,
) -> Plan:
    """The plan that contains `instance_id`; `only` names kinds out of `KINDS`. It reads and changes nothing.

    `stage=1` keeps Systems Manager working while host and memory are captured, in network and identity alike, and
    `stage=2`, the default, closes that too; `ssm_room=True` is another name for stage 1. Where no way for Systems
    Manager can be kept, stage 1 leaves the interfaces as they are; with `rather_cut` they are closed. The other options
    are the keyword arguments of `guard.steps`, `fleet.steps` (`leave`, `suspend`), `network.steps` (`hop`,
    `hop_seconds`, `tracked`, `addresses`) and `identity.steps`, where each is described.

    Raises `InvalidName`, `NotFound`, `WrongState` or `Refused` when the instance cannot be contained, and
    `InvalidParameter` for an unknown kind or option. What cannot be looked up becomes a step that fails alone.
    """
    wanted = tuple(KINDS if only is None else dict.fromkeys(only))
    if unknown := [k for k in wanted if k not in _STEPS]:
        raise InvalidParameter(
            f"no kind of containment is called {unknown[0]!r}", hint=f"choose from {', '.join(KINDS)}"
        )
    takes = {kind: _options(make) for kind, make in _STEPS.items()}
    if stray := sorted(set(options) - set().union(*takes.values())):
        known = ", ".join(sorted(set().union(*takes.values())))
        raise InvalidParameter(f"containment has no option {stray[0]!r}", hint=f"choose from {known}")
    if stage is not None:
        if stage not in (1, 2):
            raise InvalidParameter(f"containment has no stage {stage!r}", hint="choose 1 (room for SSM) or 2")
        options = options | {"ssm_room": stage == 1}
    subject = describe(case, instance_id)

    def made() -> list[Step]:
        return [
            step
            for kind in KINDS
            if kind in wanted
            for step in _STEPS[kind](case, subject, **{k: v for k, v in options.items() if k in takes[kind]})
        ]

    steps = made()
    if rather_cut and any(s.verb == network.NO_WAY and not s.changes for s in steps):
        options |= {"ssm_room": False}
        steps = made()
    return Plan(case, steps, title=f"contain {instance_id}: {', '.join(k for k in KINDS if k in wanted)}")


def _options(make: Callable[..., list[Step]]) -> set[str]:
    return {p.name for p in inspect.signature(make).parameters.values() if p.kind is p.KEYWORD_ONLY}
