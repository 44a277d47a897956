"""A world to ask questions of: the principals, the resources with policies, and what an organization forbids.

It is as the sources describe it and no more. What they do not describe is said to be so (`described`, `World.notes`),
and a question whose answer hangs on a policy that could not be read raises `BadInput`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from irkit.errors import BadInput, NotFound
from irkit.escape import for_terminal
from irkit.policy.arns import account_of, segments, service_of
from irkit.policy.document import Kind, Policy
from irkit.policy.evaluation import Applicable
from irkit.policy.patterns import glob
from irkit.policy.principals import Requester


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """A user or role, and what its own policies say. `missing` names attached policies whose text no source holds."""

    who: Requester
    policies: tuple[Policy, ...] = ()
    boundary: Policy | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    alias: str = ""

    @property
    def name(self) -> str:
        """The user's or role's name, without its path."""
        return self.who.arn.rpartition("/")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Guarded:
    """A resource that has a policy: its ARN, its owner and the policy."""

    arn: str
    account: str
    policy: Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Everything that the sources describe.

    `loose` are policies that no source attaches to anything: those of identities go to a principal that no source
    describes, those with principals to such a resource, when it is asked about. `unread` maps a service to what was
    not understood of it.
    """

    holders: Mapping[str, Holder]
    guarded: Mapping[str, Guarded]
    trusts: Mapping[str, Policy]
    loose: tuple[Policy, ...]
    scps: tuple[tuple[Policy, ...], ...]
    rcps: tuple[tuple[Policy, ...], ...]
    endpoints: Mapping[str, Policy]
    unread: Mapping[str, str]
    notes: tuple[str, ...]
    account: str

    def holder(self, text: str) -> Holder | None:
        """The holder that `text` names: an ARN of it or of a session of it, its name, or its name in a template.

        None for a well-formed principal that no source describes; raises `NotFound` or `BadInput` for anything else.
        """
        named = [h for h in self.holders.values() if text in {h.who.arn, h.name, h.alias}]
        if len(named) > 1:
            raise BadInput(
                f"{for_terminal(text)} names {len(named)} principals",
                hint=f"give an ARN: {', '.join(h.who.arn for h in named)}",
            )
        if named:
            return named[0]
        try:
            who = Requester.read(text)
        except BadInput:
            known = ", ".join(sorted(h.alias or h.name for h in self.holders.values())) or "none"
            raise NotFound(
                f"no source describes a principal {for_terminal(text)!r}", hint=f"an ARN, or one of: {known}"
            ) from None
        if who.kind == "session":
            name = str(who.role).rpartition("/")[2]
            for one in self.holders.values():
                if one.who.kind == "role" and one.who.account == who.account and one.name == name:
                    return replace(one, who=replace(who, role=one.who.arn))
        return None

    def owner_of(self, resource: str) -> str:
        """The account that owns `resource`: as its ARN or a source says, otherwise the world's own."""
        guard = self.guard_of(resource)
        if guard is not None:
            return guard.account
        account = account_of(resource)
        return account if account is not None and account.isdigit() else self.account

    def guard_of(self, resource: str) -> Guarded | None:
        """The described resource with a policy that `resource` is, or lies in."""
        inside = [g for g in self.guarded.values() if lies_in(resource, g.arn)]
        return max(inside, key=lambda g: len(g.arn), default=None)

    def policies_for(
        self,
        holder: Holder | None,
        who: Requester,
        action: str,
        resource: str,
        *,
        endpoint: str | None = None,
    ) -> Applicable:
        """The policies that apply when `who` asks; raises `BadInput` when one of them could not be read."""
        service = service_of(resource) or action.partition(":")[0].lower()
        if service in self.unread:
            raise BadInput(
                f"what may be done to {for_terminal(resource)} hangs on {for_terminal(self.unread[service])}, "
                "which irkit cannot read",
                hint="ask about another service, or give that policy as JSON",
            )
        if holder is not None and holder.missing:
            raise BadInput(
                f"{for_terminal(holder.who.arn)} holds {for_terminal(holder.missing[0])}, whose text no source has",
                hint="save it beside the other sources as JSON under the policy's own name",
            )
        if endpoint is not None and endpoint not in self.endpoints:
            raise NotFound(
                f"no source describes an endpoint {for_terminal(endpoint)!r}",
                hint=f"one of: {', '.join(sorted(self.endpoints)) or 'none'}",
            )
        own = who.account if who.account is not None else ""
        inside = own in {self.account, *(h.who.account for h in self.holders.values())}
        return Applicable(
            identity=holder.policies if holder else self._loose(Kind.IDENTITY, action),
            boundary=holder.boundary if holder else None,
            resource=self._policy_of(resource, action),
            endpoint=self.endpoints[endpoint] if endpoint else None,
            scps=self.scps if inside else (),
            rcps=self.rcps,
        )

    def _policy_of(self, resource: str, action: str) -> Policy | None:
        parts = segments(resource)
        if parts is not None and parts[2] == "iam" and parts[5].startswith("role/"):
            return self.trusts.get(resource)
        guard = self.guard_of(resource)
        if guard is not None:
            return guard.policy
        loose = self._loose(Kind.RESOURCE, action)
        if len(loose) > 1:
            raise BadInput(
                f"{for_terminal(loose[0].name)} and {for_terminal(loose[1].name)} could both be the policy of "
                f"{for_terminal(resource)}",
                hint="give one of them, or a template or world file that says which is whose",
            )
        return loose[0] if loose else None

    def _loose(self, kind: Kind, action: str) -> tuple[Policy, ...]:
        """Policies that hang on nothing; those of resources only where they speak of the action's service."""
        service = action.partition(":")[0]
        return tuple(
            policy
            for policy in self.loose
            if policy.kind is kind
            and (
                kind is Kind.IDENTITY
                or any(
                    s.not_actions or any(glob(a.partition(":")[0], service) for a in s.actions)
                    for s in policy.statements
                )
            )
        )

    def every_policy(self) -> Iterator[Policy]:
        """Every policy of the world, each once."""
        for holder in self.holders.values():
            yield from holder.policies
            if holder.boundary is not None:
                yield holder.boundary
        yield from (guard.policy for guard in self.guarded.values())
        yield from self.trusts.values()
        yield from self.loose
        yield from self.endpoints.values()
        for level in (*self.scps, *self.rcps):
            yield from level


def lies_in(resource: str, owner: str) -> bool:
    """Whether `resource` is `owner` or a part of it, as an object of a bucket or a stream of a log group."""
    stem = owner.removesuffix(":*")
    return resource == stem or resource.startswith((f"{stem}/", f"{stem}:"))
