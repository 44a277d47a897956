"""The plan of a capture: which kinds of evidence, in the order of volatility that disturbs least.

Reading what AWS knows changes nothing and comes first; the snapshots' point in time is the call, so they are begun
before anything runs on the host; the wait for them to complete comes last. Each kind fails alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from irkit.aws import instance_id as ident
from irkit.capture import KINDS
from irkit.capture.destination import Destination
from irkit.capture.instance import Instance, describe
from irkit.capture.memory_tool import names_tool
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


def plan(
    case: Case,
    instance_id: str,
    *,
    only: Iterable[str] | None = None,
    disk_set: str = "A",
    wait: bool = True,
    keep: Mapping[str, str] | None = None,
    memory: Mapping[str, str] | None = None,
) -> Plan:
    """What would be captured from the instance, as a plan; nothing happens until `apply()`.

    A second snapshot set is planned with another `disk_set`. A set's point in time is the call that begins it; without
    `wait` its completion is not waited for, and the same plan with it waits later. `keep` says where snapshots
    go, over what the case's sources say (`irkit.capture.destination`); where neither says anything, all kinds leave
    `keep` out. `memory` names the acquisition tool, over what the sources say (`irkit.capture.memory_tool`); all kinds
    leave memory out where nothing names one.

    Raises as `describe` does for an instance that cannot be captured, and `InvalidParameter` for an unknown kind.
    """
    wanted = kinds(only)
    to = Destination.of(case, given=keep)
    if "keep" in wanted and not to:
        if only is not None:
            raise InvalidParameter(
                "nothing says where snapshots are kept, or how they are locked",
                hint="give --keep forensics_role=ARN, forensics_account=ID or snapshot_lock=governance:90",
            )
        wanted = tuple(k for k in wanted if k != "keep")
    if "memory" in wanted and not names_tool(case.facts.sources, memory):
        if only is not None:
            raise InvalidParameter(
                "nothing names the tool that dumps memory",
                hint="give memory_tool=PATH and memory_tool_sha256=HEX: AVML for Linux, WinPmem for Windows",
            )
        wanted = tuple(k for k in wanted if k != "memory")
    if wanted == ("keep",):
        return Plan(case, _kept(case, instance_id, None, to), title=f"capture keep of {instance_id}")
    instance = describe(case, instance_id)
    more: dict[str, dict[str, Any]] = {"disks": {"label": disk_set}, "memory": {"given": memory}}
    steps = [
        step for kind in wanted if kind != "keep" for step in _steps(kind, case, instance, more.get(kind, {}))
    ]
    if not wait:
        from irkit.capture.disks import COMPLETE

        steps = [s for s in steps if s.verb != COMPLETE]
    if "keep" in wanted:
        steps += _kept(case, instance_id, instance, to, label=disk_set if "disks" in wanted else None)
    return Plan(case, steps, title=f"capture {', '.join(wanted)} of {instance.id} ({instance.name})")


def _steps(kind: str, case: Case, instance: Instance, more: Mapping[str, Any]) -> list[Step]:
    found: list[Step] = import_module(f"irkit.capture.{kind}").steps(case, instance, **more)
    return found


def _kept(
    case: Case, instance_id: str, instance: Instance | None, to: Destination, *, label: str | None = None
) -> list[Step]:
    """The steps that keep snapshots; those of an instance that is gone by now are kept all the same."""
    from irkit.capture import keep

    volumes = [keep.Volume(id=v.id, size=v.size) for v in instance.volumes] if instance else []
    owner = instance.account if instance and instance.account else case.facts.account
    return keep.steps(
        case,
        ident(instance_id),
        owner=owner or case.aws.identity().account,
        volumes=volumes,
        label=label,
        to=to,
    )
