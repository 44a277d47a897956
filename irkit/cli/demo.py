"""`irkit demo`: one compromise in a simulated AWS, investigated from trigger to report and held against the truth."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from irkit.case import Case, found
from irkit.cli.extras import require
from irkit.cli.shared import json_option, print_json, progress_to_stderr
from irkit.errors import Refused
from irkit.escape import for_terminal
from irkit.journal import Kind
from irkit.plan import Progress

_BEGUN, _ENDED = "demo begun", "demo ended"
# Long enough to look around in the account after a demo that was cut short, and to resume it.
_IDLE_MINUTES = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """How the investigation's findings compare with what the scenario planted."""

    truths: int
    found: int
    missed: tuple[Mapping[str, str], ...]


@click.command()
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("irkit-demo"),
    show_default=True,
    help="The folder for the case, its evidence and the report.",
)
@click.option(
    "--seed", default=7, show_default=True, help="Another seed: other addresses, ids, keys and times."
)
@click.option(
    "--scenario", default="web-to-role-theft", show_default=True, help="What happened in the account."
)
@click.option("--keep", is_flag=True, help="Leave the simulated account up, to look around in it.")
@click.option("--quiet", is_flag=True, help="No progress on standard error.")
@json_option
def demo(out: Path, seed: int, scenario: str, keep: bool, quiet: bool, as_json: bool) -> None:
    """Investigate a compromised instance in a SIMULATED AWS account: nothing here reaches Amazon.

    A web server was entered and its role's credentials stolen. The demo opens a case, runs the playbook ec2-compromise
    (capture, contain, analyze, report), and ends by saying how many of the planted facts the investigation found.
    Killed half way, `irkit case resume --cases OUT/cases` completes it.
    """
    progress = progress_to_stderr(quiet)
    out = out.expanduser().absolute()
    waiting = [c for c in found(out / "cases") if is_unfinished(c)]
    if waiting:
        progress(f"case {waiting[0].id} was begun and not ended: going on with it")
        case = waiting[0]
    else:
        case = _opened(out, seed=seed, scenario=scenario, keep=keep)
    _investigate(case, as_json=as_json, progress=progress)


def is_unfinished(case: Case) -> bool:
    """Whether the case belongs to a demo that was begun and has not ended."""
    notes = [e.body.get("what") for e in case.journal.entries if e.kind is Kind.NOTE]
    return _BEGUN in notes and _ENDED not in notes


def resume(case: Case, *, as_json: bool, progress: Progress) -> None:
    """Go on with a demo that was cut short, and end it as `irkit demo` would have."""
    _investigate(case, as_json=as_json, progress=progress)


def _opened(out: Path, *, seed: int, scenario: str, keep: bool) -> Case:
    require(
        "demo",
        "moto",
        "flask",
        "PIL",
        "cryptography",
        "papermill",
        "ipykernel",
        "duckdb",
        "pandas",
        "matplotlib",
    )
    from irkit.sim import scenarios

    at = datetime.now(UTC).replace(second=0, microsecond=0)
    public = scenarios.preview(scenario, seed=seed, at=at)
    # A case that was opened and no more, because a kill came then, is taken up as if it were new.
    taken = {c.id for c in found(out / "cases") if len(c.journal.entries) > 1 or not c.facts.simulated}
    case_id = next(
        n for n in (f"demo-{seed}" + (f"-{k}" if k > 1 else "") for k in range(1, 10_000)) if n not in taken
    )
    case = Case.open(
        case_id,
        cases=out / "cases",
        title=f"Simulated: {public['alert']['Title']}",
        responder="demo-responder",
        region=public["region"],
        account=public["account"],
        role=public["responder_role_arn"],
        sources={
            "cloudtrail": f"s3://{public['trail_bucket']}/{public['trail_prefix']}",
            "flow_logs": f"s3://{public['flow_log_bucket']}/{public['flow_log_prefix']}",
            "evidence_bucket": public["evidence_bucket"],
            "topic": public["sns_topic_arn"],
        },
        simulated=str(out / "sim" / case_id),
    )
    case.note(_BEGUN, scenario=scenario, seed=seed, at=at, keep=keep, trigger=public["alert"])
    return case


def _investigate(case: Case, *, as_json: bool, progress: Progress) -> None:
    from irkit.playbooks import runs

    begun = time.monotonic()
    asked = next(e.body for e in case.journal.entries if e.body.get("what") == _BEGUN)
    progress(
        f"SIMULATED account {case.facts.account}: an invented company, invented keys; nothing reaches Amazon"
    )
    world = _world(case, asked, progress)
    progress(
        f"trigger: {asked['trigger']['Type']} on {world.public['instance_id']}; case {case.id} in {case.root}"
    )
    inputs = {
        "instance_id": world.public["instance_id"],
        "cloudtrail": case.facts.sources["cloudtrail"],
        "flow_logs": case.facts.sources["flow_logs"],
        "topic": case.facts.sources["topic"],
        "evidence_bucket": case.facts.sources["evidence_bucket"],
    }
    case.evidence.recover(note=progress)
    report = runs.start(case, "playbook", {"playbook": "ec2-compromise", "inputs": inputs}, progress=progress)
    score = _score(case, json.loads((Path(world.workdir) / "truth.json").read_text()))
    # What failed, on a full disk say, can be tried again as long as the account is there.
    if not report.failed:
        case.note(_ENDED, truths=score.truths, found=score.found)
    case.close()
    if not report.failed and not asked["keep"]:
        from irkit.sim import daemon

        daemon.down(Path(str(case.facts.simulated)))
    _tell(case, report, score, seconds=time.monotonic() - begun, as_json=as_json)


def _world(case: Case, asked: Mapping[str, Any], progress: Progress) -> Any:
    from irkit.sim import daemon

    state = Path(str(case.facts.simulated))
    running = daemon.status(state)
    if running is None and any(
        e.kind is Kind.INTENDED and e.body.get("changes") for e in case.journal.entries
    ):
        acted = [
            e
            for e in case.journal.entries
            if e.kind is Kind.DONE and not str(e.body.get("verb")).startswith("ec2-compromise.")
        ]
        if acted:
            raise Refused(
                f"the simulated account of case {case.id} has ended; what was done in it is gone",
                hint="what was captured is still here (irkit case verify); begin again with another --out",
            )
    if running is None:
        progress("starting the simulated account …")
        running = daemon.up(
            state,
            scenario=asked["scenario"],
            seed=asked["seed"],
            at=datetime.fromisoformat(asked["at"]),
            idle_minutes=_IDLE_MINUTES,
        )
    os.environ.update(running.env)
    return running


def _score(case: Case, truth: Mapping[str, Any]) -> Score:
    """Count the truths that a finding states; the findings were written before the truth is read here."""
    path = case.active / "artifacts" / "findings.json"
    findings = json.loads(path.read_text()) if path.is_file() else []
    stated = {(kind, value) for f in findings for kind, values in f["facts"].items() for value in values}
    facts = truth["facts"]
    missed = tuple(
        {k: str(f[k]) for k in ("id", "kind", "what")}
        for f in facts
        if (f["kind"], str(f["value"])) not in stated
    )
    return Score(truths=len(facts), found=len(facts) - len(missed), missed=missed)


def _tell(case: Case, report: Any, score: Score, *, seconds: float, as_json: bool) -> None:
    page = case.active / "reports" / "report.html"
    items = case.evidence.items()
    missing = [
        f"{s.verb}: {m}" for s in report.steps for m in (*s.missing, *([s.why] if s in report.failed else []))
    ]
    if as_json:
        print_json(
            {
                "case": case.id,
                "folder": case.root,
                "report": page if page.is_file() else None,
                "evidence": len(items),
                "truths": score.truths,
                "found": score.found,
                "missed": list(score.missed),
                "missing": missing,
                "seconds": round(seconds, 1),
                "simulated": True,
            }
        )
    else:
        click.echo(f"\nThis was a SIMULATED account ({case.facts.account}); nothing of it exists at Amazon.")
        click.echo(f"Report:    {page if page.is_file() else 'not written'}")
        click.echo(f"Case:      {case.root}")
        click.echo(
            f"Evidence:  {len(items)} items, {sum(i.size for i in items)} bytes; irkit case verify {case.root}"
        )
        click.echo(f"Time:      {seconds:.0f} s")
        click.echo(f"Found:     {score.found} of the scenario's {score.truths} truths")
        for one in score.missed:
            click.echo(f"  missed   {for_terminal(one['id'])}: {for_terminal(one['what'])}")
        for lack in missing:
            click.echo(f"  missing  {for_terminal(lack)}")
        if report.failed:
            click.echo(f"Try again what failed: irkit case resume {case.id} --cases {case.root.parent}")
    whole = page.is_file() and not report.failed and score.found == score.truths
    raise SystemExit(0 if whole else 3)
