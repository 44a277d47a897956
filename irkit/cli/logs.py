"""`irkit logs`: ingest, ask, questions; grep, verify and detect have modules of their own."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from irkit.cli.athena import athena
from irkit.cli.detections import detect
from irkit.cli.log_files import grep, verify
from irkit.cli.log_sources import check_sources, session_for, window_options
from irkit.cli.shared import (
    assignments,
    cases_option,
    json_option,
    opened,
    print_json,
    print_table,
    progress_to_stderr,
    show_report,
)
from irkit.errors import BadInput, NotFound
from irkit.escape import for_csv, for_terminal

if TYPE_CHECKING:
    from irkit.logs.progress import Progress

_TOLD_EVERY = 2.0
_CASE = click.option("--case", "case_id", envvar="IRKIT_CASE", help="The case whose tables these are.")


@click.group()
def logs() -> None:
    """CloudTrail, VPC flow and other logs: into tables, and questions to ask them."""


@logs.command()
@click.argument("sources", nargs=-1, required=True)
@_CASE
@cases_option
@click.option(
    "--into",
    type=click.Path(path_type=Path, file_okay=False),
    help="A folder for the tables, without a case.",
)
@window_options
@click.option("--account", "accounts", multiple=True, help="Only folders of this account. Repeatable.")
@click.option("--region", "regions", multiple=True, help="Only folders of this region. Repeatable.")
@click.option(
    "--format",
    "fields",
    metavar="FIELDS",
    help="The fields of flow logs without a header, as the flow log's format has them: 'srcaddr dstaddr start …'.",
)
@json_option
def ingest(
    sources: tuple[str, ...],
    case_id: str | None,
    cases: Path | None,
    into: Path | None,
    since: datetime | None,
    until: datetime | None,
    accounts: tuple[str, ...],
    regions: tuple[str, ...],
    fields: str | None,
    as_json: bool,
) -> None:
    """Read SOURCES into tables: folders, files, s3://bucket/prefix, trail:NAME, history: (Event History).

    With --case the originals are kept as evidence. What was read before is not read again.
    """
    show = progress_to_stderr()
    case_id = _unless_given(into, case_id)
    check_sources(sources)
    from irkit.logs import Wanted

    wanted = Wanted(since=since, until=until, accounts=accounts, regions=regions, fields=_flow_fields(fields))
    if case_id and into is None:
        from irkit.logs import plan

        case = opened(case_id, cases)
        plans = [plan(case, source, kind="logs", wanted=wanted) for source in sources]
        whole = sum(plans[1:], start=plans[0])
        report = whole.apply(progress=show)
        case.close()
        show_report(report, as_json=as_json)
    if into is None or case_id:
        raise BadInput("give either --case or --into", hint="--into DIR for tables without a case")
    from irkit.logs import ingest as take

    taken = take(
        list(sources),
        into,
        session=session_for(sources),
        since=since,
        until=until,
        accounts=accounts,
        regions=regions,
        fields=wanted.fields,
        progress=_now_and_then(show),
    )
    if as_json:
        print_json(taken.to_dict())
    else:
        print_table(("what", "value"), taken.to_frame().itertuples(index=False))
        for broken in taken.quarantined:
            click.echo(f"quarantined  {for_terminal(broken.source)}: {for_terminal(broken.reason)}")
    raise SystemExit(0 if taken.complete else 3)


def _flow_fields(text: str | None) -> tuple[str, ...] | None:
    """The fields in `--format`, also as the console writes them: `${srcaddr} ${dstaddr}`."""
    if text is None:
        return None
    fields = tuple(text.replace("${", " ").replace("}", " ").replace(",", " ").split())
    if not fields or not all(field.replace("-", "").isalnum() and field.isascii() for field in fields):
        raise BadInput(
            f"--format {for_terminal(text)} names no fields",
            hint="write them as the flow log's format has them",
        )
    return fields


def _now_and_then(show: Callable[[str], None]) -> Callable[[Progress], None]:
    """Progress at most every few seconds: how far, how fast, how long still."""
    last = time.monotonic()

    def told(at: Progress) -> None:
        nonlocal last
        if time.monotonic() - last >= _TOLD_EVERY and at.files < at.of:
            last = time.monotonic()
            show(at.sentence())

    return told


@logs.command()
@click.argument("question")
@click.option(
    "--set", "values", multiple=True, metavar="NAME=VALUE", help="A parameter of the question. Repeatable."
)
@_CASE
@cases_option
@click.option(
    "--from", "tables", type=click.Path(path_type=Path, file_okay=False), help="A folder of tables."
)
@click.option(
    "--format",
    "shape",
    type=click.Choice(["table", "csv", "json"]),
    default="table",
    show_default=True,
    help="How to print the answer.",
)
@click.option("--most", default=100, show_default=True, help="Rows in a table; csv and json have all.")
@click.option(
    "--geo",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A MaxMind-format database (.mmdb) that says where addresses are. Repeatable.",
)
@click.option(
    "--aws-ranges", type=click.Path(path_type=Path), help="AWS's ip-ranges.json, to tell its addresses."
)
def ask(
    question: str,
    values: tuple[str, ...],
    case_id: str | None,
    cases: Path | None,
    tables: Path | None,
    shape: str,
    most: int,
    geo: tuple[Path, ...],
    aws_ranges: Path | None,
) -> None:
    """Ask QUESTION of the tables; `irkit logs questions` lists what can be asked."""
    from irkit import hunt

    case_id = _unless_given(tables, case_id)
    if (case_id is None) == (tables is None):
        raise BadInput("give either --case or --from", hint="--from DIR names a folder of tables")
    given = assignments(values, option="--set", example="access_key_id=AKIA…")
    where = tables if tables is not None else _tables_of(str(case_id), cases)
    if not where.is_dir():
        raise NotFound(f"there are no tables in {for_terminal(where)}", hint="`irkit logs ingest` makes them")
    answer = hunt.ask(where, question, **given)
    if geo or aws_ranges:
        with hunt.Places.open(geo, aws_ranges=aws_ranges) as places:
            answer = places.added_to(answer)
    rows = answer.rows()
    columns = [column.name for column in answer.question.columns]
    if shape == "json":
        print_json(answer.to_dict())
    elif shape == "csv":
        import csv

        writer = csv.writer(sys.stdout)
        writer.writerow(columns)
        writer.writerows([for_csv("" if row[c] is None else row[c]) for c in columns] for row in rows)
    else:
        click.echo(answer.summary(), err=True)
        print_table(columns, [[row[c] for c in columns] for row in rows[:most]])
        if len(rows) > most:
            click.echo(
                f"{len(rows) - most} more rows; --most {len(rows)} or --format csv shows them", err=True
            )


@logs.command()
@json_option
def questions(as_json: bool) -> None:
    """Every question, what it takes and what it answers."""
    from irkit import hunt

    asked = hunt.questions()
    if as_json:
        print_json(
            [
                {
                    "name": q.name,
                    "title": q.title,
                    "doc": q.doc,
                    "params": [p.name for p in q.params],
                    "columns": [c.name for c in q.columns],
                }
                for q in asked
            ]
        )
    else:
        print_table(
            ("question", "takes", "answers"),
            [(q.name, ", ".join(p.name for p in q.params), q.title) for q in asked],
        )


def _unless_given(folder: Path | None, case_id: str | None) -> str | None:
    """The case, but not one that only the environment names when a folder was given."""
    source = click.get_current_context().get_parameter_source("case_id")
    return None if folder is not None and source is ParameterSource.ENVIRONMENT else case_id


def _tables_of(case_id: str, cases: Path | None) -> Path:
    from irkit.case import Case

    return Case.load(case_id, cases=cases).tables_dir


logs.add_command(athena)
logs.add_command(detect)
logs.add_command(grep)
logs.add_command(verify)
