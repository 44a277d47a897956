"""`irkit preflight` and `irkit capture`."""

from __future__ import annotations

from pathlib import Path

import click

from irkit.cli.shared import (
    apply_option,
    case_options,
    json_option,
    opened,
    print_json,
    print_table,
    respond,
)

_KINDS = click.Choice(["metadata", "console", "disks", "host"])


@click.command()
@click.argument("instance_id")
@case_options
@json_option
def preflight(instance_id: str, case_id: str, cases: Path | None, as_json: bool) -> None:
    """What can be captured of INSTANCE_ID and what stands in the way. Reads only."""
    from irkit import capture

    case = opened(case_id, cases)
    card = capture.preflight(case, instance_id)
    if as_json:
        print_json(card.to_dict())
        return
    frame = card.to_frame()
    print_table([str(c) for c in frame.columns], frame.itertuples(index=False))


@click.command()
@click.argument("instance_id")
@case_options
@click.option("--only", multiple=True, type=_KINDS, help="Only this kind of evidence. Repeatable.")
@apply_option
@json_option
def capture(
    instance_id: str, case_id: str, cases: Path | None, only: tuple[str, ...], apply: bool, as_json: bool
) -> None:
    """Take evidence of INSTANCE_ID: metadata, console, disks, host facts. Shows the plan unless --apply."""
    respond("capture", instance_id, case_id, cases, only, apply=apply, as_json=as_json)
