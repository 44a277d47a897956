"""The fleet around the instance: the scaling group lets it be, and the load balancers send it no more traffic.

Without this the quarantine makes the health check fail, and the scaling group terminates the evidence: termination
protection does not bind it. Standby does, and has the group launch a replacement meanwhile.

References:
    https://docs.aws.amazon.com/autoscaling/ec2/userguide/as-enter-exit-standby.html
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from irkit.aws.refusals import translating
from irkit.contain import balancers, history, scaling
from irkit.contain.control import nothing, unreadable
from irkit.contain.scaling import DETACHED, PROCESSES, PROTECTION, STANDBY
from irkit.errors import InvalidParameter, IrkitError

if TYPE_CHECKING:
    from irkit.case import Case
    from irkit.contain.subject import Subject
    from irkit.plan import Step

STAGE = 11
CONTROLS = (*scaling.CONTROLS, *balancers.CONTROLS)
LEAVES = ("standby", "detach")
SUSPENDS = ("needed", "always", "never")


def steps(case: Case, subject: Subject, *, leave: str = "standby", suspend: str = "needed") -> list[Step]:
    """How `subject` leaves its scaling group's care and its load balancers, as far as it is in any.

    `leave` is `standby` (it stays a member, out of service) or `detach` (it leaves the group); the group launches a
    replacement either way. `suspend` says when the processes that could terminate it are suspended, for the whole
    group: `needed` (only when it could not be taken out of service), `always` or `never`.
    """
    _one_of("leave", leave, LEAVES)
    _one_of("suspend", suspend, SUSPENDS)
    found = [
        *_scaling(case, subject, leave=leave, suspend=suspend),
        *balancers.steps(case, subject, stage=STAGE + 2),
    ]
    return found or [
        nothing(
            "fleet.none",
            subject.id,
            stage=STAGE,
            why=f"{subject.id} is in no scaling group and behind no load balancer",
        )
    ]


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise InvalidParameter(f"{name} cannot be {value!r}", hint=f"choose from {', '.join(allowed)}")


def _scaling(case: Case, subject: Subject, *, leave: str, suspend: str) -> Iterator[Step]:
    try:
        with translating("look up the scaling group of", subject.id, region=case.facts.region):
            member = scaling.membership(case, subject.id)
    except IrkitError as why:
        yield unreadable(
            "fleet.scaling-groups",
            subject.id,
            stage=STAGE,
            why=why,
            title=f"look up the scaling group of {subject.id}",
        )
        return
    groups = [str(member["AutoScalingGroupName"])] if member else []
    at_maximum = _at_maximum(case, groups)
    for control in (STANDBY, DETACHED):
        groups += [target for target, _ in history.targets(case, control.verb, subject.id)]
    for group in dict.fromkeys(groups):
        leaving = _standby if leave == "standby" else _detached
        yield from leaving(case, subject, group, at_maximum if group in groups[:1] else "")
        if suspend != "never":
            yield _processes(case, subject, group, always=suspend == "always")


def _at_maximum(case: Case, groups: list[str]) -> str:
    """What to add about the way back where a group has no room for one more instance."""
    try:
        full = any(scaling.full(case, group) for group in groups)
    except (BotoCoreError, ClientError):  # the way back is a remark; the way there must not depend on it
        return ""
    return "; the group is at its maximum size: raise that by one before the undo" if full else ""


def _standby(case: Case, subject: Subject, group: str, but: str) -> Iterator[Step]:
    own = {"instance": subject.id}
    yield PROTECTION.step(
        case,
        group,
        own,
        stage=STAGE,
        reversible="sets the protection that was there",
        title=f"protect {subject.id} from scale-in of {group}",
    )
    yield STANDBY.step(
        case,
        group,
        own,
        stage=STAGE + 1,
        title=f"put {subject.id} into standby in {group}; the group launches a replacement",
        reversible="brings it back into service; the replacement stays, so the group wants one instance "
        f"more than before until it is retired{but}",
    )


def _detached(case: Case, subject: Subject, group: str, but: str) -> Iterator[Step]:
    yield DETACHED.step(
        case,
        group,
        {"instance": subject.id},
        stage=STAGE + 1,
        title=f"take {subject.id} out of {group} for good; the group launches a replacement",
        reversible=f"attaches it again; the replacement stays until it is retired{but}",
    )


def _processes(case: Case, subject: Subject, group: str, *, always: bool) -> Step:
    when = "" if always else f", if {subject.id} could not be taken out of service"
    return PROCESSES.step(
        case,
        group,
        {"instance": subject.id, "always": always},
        stage=STAGE + 2,
        title=f"suspend what could terminate instances of {group} ({', '.join(scaling.SUSPENDED)}){when}",
        reversible="resumes the processes that irkit suspended",
    )
