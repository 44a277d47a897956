"""The rules, as a table: which votes count, and whether those that do are enough. Pure functions of data.

Every rule has a name, and cases that it allows and denies (`tests/approvals/*.yaml`); a rule without both fails there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

BREAK_GLASS_ROLE = "break-glass"
BREAK_GLASS_MINUTES = 60
REASON_LETTERS = 10
_CLOCKS_DIFFER = timedelta(minutes=5)


class Verb(StrEnum):
    """What somebody says about a step."""

    APPROVE = "approve"
    DENY = "deny"
    BREAK_GLASS = "break-glass"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What a step needs: `number` people with `role`, none of them `requester`; each approval counts `minutes`."""

    case: str
    step: str
    requester: str
    role: str
    number: int = 1
    minutes: int = 240


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    """What one person said. `roles` and `genuine` (the signature is that person's) come from the approvers file."""

    by: str
    verb: Verb
    case: str
    step: str
    at: datetime
    until: datetime
    reason: str = ""
    roles: tuple[str, ...] = ()
    genuine: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Whether the step may run, why, and whose votes that rests on."""

    allowed: bool
    why: str
    by: tuple[str, ...] = ()
    break_glass: str = ""
    passed_over: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A reason for which a vote does not count; `applies` says to which verbs."""

    name: str
    says: str
    breaks: Callable[[Ask, Vote, datetime], bool]
    applies: tuple[Verb, ...] = tuple(Verb)


RULES: tuple[Rule, ...] = (
    Rule(
        name="genuine",
        says="it is not signed with the key that the approvers file has for {by}",
        breaks=lambda _, vote, __: not vote.genuine,
    ),
    Rule(
        name="this-step",
        says="it is about another case or another step",
        breaks=lambda ask, vote, _: (vote.case, vote.step) != (ask.case, ask.step),
    ),
    Rule(
        name="not-the-requester",
        says="{by} asked for the step and cannot approve it",
        breaks=lambda ask, vote, _: _same_person(vote.by, ask.requester),
        applies=(Verb.APPROVE,),
    ),
    Rule(
        name="role",
        says="{by} does not hold the role {role}",
        breaks=lambda ask, vote, _: ask.role not in vote.roles,
        applies=(Verb.APPROVE, Verb.DENY),
    ),
    Rule(
        name="break-glass-role",
        says="{by} does not hold the role break-glass",
        breaks=lambda _, vote, __: BREAK_GLASS_ROLE not in vote.roles,
        applies=(Verb.BREAK_GLASS,),
    ),
    Rule(
        name="break-glass-reason",
        says="it gives no reason",
        breaks=lambda _, vote, __: sum(c.isalpha() for c in vote.reason) < REASON_LETTERS,
        applies=(Verb.BREAK_GLASS,),
    ),
    Rule(
        name="in-time",
        says="it has expired",
        breaks=lambda ask, vote, now: now >= min(vote.until, vote.at + _lasts(ask, vote)),
        applies=(Verb.APPROVE, Verb.BREAK_GLASS),
    ),
    Rule(
        name="not-ahead",
        says="it is from the future: a clock is wrong",
        breaks=lambda _, vote, now: vote.at > now + _CLOCKS_DIFFER,
    ),
)
"""Why a vote may not count, in the order in which it is said."""


def decide(ask: Ask, votes: Sequence[Vote], now: datetime) -> Decision:
    """Whether the step may run at `now`: of each person the last vote that counts, and one denial ends it."""
    last: dict[str, Vote] = {}
    passed: list[str] = []
    for vote in sorted(votes, key=lambda v: v.at):
        if (rule := broken(ask, vote, now)) is not None:
            passed.append(f"{vote.by}: {rule.says.format(by=vote.by, role=ask.role)}")
        else:
            last[vote.by.casefold()] = vote
    said = {verb: [v for v in last.values() if v.verb is verb] for verb in Verb}
    over = tuple(passed)
    if denied := said[Verb.DENY]:
        names = tuple(v.by for v in denied)
        why = f"denied by {', '.join(names)}" + (f": {denied[0].reason}" if denied[0].reason else "")
        return Decision(allowed=False, why=why, by=names, passed_over=over)
    if glass := said[Verb.BREAK_GLASS]:
        return Decision(
            allowed=True,
            why=f"{glass[0].by} broke the glass: {glass[0].reason}",
            by=(glass[0].by,),
            break_glass=glass[0].reason,
            passed_over=over,
        )
    names = tuple(v.by for v in said[Verb.APPROVE])
    if len(names) >= ask.number:
        return Decision(allowed=True, why=f"approved by {', '.join(names)}", by=names, passed_over=over)
    people = "person" if ask.number == 1 else "people"
    why = (
        f"it needs {ask.number} {people} with the role {ask.role}, not {ask.requester}; {len(names)} approved"
    )
    return Decision(allowed=False, why=why, by=names, passed_over=over)


def broken(ask: Ask, vote: Vote, now: datetime) -> Rule | None:
    """The first rule that keeps the vote from counting, if one does."""
    return next((r for r in RULES if vote.verb in r.applies and r.breaks(ask, vote, now)), None)


def _lasts(ask: Ask, vote: Vote) -> timedelta:
    most = BREAK_GLASS_MINUTES if vote.verb is Verb.BREAK_GLASS else ask.minutes
    return timedelta(minutes=min(most, ask.minutes))


def _same_person(left: str, right: str) -> bool:
    return left.strip().casefold() == right.strip().casefold()
