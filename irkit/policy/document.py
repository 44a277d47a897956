"""Policy documents, read strictly: what is not understood is an error, since a guess could hide a grant.

`Policy.read` takes the parsed JSON of one document and the kind of policy that it is, because the kinds differ in what
they may hold (IAM User Guide, "Grammar of the IAM JSON policy language"; Organizations User Guide, "SCP syntax" and
"RCP syntax").
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from irkit.errors import BadInput
from irkit.escape import for_terminal
from irkit.policy.conditions import Condition
from irkit.policy.patterns import Pattern, compiled
from irkit.policy.principals import Named

VARIABLES_SINCE = "2012-10-17"
_VERSIONS = {VARIABLES_SINCE, "2008-10-17"}
_ELEMENTS = {
    "Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource", "Condition",
}  # fmt: skip
# What stands for a parameter without a value. A deny cannot be left out of the reckoning as a grant can.
_PLACEHOLDER = re.compile(r"<([A-Za-z][A-Za-z0-9:._-]*)>")
_EQUALITY = re.compile(r"(?:for(?:any|all)values?:)?string(?:not)?equals(?:ifexists)?")
_ACTION = re.compile(r"\*|[A-Za-z0-9*?-]+:[A-Za-z0-9*?]+")


class Kind(StrEnum):
    """What a policy is attached to, and so what it may say."""

    IDENTITY = "identity"
    BOUNDARY = "boundary"
    SESSION = "session"
    RESOURCE = "resource"
    TRUST = "trust"
    ENDPOINT = "endpoint"
    SCP = "scp"
    RCP = "rcp"


_WITH_PRINCIPAL = {Kind.RESOURCE, Kind.TRUST, Kind.ENDPOINT, Kind.RCP}


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One statement; `policy` and `number` (from 1) say where it stands."""

    policy: str
    number: int
    sid: str | None
    allows: bool
    actions: tuple[str, ...]
    not_actions: bool
    resources: tuple[Pattern, ...]
    not_resources: bool
    principals: Named | None
    condition: Condition

    @property
    def name(self) -> str:
        """Where the statement stands, such as `bucket.json, statement 2 (DenyAll)`."""
        return f"{self.policy}, statement {self.number}" + (f" ({self.sid})" if self.sid else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """One policy document: its statements and what it is called in answers."""

    name: str
    kind: Kind
    statements: tuple[Statement, ...]

    @classmethod
    def read(cls, document: Any, *, kind: Kind, name: str) -> Policy:
        """The policy in `document`, parsed JSON; raises `BadInput` that names the statement and what is wrong in it."""
        if not isinstance(document, Mapping):
            raise BadInput(
                f"policy {for_terminal(name)} is not a JSON object", hint="give the whole document"
            )
        if unknown := set(document) - {"Version", "Id", "Statement"}:
            raise _bad(
                name, f"has an unknown element {_listed(unknown)}", "Version, Id and Statement are known"
            )
        version = document.get("Version", "2008-10-17")
        if version not in _VERSIONS:
            raise _bad(name, f"has version {version!r}", "2012-10-17 or 2008-10-17")
        found = document.get("Statement")
        listed = found if isinstance(found, list) else [found]
        if not listed or not all(isinstance(one, Mapping) for one in listed):
            raise _bad(name, "has no statements", "Statement is an object or a list of objects")
        variables = version == VARIABLES_SINCE
        return cls(
            name=name,
            kind=kind,
            statements=tuple(
                _statement(one, kind, name, number, variables=variables)
                for number, one in enumerate(listed, start=1)
            ),
        )


def parse_json(text: str, *, name: str) -> Any:
    """The JSON in `text`; an element that stands twice is an error, since readers disagree about which one counts."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in pairs:
            if key in found:
                raise BadInput(
                    f"{for_terminal(name)} has {for_terminal(key)!r} twice in one object",
                    hint="keep one of them",
                )
            found[key] = value
        return found

    try:
        return json.loads(text, object_pairs_hook=once)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{for_terminal(name)} is not JSON: {error}", hint="check the file") from error


def _statement(one: Mapping[str, Any], kind: Kind, policy: str, number: int, *, variables: bool) -> Statement:
    where = f"{policy}, statement {number}"
    if unknown := set(one) - _ELEMENTS:
        raise _bad(where, f"has an unknown element {_listed(unknown)}", "check the spelling")
    effect = one.get("Effect")
    if effect not in {"Allow", "Deny"}:
        raise _bad(where, f"has Effect {effect!r}", "Allow or Deny")
    actions, not_actions = _either(one, "Action", where)
    if actions is None:
        raise _bad(where, "has neither Action nor NotAction", "add one of them")
    for action in actions:
        if not _ACTION.fullmatch(action):
            raise _bad(
                where, f"has the action {for_terminal(action)!r}", "service:Action, with * and ? as wildcards"
            )
    resources, not_resources = _either(one, "Resource", where)
    if resources is None and kind is not Kind.TRUST:
        raise _bad(where, "has neither Resource nor NotResource", "add one of them")
    if resources is not None and kind is Kind.TRUST:
        raise _bad(where, "names a resource, which a trust policy cannot", "remove it")
    _right_for(kind, one, effect, actions, where)
    if effect == "Deny":
        _decided(one, where)
    return Statement(
        policy=policy,
        number=number,
        sid=_sid(one, where),
        allows=effect == "Allow",
        actions=tuple(actions),
        not_actions=not_actions,
        resources=tuple(_resource(text, where, variables=variables) for text in resources or ("*",)),
        not_resources=not_resources,
        principals=_principals(one, kind, where),
        condition=Condition.read(one.get("Condition", {}), where=where, variables=variables),
    )


def _right_for(kind: Kind, one: Mapping[str, Any], effect: str, actions: list[str], where: str) -> None:
    """Raise for what AWS refuses in a policy of this kind."""
    if kind is Kind.RCP:
        full = (
            effect == "Allow" and actions == ["*"] and one.get("Resource") == "*" and not one.get("Condition")
        )
        if effect == "Allow" and not full:
            raise _bad(where, "allows, which only the default resource control policy does", "use Deny")
        if effect == "Deny" and (actions == ["*"] or "NotAction" in one):
            raise _bad(
                where, "denies every action, which a resource control policy cannot", "name the services"
            )
        if one.get("Principal") != "*":
            raise _bad(
                where, "names a principal, which a resource control policy cannot", 'use "Principal": "*"'
            )


def _decided(one: Mapping[str, Any], where: str) -> None:
    """Raise when a deny depends on a parameter without a value, other than as a text that keys are equal to or not.

    There the placeholder stands for itself: a witness then has it as the key's value.
    """
    condition = one.get("Condition")
    blocks = condition if isinstance(condition, Mapping) else {}
    rest = {**one, "Condition": {k: v for k, v in blocks.items() if not _EQUALITY.fullmatch(str(k).lower())}}
    if open_ := _PLACEHOLDER.search(json.dumps(rest, default=str)):
        raise _bad(
            where,
            f"denies depending on {for_terminal(open_.group())}, which has no value",
            f"--param {open_.group(1)}=…",
        )


def _sid(one: Mapping[str, Any], where: str) -> str | None:
    sid = one.get("Sid")
    if sid is not None and not isinstance(sid, str):
        raise _bad(where, "has a Sid that is not text", "use letters and digits")
    return sid or None


def _principals(one: Mapping[str, Any], kind: Kind, where: str) -> Named | None:
    stated = [element for element in ("Principal", "NotPrincipal") if element in one]
    if kind not in _WITH_PRINCIPAL:
        if stated:
            raise _bad(
                where, f"has {stated[0]}, which no {kind} policy has", "remove it, or read it as what it is"
            )
        return None
    if len(stated) != 1:
        raise _bad(where, "needs Principal or NotPrincipal, one of the two", "say whom it is about")
    return Named.read(one[stated[0]], excluded=stated[0] == "NotPrincipal", where=where)


def _either(one: Mapping[str, Any], element: str, where: str) -> tuple[list[str] | None, bool]:
    """The texts of `element` or of its negation, and whether it was the negation."""
    plain, negated = element in one, f"Not{element}" in one
    if plain and negated:
        raise _bad(where, f"has both {element} and Not{element}", "keep one of them")
    if not plain and not negated:
        return None, False
    value = one[f"Not{element}" if negated else element]
    texts = value if isinstance(value, list) else [value]
    if not texts or not all(isinstance(text, str) and text for text in texts):
        raise _bad(where, f"has {element} that is not a text or a list of texts", "give at least one")
    return texts, negated


def _resource(text: str, where: str, *, variables: bool) -> Pattern:
    if text.strip("*") and not text.startswith(("arn:", "*", "?", "<")):
        raise _bad(where, f"has the resource {for_terminal(text)!r}", "an ARN or *")
    return compiled(text, variables=variables)


def _listed(names: set[Any]) -> str:
    return ", ".join(sorted(for_terminal(name) for name in names))


def _bad(where: str, what: str, hint: str) -> BadInput:
    return BadInput(f"policy {for_terminal(where)} {what}", hint=hint)
