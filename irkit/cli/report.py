"""`irkit report`: build, export."""

from __future__ import annotations

from pathlib import Path

import click

from irkit.cli.shared import case_options, json_option, print_json, print_table
from irkit.escape import for_terminal


@click.group()
def report() -> None:
    """The report of a case: one self-contained HTML file, and what other tools read."""


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


@report.command()
@case_options
@click.option(
    "--format",
    "formats",
    multiple=True,
    type=click.Choice(["timesketch", "csv", "stix", "case-uco", "pdf"]),
    help="What to write: timesketch (timeline as JSON lines), csv (timeline), stix (indicators, STIX 2.1), case-uco "
    "(evidence and custody, JSON-LD), pdf (the report; needs chromium). Repeatable; all but pdf unless said.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="The folder to write to [default: the case's reports].",
)
@json_option
def export(
    case_id: str, cases: Path | None, formats: tuple[str, ...], out: Path | None, as_json: bool
) -> None:
    """Write the case for other tools; each file is kept as evidence too. Needs no AWS."""
    from irkit.case import Case
    from irkit.report.exports import export as write

    case = Case.load(case_id, cases=cases)
    written = write(case, formats or None, into=out)
    case.close()
    if as_json:
        print_json([file.to_dict() for file in written])
        return
    print_table(
        ("format", "file", "bytes", "SHA-256"),
        [(f.format, f.path, f.item.size, f.item.sha256) for f in written],
    )
