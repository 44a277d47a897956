"""What may this principal do: every action that some request of its goes through with, each with that request."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from irkit.errors import BadInput
from irkit.escape import for_terminal
from irkit.policy import actions as catalogue
from irkit.policy.asking import Given, access_of, scenarios
from irkit.policy.document import Policy
from irkit.policy.patterns import condition_key
from irkit.policy.principals import Requester
from irkit.policy.witness import Witness
from irkit.policy.world import Holder, World


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """An action, and a request for it that goes through."""

    action: str
    witness: Witness


def what_can(
    world: World,
    principal: str,
    *,
    services: Sequence[str] = (),
    resources: Sequence[str] = (),
    context: Given | None = None,
) -> list[Allowed]:
    """Every action of `services` (all when none) that `principal` may do on `resources` (patterns; any when none).

    As with `who_can`, conditions are no obstacle unless `context` fixes their keys. Raises `BadInput` where it cannot
    be told.
    """
    holder = world.holder(principal)
    who = holder.who if holder is not None else Requester.read(principal)
    given = {condition_key(key): value for key, value in (context or {}).items()}
    found: list[Allowed] = []
    for action in _worth_asking(world, holder, services):
        for wanted in _wanted(world, action, resources):
            access = access_of(world, holder, who, True, action, wanted, given)
            if access.untold:
                raise BadInput(
                    f"{action} on {for_terminal(wanted)}: {access.untold}", hint="give what is missing"
                )
            if access.witness is not None:
                found.append(Allowed(action=action, witness=access.witness))
                break
    return found


def _wanted(world: World, action: str, resources: Sequence[str]) -> Iterator[str]:
    """The described resources that the action may be about, and then any other."""
    formats = catalogue.arn_formats(action)
    for pattern in resources or ("*",):
        if set("*?") & set(pattern):
            yield from (one for one in scenarios(world, action, pattern) if one != "*")
        elif catalogue.takes(action, pattern):
            yield pattern
    if not resources:
        # A key, and a role that is assumed, have the last word; of one that no source describes nothing can be said.
        apart = {"kms": ":kms:", "sts": ":iam:"}.get(action.partition(":")[0])
        yield from (one for one in formats if apart is None or apart not in one)


def _worth_asking(world: World, holder: Holder | None, services: Sequence[str]) -> Iterator[str]:
    """The actions that some statement allows which may apply to the holder."""
    known = {action.partition(":")[0] for action in catalogue.every()}
    if unknown := set(services) - known:
        raise BadInput(f"AWS has no service prefix {for_terminal(min(unknown))!r}", hint="such as s3 or kms")
    policies: list[Policy] = [*(holder.policies if holder is not None else world.loose)]
    policies += [guard.policy for guard in world.guarded.values()] + list(world.trusts.values())
    worth: set[str] = set()
    for statement in (s for policy in policies for s in policy.statements if s.allows):
        covered = {action for pattern in statement.actions for action in catalogue.matching(pattern)}
        worth |= set(catalogue.every()) - covered if statement.not_actions else covered
    for action in catalogue.every():
        if action in worth and (not services or action.partition(":")[0] in services):
            yield action
