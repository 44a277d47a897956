"""The plan of a capture: which kinds of evidence, in the order of volatility that disturbs least.

Reading what AWS knows changes nothing and comes first; the snapshots' point in time is the call, so they are begun
before anything runs on the host; the wait for them to complete comes last. Each kind fails alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from typing import TYPE_CHECKING

from irkit.capture import KINDS
from irkit.capture.instance import Instance, describe
from irkit.errors import InvalidParameter
from irkit.escape import for_terminal
from irkit.plan import Plan, Step

if TYPE_CHECKING:
    from irkit.case import Case


def kinds(only: Iterable[str] | None) -> tuple[str, ...]:
    """The kinds of evidence to take, in the order of `KINDS`; all when `only` is None. Unknown: `InvalidParameter`."""
    wanted = set(KINDS if only is None else only)
    unknown = sorted(wanted - set(KINDS))
    if unknown or not wanted:
        shown = ", ".join(for_terminal(u) for u in unknown) or "nothing"
        raise InvalidParameter(f"{shown} cannot be captured", hint=f"choose among {', '.join(KINDS)}")
    return tuple(k for k in KINDS if k in wanted)


def plan(case: Case, instance_id: str, *, only: Iterable[str] | None = None, disk_set: str = "A") -> Plan:
    """What would be captured from the instance, as a plan; nothing happens until `apply()`.

    A second snapshot set, after the first has ended, is planned with another `disk_set`.

    Raises as `describe` does for an instance that cannot be captured, and `InvalidParameter` for an unknown kind.
    """
    wanted = kinds(only)
    instance = describe(case, instance_id)
    steps = [step for kind in wanted for step in _steps(kind, case, instance, disk_set)]
    return Plan(case, steps, title=f"capture {', '.join(wanted)} of {instance.id} ({instance.name})")


def _steps(kind: str, case: Case, instance: Instance, disk_set: str) -> list[Step]:
    more = {"label": disk_set} if kind == "disks" else {}
    found: list[Step] = import_module(f"irkit.capture.{kind}").steps(case, instance, **more)
    return found
