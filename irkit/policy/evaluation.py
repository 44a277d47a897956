"""May this principal do this? The decision that AWS would take, from the policies that apply to one request.

The order is AWS's (IAM User Guide, "Policy evaluation logic"): an explicit deny anywhere ends it; service control
policies must allow at every level; then the policies of identity and resource, boundary and session decide, in one
account either of the two sides sufficing, across accounts both being needed. Keys and roles differ (KMS Developer
Guide, "Key policies"; IAM User Guide, "Roles terms and concepts"): without their own policy's consent nothing counts.

Not modelled, and never read as a grant: KMS grants, S3 access control lists and block-public-access settings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from irkit.errors import BadInput
from irkit.escape import for_terminal
from irkit.policy.arns import covers, segments
from irkit.policy.conditions import Context
from irkit.policy.document import Kind, Policy, Statement
from irkit.policy.patterns import glob
from irkit.policy.principals import Reach, Requester


class Verdict(StrEnum):
    """The three answers; only the first lets the request through."""

    ALLOWED = "allowed"
    DENIED = "denied by a statement"
    NOT_ALLOWED = "not allowed by any policy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is asked: `context` holds condition keys in lower case; `resource_account` owns the resource."""

    who: Requester
    action: str
    resource: str
    resource_account: str | None
    context: Context


@dataclass(frozen=True, slots=True, kw_only=True)
class Applicable:
    """The policies that apply to a request.

    `scps` and `rcps` are levels from the organization's root down to the account; none means that none apply. A
    `resource` of None means that the resource has no policy.
    """

    identity: tuple[Policy, ...] = ()
    resource: Policy | None = None
    boundary: Policy | None = None
    session: Policy | None = None
    endpoint: Policy | None = None
    scps: tuple[tuple[Policy, ...], ...] = ()
    rcps: tuple[tuple[Policy, ...], ...] = ()

    def every(self) -> Iterable[Policy]:
        """All of them."""
        yield from self.identity
        yield from (p for p in (self.resource, self.boundary, self.session, self.endpoint) if p is not None)
        for level in (*self.scps, *self.rcps):
            yield from level


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """A verdict, the statements that decided it, and in words what was missing when nothing allowed it."""

    verdict: Verdict
    statements: tuple[Statement, ...] = ()
    why: str = ""

    @property
    def allowed(self) -> bool:
        """Whether the request goes through."""
        return self.verdict is Verdict.ALLOWED


# Whether a statement applies to the request. The search for witnesses puts its own in, with some keys still open.
Applies = Callable[[Statement, Request], bool]

_ASSUMING = {
    "sts:assumerole", "sts:assumerolewithsaml", "sts:assumerolewithwebidentity", "sts:tagsession",
    "sts:setsourceidentity",
}  # fmt: skip
# Its owner can always mend a bucket policy that shuts everybody out (S3 User Guide, "Bucket policies").
_OWNERS_OWN = {"s3:getbucketpolicy", "s3:putbucketpolicy", "s3:deletebucketpolicy"}


def action_covered(statement: Statement, action: str) -> bool:
    """Whether the statement's Action or NotAction covers `action`."""
    return any(glob(pattern, action) for pattern in statement.actions) is not statement.not_actions


def resource_covered(statement: Statement, request: Request) -> bool:
    """Whether Resource or NotResource covers the request's; a NotResource with a variable without value covers none."""

    def lookup(key: str) -> str | None:
        values = request.context.get(key, ())
        if len(values) > 1:
            raise BadInput(
                f"policy {for_terminal(statement.name)} takes a variable from {key}, which has {len(values)} values",
                hint="a policy variable needs a key with one value",
            )
        return values[0] if values else None

    found = [covers(pattern, request.resource, lookup) for pattern in statement.resources]
    return None not in found and True not in found if statement.not_resources else True in found


def applies(statement: Statement, request: Request) -> bool:
    """Whether action, resource, principal and conditions of the statement all cover the request."""
    return (
        action_covered(statement, request.action)
        and resource_covered(statement, request)
        and reach_of(statement, request) is not Reach.NOBODY
        and statement.condition.holds(request.context)
    )


def reach_of(statement: Statement, request: Request) -> Reach:
    """How closely the statement names the requester; `EXACT` for statements that hang on the requester itself."""
    if statement.principals is None:
        return Reach.EXACT
    return statement.principals.reach(request.who, statement.name)


def evaluate(request: Request, policies: Applicable, *, applies: Applies = applies) -> Decision:
    """The decision on `request`. Raises `BadInput` where AWS's answer is not documented or a policy is missing."""
    return _Evaluation(request, policies, applies).decision()


@dataclass(slots=True)
class _Evaluation:
    request: Request
    policies: Applicable
    applies: Applies
    allowing: list[Statement] = field(default_factory=list)

    def decision(self) -> Decision:
        who = self.request.who
        if self.request.action.lower() == "sts:getcalleridentity":
            return Decision(verdict=Verdict.ALLOWED, why="anyone may ask who they are")
        if who.kind == "root" and self.request.action.lower() in _ASSUMING and self._on("iam", "role/"):
            return Decision(verdict=Verdict.NOT_ALLOWED, why="the root user cannot assume roles")
        self._complete()
        if denies := [
            s for policy in self._denying() for s in policy.statements if self._hits(s, allows=False)
        ]:
            return Decision(
                verdict=Verdict.DENIED, statements=tuple(denies), why=f"denied by {denies[0].name}"
            )
        missing = self._missing()
        if missing:
            return Decision(verdict=Verdict.NOT_ALLOWED, why=missing)
        found = tuple(dict.fromkeys(self.allowing))
        return Decision(
            verdict=Verdict.ALLOWED,
            statements=found,
            why=f"allowed by {', '.join(s.name for s in found)}" if found else "the account's root user",
        )

    def _complete(self) -> None:
        """Raise when the request cannot be judged without a policy that was not given."""
        if self.policies.resource is None and (self._own_policy_rules() is not None):
            raise BadInput(
                f"the {self._own_policy_rules()} policy of {for_terminal(self.request.resource)} is not known",
                hint="give the policy, or a template that holds it; nothing can be said without it",
            )
        if self.policies.session is not None and self.request.who.kind not in {
            "session",
            "role",
            "federated-user",
        }:
            raise BadInput(
                f"a session policy does not apply to {for_terminal(self.request.who.arn)}",
                hint="only sessions have one",
            )

    def _own_policy_rules(self) -> Literal["key", "trust"] | None:
        """Which policy of the resource has the last word, if one has."""
        action = self.request.action.lower()
        if action.startswith("kms:") and self._on("kms", "key/"):
            return "key"
        return "trust" if action in _ASSUMING and self._on("iam", "role/") else None

    def _on(self, service: str, prefix: str) -> bool:
        parts = segments(self.request.resource)
        return parts is not None and parts[2] == service and parts[5].startswith(prefix)

    def _hits(self, statement: Statement, *, allows: bool) -> bool:
        return statement.allows is allows and self.applies(statement, self.request)

    def _denying(self) -> Iterable[Policy]:
        """The policies whose denies count."""
        for policy in self.policies.every():
            if policy.kind is Kind.SCP and not self._under_scps():
                continue
            if policy.kind is Kind.RCP and self.request.who.service_linked:
                continue
            if policy is self.policies.resource and self._mends_own_bucket():
                continue
            yield policy

    def _under_scps(self) -> bool:
        who = self.request.who
        return who.kind not in {"service", "federated", "anonymous"} and not who.service_linked

    def _mends_own_bucket(self) -> bool:
        who = self.request.who
        same = who.account is not None and who.account == self.request.resource_account
        return who.kind == "root" and same and self.request.action.lower() in _OWNERS_OWN

    def _allowed_by(self, *policies: Policy) -> bool:
        found = [s for policy in policies for s in policy.statements if self._hits(s, allows=True)]
        self.allowing.extend(found)
        return bool(found)

    def _missing(self) -> str:
        """What is missing for an allow, in words; empty when nothing is."""
        for level in self.policies.scps if self._under_scps() else ():
            if not self._allowed_by(*level):
                return "no service control policy allows it at one of the levels"
        if self.policies.endpoint is not None and not self._allowed_by(self.policies.endpoint):
            return "the VPC endpoint's policy does not allow it"
        return self._missing_in_accounts()

    def _granted(self) -> Reach:
        """The closest grant of the resource's policy."""
        policy = self.policies.resource
        found = [s for s in policy.statements if self._hits(s, allows=True)] if policy is not None else []
        self.allowing.extend(found)
        return max((reach_of(s, self.request) for s in found), default=Reach.NOBODY)

    def _missing_in_accounts(self) -> str:
        who, granted = self.request.who, self._granted()
        if who.kind in {"service", "federated", "anonymous"}:
            return "" if granted else f"no policy of the resource allows it to {who.arn}"
        identity = self._allowed_by(*self.policies.identity)
        if who.kind == "root":
            identity = True
        same = who.account == self.request.resource_account
        own = self._own_policy_rules()
        if not granted and (own or not same):
            return f"the {own or 'resource'} policy does not allow it" + (
                "" if same else " to another account"
            )
        if not identity and (not same or granted <= Reach.ACCOUNT):
            return "no identity policy allows it"
        return self._limit(granted if same else Reach.NOBODY)

    def _limit(self, granted: Reach) -> str:
        """Which limit of the requester stands in the way, if one does.

        What a resource grants in the same account reaches past boundary and session policy when it names the requester
        itself, past the boundary when it names everyone. A grant to a role or through identity policies is limited.
        """
        past_session = granted is Reach.EXACT
        past_boundary = granted in {Reach.EXACT, Reach.ANYONE}
        if (
            self.policies.boundary is not None
            and not self._allowed_by(self.policies.boundary)
            and not past_boundary
        ):
            return "the permissions boundary does not allow it"
        if (
            self.policies.session is not None
            and not self._allowed_by(self.policies.session)
            and not past_session
        ):
            return "the session policy does not allow it"
        return ""
