"""What a notebook leaves behind: artifacts in the case, and a result that whoever ran it can read back.

The result is an output of the notebook in a MIME type of its own, so it travels inside the executed notebook, also
when plain papermill or JupyterLab ran it; no side channel is needed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irkit import durable
from irkit.canonical import plain
from irkit.evidence.items import safe_name
from irkit.markup import table

if TYPE_CHECKING:
    from irkit.case import Case
    from irkit.plan import Report

MIME = "application/vnd.irkit.result+json"


class Result:
    """How the notebook ended: `done`, `partial` (something is missing) or `planned` (nothing was run)."""

    def __init__(
        self, status: str, missing: list[str], written: list[dict[str, Any]], next_step: str
    ) -> None:
        self.status = status
        self.missing = missing
        self.written = written
        self.next_step = next_step

    def __repr__(self) -> str:
        counts = f"{len(self.written)} written, {len(self.missing)} missing"
        return f"<Result {self.status}: {counts}; next: {self.next_step}>"

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        del include, exclude
        rows = [(w["id"], w["name"], w["size"], w["sha256"]) for w in self.written]
        note = f"Status: {self.status}. Next: {self.next_step}"
        html = table(("item", "name", "bytes", "SHA-256"), rows, caption="Written to evidence", note=note)
        if self.missing:
            html += table(("not covered",), [(m,) for m in self.missing])
        body = {
            "status": self.status,
            "missing": self.missing,
            "written": self.written,
            "next": self.next_step,
        }
        return {"text/plain": repr(self), "text/html": html, MIME: body}


def finish(
    case: Case,
    *reports: Report | None,
    missing: Iterable[str] = (),
    next_step: str = "",
    kinds: Iterable[str] = (),
) -> Result:
    """The last cell of a notebook: what was written (items of `kinds` or of a step in `reports`), and what was not."""
    lacking = list(missing)
    steps: set[str] = set()
    planned = bool(reports) and all(r is None for r in reports)
    for report in reports:
        if report is not None:
            steps |= {s.step for s in report.steps}
            lacking += [f"{s.verb} {s.target}: {s.why}" for s in report.failed]
            lacking += [f"{s.verb} {s.target}: {m}" for s in report.steps for m in s.missing]
    wanted = set(kinds)
    written = [
        {"id": i.id, "name": i.name, "size": i.size, "sha256": i.sha256}
        for i in case.evidence.items()
        if i.step in steps or i.kind in wanted
    ]
    case.close()
    return Result("planned" if planned else "partial" if lacking else "done", lacking, written, next_step)


def keep(case: Case, name: str, value: Any) -> Path:
    """Write `value` (anything with `to_dict`, or JSON) as the artifact `name`.json of the case; returns its path."""
    raw = value.to_dict() if hasattr(value, "to_dict") else value
    path = case.active / "artifacts" / f"{name}.json"
    durable.replace(
        path, (json.dumps(plain(raw), indent=1, sort_keys=isinstance(raw, Mapping)) + "\n").encode("ascii")
    )
    return path


def keep_answers(case: Case, answers: Mapping[str, Any], *, of: str = "", most: int = 500) -> list[Any]:
    """Write each answer as the artifact `answers/<name>.json` and return the answers, to be shown.

    `of` is what they are about, where a case has several, such as keys; it stands before the name. A file holds `most`
    rows at most and says how many there are; the tables hold all of them.
    """
    about = f"{safe_name(of)}-" if of else ""
    for name, answer in answers.items():
        raw = answer.to_dict()
        keep(case, f"answers/{about}{name}", raw | {"rows": raw["rows"][:most], "total": len(raw["rows"])})
    return list(answers.values())


def show(results: Iterable[Any]) -> None:
    """Show each of `results` in the notebook, one under the other, as the static tables that they are."""
    from IPython.display import display

    for result in results:
        display(result)  # type: ignore[no-untyped-call]
