"""Puts what sources say together into a `World`: policies are attached only once everything has been read.

A source may attach what another one defines (a template its role to a policy of another stack), so readers only note
down what they find here, and `Gathering.world` joins it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from irkit.errors import BadInput
from irkit.escape import for_terminal
from irkit.policy.document import Kind, Policy
from irkit.policy.principals import Requester
from irkit.policy.world import Guarded, Holder, World

_FULL = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
# What AWS attaches to every organization, unit and account until somebody removes it.
FULL_ACCESS = Policy.read(_FULL, kind=Kind.SCP, name="FullAWSAccess")
# Managed policies of AWS whose text is short and has not changed since they were made.
_OF_AWS = {
    "AdministratorAccess": _FULL,
    "AWSDenyAll": {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Deny", "Action": "*", "Resource": "*"}],
    },
}


@dataclass(slots=True)
class Noted:
    """A user, role or group as its source describes it; documents are parsed JSON, not yet read as policies."""

    arn: str
    alias: str = ""
    inline: list[tuple[str, Any]] = field(default_factory=list)
    managed: list[str] = field(default_factory=list)
    boundary: str | None = None
    tags: dict[str, str] = field(default_factory=dict)
    groups: list[str] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class Gathering:
    """What has been found so far."""

    account: str
    noted: dict[str, Noted] = field(default_factory=dict)
    managed: dict[str, tuple[str, Any]] = field(default_factory=dict)
    by_name: dict[str, tuple[str, Any]] = field(default_factory=dict)
    guarded: dict[str, Guarded] = field(default_factory=dict)
    trusts: dict[str, Policy] = field(default_factory=dict)
    loose: list[Policy] = field(default_factory=list)
    scps: list[tuple[Policy, ...]] = field(default_factory=list)
    rcps: list[tuple[Policy, ...]] = field(default_factory=list)
    endpoints: dict[str, Policy] = field(default_factory=dict)
    unread: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def note(self, arn: str, *, alias: str = "") -> Noted:
        """The entry of a user, role or group, made when it is new; raises `BadInput` for one described twice."""
        if arn in self.noted and alias and self.noted[arn].alias:
            raise BadInput(f"{for_terminal(arn)} is described twice", hint="give each source once")
        found = self.noted.setdefault(arn, Noted(arn))
        found.alias = found.alias or alias
        return found

    def guard(self, arn: str, account: str, policy: Policy) -> None:
        """Take `policy` as the policy of the resource `arn`; raises `BadInput` when it has another one already."""
        if arn in self.guarded:
            raise BadInput(
                f"{for_terminal(arn)} has two policies: {for_terminal(self.guarded[arn].policy.name)} and "
                f"{for_terminal(policy.name)}",
                hint="a resource has one; give one of the two",
            )
        self.guarded[arn] = Guarded(arn=arn, account=account, policy=policy)

    def world(self) -> World:
        """Everything found, joined."""
        holders = {arn: self._holder(one) for arn, one in self.noted.items() if ":group/" not in arn}
        used = {
            name for one in self.noted.values() for name in map(_short, [*one.managed, one.boundary or ""])
        }
        loose = [
            policy
            for policy in self.loose
            if policy.name.rpartition("/")[2].removesuffix(".json") not in used
        ]
        return World(
            holders=holders,
            guarded=dict(self.guarded),
            trusts=dict(self.trusts),
            loose=tuple(loose),
            scps=tuple(self.scps),
            rcps=tuple(self.rcps),
            endpoints=dict(self.endpoints),
            unread=dict(self.unread),
            notes=tuple(dict.fromkeys(self.notes)),
            account=self.account,
        )

    def _holder(self, noted: Noted) -> Holder:
        inline, managed = list(noted.inline), list(noted.managed)
        missing: list[str] = []
        for group in noted.groups:
            entry = self.noted.get(group)
            if entry is None:
                missing.append(group)
                continue
            inline.extend(entry.inline)
            managed.extend(entry.managed)
        policies = [Policy.read(document, kind=Kind.IDENTITY, name=name) for name, document in inline]
        for arn in dict.fromkeys(managed):
            found = self._managed(arn)
            if found is None:
                missing.append(arn)
            else:
                policies.append(Policy.read(found[1], kind=Kind.IDENTITY, name=found[0]))
        boundary = None
        if noted.boundary is not None:
            found = self._managed(noted.boundary)
            if found is None:
                missing.append(noted.boundary)
            else:
                boundary = Policy.read(found[1], kind=Kind.BOUNDARY, name=found[0])
        return Holder(
            who=Requester.read(noted.arn),
            policies=tuple(policies),
            boundary=boundary,
            tags=dict(noted.tags),
            missing=tuple(missing),
            alias=noted.alias,
        )

    def _managed(self, arn: str) -> tuple[str, Any] | None:
        if arn in self.managed:
            return self.managed[arn]
        name = _short(arn)
        if ":iam::aws:policy/" in arn and name in _OF_AWS:
            return name, _OF_AWS[name]
        return self.by_name.get(name)


def _short(arn: str) -> str:
    return arn.rpartition("/")[2]


def tags_of(listed: Any) -> dict[str, str]:
    """Tags written as CloudFormation and the API write them."""
    if not isinstance(listed, list):
        return {}
    return {str(t["Key"]): str(t.get("Value", "")) for t in listed if isinstance(t, Mapping) and "Key" in t}
