"""`irkit workbench`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from irkit.cli.shared import case_options, opened


@click.command()
@case_options
@click.option(
    "--port", type=click.IntRange(1, 65535), help="The port [default: 8888, or the next that is free]."
)
@click.option("--no-browser", is_flag=True, help="Print the address and open no browser.")
def workbench(case_id: str, cases: Path | None, port: int | None, no_browser: bool) -> None:
    """Open JupyterLab in the case's folder, with irkit's notebooks as templates that have the case filled in.

    It listens on this machine only. Ctrl-C ends it; notebooks stay in the case's folder.
    """
    from irkit.notebook import workbench as lab

    sys.exit(lab.serve(opened(case_id, cases), port=port, browser=not no_browser))
