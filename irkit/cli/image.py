"""`irkit image`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from irkit.cli.shared import (
    apply_option,
    case_options,
    json_option,
    opened,
    progress_to_stderr,
    show_plan,
    show_report,
)
from irkit.escape import for_terminal


@click.command()
@click.argument("snapshot_id", metavar="SNAPSHOT")
@case_options
@click.option(
    "--since", metavar="SNAPSHOT", help="Read only what changed since this earlier snapshot of the volume."
)
@click.option(
    "--to",
    type=click.Path(path_type=Path),
    help="A file or folder for the image, outside of the case: its block list and its record stay in the case.",
)
@click.option(
    "--transport",
    type=click.Choice(["boto3", "raw"]),
    default="boto3",
    show_default=True,
    help="botocore's connections, or faster ones of irkit's own (not through a proxy).",
)
@click.option("--workers", default=32, show_default=True, help="How many blocks are in flight.")
@apply_option
@json_option
def image(
    snapshot_id: str,
    case_id: str,
    cases: Path | None,
    since: str | None,
    to: Path | None,
    transport: str,
    workers: int,
    apply: bool,
    as_json: bool,
) -> None:
    """Read the EBS snapshot SNAPSHOT into a raw, sparse image with the SHA-256 of all and of every block.

    Shows blocks, size, time and price unless --apply. Interrupted, it goes on where it ended: nothing is read twice.
    """
    from irkit.capture.image import plan

    case = opened(case_id, cases)
    planned = plan(case, snapshot_id, since=since, to=to, transport=transport, workers=workers)
    if not apply:
        show_plan(planned, as_json=as_json)
        return
    report = planned.apply(progress=progress_to_stderr())
    case.close()
    if not as_json:
        for step in report.steps:
            _show(step.result)
    show_report(report, as_json=as_json, case=case)


def _show(result: Any) -> None:
    """Where the image is and what proves it."""
    if not result:
        return
    where = result["path"] or ", ".join(f"{kind} {item}" for kind, item in result["items"].items())
    what = "changed blocks only, not an image" if result["partial"] else "whole disk"
    click.echo(f"sha256  {result['sha256']}  ({what}, {result['size']} bytes, {result['blocks']} blocks)")
    click.echo(f"at      {for_terminal(where)}")
    click.echo(f"read    {result['read']} blocks now, {result['earlier']} before\n")
