"""The notebooks that come with irkit: which there are, what each is for, where it lies, and a copy to work on."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from irkit import durable, shipped
from irkit.errors import NotFound
from irkit.escape import for_terminal


@dataclass(frozen=True, slots=True, kw_only=True)
class Notebook:
    """A notebook by its name, `<phase>/<what>`."""

    name: str
    path: Path
    title: str
    purpose: str

    def to_dict(self) -> dict[str, Any]:
        """The notebook for `--json`."""
        return {"name": self.name, "title": self.title, "purpose": self.purpose, "path": str(self.path)}


def notebooks() -> list[Notebook]:
    """All of them, by phase and name."""
    root = shipped.folder("notebooks")
    return [_described(root, path) for path in sorted(root.glob("*/*.ipynb"))]


def find(name: str) -> Notebook:
    """The notebook called `name`. Raises `NotFound` with the names there are."""
    known = {n.name: n for n in notebooks()}
    if name not in known:
        raise NotFound(f"no notebook {for_terminal(name)}", hint=f"there are {', '.join(known)}")
    return known[name]


def copy(name: str, target: Path) -> Path:
    """A copy of the notebook in the folder `target`, to change at will; never overwrites."""
    notebook = find(name)
    with durable.storage("make the folder", target):
        target.mkdir(parents=True, exist_ok=True)
    path = target / f"{name.replace('/', '-')}.ipynb"
    durable.create(path, notebook.path.read_bytes())
    return path


def _described(root: Path, path: Path) -> Notebook:
    cells = json.loads(path.read_bytes())["cells"]
    text = "".join(cells[0]["source"]) if cells and cells[0]["cell_type"] == "markdown" else ""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    title = lines[0].lstrip("# ") if lines else path.stem
    return Notebook(
        name=path.relative_to(root).with_suffix("").as_posix(),
        path=path,
        title=title,
        purpose=lines[1] if len(lines) > 1 else "",
    )
