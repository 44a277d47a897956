"""Write the reference pages from the code; with `--check`, say which of them are out of step and exit 1.

Each page comes from the place where its facts are kept: the command line's own help, the simulator's fidelity table,
the catalogue of questions, the tree of errors, the notebooks and playbooks themselves.
"""

from __future__ import annotations

import argparse
import inspect
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
NOTE = "<!-- Made by `make docs` from the code; edits here are lost. -->"

EXIT_CODES = """\
# Errors and exit codes

A message is one line: what happened, to which resource, what to do next. A traceback is a fault of irkit's.

| code | meaning |
|---|---|
| 0 | done |
| 1 | tried, and failed |
| 2 | bad usage or input |
| 3 | done in part: what is missing is listed |
| 4 | refused: an approval or a precondition is missing; nothing was changed |"""


def cli() -> str:
    """Every command with its `--help`, in the order in which `irkit --help` lists them."""
    from irkit.cli import cli as program

    parts = ["# The command line", "What each command prints for `--help`."]
    for path, command in _commands(program, ("irkit",)):
        context = _context(program, path)
        help_text = command.get_help(context)
        parts += [f"{'##' if len(path) <= 2 else '###'} {' '.join(path)}", f"```text\n{help_text}\n```"]
    return "\n\n".join(parts)


def _commands(command: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    import click

    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command, info_name=path[-1])
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            if found is not None and not found.hidden:
                yield from _commands(found, (*path, name))


def _context(program: Any, path: tuple[str, ...]) -> Any:
    import click

    command, context = program, None
    for name in path:
        if context is not None:
            command = command.get_command(context, name)
        settings = {**command.context_settings, "terminal_width": 100, "max_content_width": 100}
        context = click.Context(command, info_name=name, parent=context, **settings)
    return context


def simulator() -> str:
    """The fidelity table: what the simulated AWS does, how truly, and what it refuses."""
    from irkit.sim import fidelity

    table: str = fidelity.markdown()
    return table


def questions() -> str:
    """The catalogue of questions with their parameters and columns."""
    from irkit.hunt import questions
    from irkit.hunt.question import REQUIRED

    parts = [
        "# Questions",
        (
            "What `irkit logs ask QUESTION` and `irkit.hunt.ask(case, QUESTION, …)` answer. Each is one documented "
            "query; parameters are bound, never pasted into the SQL. An answer is a table with the columns listed."
        ),
    ]
    for question in sorted(questions(), key=lambda q: q.name):
        parts.append(f"## {question.name}\n\n**{question.title}**\n\n{inspect.cleandoc(question.doc)}")
        if question.params:
            rows = [
                f"| `{p.name}` | {p.kind.value} | {'required' if p.default is REQUIRED else 'optional'} | {p.doc} |"
                for p in question.params
            ]
            parts.append("\n".join(["| parameter | takes | | |", "|---|---|---|---|", *rows]))
        parts.append("Columns: " + ", ".join(f"`{column.name}`" for column in question.columns))
        if question.attack:
            parts.append("ATT&CK: " + ", ".join(question.attack))
    return "\n\n".join(parts)


def errors() -> str:
    """The tree of errors and the exit codes."""
    from irkit import errors

    return f"{EXIT_CODES}\n\n```text\n{inspect.cleandoc(errors.__doc__ or '')}\n```"


def notebooks() -> str:
    """Each notebook's title, purpose and parameters."""
    parts = [
        "# Notebooks",
        (
            "Shipped in the wheel; `irkit notebooks path NAME` tells where. Each runs top to bottom without a person, "
            "and cell by cell by hand; in plan mode unless told otherwise."
        ),
    ]
    for path in sorted((ROOT / "notebooks").rglob("*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        texts = [("".join(cell["source"]), cell) for cell in cells]
        prose = next((text for text, cell in texts if cell["cell_type"] == "markdown"), "")
        title, _, purpose = prose.partition("\n")
        given = next(
            (text for text, cell in texts if "parameters" in cell.get("metadata", {}).get("tags", [])), ""
        )
        name = path.relative_to(ROOT / "notebooks").with_suffix("").as_posix()
        parts.append(f"## {name}\n\n**{title.lstrip('# ').strip()}**")
        parts += [purpose.strip()] if purpose.strip() else []
        parts += [f"```python\n{given.strip()}\n```"] if given.strip() else []
    return "\n\n".join(parts)


def playbooks() -> str:
    """Each playbook: what it is for, what it needs, its steps."""
    from irkit.playbooks.schema import shipped_playbooks

    parts = [
        "# Playbooks",
        "Shipped in the wheel; `irkit playbooks plan NAME` prints what would run and change, before anything does.",
    ]
    for book in shipped_playbooks():
        parts.append(f"## {book.id}\n\n**{book.title}**")
        parts += [book.description.strip()] if book.description else []
        parts += ["ATT&CK: " + ", ".join(book.attack)] if book.attack else []
        inputs = [f"| `{n}` | {i.type} | {_cell(i.default)} | {i.help} |" for n, i in book.inputs.items()]
        parts.append("\n".join(["| input | takes | default | |", "|---|---|---|---|", *inputs]))
        steps = [
            f"| {s.id} | `{s.notebook}` | {'changes' if s.mutates else 'reads'} | {', '.join(s.needs)} | {s.title} |"
            for s in book.steps
        ]
        parts.append("\n".join(["| step | notebook | AWS | after | |", "|---|---|---|---|---|", *steps]))
    return "\n\n".join(parts)


def _cell(value: object) -> str:
    return "" if value is None or value == "" else f"`{value}`"


PAGES: Mapping[str, Callable[[], str]] = {
    "reference/cli.md": cli,
    "reference/simulator.md": simulator,
    "reference/questions.md": questions,
    "reference/errors.md": errors,
    "reference/notebooks.md": notebooks,
    "reference/playbooks.md": playbooks,
}


def page(name: str) -> str:
    """The text of a page, as it should stand in docs/."""
    body = "\n".join(line.rstrip() for line in PAGES[name]().strip().splitlines())
    title, _, rest = re.sub(r"\n{3,}", "\n\n", body).partition("\n")
    return f"{title}\n\n{NOTE}\n{rest}\n"


def main() -> int:
    """Write the pages, or compare them; the exit code says whether all are in step."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="change nothing; exit 1 when a page is out of step"
    )
    check = parser.parse_args().check
    stale = []
    for name in PAGES:
        path = DOCS / name
        text = page(name)
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(name)
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            print(f"wrote docs/{name}")
    if check and stale:
        print(f"out of step with the code: {', '.join(stale)}; run `make docs`", file=sys.stderr)
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
