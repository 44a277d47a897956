"""`irkit report`: build."""

from __future__ import annotations

from pathlib import Path

import click

from irkit.cli.shared import case_options, json_option, print_json
from irkit.escape import for_terminal


@click.group()
def report() -> None:
    """The report of a case: one self-contained HTML file."""


@report.command()
@case_options
@json_option
def build(case_id: str, cases: Path | None, as_json: bool) -> None:
    """Write the report from the case alone; needs no AWS."""
    from irkit import report as reports
    from irkit.case import Case

    case = Case.load(case_id, cases=cases)
    built = reports.build(case)
    case.close()
    if as_json:
        print_json(
            {"case": case.id, "report": built.path, "sha256": built.sha256, "warnings": built.warnings}
        )
        return
    click.echo(str(built.path))
    for warning in built.warnings:
        click.echo(f"  {for_terminal(warning)}", err=True)
