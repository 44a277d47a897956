"""The two questions: may this principal do that, and who may do that at all?

`can` decides one request exactly, with the context given. `who_can` searches: for everyone who could turn up it looks
for a request that goes through, whatever the context, and shows it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from irkit.errors import BadInput, Incomplete
from irkit.escape import for_terminal
from irkit.policy import actions as catalogue
from irkit.policy.arns import account_of, segments
from irkit.policy.checks import EVERYTHING
from irkit.policy.document import Kind, Policy
from irkit.policy.evaluation import Applicable, Decision, Request, evaluate
from irkit.policy.outsiders import facts, requesters
from irkit.policy.patterns import condition_key, glob
from irkit.policy.principals import Requester
from irkit.policy.samples import shared_arn, tokens_of
from irkit.policy.witness import Search, Witness
from irkit.policy.world import Guarded, Holder, World

# Services whose resources have policies of their own (IAM User Guide, "AWS services that work with IAM").
_WITH_POLICIES = {
    "s3", "kms", "sqs", "sns", "lambda", "secretsmanager", "ecr", "events", "dynamodb", "kinesis", "backup", "logs",
    "execute-api", "glue", "es", "elasticfilesystem", "codeartifact", "acm-pca", "ses", "states", "iot", "glacier",
}  # fmt: skip

Given = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The decision on one request; `otherwise` is a request alike that would be decided the other way, if there is."""

    request: Request
    decision: Decision
    otherwise: Witness | None
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """One that might ask: a witness when a request of its goes through, `why_not` when none does.

    `described` says whether a source holds its own policies; otherwise they are taken to allow everything. `untold`
    says in words why no answer can be given.
    """

    who: Requester
    name: str
    described: bool
    witness: Witness | None = None
    why_not: str = ""
    untold: str = ""


def can(
    world: World,
    principal: str,
    action: str,
    resource: str,
    *,
    context: Given | None = None,
    session: Policy | None = None,
    endpoint: str | None = None,
) -> Answer:
    """Whether `principal` may do `action` on `resource`. Raises `BadInput` where irkit would have to guess.

    The context is what follows from the principal and the resource, TLS, the present moment, and `context` above all.
    """
    action = catalogue.known(action)
    if resource != "*" and set("*?") & set(resource):
        raise BadInput(
            f"{for_terminal(resource)} is a pattern, not a resource", hint="name one; who-can takes patterns"
        )
    _fitting(action, resource)
    holder = world.holder(principal)
    who = holder.who if holder is not None else Requester.read(principal)
    policies = world.policies_for(holder, who, action, resource, endpoint=endpoint)
    policies = replace(policies, session=session)
    account = world.owner_of(resource)
    fixed = {**_usual(), **_following(who, account, resource, action), **_tags(holder)}
    given = {condition_key(key): value for key, value in (context or {}).items()}
    request = Request(
        who=who, action=action, resource=resource, resource_account=account, context={**fixed, **given}
    )
    decision = evaluate(request, policies)
    otherwise = None
    if not decision.allowed:
        open_base = replace(request, context={**_following(who, account, resource, action), **given})
        otherwise = _if_told(Search(base=open_base, new=policies), action, resource)
    return Answer(
        request=request, decision=decision, otherwise=otherwise, notes=_notes(world, holder, resource)
    )


def who_can(
    world: World, action: str, resource: str, *, context: Given | None = None, endpoint: str | None = None
) -> list[Access]:
    """Everyone who might ask for `action` on a resource that fits `resource`, those that get it first.

    Asked are the principals that the sources describe, those that policies name, an administrator of the resource's
    account and one of another, the account's root user and nobody in particular.
    """
    action = catalogue.known(action)
    for policy in world.loose:
        if policy.kind is Kind.IDENTITY:
            raise BadInput(
                f"{for_terminal(policy.name)} is a policy that no source attaches to anybody",
                hint="ask `can`, or give a template or a world file that says whose it is",
            )
    given = {condition_key(key): value for key, value in (context or {}).items()}
    found: dict[str, Access] = {}
    for wanted in scenarios(world, action, resource):
        account = world.owner_of(wanted)
        for holder, who, described in _everyone(world, wanted, action, account):
            access = access_of(world, holder, who, described, action, wanted, given, endpoint)
            before = found.get(access.name)
            if before is None or (before.witness is None and access.witness is not None):
                found[access.name] = access
    return sorted(found.values(), key=lambda a: (a.witness is None, not a.described, a.name))


def access_of(
    world: World,
    holder: Holder | None,
    who: Requester,
    described: bool,
    action: str,
    wanted: str,
    given: Given,
    endpoint: str | None = None,
) -> Access:
    """Whether a request by `who` for `action` on a resource that fits `wanted` goes through; raises nothing."""
    account = world.owner_of(wanted)
    name = holder.who.arn if holder is not None and who.kind != "session" else who.arn
    made = Access(who=who, name=name, described=described)
    try:
        policies = world.policies_for(holder, who, action, wanted, endpoint=endpoint)
        if not described:
            policies = replace(policies, identity=(*policies.identity, EVERYTHING))
        context = {**_following(who, account, wanted, action), **given}
        base = Request(who=who, action=action, resource=wanted, resource_account=account, context=context)
        witness = Search(base=base, new=policies).first([action], [wanted])
        if witness is None:
            return replace(made, why_not=_why_not(base, policies))
        return replace(made, witness=witness)
    except (BadInput, Incomplete) as error:
        return replace(made, untold=str(error))


def _why_not(base: Request, policies: Applicable) -> str:
    """What stands in the way of the plainest such request, in words."""
    parts = base.resource.replace("*", "some-other-value")
    decision = evaluate(replace(base, resource=parts, context={**_usual(), **base.context}), policies)
    return decision.why if not decision.allowed else "no request goes through"


def _everyone(
    world: World, wanted: str, action: str, account: str
) -> Iterator[tuple[Holder | None, Requester, bool]]:
    known = set()
    for holder in world.holders.values():
        known.add(holder.who.arn)
        yield holder, holder.who, True
    applicable = world.policies_for(None, Requester.read("*"), action, wanted)
    policies = [*applicable.every(), *(level for levels in world.scps for level in levels)]
    for who, _ in requesters(policies, account):
        if who.arn in known or who.service_linked:
            continue
        of_session = world.holder(who.arn) if who.kind == "session" else None
        if of_session is not None:
            yield of_session, of_session.who, True
        else:
            yield None, who, who.kind in {"service", "federated", "anonymous", "root"}


def scenarios(world: World, action: str, pattern: str) -> list[str]:
    """The pattern, narrowed to each described resource that it takes in; itself when it takes in none."""
    if not set("*?") & set(pattern):
        _fitting(action, pattern)
        return [pattern]
    if catalogue.arn_formats(action) == ("*",):
        return ["*"]
    found: list[str] = []
    formats = [tokens_of(text) for text in catalogue.arn_formats(action)]
    roles = [
        Guarded(arn=arn, account=account_of(arn) or world.account, policy=p)
        for arn, p in world.trusts.items()
    ]
    for guard in (*world.guarded.values(), *roles):
        for narrowed in _narrowed(pattern, guard.arn):
            if any(shared_arn([tokens_of(narrowed), one]) is not None for one in formats):
                found.append(narrowed)
                break
    return found or [pattern]


def _narrowed(pattern: str, owner: str) -> Iterator[str]:
    """`pattern` within `owner`: the resource itself, what lies in it, or the pattern with its first part filled in."""
    if pattern == "*" or shared_arn([tokens_of(pattern), tokens_of(owner)]) is not None:
        yield owner
        yield f"{owner}/*"
    parts, own = segments(pattern), segments(owner)
    if parts is not None and own is not None and "/" in parts[5]:
        first, _, rest = parts[5].partition("/")
        if parts[2] == own[2] and glob(first, own[5]):
            yield f"{owner}/{rest}"


def _fitting(action: str, resource: str) -> None:
    """Raise when `action` is about resources of another kind: the answer would be no for the wrong reason."""
    if not catalogue.takes(action, resource):
        formats = " or ".join(catalogue.arn_formats(action)[:3])
        raise BadInput(f"{action} is not about {for_terminal(resource)}", hint=f"it takes {formats}")


def _usual() -> dict[str, tuple[str, ...]]:
    """What holds for a request unless something else is said."""
    now = datetime.now(UTC)
    return {
        "aws:securetransport": ("true",),
        "aws:viaawsservice": ("false",),
        "aws:currenttime": (now.isoformat(timespec="seconds"),),
        "aws:epochtime": (str(int(now.timestamp())),),
    }


def _following(who: Requester, account: str, resource: str, action: str) -> dict[str, tuple[str, ...]]:
    """What follows from who asks and what for."""
    found = {**facts(who), "aws:resourceaccount": (account,)}
    parts = segments(resource)
    if parts is not None and parts[3] and not set("*?") & set(parts[3]):
        found["aws:requestedregion"] = (parts[3],)
    if action.startswith("s3:"):
        found["s3:resourceaccount"] = (account,)
    if action.startswith("kms:"):
        found["kms:calleraccount"] = (who.account,) if who.account else ()
    return found


def _tags(holder: Holder | None) -> dict[str, tuple[str, ...]]:
    tags = holder.tags if holder is not None else {}
    return {f"aws:principaltag/{key}".lower(): (value,) for key, value in tags.items()}


def _if_told(search: Search, action: str, resource: str) -> Witness | None:
    """A request alike that goes through; None also when that cannot be told within the search's budget."""
    try:
        return search.on(action, resource)
    except (BadInput, Incomplete):
        return None


def _notes(world: World, holder: Holder | None, resource: str) -> tuple[str, ...]:
    notes: list[str] = list(world.notes)
    if holder is None and world.holders:
        notes.append(
            "no source describes this principal: only what is attached to nobody in particular counts for it"
        )
    is_role = ":iam:" in resource and ":role/" in resource
    if (
        not is_role
        and world.guard_of(resource) is None
        and not any(p.kind is Kind.RESOURCE for p in world.loose)
    ):
        notes.append("no source holds a policy of this resource: it is taken to have none")
    return tuple(notes)


def contexts(texts: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Condition keys given as NAME=VALUE; a name given twice has several values, one without a value is absent."""
    found: dict[str, list[str]] = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not sign:
            raise BadInput(
                f"--context {for_terminal(text)!r} is not NAME=VALUE", hint="aws:SourceIp=203.0.113.9"
            )
        condition_key(name)
        found.setdefault(name, [])
        if value:
            found[name].append(value)
    return {name: tuple(values) for name, values in found.items()}
