"""`irkit logs`: ingest, ask, questions."""

from __future__ import annotations

import sys
from pathlib import Path

import click
from click.core import ParameterSource

from irkit.cli.detections import detect
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

_CASE = click.option("--case", "case_id", envvar="IRKIT_CASE", help="The case whose tables these are.")


@click.group()
def logs() -> None:
    """CloudTrail and VPC flow logs: into tables, and questions to ask them."""


@logs.command()
@click.argument("sources", nargs=-1, required=True)
@_CASE
@cases_option
@click.option(
    "--into",
    type=click.Path(path_type=Path, file_okay=False),
    help="A folder for the tables, without a case.",
)
@json_option
def ingest(
    sources: tuple[str, ...], case_id: str | None, cases: Path | None, into: Path | None, as_json: bool
) -> None:
    """Read SOURCES (folders, files, s3://bucket/prefix) into tables. With --case the originals are kept as evidence."""
    show = progress_to_stderr()
    case_id = _unless_given(into, case_id)
    for source in sources:
        if not source.startswith("s3://") and not Path(source).exists():
            raise NotFound(
                f"there is no file or folder {for_terminal(source)}",
                hint="check the path, or use s3://bucket/prefix",
            )
    if case_id and into is None:
        from irkit.logs import plan

        case = opened(case_id, cases)
        plans = [plan(case, source, kind="logs") for source in sources]
        whole = sum(plans[1:], start=plans[0])
        report = whole.apply(progress=show)
        case.close()
        show_report(report, as_json=as_json)
    if into is None or case_id:
        raise BadInput("give either --case or --into", hint="--into DIR for tables without a case")
    from irkit.logs import ingest as take

    session = None
    if any(source.startswith("s3://") for source in sources):
        from irkit.aws import Sessions

        session = Sessions(case_id="none", responder="irkit", region="us-east-1")
    taken = take(list(sources), into, session=session)
    if as_json:
        print_json(taken.to_dict())
    else:
        print_table(("what", "value"), taken.to_frame().itertuples(index=False))
        for broken in taken.quarantined:
            click.echo(f"quarantined  {for_terminal(broken.source)}: {for_terminal(broken.reason)}")
    raise SystemExit(0 if taken.complete else 3)


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
def ask(
    question: str,
    values: tuple[str, ...],
    case_id: str | None,
    cases: Path | None,
    tables: Path | None,
    shape: str,
    most: int,
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


logs.add_command(detect)
