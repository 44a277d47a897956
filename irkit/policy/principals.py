"""Who asks, and whom a policy names.

`Requester` is the principal of a request; `Named` is the Principal or NotPrincipal element of a statement. How closely
an element names a requester decides what the grant is worth (IAM User Guide, "Policy evaluation logic" and "AWS JSON
policy elements: Principal"): the account only hands the decision to that account's identity policies, a role is limited
by boundary and session policies, and the user or the session itself is not.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any, Literal

from irkit.errors import BadInput
from irkit.escape import for_terminal
from irkit.policy.arns import account_of, segments

_ACCOUNT = re.compile(r"\d{12}")
_SERVICE = re.compile(r"[a-z0-9][a-z0-9-]*(?:\.[a-z0-9-]+)*\.amazonaws\.com(?:\.cn)?")
_UNIQUE_ID = re.compile(r"A[A-Z]{3}[A-Z0-9]{12,}")
_LINKED = "role/aws-service-role/"

RequesterKind = Literal[
    "user", "role", "session", "root", "federated-user", "service", "federated", "anonymous"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Requester:
    """The principal of a request.

    `arn` is what the request is signed as: an ARN, a service's name, an identity provider, or `*` for nobody. `role` is
    the role's ARN for a role and its sessions, `user` the user's for a federated session of one.
    """

    kind: RequesterKind
    arn: str
    account: str | None = None
    role: str | None = None

    @classmethod
    def read(cls, text: str, *, role: str | None = None) -> Requester:
        """The requester that `text` names: an ARN, an account, a service, `*` or `anonymous`.

        `role` is the ARN of a session's role where that has a path, which a session's own ARN does not show.
        """
        if text in {"*", "anonymous"}:
            return cls(kind="anonymous", arn="*")
        if _ACCOUNT.fullmatch(text):
            return cls(kind="root", arn=f"arn:aws:iam::{text}:root", account=text)
        if _SERVICE.fullmatch(text):
            return cls(kind="service", arn=text)
        parts = segments(text)
        if parts is not None and _ACCOUNT.fullmatch(parts[4]) and not set("*?") & set(text):
            found = cls._of_arn(text, parts)
            return replace(found, role=role) if role else found
        raise BadInput(
            f"{for_terminal(text)!r} is not a principal",
            hint="give the ARN of a user, role or session, an account, a service such as ec2.amazonaws.com, or *",
        )

    @classmethod
    def _of_arn(cls, text: str, parts: tuple[str, ...]) -> Requester:
        account, (kind, _, rest) = parts[4], parts[5].partition("/")
        if parts[2] == "iam" and parts[5] == "root":
            return cls(kind="root", arn=text, account=account)
        if parts[2] == "iam" and rest and kind == "user":
            return cls(kind="user", arn=text, account=account)
        if parts[2] == "iam" and rest and kind == "role":
            return cls(kind="role", arn=text, account=account, role=text)
        if parts[2] == "iam" and rest and kind in {"saml-provider", "oidc-provider"}:
            return cls(kind="federated", arn=text, account=account)
        if parts[2] == "sts" and rest and kind == "federated-user":
            return cls(kind="federated-user", arn=text, account=account)
        if parts[2] == "sts" and kind == "assumed-role" and rest.count("/") == 1:
            role = f"arn:{parts[1]}:iam::{account}:role/{rest.partition('/')[0]}"
            return cls(kind="session", arn=text, account=account, role=role)
        raise BadInput(
            f"{for_terminal(text)!r} is not the ARN of a principal", hint="a user, a role, a session or root"
        )

    @property
    def service_linked(self) -> bool:
        """Whether it is a service-linked role, which SCPs and RCPs do not restrict."""
        return self.role is not None and f":{_LINKED}" in self.role

    @property
    def persistent_arn(self) -> str:
        """What `aws:PrincipalArn` holds: the role's ARN for a session, otherwise the requester's own."""
        return self.role or self.arn


class Reach(IntEnum):
    """How closely a Principal element names a requester, the weakest first."""

    NOBODY = 0
    ACCOUNT = 1  # the whole account: its identity policies decide
    ROLE = 2  # the role of the session, or the user of the federated session
    ANYONE = 3  # everybody
    EXACT = 4  # the requester itself


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """A Principal element: everyone, or the named AWS principals, services and providers."""

    excluded: bool
    anyone: bool
    aws: frozenset[str]
    services: frozenset[str]
    federated: frozenset[str]

    @classmethod
    def read(cls, element: Any, *, excluded: bool, where: str) -> Named:
        """The element as parsed JSON; raises `BadInput` for principals that cannot be told offline."""
        groups = {"AWS": element} if element == "*" else element
        if not isinstance(groups, Mapping) or not groups:
            raise BadInput(
                f"policy {for_terminal(where)} has a principal that is neither * nor an object",
                hint='such as {"AWS": "arn:…"}',
            )
        if unknown := set(groups) - {"AWS", "Service", "Federated"}:
            raise BadInput(
                f"policy {for_terminal(where)} names principals of type {for_terminal(', '.join(map(str, unknown)))},"
                " which irkit does not evaluate",
                hint="AWS, Service and Federated are known",
            )
        names = {group: _texts(groups[group], where) for group in groups}
        aws = frozenset(_aws(name, where) for name in names.get("AWS", ()))
        if excluded and "*" in aws:
            raise BadInput(
                f"policy {for_terminal(where)} excludes everyone", hint="name principals in NotPrincipal"
            )
        for name in names.get("Service", ()):
            if not _SERVICE.fullmatch(name) and not name.startswith("<"):
                raise BadInput(
                    f"policy {for_terminal(where)} names the service {for_terminal(name)!r}",
                    hint="such as ec2.amazonaws.com",
                )
        return cls(
            excluded=excluded,
            anyone="*" in aws,
            aws=aws - {"*"},
            services=frozenset(names.get("Service", ())),
            federated=frozenset(names.get("Federated", ())),
        )

    def reach(self, who: Requester, where: str) -> Reach:
        """How closely the element names `who`; for NotPrincipal, `ANYONE` unless `who` is excluded.

        A session is excluded by listing it, its role and its account, a user by listing it and its account. Where only
        some of these are listed AWS does not say what happens, and `BadInput` is raised.
        """
        if not self.excluded:
            return self._named(who, where)
        needed = {name for name in (who.arn, who.role, who.account) if name and who.kind != "anonymous"}
        if who.kind in {"root", "federated"}:
            needed = {str(who.account)} if who.kind == "root" else {who.arn}
        listed = needed & (self.aws | self.services | self.federated)
        if not listed:
            return Reach.ANYONE
        if listed == needed:
            return Reach.NOBODY
        raise BadInput(
            f"policy {for_terminal(where)}: NotPrincipal lists {for_terminal(min(listed))} but not "
            f"{for_terminal(min(needed - listed))}, and what that means is not documented",
            hint="list both, or write Principal * with ArnNotEquals on aws:PrincipalArn, as AWS recommends",
        )

    def _named(self, who: Requester, where: str) -> Reach:
        if who.kind == "service":
            return Reach.EXACT if who.arn in self.services else Reach.ANYONE if self.anyone else Reach.NOBODY
        if who.kind == "federated":
            if who.account in self.aws:
                raise BadInput(
                    f"policy {for_terminal(where)} names account {who.account}, and whether that is its identity "
                    "provider too is not documented",
                    hint="name the provider under Federated",
                )
            return Reach.EXACT if who.arn in self.federated else Reach.ANYONE if self.anyone else Reach.NOBODY
        if who.kind != "root" and who.arn in self.aws:
            return Reach.ROLE if who.kind == "role" else Reach.EXACT
        if self.anyone:
            return Reach.ANYONE
        if who.role is not None and who.role in self.aws:
            return Reach.ROLE
        if (
            who.kind == "federated-user"
            and who.arn.replace(":sts:", ":iam:").replace(":federated-user/", ":user/") in self.aws
        ):
            return Reach.ROLE
        return Reach.ACCOUNT if who.account in self.aws else Reach.NOBODY


def _texts(value: Any, where: str) -> list[str]:
    texts = value if isinstance(value, list) else [value]
    if not texts or not all(isinstance(text, str) and text for text in texts):
        raise BadInput(
            f"policy {for_terminal(where)} has a principal that is not text", hint="give ARNs or names"
        )
    return texts


def _aws(name: str, where: str) -> str:
    """An entry under "AWS" in one spelling: an account and the ARN of its root are both the account's number."""
    if name == "*" or name.startswith("<") or _ACCOUNT.fullmatch(name):
        return name
    if _UNIQUE_ID.fullmatch(name):
        raise BadInput(
            f"policy {for_terminal(where)} names the principal {name} by its id, as AWS shows one that was deleted",
            hint="write its ARN, or remove the entry",
        )
    if "*" in name or "?" in name or account_of(name) is None:
        raise BadInput(
            f"policy {for_terminal(where)} names the principal {for_terminal(name)!r}",
            hint="an account, or the ARN of a user, role or session, without wildcards",
        )
    who = Requester.read(name)
    return str(who.account) if who.kind == "root" else name
