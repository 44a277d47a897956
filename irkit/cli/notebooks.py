"""`irkit notebooks`: list, show, path, copy, run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from irkit.cli.shared import (
    assignments,
    case_options,
    json_option,
    opened,
    print_json,
    print_table,
    progress_to_stderr,
)
from irkit.errors import BadInput
from irkit.escape import for_terminal


@click.group()
def notebooks() -> None:
    """The notebooks that come with irkit.

    Plain papermill runs them too: papermill "$(irkit notebooks path NAME)" out.ipynb -r case_id C …
    """


@notebooks.command("list")
@json_option
def list_(as_json: bool) -> None:
    """All notebooks, by phase."""
    from irkit.notebook import catalog

    found = catalog.notebooks()
    print_json([n.to_dict() for n in found]) if as_json else print_table(
        ("notebook", "purpose"), [(n.name, n.purpose) for n in found]
    )


@notebooks.command()
@click.argument("name")
@json_option
def show(name: str, as_json: bool) -> None:
    """What a notebook is for and which parameters it takes."""
    from irkit.notebook import catalog
    from irkit.notebook.models import model_of

    notebook, model = catalog.find(name), model_of(name)
    schema: dict[str, Any] = model.model_json_schema()
    if as_json:
        print_json({**notebook.to_dict(), "parameters": schema})
        return
    click.echo(f"{notebook.title}\n{notebook.purpose}\n{notebook.path}\n")
    rows = [
        (n, _type(f), "required" if n in schema.get("required", ()) else f"default {f.get('default')!r}")
        for n, f in schema["properties"].items()
    ]
    print_table(("parameter", "type", ""), rows)


@notebooks.command()
@click.argument("name")
def path(name: str) -> None:
    """Where a notebook lies, for papermill or JupyterLab."""
    from irkit.notebook import catalog

    click.echo(str(catalog.find(name).path))


@notebooks.command()
@click.argument("name")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=".")
def copy(name: str, folder: Path) -> None:
    """A copy to change at will; never overwrites."""
    from irkit.notebook import catalog

    click.echo(str(catalog.copy(name, folder)))


@notebooks.command()
@click.argument("name")
@case_options
@click.option(
    "--set", "values", multiple=True, metavar="NAME=VALUE", help="A parameter; lists with commas. Repeatable."
)
@click.option("--apply", is_flag=True, help="Run it in mode apply, for notebooks that have modes.")
@click.option("--timeout", default=1800, show_default=True, help="Seconds for the whole notebook.")
@json_option
def run(
    name: str,
    case_id: str,
    cases: Path | None,
    values: tuple[str, ...],
    apply: bool,
    timeout: int,
    as_json: bool,
) -> None:
    """Run a notebook for a case: parameters checked first, the executed notebook kept in the case."""
    from irkit.notebook import catalog, keeping
    from irkit.notebook.models import model_of

    catalog.find(name)
    case = opened(case_id, cases)
    fields = model_of(name).model_fields
    given: dict[str, Any] = {"case_id": case.id, "cases": str(case.root.parent)}
    for key, value in assignments(values, option="--set", example="days=3").items():
        listed = key in fields and "tuple" in str(fields[key].annotation)
        given[key] = value.split(",") if listed else value
    if apply and "mode" in fields and given.setdefault("mode", "apply") != "apply":
        raise BadInput(
            f"--apply and --set mode={for_terminal(given['mode'])} contradict each other",
            hint="give one of them",
        )
    try:
        ran, item = keeping.run(case, name, given, timeout=timeout, progress=progress_to_stderr())
    finally:
        case.close()  # the executed notebook is an item too, and the manifest lists them all
    if as_json:
        print_json(
            {
                "notebook": name,
                "status": ran.status,
                "missing": ran.missing,
                "written": ran.written,
                "output": item.path,
            }
        )
    else:
        click.echo(f"{name}: {ran.status}; executed notebook is {case.evidence.path(item)}")
        for lack in ran.missing:
            click.echo(f"  not covered: {for_terminal(lack)}")
    raise SystemExit(3 if ran.status == "partial" else 0)


def _type(field: dict[str, Any]) -> str:
    if "enum" in field:
        return " | ".join(map(str, field["enum"]))
    if field.get("type") == "array":
        return "list of " + " | ".join(field.get("items", {}).get("enum", ["text"]))
    return str(field.get("type", ""))
