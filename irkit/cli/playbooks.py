"""`irkit playbooks`: list, show, validate, plan, run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from irkit.cli.shared import (
    apply_option,
    assignments,
    case_options,
    json_option,
    opened,
    print_json,
    print_table,
    show_plan,
    show_report,
    started,
)

_SET = click.option(
    "--set", "values", multiple=True, metavar="NAME=VALUE", help="An input of the playbook. Repeatable."
)


@click.group()
def playbooks() -> None:
    """Playbooks chain notebooks into a response."""


@playbooks.command("list")
@json_option
def list_(as_json: bool) -> None:
    """The playbooks that come with irkit."""
    from irkit.playbooks.schema import shipped_playbooks

    found = shipped_playbooks()
    if as_json:
        print_json([p.model_dump(by_alias=True) for p in found])
    else:
        print_table(("playbook", "steps", "title"), [(p.id, len(p.steps), p.title) for p in found])


@playbooks.command()
@click.argument("name")
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "mermaid", "svg"]),
    default="table",
    help="As tables, or as a picture on standard output: mermaid (text for documents) or svg.",
)
@json_option
def show(name: str, form: str, as_json: bool) -> None:
    """A playbook: inputs and steps. NAME may be a file."""
    from irkit.playbooks import diagram
    from irkit.playbooks.schema import load

    book = load(name)
    if as_json:
        print_json(book.model_dump(by_alias=True))
        return
    if form != "table":
        click.echo(diagram.mermaid(book) if form == "mermaid" else diagram.svg(book), nl=False)
        return
    click.echo(f"{book.id}: {book.title}\n{book.description}\nATT&CK: {', '.join(book.attack)}\n")
    print_table(
        ("input", "type", "default", "what"), [(n, i.type, i.default, i.help) for n, i in book.inputs.items()]
    )
    click.echo("")
    print_table(
        ("step", "notebook", "AWS", "needs", "title"),
        [
            (s.id, s.notebook, "changes" if s.mutates else "reads", " ".join(s.needs), s.title)
            for s in book.steps
        ],
    )


@playbooks.command()
@click.argument("names", nargs=-1, required=True)
def validate(names: tuple[str, ...]) -> None:
    """Check playbook files; says every fault and its place."""
    from irkit.notebook.catalog import find
    from irkit.playbooks.schema import load

    for name in names:
        book = load(name)
        for step in book.steps:
            find(step.notebook)
        click.echo(f"{name}: valid, {len(book.steps)} steps")


@playbooks.command()
@click.argument("name")
@case_options
@_SET
@json_option
def plan(name: str, case_id: str, cases: Path | None, values: tuple[str, ...], as_json: bool) -> None:
    """What a playbook would run and change, before anything does."""
    from irkit.playbooks import runs

    show_plan(runs.planned(opened(case_id, cases), "playbook", _args(name, values)), as_json=as_json)


@playbooks.command()
@click.argument("name")
@case_options
@_SET
@apply_option
@json_option
def run(
    name: str, case_id: str, cases: Path | None, values: tuple[str, ...], apply: bool, as_json: bool
) -> None:
    """Run a playbook for a case; what it has done already is not done again. Shows the plan unless --apply."""
    from irkit.playbooks import runs

    case = opened(case_id, cases)
    args = _args(name, values)
    if not apply:
        show_plan(runs.planned(case, "playbook", args), as_json=as_json)
        return
    show_report(started(case, "playbook", args, as_json=as_json), as_json=as_json, case=case)


def _args(name: str, values: tuple[str, ...]) -> dict[str, Any]:
    inputs = assignments(values, option="--set", example="instance_id=i-…")
    path = Path(name)
    return {"playbook": str(path.absolute()) if path.suffix in (".yaml", ".yml") else name, "inputs": inputs}
