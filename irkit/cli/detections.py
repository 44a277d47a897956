"""`irkit logs detect`: Sigma rules over the tables."""

from __future__ import annotations

import sys
from pathlib import Path

import click
from click.core import ParameterSource

from irkit.cli.shared import cases_option, print_json, print_table
from irkit.errors import BadInput, NotFound
from irkit.escape import for_csv, for_terminal


@click.command()
@click.option(
    "--rules",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A Sigma rule or a folder of them. Repeatable [default: the rules that come with irkit].",
)
@click.option("--case", "case_id", envvar="IRKIT_CASE", help="The case whose tables these are.")
@cases_option
@click.option(
    "--from", "tables", type=click.Path(path_type=Path, file_okay=False), help="A folder of tables."
)
@click.option("--since", help="From this time on, such as 2026-11-20T10:00:00Z.")
@click.option("--until", help="Before this time.")
@click.option(
    "--format",
    "shape",
    type=click.Choice(["table", "csv", "json"]),
    default="table",
    show_default=True,
    help="A table of what matched, a CSV of the matching events, or everything as JSON.",
)
@click.option(
    "--most", default=100, show_default=True, type=click.IntRange(min=1), help="Events to keep of each rule."
)
def detect(
    rules: tuple[Path, ...],
    case_id: str | None,
    cases: Path | None,
    tables: Path | None,
    since: str | None,
    until: str | None,
    shape: str,
    most: int,
) -> None:
    """Hold Sigma rules against the CloudTrail table, all in one query.

    Exits with 3 where a rule could not be read or run: what it looks for was not looked for.
    """
    from irkit.hunt import detect as hold

    asked = {"since": since, "until": until}
    found = hold(
        _where(case_id, cases, tables),
        rules or None,
        most=most,
        **{name: value for name, value in asked.items() if value is not None},
    )
    if shape == "json":
        print_json(found.to_dict())
    elif shape == "csv":
        import csv

        events = found.events()
        writer = csv.writer(sys.stdout)
        writer.writerow(events.columns)
        for row in events.astype(object).where(events.notna(), "").itertuples(index=False):
            writer.writerow([for_csv(value) for value in row])
    else:
        print_table(found.head, found.rows())
    click.echo(found.summary(), err=True)
    for one in found.refused:
        click.echo(f"not run  {for_terminal(one.file)}: {for_terminal(one.reason)}", err=True)
    for rule in found.rules.rules:
        if rule.strange:
            names = for_terminal(", ".join(rule.strange))
            click.echo(f"warning  {for_terminal(rule.about.file)}: CloudTrail has no field {names}", err=True)
    raise SystemExit(3 if found.refused else 0)


def _where(case_id: str | None, cases: Path | None, tables: Path | None) -> Path:
    source = click.get_current_context().get_parameter_source("case_id")
    if tables is not None and source is ParameterSource.ENVIRONMENT:
        case_id = None
    if (case_id is None) == (tables is None):
        raise BadInput("give either --case or --from", hint="--from DIR names a folder of tables")
    if tables is None:
        from irkit.case import Case

        tables = Case.load(str(case_id), cases=cases).tables_dir
    if not tables.is_dir():
        raise NotFound(
            f"there are no tables in {for_terminal(tables)}", hint="`irkit logs ingest` makes them"
        )
    return tables
