"""Who may turn up at a resource, as far as its policies can tell: those that they name, and those that they do not.

Every grant of a resource's policy is to a principal, to an account, to a service or to anyone. For each there is one
requester that stands for it; conditions on `aws:PrincipalArn` name principals as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from irkit.errors import BadInput
from irkit.policy.arns import account_of
from irkit.policy.document import Policy
from irkit.policy.principals import Requester
from irkit.policy.samples import shared_arn, tokens_of

STRANGER = "999999999999"
_KEY = "aws:principalarn"


def requesters(
    policies: Iterable[Policy], account: str
) -> Iterator[tuple[Requester, dict[str, tuple[str, ...]]]]:
    """Those that may ask of a resource in `account`, each with the condition keys that follow from who it is."""
    listed = list(policies)
    for text in dict.fromkeys([*_named(listed), *_by_condition(listed, account), *_unnamed(account)]):
        try:
            who = Requester.read(text)
        except BadInput:
            continue
        yield who, facts(who)


def facts(who: Requester) -> dict[str, tuple[str, ...]]:
    """The condition keys that follow from who asks; an empty tuple says that the request has no such key."""
    kinds = {"user": "User", "role": "AssumedRole", "session": "AssumedRole", "root": "Account"}
    kinds |= {"federated-user": "FederatedUser", "anonymous": "Anonymous"}
    is_service = who.kind == "service"
    found: dict[str, tuple[str, ...]] = {
        "aws:principalarn": ()
        if who.kind in {"service", "anonymous", "federated"}
        else (who.persistent_arn,),
        "aws:principalaccount": (who.account,) if who.account else (),
        "aws:principalisawsservice": ("true" if is_service else "false",),
        "aws:principalservicename": (who.arn,) if is_service else (),
        "aws:username": (who.arn.rpartition("/")[2],) if who.kind == "user" else (),
    }
    if who.kind in kinds:
        found["aws:principaltype"] = (kinds[who.kind],)
    if who.kind not in {"role", "session"}:
        found["aws:sourceidentity"] = ()
    return found


def _named(policies: Iterable[Policy]) -> list[str]:
    """Principals that a Principal element names; an account stands for any of its roles."""
    found: list[str] = []
    for policy in policies:
        for statement in policy.statements:
            if statement.principals is None:
                continue
            names = sorted(statement.principals.aws)
            found.extend(
                f"arn:aws:iam::{name}:role/any-other-role" if name.isdigit() else name for name in names
            )
            found.extend(sorted(statement.principals.services | statement.principals.federated))
    return found


def _by_condition(policies: Iterable[Policy], account: str) -> list[str]:
    """Principals that a condition on `aws:PrincipalArn` singles out."""
    found: list[str] = []
    for policy in policies:
        for statement in policy.statements:
            for test in statement.condition.tests:
                if test.key != _KEY or test.operator is None:
                    continue
                for pattern in test.values:
                    if pattern.variables:
                        continue
                    text = shared_arn([tokens_of(_placed(pattern.text, account))])
                    if text is not None and account_of(text):
                        found.append(text)
    return found


def _placed(pattern: str, account: str) -> str:
    parts = pattern.split(":", 5)
    if len(parts) == 6:
        parts[1] = "aws" if parts[1] == "*" else parts[1]
        parts[4] = account if parts[4] == "*" else parts[4]
        if parts[5] == "*":
            parts[5] = "role/any-other-role"
    return ":".join(parts)


def _unnamed(account: str) -> list[str]:
    return [
        f"arn:aws:iam::{account}:role/any-other-role",
        f"arn:aws:iam::{account}:user/any-other-user",
        f"arn:aws:iam::{account}:root",
        f"arn:aws:iam::{STRANGER}:role/any-other-role",
        "*",
    ]
