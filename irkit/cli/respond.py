"""`irkit preflight`, `irkit capture`, `irkit contain`: one instance."""

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
    progress_to_stderr,
    show_plan,
    show_report,
)

_CAPTURE = click.Choice(["metadata", "console", "disks", "host"])
_CONTAIN = click.Choice(["guard", "fleet", "network", "identity"])


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
@click.option("--only", multiple=True, type=_CAPTURE, help="Only this kind of evidence. Repeatable.")
@apply_option
@json_option
def capture(
    instance_id: str, case_id: str, cases: Path | None, only: tuple[str, ...], apply: bool, as_json: bool
) -> None:
    """Take evidence of INSTANCE_ID: metadata, console, disks, host facts. Shows the plan unless --apply."""
    _respond("capture", instance_id, case_id, cases, only, apply=apply, as_json=as_json)


@click.command()
@click.argument("instance_id")
@case_options
@click.option("--only", multiple=True, type=_CONTAIN, help="Only this kind of containment. Repeatable.")
@apply_option
@json_option
def contain(
    instance_id: str, case_id: str, cases: Path | None, only: tuple[str, ...], apply: bool, as_json: bool
) -> None:
    """Limit the attacker on INSTANCE_ID: guard rails, fleet, network, identity. Shows the plan unless --apply."""
    _respond("contain", instance_id, case_id, cases, only, apply=apply, as_json=as_json)


def _respond(
    what: str,
    instance_id: str,
    case_id: str,
    cases: Path | None,
    only: tuple[str, ...],
    *,
    apply: bool,
    as_json: bool,
) -> None:
    from irkit.playbooks import runs

    case = opened(case_id, cases)
    args = {"instance_id": instance_id, "only": list(only)}
    if not apply:
        show_plan(runs.planned(case, what, args), as_json=as_json)
        return
    show_report(runs.start(case, what, args, progress=progress_to_stderr()), as_json=as_json, case=case)
