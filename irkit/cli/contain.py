"""`irkit contain`."""

from __future__ import annotations

from pathlib import Path

import click

from irkit.cli.shared import apply_option, case_options, json_option, respond

_KINDS = click.Choice(["guard", "fleet", "network", "identity"])


@click.command()
@click.argument("instance_id")
@case_options
@click.option("--only", multiple=True, type=_KINDS, help="Only this kind of containment. Repeatable.")
@apply_option
@json_option
def contain(
    instance_id: str, case_id: str, cases: Path | None, only: tuple[str, ...], apply: bool, as_json: bool
) -> None:
    """Limit the attacker on INSTANCE_ID: guard rails, fleet, network, identity. Shows the plan unless --apply."""
    respond("contain", instance_id, case_id, cases, only, apply=apply, as_json=as_json)
