"""`irkit preflight` and `irkit capture`."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from irkit.capture import KINDS
from irkit.cli.shared import (
    apply_option,
    assignments,
    case_options,
    json_option,
    opened,
    print_json,
    print_table,
    progress_to_stderr,
    show_plan,
    show_report,
)
from irkit.errors import BadInput

_STAGES = ("read", "disks", "host", "disks-again", "complete", "complete-again", "keep")


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
@click.argument("instance_ids", nargs=-1)
@case_options
@click.option(
    "--only", multiple=True, type=click.Choice(KINDS), help="Only this kind of evidence. Repeatable."
)
@click.option(
    "--tag",
    "tags",
    multiple=True,
    metavar="KEY=VALUE",
    help="Every instance with this tag. Repeatable: all must fit.",
)
@click.option(
    "--from", "listed", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
    help="Every instance in this file, one id a line; # begins a comment.",
)  # fmt: skip
@click.option(
    "--jobs", type=click.IntRange(1, 64), default=8, show_default=True, help="How many instances at a time."
)
@click.option(
    "--keep", "kept", multiple=True, metavar="NAME=VALUE",
    help="Where snapshots go, over what the case says: forensics_role=ARN, snapshot_lock=governance:90, … Repeatable.",
)  # fmt: skip
@click.option(
    "--memory", "tool", multiple=True, metavar="NAME=VALUE",
    help="What dumps memory, over what the case says: memory_tool=PATH, memory_tool_sha256=HEX. Repeatable.",
)  # fmt: skip
@click.option(
    "--posture", type=click.Choice(["balanced", "contain-first", "stealth"]),
    help="The stages of this posture, in its order, instead of all at once.",
)  # fmt: skip
@click.option(
    "--stage", "stages", multiple=True, type=click.Choice(_STAGES),
    help="Only this stage of --posture. Repeatable.",
)  # fmt: skip
@apply_option
@json_option
def capture(
    instance_ids: tuple[str, ...], case_id: str, cases: Path | None, only: tuple[str, ...], tags: tuple[str, ...],
    listed: Path | None, jobs: int, kept: tuple[str, ...], tool: tuple[str, ...], posture: str | None,
    stages: tuple[str, ...], apply: bool, as_json: bool,
) -> None:  # fmt: skip
    """Take evidence of INSTANCE_IDS: metadata, console, disks, host facts, memory, and what becomes of the snapshots.

    Shows the plan unless --apply. With several instances, those are captured side by side, each failing alone; the
    summary has one line for each, and the exit code is 3 if anything of any is missing.
    """
    from irkit.capture.choosing import chosen

    if posture and (only or kept or tool):
        raise BadInput(
            "a posture has its own kinds", hint="leave out --posture, or --only, --keep and --memory"
        )
    if stages and not posture:
        raise BadInput("--stage is a part of a posture", hint="give --posture too")
    wanted = assignments(tags, option="--tag", example="app=shop")
    keep = assignments(kept, option="--keep", example="snapshot_lock=governance:90")
    case = opened(case_id, cases)
    ids = chosen(case, named=instance_ids, listed=listed, tagged=wanted)
    memory = assignments(tool, option="--memory", example="memory_tool=./avml")
    more: dict[str, Any] = ({"keep": keep} if keep else {}) | ({"memory": memory} if memory else {})
    if posture:
        more = {"posture": posture, "stages": list(stages)}
    each = [{"instance_id": i, "only": list(only)} | more for i in ids]
    if len(each) == 1:
        _one(case, each[0], apply=apply, as_json=as_json)
    else:
        _several(case, each, jobs=jobs, apply=apply, as_json=as_json)


def _one(case: Any, args: dict[str, Any], *, apply: bool, as_json: bool) -> None:
    from irkit.playbooks import runs

    if not apply:
        show_plan(runs.planned(case, "capture", args), as_json=as_json)
        return
    show_report(runs.start(case, "capture", args, progress=progress_to_stderr()), as_json=as_json, case=case)


def _several(case: Any, each: Sequence[dict[str, Any]], *, jobs: int, apply: bool, as_json: bool) -> None:
    from irkit.playbooks import batch

    if not apply:
        _show_plans(batch.plans(case, "capture", each, jobs=jobs), as_json=as_json)
        return
    done = batch.start(case, "capture", each, jobs=jobs, progress=progress_to_stderr())
    with suppress(BrokenPipeError):
        if as_json:
            print_json(done.to_dict())
        else:
            print_table(("instance", "ended", "steps", "seconds", "missing"), done.rows())
            click.echo(f"\n{sum(p.exit_code == 0 for p in done.parts)} of {len(done.parts)} complete")
    raise SystemExit(done.exit_code)


def _show_plans(plans: Sequence[tuple[str, Any]], *, as_json: bool) -> None:
    """The plans of several instances in short; exits with 3 when one of them could not be made."""
    bad = [p for _, p in plans if isinstance(p, str)]
    with suppress(BrokenPipeError):
        if as_json:
            print_json([
                {"instance_id": i} | ({"error": p} if isinstance(p, str) else {"error": None, **p.to_dict()})
                for i, p in plans
            ])  # fmt: skip
        else:
            print_table(("instance", "steps", "change AWS", "what"), [
                (i, "-", "-", f"cannot be planned: {p}") if isinstance(p, str)
                else (i, len(p), sum(s.changes for s in p.steps), p.title)
                for i, p in plans
            ])  # fmt: skip
            click.echo("\nAdd --apply to do it.")
    raise SystemExit(0 if not bad else 1 if len(bad) == len(plans) else 3)
