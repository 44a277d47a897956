"""`irkit policy`: can, who-can, what-can, check."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from irkit.cli.shared import assignments, json_option, print_json, print_table
from irkit.escape import for_terminal

if TYPE_CHECKING:
    from irkit.policy.checks import Checked
    from irkit.policy.evaluation import Request
    from irkit.policy.witness import Witness
    from irkit.policy.world import World

F = TypeVar("F", bound=Callable[..., Any])
_CONTEXT = click.option(
    "--context",
    "context",
    multiple=True,
    metavar="KEY=VALUE",
    help="A condition key of the request; repeat it for more keys or values. KEY= says that it is absent.",
)
_ENDPOINT = click.option("--endpoint", help="A VPC endpoint of the sources that the request goes through.")


def _sources(command: F) -> F:
    for option in (
        click.option(
            "--param",
            "params",
            multiple=True,
            metavar="NAME=VALUE",
            help="A template's parameter. Repeatable.",
        ),
        click.option(
            "--account", metavar="ID", help="The account of the templates [default: that of the question]."
        ),
        click.option("--region", default="us-east-1", show_default=True, help="The region of the templates."),
        click.option("--partition", default="aws", show_default=True, help="The partition of the templates."),
    ):
        command = option(command)
    return command


@click.group()
def policy() -> None:
    """Who may do what, answered offline from policies, templates or a folder of them."""


@policy.command()
@click.argument("principal")
@click.argument("action")
@click.argument("resource")
@click.argument("sources", nargs=-1, required=True)
@_CONTEXT
@click.option(
    "--session",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A session policy, as JSON.",
)
@_ENDPOINT
@_sources
@json_option
def can(
    principal: str,
    action: str,
    resource: str,
    sources: tuple[str, ...],
    context: tuple[str, ...],
    session: Path | None,
    endpoint: str | None,
    as_json: bool,
    **how: Any,
) -> None:
    """May PRINCIPAL do ACTION on RESOURCE, as the SOURCES say? Exit code 0: yes; 4: no.

    PRINCIPAL is an ARN, a name from a template, an account, a service or * for anybody. SOURCES are policies as JSON,
    CloudFormation templates, `aws iam get-account-authorization-details`, world files, or folders of them.
    """
    from irkit.policy import asking
    from irkit.policy import sources as reading
    from irkit.policy.document import Kind, Policy

    world = _world(sources, (principal, resource), how)
    limits = Policy.read(reading.load(session), kind=Kind.SESSION, name=session.name) if session else None
    answer = asking.can(
        world,
        principal,
        action,
        resource,
        context=asking.contexts(context),
        session=limits,
        endpoint=endpoint,
    )
    if as_json:
        print_json(
            {
                "allowed": answer.decision.allowed,
                "verdict": answer.decision.verdict.value,
                "why": answer.decision.why,
                "statements": [s.name for s in answer.decision.statements],
                "request": _request(answer.request),
                "would_be_allowed": _request(answer.otherwise.request) if answer.otherwise else None,
                "notes": list(answer.notes),
            }
        )
    else:
        click.echo(f"{'yes' if answer.decision.allowed else 'no'}: {for_terminal(answer.decision.why)}")
        if answer.otherwise is not None:
            click.echo(
                f"with another context it would go through: {_shown(answer.otherwise.request, answer.request)}"
            )
        _say(answer.notes)
    raise SystemExit(0 if answer.decision.allowed else 4)


@policy.command("who-can")
@click.argument("action")
@click.argument("resource")
@click.argument("sources", nargs=-1, required=True)
@_CONTEXT
@_ENDPOINT
@click.option("--refused", is_flag=True, help="Show those that are refused too, and why.")
@_sources
@json_option
def who_can(
    action: str,
    resource: str,
    sources: tuple[str, ...],
    context: tuple[str, ...],
    endpoint: str | None,
    refused: bool,
    as_json: bool,
    **how: Any,
) -> None:
    """Everyone who may do ACTION on RESOURCE (wildcards allowed), each with a request that goes through."""
    from irkit.policy import asking

    world = _world(sources, (resource,), how)
    found = asking.who_can(world, action, resource, context=asking.contexts(context), endpoint=endpoint)
    allowed = [one for one in found if one.witness is not None]
    untold = [one for one in found if one.untold]
    others = [one for one in found if one.witness is None and not one.untold]
    if as_json:
        print_json(
            {
                "allowed": [
                    {"principal": a.name, "described": a.described, **_witness(a.witness)}
                    for a in allowed
                    if a.witness
                ],
                "refused": [
                    {"principal": a.name, "described": a.described, "why": a.why_not} for a in others
                ],
                "untold": [{"principal": a.name, "why": a.untold} for a in untold],
                "notes": list(world.notes),
            }
        )
    else:
        print_table(
            ("who can", "its own policies", "with such a request", "because"),
            [
                (
                    a.name,
                    "described" if a.described else "not described",
                    _shown(a.witness.request),
                    a.witness.decision.why,
                )
                for a in allowed
                if a.witness
            ],
        )
        for one in others if refused else ():
            click.echo(f"no: {for_terminal(one.name)}: {for_terminal(one.why_not)}")
        for one in untold:
            click.echo(f"cannot be told: {for_terminal(one.name)}: {for_terminal(one.untold)}")
        click.echo(
            f"\n{len(allowed)} can, {len(others)} cannot" + (f", {len(untold)} untold" if untold else "")
        )
        _say(world.notes)
    raise SystemExit(3 if untold else 0)


@policy.command("what-can")
@click.argument("principal")
@click.argument("sources", nargs=-1, required=True)
@click.option(
    "--service", "services", multiple=True, help="Only actions of this service, such as s3. Repeatable."
)
@click.option("--resource", "resources", multiple=True, help="Only on these resources; wildcards allowed.")
@_CONTEXT
@_sources
@json_option
def what_can(
    principal: str,
    sources: tuple[str, ...],
    services: tuple[str, ...],
    resources: tuple[str, ...],
    context: tuple[str, ...],
    as_json: bool,
    **how: Any,
) -> None:
    """Every action that PRINCIPAL may do, each with a request that goes through."""
    from irkit.policy import allowances, asking

    world = _world(sources, (principal, *resources), how)
    given = asking.contexts(context)
    found = allowances.what_can(world, principal, services=services, resources=resources, context=given)
    if as_json:
        print_json(
            {"allowed": [{"action": a.action, **_witness(a.witness)} for a in found], "notes": world.notes}
        )
        return
    print_table(
        ("with such a request", "because"),
        [(_shown(a.witness.request), a.witness.decision.why) for a in found],
    )
    click.echo(f"\n{len(found)} actions")
    _say(world.notes)


@policy.group()
def check() -> None:
    """The two checks of IAM Access Analyzer, offline, with a witness for each failure. Exit code 1: failed."""


@check.command("no-new-access")
@click.argument("old")
@click.argument("new")
@_sources
@json_option
def no_new_access(old: str, new: str, as_json: bool, **how: Any) -> None:
    """NEW allows nothing that OLD does not allow. Each is a policy, a template or a folder."""
    from irkit.policy import checks

    before, after = _world((old,), (), how, all_used=False), _world((new,), (), how)
    _report(checks.no_new_access(before, after), as_json=as_json)


@check.command("access-not-granted")
@click.argument("sources", nargs=-1, required=True)
@click.option(
    "--action", "actions", multiple=True, help="An action that must not be granted; wildcards allowed."
)
@click.option("--resource", "resources", multiple=True, help="The resources that it is about [default: all].")
@_sources
@json_option
def access_not_granted(
    sources: tuple[str, ...], actions: tuple[str, ...], resources: tuple[str, ...], as_json: bool, **how: Any
) -> None:
    """No policy of the SOURCES grants one of the actions on one of the resources."""
    from irkit.policy import checks

    _report(checks.access_not_granted(_world(sources, resources, how), actions, resources), as_json=as_json)


def _world(
    sources: tuple[str, ...], named: tuple[str, ...], how: dict[str, Any], *, all_used: bool = True
) -> World:
    """The world of the sources; its account is the one that the question names, unless it is given."""
    from irkit.aws import account_id
    from irkit.policy import sources as reading
    from irkit.policy.arns import account_of

    accounts = [found for found in map(account_of, named) if found and found.isdigit()]
    account = account_id(how["account"]) if how["account"] else next(iter(accounts), "123456789012")
    params = assignments(how["params"], option="--param", example="BucketName=evidence")
    reader = reading.Reading(
        account=account,
        region=how["region"],
        partition=how["partition"],
        parameters=params,
        all_used=all_used,
    )
    return reading.read(list(sources), reader)


def _report(checked: Checked, *, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "check": checked.check,
                "passed": checked.passed,
                "subjects": checked.subjects,
                "decisions": checked.tried,
                "findings": [{"subject": f.subject, **_witness(f.witness)} for f in checked.findings],
            }
        )
    else:
        for one in checked.findings:
            click.echo(f"FAIL {for_terminal(one.subject)}: {_shown(one.witness.request, who=True)}")
            click.echo(f"     {for_terminal(one.witness.decision.why)}")
        word = "passed" if checked.passed else "failed"
        click.echo(
            f"{checked.check} {word}: {checked.subjects} policies or holders, {checked.tried} decisions"
        )
    raise SystemExit(0 if checked.passed else 1)


def _request(request: Request) -> dict[str, Any]:
    return {
        "principal": request.who.arn,
        "action": request.action,
        "resource": request.resource,
        "context": {key: list(values) for key, values in sorted(request.context.items()) if values},
    }


def _witness(witness: Witness) -> dict[str, Any]:
    return {
        "request": _request(witness.request),
        "why": witness.decision.why,
        "statements": [s.name for s in witness.decision.statements],
    }


# What follows from who asks; a reader of a witness knows it.
_PLAIN = {
    "aws:principalarn", "aws:principalaccount", "aws:principaltype", "aws:principalisawsservice", "aws:username",
    "aws:principalservicename", "aws:resourceaccount", "aws:requestedregion", "s3:resourceaccount", "kms:calleraccount",
}  # fmt: skip


def _shown(request: Request, beside: Request | None = None, *, who: bool = False) -> str:
    """A request on one line; with `beside`, only the keys in which it differs from that."""
    known = dict(beside.context) if beside is not None else {}
    keys = [
        f"{key}={','.join(values)}"
        for key, values in sorted(request.context.items())
        if values and key not in _PLAIN and known.get(key) != values
    ]
    head = "" if beside is not None else f"{request.action} on {request.resource}"
    start = f"{request.who.arn} {head}" if who else head
    return for_terminal(" ".join(filter(None, [start, "with" if keys and head else "", " ".join(keys)])))


def _say(notes: tuple[str, ...]) -> None:
    for note in notes:
        click.echo(f"note: {for_terminal(note)}", err=True)
