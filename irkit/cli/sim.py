"""`irkit sim`: a simulated AWS that stays up, to practise on with aws, boto3, papermill and irkit."""

from __future__ import annotations

import os
import shlex
from dataclasses import asdict
from pathlib import Path

import click

from irkit.cli.extras import require
from irkit.cli.shared import json_option, print_json
from irkit.errors import NotFound
from irkit.escape import for_terminal


def state_folder(given: Path | None) -> Path:
    """Where the running simulator is written down."""
    base = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return (given or Path(base) / "irkit" / "sim").expanduser().absolute()


_STATE = click.option(
    "--state", type=click.Path(path_type=Path), help="Folder of the simulator's state, for several at once."
)


@click.group()
def sim() -> None:
    """A simulated AWS on this machine. Nothing of it reaches Amazon; keys and accounts are invented."""


@sim.command()
@click.option(
    "--scenario", default="web-to-role-theft", show_default=True, help="The compromised world to plant."
)
@click.option("--seed", default=7, show_default=True, help="Another seed: other addresses, ids and keys.")
@click.option(
    "--idle-minutes",
    type=click.IntRange(min=1),
    default=240,
    show_default=True,
    help="End by itself after so long without a call.",
)
@_STATE
@json_option
def up(scenario: str, seed: int, idle_minutes: int, state: Path | None, as_json: bool) -> None:
    """Start it and print the exports: eval "$(irkit sim up)" makes this shell use it."""
    require("sim", "moto", "flask", "PIL", "cryptography")
    from irkit.sim import daemon
    from irkit.sim.scenarios import SCENARIOS

    known = (*SCENARIOS, "empty")
    if scenario not in known:
        raise NotFound(
            f"there is no scenario {for_terminal(scenario)}", hint=f"choose one of {', '.join(known)}"
        )
    folder = state_folder(state)
    click.echo("starting the simulated AWS …", err=True)
    running = daemon.up(folder, scenario=scenario, seed=seed, idle_minutes=idle_minutes)
    if as_json:
        print_json(asdict(running))
        return
    for name, value in running.env.items():
        click.echo(f"export {name}={shlex.quote(value)}")
    world = running.public
    click.echo(
        f"# SIMULATED account {world.get('account')} in {world.get('region')}; suspect {world.get('instance_id')}"
    )
    click.echo("# `irkit sim down` ends it")


@sim.command()
@_STATE
@json_option
def status(state: Path | None, as_json: bool) -> None:
    """Whether it runs, where, and which world is planted."""
    from irkit.sim import daemon

    running = daemon.status(state_folder(state))
    if as_json:
        print_json(asdict(running) if running else {"up": False})
    elif running:
        click.echo(f"up: {running.endpoint} (pid {running.pid}), suspect {running.public.get('instance_id')}")
    else:
        click.echo("down; `irkit sim up` starts it")
    raise SystemExit(0 if running else 1)


@sim.command()
@_STATE
def down(state: Path | None) -> None:
    """End it and everything that lives in it."""
    from irkit.sim import daemon

    ended = daemon.down(state_folder(state))
    click.echo("ended" if ended else "it was not running")
