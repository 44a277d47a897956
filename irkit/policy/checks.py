"""The two checks of IAM Access Analyzer, offline and with a witness: no new access, and access not granted.

IAM User Guide, "Validate policies with custom policy checks". AWS's checks prove; these try every request that the
policies can tell apart (see `irkit.policy.witness`), and show one for each failure. Service control policies, and what
other policies the holder may have elsewhere, do not count: as with AWS's, it is the policies given that are judged.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from irkit.errors import BadInput
from irkit.escape import for_terminal
from irkit.policy import actions as catalogue
from irkit.policy.arns import account_of, split
from irkit.policy.document import Kind, Policy
from irkit.policy.evaluation import Applicable, Request
from irkit.policy.outsiders import requesters
from irkit.policy.patterns import ANY, ONE, Pattern
from irkit.policy.principals import Requester
from irkit.policy.samples import Tokens, shared_arn, tokens_of
from irkit.policy.witness import Search, Witness
from irkit.policy.world import World

ACCOUNT = "123456789012"
_ALL = {"Effect": "Allow", "Action": "*", "Resource": "*"}
EVERYTHING = Policy.read(
    {"Version": "2012-10-17", "Statement": _ALL}, kind=Kind.IDENTITY, name="whatever it holds"
)
NOTHING = Policy(name="nothing", kind=Kind.IDENTITY, statements=())
_ASSUMING = {
    "sts:AssumeRole", "sts:AssumeRoleWithSAML", "sts:AssumeRoleWithWebIdentity", "sts:SetSourceIdentity",
    "sts:TagSession",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One failure: the policy or holder that grants, and a request that shows it."""

    subject: str
    witness: Witness


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """How a check went; it passed when nothing was found. `tried` counts decisions."""

    check: str
    findings: tuple[Finding, ...]
    subjects: int
    tried: int

    @property
    def passed(self) -> bool:
        """Whether no request was found that should not be possible."""
        return not self.findings


@dataclass(frozen=True, slots=True, kw_only=True)
class _Subject:
    """What is judged on its own: the policies of a holder, or the policy of a resource."""

    name: str
    kind: Literal["identity", "resource", "trust"]
    policies: tuple[Policy, ...]
    boundary: Policy | None = None
    resource: str = "*"
    account: str = ACCOUNT


def no_new_access(old: World, new: World) -> Checked:
    """Whether `new` allows nothing that `old` does not allow.

    A single loose policy as `old` is the measure for every subject of its kind in `new`, and other kinds are left out;
    otherwise a subject is compared with the one of the same name, and with nothing when there is none.
    """
    before, after = list(_subjects(old)), list(_subjects(new))
    if not after:
        raise BadInput("the new sources hold no policy to check", hint="give a policy or a template")
    findings: list[Finding] = []
    tried = 0
    if old.loose:
        kinds = {one.kind for one in before}
        after = [one for one in after if one.kind in kinds]
    for subject in after:
        measure = _measure(subject, before, loose=bool(old.loose))
        actions = _representatives(_granted(subject), (*subject.policies, *measure.policies))
        found, spent = _search(subject, measure, actions, [subject.resource])
        findings.extend(Finding(subject=subject.name, witness=witness) for witness in found[:1])
        tried += spent
    return Checked(check="no-new-access", findings=tuple(findings), subjects=len(after), tried=tried)


def access_not_granted(world: World, actions: Sequence[str], resources: Sequence[str] = ()) -> Checked:
    """Whether no policy of `world` allows any of `actions` (patterns) on any of `resources` (patterns; all when none).

    Without actions, every action is looked for on the resources. Raises `BadInput` for actions that AWS does not have.
    """
    if not actions and not resources:
        raise BadInput("nothing to check for", hint="give --action or --resource")
    subjects = list(_subjects(world))
    if not subjects:
        raise BadInput("the sources hold no policy to check", hint="give a policy or a template")
    asked = catalogue.expanded(tuple(actions)) if actions else catalogue.every()
    findings: list[Finding] = []
    tried = 0
    for subject in subjects:
        wanted = set(asked)
        within = [a for a in _granted(subject) if a in wanted]
        chosen = within if actions else _representatives(within, subject.policies)
        found, spent = _search(subject, None, chosen, list(resources) or [subject.resource])
        findings.extend(Finding(subject=subject.name, witness=witness) for witness in found)
        tried += spent
    return Checked(check="access-not-granted", findings=tuple(findings), subjects=len(subjects), tried=tried)


def _subjects(world: World) -> Iterator[_Subject]:
    for holder in world.holders.values():
        if holder.missing:
            raise BadInput(
                f"{for_terminal(holder.who.arn)} holds {for_terminal(holder.missing[0])}, whose text no source has",
                hint="save it beside the other sources as JSON under the policy's own name",
            )
        yield _Subject(
            name=holder.alias or holder.who.arn,
            kind="identity",
            policies=holder.policies,
            boundary=holder.boundary,
        )
    for arn, policy in world.trusts.items():
        account = account_of(arn) or ACCOUNT
        yield _Subject(name=policy.name, kind="trust", policies=(policy,), resource=arn, account=account)
    for guard in world.guarded.values():
        yield _Subject(
            name=guard.policy.name, kind="resource", policies=(guard.policy,), account=guard.account
        )
    for policy in world.loose:
        kind: Literal["identity", "resource"] = "identity" if policy.kind is Kind.IDENTITY else "resource"
        yield _Subject(name=policy.name, kind=kind, policies=(policy,))


def _measure(subject: _Subject, before: Iterable[_Subject], *, loose: bool) -> _Subject:
    same = [one for one in before if one.kind == subject.kind and (loose or one.name == subject.name)]
    if loose and len(same) > 1:
        raise BadInput("more than one policy is given as the old one", hint="give one, or two templates")
    return (
        same[0]
        if same
        else _Subject(name="nothing", kind=subject.kind, policies=(), resource=subject.resource)
    )


def _granted(subject: _Subject) -> list[str]:
    """The actions that some Allow of the subject covers, those that it names in full first."""
    found: dict[str, None] = {}
    allows = [s for policy in subject.policies for s in policy.statements if s.allows]
    for statement in sorted(allows, key=lambda s: s.not_actions):
        covered = {a: None for pattern in statement.actions for a in catalogue.matching(pattern)}
        if statement.not_actions:
            found.update({a: None for a in catalogue.every() if a not in covered})
            continue
        for pattern in statement.actions:
            # A name that is not in the list is what the policy says all the same.
            found.update(
                dict.fromkeys(catalogue.matching(pattern) or ((pattern,) if "*" not in pattern else ()))
            )
    if subject.kind == "trust":
        return [action for action in found if action in _ASSUMING]
    return list(found)


def _representatives(actions: Iterable[str], policies: Iterable[Policy]) -> list[str]:
    """One action of each kind: alike are those that the same patterns cover and whose ARNs the same resources fit."""
    statements = [s for policy in policies for s in policy.statements]
    covered = {a: frozenset(catalogue.matching(a)) for s in statements for a in s.actions}
    ordered = sorted(covered)
    fits = _Fits([p for s in statements for p in s.resources])
    chosen: dict[tuple[object, ...], str] = {}
    for action in actions:
        alike = (tuple(action in covered[p] for p in ordered), fits(catalogue.arn_formats(action)))
        chosen.setdefault(alike, action)
    return list(chosen.values())


class _Fits:
    """Which of the policies' resource patterns fit the ARNs that an action takes."""

    def __init__(self, patterns: Iterable[Pattern]) -> None:
        open_ = {tuple(t if isinstance(t, str) else ANY for t in p.tokens) for p in patterns}
        self._patterns = sorted(open_ - {(ANY,)})
        self._seen: dict[tuple[str, ...], tuple[bool, ...]] = {}

    def __call__(self, formats: tuple[str, ...]) -> tuple[bool, ...]:
        if formats not in self._seen:
            self._seen[formats] = tuple(
                any(
                    _same_service(one, text) and shared_arn([one, tokens_of(text)]) is not None
                    for text in formats
                )
                for one in self._patterns
            )
        return self._seen[formats]


def _same_service(tokens: Tokens, arn: str) -> bool:
    if arn == "*":
        return False
    service = split(tokens)[2] if len(split(tokens)) > 2 else (ANY,)
    return ANY in service or ONE in service or "".join(service) == arn.split(":")[2]


def _search(
    subject: _Subject, old: _Subject | None, actions: Sequence[str], resources: Sequence[str]
) -> tuple[list[Witness], int]:
    """Witnesses for the subject, one an action and requester, and how many decisions it took."""
    found: list[Witness] = []
    tried = 0
    for search in _searches(subject, old):
        for action in actions:
            witness = search.first([action], resources)
            if witness is not None:
                found.append(witness)
                if old is not None:
                    return found, tried + search.tried
        tried += search.tried
    return found, tried


def _searches(subject: _Subject, old: _Subject | None) -> Iterator[Search]:
    if subject.kind == "identity":
        who = Requester.read(f"arn:aws:iam::{ACCOUNT}:role/whoever-holds-it")
        yield _search_of(who, ACCOUNT, {}, _held(subject), _held(old) if old is not None else None)
        return
    policies = (*subject.policies, *(old.policies if old is not None else ()))
    for who, context in requesters(policies, subject.account):
        new = Applicable(identity=(EVERYTHING,), resource=subject.policies[0])
        before = Applicable(identity=(EVERYTHING,), resource=_first(old)) if old is not None else None
        yield _search_of(who, subject.account, context, new, before)


def _first(subject: _Subject) -> Policy:
    return (
        subject.policies[0] if subject.policies else Policy(name="nothing", kind=Kind.RESOURCE, statements=())
    )


def _held(subject: _Subject) -> Applicable:
    """What a holder may do as far as its own policies go: every resource leaves it to its account."""
    statement = {**_ALL, "Principal": {"AWS": ACCOUNT}}
    leaving = Policy.read(
        {"Version": "2012-10-17", "Statement": statement}, kind=Kind.RESOURCE, name="the resource"
    )
    return Applicable(identity=subject.policies, boundary=subject.boundary, resource=leaving)


def _search_of(
    who: Requester,
    account: str,
    context: Mapping[str, tuple[str, ...]],
    new: Applicable,
    old: Applicable | None,
) -> Search:
    base = Request(who=who, action="", resource="*", resource_account=account, context=dict(context))
    return Search(base=base, new=new, old=old)
