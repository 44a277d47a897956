"""`irkit case`: open, list, show, resume, undo, verify, seal, deposit, custody; approve is in `irkit.cli.approving`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from irkit.case import Case, case_name, cases_folder, found
from irkit.cli.approving import approve
from irkit.cli.shared import (
    assignments,
    cases_option,
    enter_world,
    json_option,
    print_json,
    print_table,
    progress_to_stderr,
    show_plan,
    show_report,
    show_steps,
)
from irkit.errors import BadInput, IntegrityError, NotFound
from irkit.escape import for_terminal


@click.group()
def case() -> None:
    """A case is one investigation: its folder holds journal, evidence, work and report."""


case.add_command(approve)


@case.command("open")
@click.argument("case_id")
@click.option(
    "--region", envvar=["AWS_REGION", "AWS_DEFAULT_REGION"], required=True, help="Where the suspect is."
)
@click.option("--account", help="The account id of the suspect; checked against who AWS says we are.")
@click.option(
    "--role", help="ARN of the responder role to assume there. Its session carries case and responder."
)
@click.option("--responder", help="Who you are, for the journal and CloudTrail [default: your login].")
@click.option("--title", default="", help="One line that says what this is about.")
@click.option(
    "--posture",
    type=click.Choice(["balanced", "contain-first", "stealth"]),
    default="balanced",
    show_default=True,
    help="The order in which capture and containment run.",
)
@click.option(
    "--source",
    "sources",
    multiple=True,
    metavar="NAME=WHERE",
    help="Where things are: cloudtrail=s3://…, flow_logs=s3://…, evidence_bucket=…, topic=arn:… Repeatable.",
)
@cases_option
@json_option
def open_(case_id: str, sources: tuple[str, ...], cases: Path | None, as_json: bool, **facts: Any) -> None:
    """Open the case CASE_ID; opening it again changes nothing."""
    from irkit.cli import opening

    pairs = assignments(sources, option="--source", example="cloudtrail=s3://bucket/prefix")
    opening.check(case_id, pairs, **facts)
    opened = Case.open(
        case_id, cases=cases, sources=pairs, simulated=os.environ.get("IRKIT_SIMULATED"), **facts
    )
    opening.same(opened, pairs, **facts)
    print_json({"case": opened.id, "folder": opened.root}) if as_json else click.echo(
        f"case {opened.id} is in {opened.root}"
    )


@case.command("list")
@cases_option
@json_option
def list_(cases: Path | None, as_json: bool) -> None:
    """The cases in the folder."""
    from irkit.playbooks.runs import unfinished

    folder = cases_folder(cases)
    if folder.exists() and not folder.is_dir():
        raise BadInput(
            f"{for_terminal(folder)} is not a folder", hint="give the folder of cases with --cases"
        )
    rows, damaged = [], []
    for name in sorted(p.parent.name for p in folder.glob("*/case.json")):
        try:
            c = Case.load(name, cases=folder)
            opened_at, waiting = c.facts.opened_at[:16], len(unfinished(c))
        except BadInput:
            continue  # a folder that no case can be called
        except IntegrityError as error:
            damaged.append(str(error))
        else:
            rows.append((c.id, opened_at, c.facts.region, len(c.evidence.items()), waiting, c.facts.title))
    head = ("case", "opened", "region", "items", "unfinished", "title")
    if as_json:
        print_json([dict(zip(head, r, strict=True)) for r in rows])
    elif rows:
        print_table(head, rows)
    elif not damaged:
        click.echo(f"no cases in {for_terminal(folder)}; `irkit case open` begins one")
    for problem in damaged:
        click.echo(f"irkit: {for_terminal(problem)}", err=True)
    raise SystemExit(1 if damaged else 0)


@case.command()
@click.argument("case_id")
@cases_option
@json_option
def show(case_id: str, cases: Path | None, as_json: bool) -> None:
    """What a case holds: facts, items, and runs that have not ended."""
    from irkit.playbooks.runs import unfinished

    opened = Case.load(case_id, cases=cases)
    items = opened.evidence.items()
    if as_json:
        print_json(
            {
                "facts": vars_of(opened),
                "folder": opened.root,
                "items": [i.to_dict() for i in items],
                "entries": len(opened.journal.entries),
                "unfinished": [r.what for r in unfinished(opened)],
            }
        )
        return
    for name, value in vars_of(opened).items():
        if value:
            click.echo(f"{name}: {for_terminal(value)}")
    click.echo(f"folder: {opened.root}\n")
    if items:
        print_table(
            ("item", "kind", "name", "bytes", "sha256"),
            [(i.id, i.kind, i.name, i.size, i.sha256[:16]) for i in items],
        )
    else:
        click.echo("no evidence yet; `irkit capture INSTANCE --case " + opened.id + "` plans to take some")
    for run in unfinished(opened):
        click.echo(f"not ended: {run.what}; `irkit case resume {opened.id}` takes it up")


def vars_of(opened: Case) -> dict[str, Any]:
    """The facts of a case as a dictionary."""
    from dataclasses import asdict

    return asdict(opened.facts)


@case.command()
@click.argument("case_id", required=False)
@cases_option
@json_option
@click.option("--quiet", is_flag=True, help="No progress on standard error.")
def resume(case_id: str | None, cases: Path | None, as_json: bool, quiet: bool) -> None:
    """Take up what was cut short. Without CASE_ID: the one case in the folder that has something to take up."""
    from irkit.cli import demo
    from irkit.playbooks import runs

    waiting = [Case.load(case_id, cases=cases)] if case_id else _unfinished(cases)
    if not waiting:
        done = f"nothing to resume in {for_terminal(cases_folder(cases))}: every run that was begun has ended"
        print_json({"case": None, "resumed": []}) if as_json else click.echo(done)
        return
    opened = waiting[0]
    progress = progress_to_stderr(quiet)
    if demo.is_unfinished(opened):
        demo.resume(opened, as_json=as_json, progress=progress)
        return
    if runs.unfinished(opened):
        enter_world(opened)
    ended = runs.resume(opened, progress=progress)
    if as_json:
        print_json(
            {"case": opened.id, "resumed": [{"what": r.what, **report.to_dict()} for r, report in ended]}
        )
    else:
        for run, report in ended:
            click.echo(f"\n{run.what}:")
            show_steps(report)
        click.echo(f"case {opened.id}: {len(ended)} runs resumed, {len(opened.evidence.items())} items")
    raise SystemExit(max((report.exit_code for _, report in ended), default=0))


@case.command()
@click.argument("case_id")
@cases_option
@json_option
@click.option(
    "--public-key",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Every seal must be signed with this key (PEM), got from where nobody could change it.",
)
def verify(case_id: str, cases: Path | None, as_json: bool, public_key: Path | None) -> None:
    """Hold every file against what was recorded. CASE_ID may be a folder. Needs neither AWS nor network."""
    from irkit.evidence.verification import verify as hold

    folder = Path(case_id).expanduser()
    if (folder / "journal.jsonl").is_file():
        root = folder
    elif os.sep in case_id and ".." not in folder.parts:
        raise NotFound(f"no case in {for_terminal(folder)}", hint="give the folder that holds journal.jsonl")
    else:
        root = cases_folder(cases) / case_name(case_id)
    verdict = hold(root, public_key=public_key)
    if as_json:
        print_json(verdict.to_dict())
    else:
        for problem in verdict.problems:
            click.echo(f"PROBLEM  {problem}")
        for note in verdict.notes:
            click.echo(f"note     {note}")
        state = "sound" if verdict.sound else f"{len(verdict.problems)} problems"
        click.echo(
            f"case {verdict.case}: {state}; {verdict.items} items, {verdict.bytes} bytes, {verdict.entries} journal "
            f"entries, head {verdict.head[:16]}"
        )
    raise SystemExit(0 if verdict.sound else 1)


@case.command()
@click.argument("case_id")
@cases_option
@json_option
@click.option(
    "--only", multiple=True, help="Undo only steps whose verb begins so, such as network. Repeatable."
)
@click.option("--force", is_flag=True, help="Also where somebody changed the resource since.")
@click.option(
    "--retire-replacement",
    is_flag=True,
    help="End the instance that the scaling group launched in place of this one; else the group stays larger by one.",
)
@click.option("--apply", is_flag=True, help="Do it. Without this only the plan is shown.")
def undo(
    case_id: str,
    cases: Path | None,
    as_json: bool,
    only: tuple[str, ...],
    force: bool,
    retire_replacement: bool,
    apply: bool,
) -> None:
    """Put back what containment changed, newest first."""
    from irkit.contain.undo import undo_plan

    opened = Case.load(case_id, cases=cases)
    enter_world(opened)
    plan = undo_plan(opened, only=only or None, force=force, retire_replacement=retire_replacement)
    if not apply and not as_json and not any(row["changes"] for row in plan.rows()):
        click.echo(f"case {opened.id}: nothing is left to put back in AWS")
        for row in plan.rows():
            click.echo(f"  {for_terminal(row['title'])}")
    elif not apply:
        show_plan(plan, as_json=as_json)
    else:
        show_report(plan.apply(progress=progress_to_stderr(as_json)), as_json=as_json)


@case.command()
@click.argument("case_id")
@cases_option
@json_option
@click.option(
    "--kms", "kms_key", help="An asymmetric KMS key (ECC_NIST_P256, sign and verify): id, ARN or alias."
)
@click.option(
    "--key", type=click.Path(path_type=Path, dir_okay=False), help="A local Ed25519 private key in PEM."
)
@click.option("--make-key", is_flag=True, help="Make the key at --key first; its public half is at KEY.pub.")
@click.option(
    "--lock",
    metavar="MODE:DAYS",
    help="Then deposit the sealed case, each object locked: governance:90, compliance:365.",
)
@click.option("--bucket", help="Where --lock deposits it [default: the case's evidence_bucket].")
def seal(
    case_id: str, cases: Path | None, as_json: bool, kms_key: str | None, key: Path | None, make_key: bool,
    lock: str | None, bucket: str | None,
) -> None:  # fmt: skip
    """Sign the journal's head, so that whoever holds the public key sees any change to what came before."""
    from irkit.evidence import deposit as deposits
    from irkit.evidence import seal as seals

    if (kms_key is None) == (key is None):
        raise BadInput("give either --kms or --key", hint="--key FILE --make-key makes a local one")
    opened = Case.load(case_id, cases=cases)
    if lock is not None:
        deposits.plan(opened, bucket, retention=lock)  # what makes no sense is told before a key is made
    if make_key and key is not None:
        seals.make_key(key)
    if kms_key is not None or lock is not None:
        enter_world(opened)
    path = seals.with_kms(opened, kms_key) if kms_key is not None else seals.with_key(opened, Path(str(key)))
    opened.close()
    if lock is None:
        print_json({"case": opened.id, "seal": path}) if as_json else click.echo(str(path))
        return
    report = deposits.plan(opened, bucket, retention=lock).apply(progress=progress_to_stderr(as_json))
    if as_json:
        print_json({"case": opened.id, "seal": path, "deposit": report.to_dict()})
    else:
        click.echo(str(path))
        show_steps(report)
    raise SystemExit(report.exit_code)


@case.command()
@click.argument("case_id")
@cases_option
@json_option
@click.option("--bucket", help="The bucket [default: the case's evidence_bucket].")
@click.option("--owner", help="The account that the bucket must belong to [default: as the case says].")
@click.option("--kms", "kms_key", help="The KMS key to encrypt under [default: as the bucket does].")
@click.option("--retention", metavar="MODE:DAYS", help="Lock each object: governance:90, compliance:365.")
@click.option("--legal-hold", is_flag=True, help="Hold each object until somebody lifts it.")
@click.option("--apply", is_flag=True, help="Do it. Without this only the plan is shown.")
def deposit(
    case_id: str, cases: Path | None, as_json: bool, bucket: str | None, owner: str | None, kms_key: str | None,
    retention: str | None, legal_hold: bool, apply: bool,
) -> None:  # fmt: skip
    """Copy the evidence to the bucket that keeps it; every object is checked, none overwritten."""
    from irkit.evidence import deposit as deposits

    opened = Case.load(case_id, cases=cases)
    enter_world(opened)
    plan = deposits.plan(
        opened, bucket, owner=owner, kms_key=kms_key, retention=retention, legal_hold=legal_hold
    )
    if not apply:
        show_plan(plan, as_json=as_json)
        return
    show_report(plan.apply(progress=progress_to_stderr()), as_json=as_json)


@case.command()
@click.argument("case_id")
@cases_option
@json_option
def custody(case_id: str, cases: Path | None, as_json: bool) -> None:
    """Who did what to which item when: the chain of custody, from the journal."""
    opened = Case.load(case_id, cases=cases)
    rows = [
        (
            e.seq,
            e.at,
            e.actor,
            e.kind.value,
            e.body.get("verb") or e.body.get("what", ""),
            _span([i["id"] for i in e.body.get("items", ())]),
        )
        for e in opened.journal.entries
    ]
    head = ("entry", "time", "actor", "kind", "what", "items")
    print_json([e.to_dict() for e in opened.journal.entries]) if as_json else print_table(head, rows)


def _span(ids: list[str]) -> str:
    """Items that were kept together: they are numbered in a row."""
    return f"{ids[0]} to {ids[-1]}" if len(ids) > 2 else ", ".join(ids)


def _unfinished(cases: Path | None) -> list[Case]:
    """The case in the folder that has something to take up, or none; with several, somebody must choose."""
    from irkit.cli import demo
    from irkit.playbooks.runs import unfinished

    waiting = [c for c in found(cases) if unfinished(c) or demo.is_unfinished(c)]
    if len(waiting) > 1:
        raise BadInput(
            f"{len(waiting)} cases in {cases_folder(cases)} have something to resume",
            hint=f"name one of {', '.join(c.id for c in waiting)}",
        )
    return waiting
