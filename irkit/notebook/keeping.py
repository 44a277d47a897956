"""Run a notebook for a case and keep it: the executed notebook, with its outputs, is evidence of the method."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irkit.errors import IrkitError
from irkit.escape import for_terminal
from irkit.evidence.items import Place
from irkit.journal import Entry, Journal, Kind
from irkit.notebook.runner import Execution, NotebookFailed, execute

if TYPE_CHECKING:
    from irkit.case import Case
    from irkit.evidence.items import Item


def run(
    case: Case,
    notebook: str,
    parameters: Mapping[str, Any],
    *,
    timeout: float,
    progress: Callable[[str], None],
    step: str | None = None,
    label: str = "run",
) -> tuple[Execution, Item]:
    """Execute `notebook` and store the executed copy in the case, also when it fails; `label` begins its name.

    Raises what `irkit.notebook.runner.execute` raises.
    """
    name = f"{label}-{notebook.replace('/', '-')}.ipynb"
    output = case.active / "notes" / "running" / f"{uuid.uuid4().hex}.ipynb"
    try:
        with following(case.journal, progress):
            ran = execute(notebook, parameters, output, timeout=timeout)
        return ran, _store(case, notebook, name, output, step=step, partial=ran.status == "partial")
    except NotebookFailed as error:
        item = _store(case, notebook, name, output, step=step, partial=True)
        raise NotebookFailed(error.message, hint=f"the executed notebook is item {item.id}") from error
    finally:
        output.unlink(missing_ok=True)


def _store(case: Case, notebook: str, name: str, output: Path, *, step: str | None, partial: bool) -> Item:
    content = output.read_bytes() if output.is_file() else b""
    return case.evidence.add(
        content,
        kind="notebook",
        name=name,
        source=notebook,
        step=step,
        place=Place.ACTIVE,
        media_type="application/x-ipynb+json",
        partial=partial,
    )


@contextmanager
def following(journal: Journal, progress: Callable[[str], None], *, every: float = 0.4) -> Iterator[None]:
    """Show what other processes write to the journal while the block runs: a kernel has no other voice."""
    ended = threading.Event()
    watcher = Journal(journal.path, actor=journal.actor)
    shown = len(watcher.entries)

    def show_new() -> None:
        nonlocal shown
        try:
            watcher.refresh()
        except IrkitError:  # whoever writes next will say so; following is only a voice
            return
        for entry in watcher.entries[shown:]:
            if line := _spoken(entry):
                progress(line)
        shown = len(watcher.entries)

    def watch() -> None:
        while not ended.wait(every):
            show_new()

    thread = threading.Thread(target=watch, name="irkit-following", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        show_new()


def _spoken(entry: Entry) -> str | None:
    verb = entry.body.get("verb")
    if verb is None:
        return None
    if entry.kind is Kind.DONE:
        missing = entry.body.get("missing") or []
        return f"{verb} done" + (f", {len(missing)} not captured" if missing else "")
    if entry.kind in (Kind.FAILED, Kind.SKIPPED):
        return f"{verb} {entry.kind.value}: {for_terminal(entry.body.get('why', ''))}"
    return None
