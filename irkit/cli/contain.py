"""`irkit contain`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from irkit.case import Case
from irkit.cli.shared import (
    apply_option,
    case_options,
    json_option,
    opened,
    print_json,
    print_table,
    show_plan,
    show_report,
    show_steps,
    started,
)
from irkit.errors import BadInput
from irkit.escape import for_terminal
from irkit.plan import Report

_KINDS = click.Choice(["guard", "fleet", "network", "identity"])
_POSTURES = click.Choice(["balanced", "contain-first", "stealth"])
_STAGES = click.Choice(["guard", "cut", "close"])
_CHAIN_ROWS = 5000


@click.command()
@click.argument("instance_id", required=False)
@case_options
@click.option("--only", multiple=True, type=_KINDS, help="Only this kind of containment. Repeatable.")
@click.option(
    "--posture", type=_POSTURES, help="The stages of this posture, in its order, instead of all at once."
)
@click.option(
    "--stage", "stages", multiple=True, type=_STAGES, help="Only this stage of --posture. Repeatable."
)
@click.option("--ssm-room", is_flag=True, help="Leave Systems Manager a way in while the host is captured.")
@click.option(
    "--role-wide", is_flag=True, help="Also deny every older session of the role, on all its machines."
)
@click.option("--replace-profile", is_flag=True, help="Give the instance a profile that denies everything.")
@click.option("--metadata-off", is_flag=True, help="Switch the metadata service of the instance off.")
@click.option("--addresses", is_flag=True, help="Take Elastic IPs and secondary addresses away.")
@click.option(
    "--tracked",
    type=click.Choice(["nacl", "host-firewall", "stop"]),
    help="What ends connections that stay tracked all the same.",
)
@click.option(
    "--no-hop", is_flag=True, help="Never open an interface, not for a moment: live connections stay up."
)
@click.option(
    "--detach", is_flag=True, help="Take it out of its scaling group for good, rather than into standby."
)
@click.option(
    "--suspend",
    type=click.Choice(["needed", "always", "never"]),
    help="Suspend what could terminate instances of its scaling group [default: needed].",
)
@click.option("--user", "users", multiple=True, metavar="NAME", help="Take this user away. Repeatable.")
@click.option(
    "--key", "keys", multiple=True, metavar="AKIA…", help="Make this access key inactive. Repeatable."
)
@click.option(
    "--role", "roles", multiple=True, metavar="NAME", help="Deny older sessions of this role. Repeatable."
)
@click.option(
    "--chain",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Revoke what is in this answer of `irkit logs ask role_chain --format json`.",
)
@click.option("--verify", is_flag=True, help="Ask AWS again what holds; 1 if contradicted, 3 if not proved.")
@click.option(
    "--logs",
    is_flag=True,
    help="With --verify: also what flow logs and Event History show since the cut.",
)
@apply_option
@json_option
def contain(
    instance_id: str | None,
    case_id: str,
    cases: Path | None,
    only: tuple[str, ...],
    posture: str | None,
    stages: tuple[str, ...],
    chain: Path | None,
    verify: bool,
    logs: bool,
    apply: bool,
    as_json: bool,
    **chosen: Any,
) -> None:
    """Limit the attacker: on INSTANCE_ID, or by the credentials that are named. Shows the plan unless --apply.

    An instance is contained by guard rails, fleet, network and identity; --verify alone only reads, after --apply it
    proves what was done. Users, keys, roles and chains reach further than one machine and are never part of it.
    """
    named = {name: list(chosen.pop(name)) for name in ("users", "keys", "roles")}
    if chain is not None:
        named["chain"] = _rows(chain)
    no_hop, detach = chosen.pop("no_hop"), chosen.pop("detach")
    options = {name: value for name, value in chosen.items() if value}
    options |= ({"hop": False} if no_hop else {}) | ({"leave": "detach"} if detach else {})
    what, args = _run(instance_id, only, posture, stages, options, {k: v for k, v in named.items() if v})
    if verify and what != "contain":
        raise BadInput("--verify proves the containment of an instance", hint="name the instance")
    if logs and not verify:
        raise BadInput("--logs is a part of the proof", hint="give --verify too")
    case = opened(case_id, cases)
    from irkit.playbooks import runs

    report: Report | None = None
    if apply:
        report = started(case, what, args, as_json=as_json)
    if verify:
        _verify(case, str(instance_id), report, logs=logs, as_json=as_json)
    elif report is not None:
        show_report(report, as_json=as_json, case=case)
    else:
        show_plan(runs.planned(case, what, args), as_json=as_json)
        if posture and not as_json:
            _show_order(posture)


def _run(
    instance_id: str | None,
    only: tuple[str, ...],
    posture: str | None,
    stages: tuple[str, ...],
    options: dict[str, Any],
    named: dict[str, list[Any]],
) -> tuple[str, dict[str, Any]]:
    """What is to be run and with which arguments; `BadInput` for what does not go together."""
    if (instance_id is None) == (not named):
        raise BadInput(
            "give either an instance or credentials",
            hint="an instance id, or --user, --key, --role or --chain",
        )
    if instance_id is None:
        if only or posture or stages or options:
            raise BadInput(
                "that is for an instance", hint="leave it out with --user, --key, --role and --chain"
            )
        return "credentials", named
    if stages and not posture:
        raise BadInput("--stage is a part of a posture", hint="give --posture too")
    if posture and (only or options):
        raise BadInput(
            "a posture has its own kinds and options", hint="leave out --posture, or the options beside it"
        )
    args: dict[str, Any] = {"instance_id": instance_id, "only": list(only)}
    if posture:
        args |= {"posture": posture, "stages": list(stages)}
    if options:
        args["options"] = options
    return "contain", args


def _rows(path: Path) -> list[Any]:
    """The rows of the edge table in the file: a list, or an object that has them as `rows`."""
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{path} is not JSON", hint="make it with `irkit logs ask --format json`") from error
    rows = said.get("rows") if isinstance(said, dict) else said
    if not isinstance(rows, list) or not all(isinstance(r, dict) for r in rows) or len(rows) > _CHAIN_ROWS:
        raise BadInput(
            f"{path} does not hold rows of the edge table, {_CHAIN_ROWS} at most",
            hint="ask role_chain or issued_keys with `irkit logs ask --format json`",
        )
    return [{k: r.get(k) for k in ("kind", "issued_access_key_id", "issued_arn", "role_arn")} for r in rows]


def _verify(case: Case, instance_id: str, report: Report | None, *, logs: bool, as_json: bool) -> None:
    """Show what AWS, and with `logs` its logs, say now of each control, and exit with what follows from it."""
    from irkit.contain import calls_since, flows_since, prove
    from irkit.contain.proof import Finding

    flows = flows_since(case, instance_id) if logs else None
    proof = prove(case, instance_id, flows=flows, calls=calls_since(case, instance_id) if logs else None)
    case.close()
    found = {v.finding for v in proof.verdicts}
    code = 1 if Finding.CONTRADICTED in found else 0 if proof.complete else 3
    if as_json:
        print_json({"proof": proof.to_dict()} | ({"report": report.to_dict()} if report else {}))
    else:
        if report is not None:
            show_steps(report)
            click.echo("")
        rows = [(v.control, v.target, v.finding.value, v.why or v.intended) for v in proof.verdicts]
        print_table(("control", "on", "finding", "why"), rows)
        told = "proved" if proof.complete else f"{len(proof.open)} of {len(proof.verdicts)} not proved"
        click.echo(f"\n{instance_id} at {proof.at}: {told if proof.verdicts else 'nothing was contained'}")
    raise SystemExit(code or (report.exit_code if report else 0))


def _show_order(posture: str) -> None:
    """The whole order of the posture, so that it is seen what belongs between the stages of containment."""
    from irkit.playbooks import postures

    click.echo(f"\nThe order of {posture}:")
    rows = [
        (s.id, s.room, " ".join((*s.only, *(f"({k})" for k in s.optional))), s.noticed, s.why)
        for s in postures.stages(posture)
    ]
    print_table(("stage", "by", "kinds", "noticed", "why then"), [tuple(map(for_terminal, r)) for r in rows])
