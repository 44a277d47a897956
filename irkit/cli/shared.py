"""Options and ways of showing that several commands have."""

from __future__ import annotations

import json
import os
import shutil
import sys
import textwrap
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from itertools import zip_longest
from pathlib import Path
from typing import Any, TypeVar

import click

from irkit.case import Case
from irkit.errors import BadInput, Refused
from irkit.escape import for_terminal

F = TypeVar("F", bound=Callable[..., Any])


cases_option = click.option(
    "--cases",
    type=click.Path(path_type=Path),
    envvar="IRKIT_CASES",
    help="The folder of cases [default: IRKIT_CASES or ~/irkit/cases].",
)


def case_options(command: F) -> F:
    """`--case` and `--cases`."""
    command = cases_option(command)
    return click.option(
        "--case",
        "case_id",
        required=True,
        envvar="IRKIT_CASE",
        help="The case's id, or the path of its folder.",
    )(command)


def json_option(command: F) -> F:
    """`--json`."""
    return click.option(
        "--json", "as_json", is_flag=True, help="Print JSON for machines on standard output."
    )(command)


def apply_option(command: F) -> F:
    """`--apply`."""
    return click.option("--apply", is_flag=True, help="Do it. Without this only the plan is shown.")(command)


def assignments(texts: Iterable[str], *, option: str, example: str) -> dict[str, str]:
    """What was given as NAME=VALUE, by name; `option` and `example` word the error for what is none."""
    given: dict[str, str] = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not sign or not name:
            raise BadInput(
                f"{option} {for_terminal(text)!r} is not NAME=VALUE", hint=f"such as {option} {example}"
            )
        if name in given:
            raise BadInput(f"{option} {for_terminal(name)} is given twice", hint="give it once")
        given[name] = value
    return given


def opened(case_id: str, cases: Path | None) -> Case:
    """The case, with the way to its simulated account set up when it plays in one."""
    case = Case.load(case_id, cases=cases)
    enter_world(case)
    return case


def enter_world(case: Case) -> None:
    """Point this process at the world of the case: real AWS, or the simulated account the case was opened in.

    Raises `Refused` rather than let a case of one world act in the other.
    """
    here = os.environ.get("IRKIT_SIMULATED")
    if case.facts.simulated is None:
        if here:
            raise Refused(
                f"case {case.id} is about real AWS, but this shell points at a simulated account",
                hint="unset AWS_ENDPOINT_URL, IRKIT_SIMULATED and the simulator's keys, or open another case",
            )
        return
    state = Path(case.facts.simulated)
    if state.is_absolute():
        from irkit.sim import daemon

        up = daemon.status(state)
        if up is None:
            raise Refused(
                f"the simulated account of case {case.id} has ended; what it held is gone",
                hint="its evidence is still here (irkit case verify); begin again with `irkit demo`",
            )
        os.environ.update(up.env)
    elif not here:
        raise Refused(
            f"case {case.id} is about a simulated account, but this shell does not point at it",
            hint="set the exports that `irkit sim up` printed",
        )


def progress_to_stderr(quiet: bool = False) -> Callable[[str], None]:
    """Progress as lines on standard error, each with the seconds since now."""
    begun = time.monotonic()

    def show(text: str) -> None:
        if not quiet:
            click.echo(f"{time.monotonic() - begun:6.1f} s  {for_terminal(text)}", err=True)

    return show


def print_json(value: Any) -> None:
    """`value` on standard output, one JSON document."""
    from irkit.canonical import plain

    click.echo(json.dumps(plain(value), indent=1))


def print_table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Columns as wide as they need, every value safe for a terminal.

    On a terminal that is too narrow the widest columns are folded; a file or a pipe gets each row on one line.
    """
    cells = [[for_terminal("" if v is None else v) for v in row] for row in rows]
    widths = [max([len(h), *(len(r[n]) for r in cells)]) for n, h in enumerate(head)]
    if sys.stdout.isatty():
        widths = _fitted(widths, shutil.get_terminal_size().columns)
    for row in [list(head), *cells]:
        columns = [
            [v] if len(v) <= w else textwrap.wrap(v, w, break_on_hyphens=False)
            for v, w in zip(row, widths, strict=True)
        ]
        for line in zip_longest(*columns, fillvalue=""):
            click.echo("  ".join(v.ljust(w) for v, w in zip(line, widths, strict=True)).rstrip())


def _fitted(widths: list[int], room: int) -> list[int]:
    """`widths` cut, the widest first, until the columns and the gaps between them fit; never below 12 characters."""
    fitted = list(widths)
    while sum(fitted) + 2 * (len(fitted) - 1) > room and max(fitted, default=0) > 12:
        fitted[fitted.index(max(fitted))] -= 1
    return fitted


def show_plan(plan: Any, *, as_json: bool) -> None:
    """A plan: each step, on what, whether it changes AWS and how it is undone."""
    if as_json:
        print_json(plan.to_dict())
        return
    if not len(plan):
        click.echo(f"{for_terminal(plan.title)}: nothing to do")
        return
    rows = plan.rows()
    click.echo(f"{for_terminal(plan.title)}: {len(plan)} steps, nothing is done yet\n")
    print_table(
        ("step", "verb", "on", "AWS", "state", "what it does"),
        [
            (
                r["step"][:8],
                r["verb"],
                r["target"],
                "changes" if r["changes"] else "reads",
                r["state"],
                r["title"],
            )
            for r in rows
        ],
    )
    ways: dict[str, list[str]] = {}
    for row in rows:
        if row["undo"] and row["verb"] not in ways.setdefault(row["undo"], []):
            ways[row["undo"]].append(row["verb"])
    if ways:
        click.echo("\nTo take it back:")
    for way, verbs in ways.items():
        click.echo(f"  {for_terminal(', '.join(verbs))}: {for_terminal(way)}")
    click.echo("\nAdd --apply to do it.")


def show_report(report: Any, *, as_json: bool, case: Case | None = None) -> None:
    """How a plan went, where the `case` lies, and the exit code that says it, also to a reader who has gone away."""
    with suppress(BrokenPipeError):
        if as_json:
            print_json(report.to_dict())
        else:
            show_steps(report)
            if case is not None:
                click.echo(
                    f"\ncase {case.id}: {len(case.evidence.items())} items of evidence in {for_terminal(case.root)}"
                )
    raise SystemExit(report.exit_code)


def started(case: Case, what: str, args: dict[str, Any], *, as_json: bool) -> Any:
    """Run `what` and return its report; where steps wait for approval, what did run is shown before that is raised."""
    from irkit.approvals.gate import ApprovalNeeded
    from irkit.playbooks import runs

    try:
        return runs.start(case, what, args, progress=progress_to_stderr())
    except ApprovalNeeded as needed:
        if needed.report is not None:
            print_json(needed.report.to_dict()) if as_json else show_steps(needed.report)
        raise


def show_steps(report: Any) -> None:
    """Each step of a plan that was run, and how it ended."""
    print_table(
        ("verb", "on", "status", "what happened"),
        [
            (
                s.verb,
                s.target,
                s.status.value + (" in part" if s.missing else ""),
                "; ".join(filter(None, (s.why, *s.missing))),
            )
            for s in report.steps
        ],
    )
