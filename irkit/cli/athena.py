"""`irkit logs athena`: tables over the raw buckets, and the same questions asked of them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import click

from irkit.cli.shared import (
    apply_option,
    assignments,
    case_options,
    json_option,
    opened,
    print_json,
    print_table,
    show_plan,
    show_report,
)
from irkit.errors import InvalidParameter
from irkit.escape import for_terminal

_LIMIT = click.option(
    "--limit-gib",
    default=10.0,
    show_default=True,
    type=click.FloatRange(min=0.01),
    help="What one query may read.",
)


@click.group()
def athena() -> None:
    """Where the logs outgrow a machine: the same questions, asked of Athena over the buckets themselves."""


@athena.command()
@case_options
@click.option(
    "--trail", help="The bucket of CloudTrail, as s3://bucket/prefix (the folder that holds AWSLogs)."
)
@click.option("--flow", help="The bucket of VPC flow logs (text, default format), as s3://bucket/prefix.")
@click.option(
    "--security-lake", help="Security Lake's CloudTrail table (source version 2), as database.table."
)
@click.option("--account", "accounts", multiple=True, help="An account whose logs lie there. Repeatable.")
@click.option("--log-region", "regions", multiple=True, help="A region whose logs lie there. Repeatable.")
@click.option("--organization", default="", help="The organization's id, for an organization trail.")
@click.option("--first-day", help="The first day to cover, such as 2026-01-31 [default: a year ago].")
@click.option("--output", required=True, help="Where results go, as s3://bucket/prefix.")
@_LIMIT
@apply_option
@json_option
def setup(
    case_id: str,
    cases: Path | None,
    trail: str | None,
    flow: str | None,
    security_lake: str | None,
    accounts: tuple[str, ...],
    regions: tuple[str, ...],
    organization: str,
    first_day: str | None,
    output: str,
    limit_gib: float,
    apply: bool,
    as_json: bool,
) -> None:
    """Make the database, the workgroup with its scan limit, the tables and views. `irkit case undo` removes them."""
    from irkit.hunt import athena as lake
    from irkit.hunt.athena.lake import GIB

    case = opened(case_id, cases)
    first = _day(first_day)
    places = {"cloudtrail": trail, "flow": flow, "security_lake": security_lake}
    sources = [
        lake.Source(
            kind=kind,  # type: ignore[arg-type]
            location=location,
            accounts=accounts,
            regions=regions,
            first=first,
            organization=organization if kind == "cloudtrail" else "",
        )
        for kind, location in places.items()
        if location
    ]
    plan = lake.setup(case, sources, output=output, limit=int(limit_gib * GIB))
    if not apply:
        show_plan(plan, as_json=as_json)
        return
    show_report(plan.apply(), as_json=as_json, case=case)


@athena.command()
@click.argument("question")
@case_options
@click.option(
    "--set", "values", multiple=True, metavar="NAME=VALUE", help="A parameter of the question. Repeatable."
)
@click.option(
    "--format",
    "shape",
    type=click.Choice(["table", "csv", "json"]),
    default="table",
    show_default=True,
    help="How to print the answer.",
)
@_LIMIT
@click.option(
    "--usd-per-tb", default=5.0, show_default=True, help="Athena's price for a terabyte read, in your region."
)
@click.option("--estimate", "only_estimate", is_flag=True, help="Say what it would read and cost, and stop.")
def ask(
    question: str,
    case_id: str,
    cases: Path | None,
    values: tuple[str, ...],
    shape: str,
    limit_gib: float,
    usd_per_tb: float,
    only_estimate: bool,
) -> None:
    """Ask QUESTION of Athena. What it would read is counted first, and refused above the limit."""
    from irkit import hunt
    from irkit.hunt.athena import Lake, ask_lake
    from irkit.hunt.athena.lake import GIB

    case = opened(case_id, cases)
    given = assignments(values, option="--set", example="access_key_id=AKIA…")
    asked = hunt.question(question)
    params = asked.read_params(given)
    lake = Lake(case, limit=int(limit_gib * GIB), usd_per_tb=usd_per_tb)
    estimate = lake.estimate(params, tables=asked.reads)
    click.echo(f"Athena would read {estimate.sentence()}", err=True)
    if only_estimate:
        return
    answer = ask_lake(lake, question, **given)
    click.echo(answer.provenance, err=True)
    if shape == "json":
        print_json(answer.to_dict())
    elif shape == "csv":
        click.echo(answer.to_csv(), nl=False)
    else:
        names = [column.name for column in answer.question.columns]
        print_table(names, [[row[name] for name in names] for row in answer.rows()])


def _day(text: str | None) -> date:
    if text is None:
        return datetime.now(UTC).date() - timedelta(days=365)
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise InvalidParameter(
            f"--first-day {for_terminal(text)[:40]!r} is no day", hint="such as 2026-01-31"
        ) from error
