"""A playbook of small notebooks, planned, run, cut short and taken up again; papermill and the kernels are real."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from irkit import shipped
from irkit.case import Case
from irkit.errors import BadInput, InvalidParameter, NotFound, StorageError
from irkit.evidence import verify
from irkit.journal import Kind
from irkit.notebook import models
from irkit.notebook.parameters import Parameters
from irkit.plan import Plan, Report
from irkit.playbooks import run, runs, schema

pytest.importorskip("papermill")

PLAYBOOK = """\
schema: irkit/playbook/1
id: small
title: Small
inputs:
  word: {default: ""}
steps:
  - id: first
    title: First
    notebook: try/note
    with: {word: first}
    timeout: 60
  - id: breaks
    title: Breaks
    notebook: try/break
    timeout: 60
  - id: after
    title: After
    notebook: try/note
    needs: [breaks]
    with: {word: after}
  - id: perhaps
    title: Perhaps
    notebook: try/note
    when: {input: word, is_set: true}
    with: {word: {input: word}}
  - id: last
    title: Last
    notebook: try/note
    with: {word: last}
    mutates: true
    timeout: 60
"""
NOTE = """\
from irkit.case import Case
import irkit.notebook as nb
case = Case.load(case_id, cases=cases)
case.note(f"{mode} {word}")
nb.finish(case)"""
BREAK = (
    "from pathlib import Path\nif not Path(cases, 'mended').exists(): raise RuntimeError('broken')\n" + NOTE
)


class Small(Parameters):
    """What the small notebooks take."""

    word: str = ""
    mode: models.Mode = "plan"


def document(source: str) -> str:
    def cell(text: str, *tags: str) -> dict[str, Any]:
        return {"cell_type": "code", "id": f"c{len(text)}", "metadata": {"tags": tags}, "source": text,
                "outputs": [], "execution_count": None}  # fmt: skip

    begin = cell('case_id = ""\ncases = ""\nword = ""\nmode = "plan"', "parameters")
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return json.dumps(
        {
            "nbformat": 4,
            "nbformat_minor": 5,
            "metadata": {"kernelspec": kernel},
            "cells": [begin, cell(source)],
        }
    )


@pytest.fixture(autouse=True)
def _small_catalogue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, source in (("note", NOTE), ("break", BREAK)):
        path = tmp_path / "notebooks" / "try" / f"{name}.ipynb"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(document(source))
        monkeypatch.setitem(models.BY_NOTEBOOK, f"try/{name}", Small)
    (tmp_path / "playbooks").mkdir()
    (tmp_path / "playbooks" / "small.yaml").write_text(PLAYBOOK)
    monkeypatch.setattr(shipped, "folder", lambda kind: tmp_path / kind)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(p for p in sys.path if p))


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case.open("T-1", region="us-east-1", cases=tmp_path / "cases")


def notes(case: Case) -> list[str]:
    case.journal.refresh()
    return [e.body["what"] for e in case.journal.entries if e.kind is Kind.NOTE]


def statuses(report: Report) -> dict[str, str]:
    return {s.verb.partition(".")[2]: s.status.value for s in report.steps}


ARGS: dict[str, Any] = {"playbook": "small", "inputs": {}}


def test_planning_runs_nothing_and_journals_nothing(case: Case) -> None:
    before = case.journal.path.read_bytes()
    plan = run.plan(case, schema.load("small"), {"word": "x"})
    assert [(r["verb"], r["changes"]) for r in plan.rows()] == [
        ("small.first", False), ("small.breaks", False), ("small.after", False), ("small.perhaps", False),
        ("small.last", True),
    ]  # fmt: skip
    assert case.journal.path.read_bytes() == before


def test_a_step_has_the_same_id_wherever_the_cases_are_kept(case: Case, tmp_path: Path) -> None:
    other = Case.open("T-1", region="us-east-1", cases=tmp_path / "elsewhere")
    ids = [{s.id("T-1") for s in run.plan(c, schema.load("small"), {}).steps} for c in (case, other)]
    assert ids[0] == ids[1]


def test_a_run_that_breaks_goes_on_and_is_taken_up_where_it_broke(case: Case) -> None:
    report = runs.start(case, "playbook", ARGS)
    assert statuses(report) == {
        "first": "done", "breaks": "failed", "after": "skipped", "perhaps": "skipped", "last": "done"
    }  # fmt: skip
    assert report.exit_code == 3
    assert notes(case) == ["apply first", "apply last"]
    kept = [i.name for i in case.evidence.items(kind="notebook")]
    assert kept == ["first-try-note.ipynb", "breaks-try-break.ipynb", "last-try-note.ipynb"]
    assert runs.unfinished(case) == []

    (case.root.parent / "mended").touch()
    again = runs.start(Case.load("T-1", cases=case.root.parent), "playbook", ARGS)
    assert statuses(again) == {
        "first": "done", "breaks": "done", "after": "done", "perhaps": "skipped", "last": "done"
    }  # fmt: skip
    assert sorted(notes(case)) == ["apply ", "apply after", "apply first", "apply last"]
    assert verify(case.root).sound


def cut_short(case: Case, *, args: dict[str, Any], what: str = "playbook", run_id: str = "r1") -> None:
    """As if a run had been killed right after it began."""
    case.journal.append(Kind.RUN, run=run_id, what=what, args=args)


def test_a_run_that_was_killed_is_resumed_with_its_own_inputs(case: Case) -> None:
    (case.root.parent / "mended").touch()
    cut_short(case, args={"playbook": "small", "inputs": {"word": "x"}})
    ((taken, report),) = runs.resume(case)
    assert (taken.what, report.complete) == ("playbook", True)
    assert "apply x" in notes(case)
    assert runs.unfinished(case) == []
    assert runs.resume(case) == []


def test_a_run_that_cannot_be_resumed_keeps_no_other_from_it(case: Case) -> None:
    (case.root.parent / "mended").touch()
    cut_short(case, args={"playbook": "gone", "inputs": {}}, run_id="r1")
    cut_short(case, args=ARGS, run_id="r2")
    with pytest.raises(NotFound, match="no playbook gone"):
        runs.resume(case)
    assert "apply last" in notes(case)
    assert [r.id for r in runs.unfinished(case)] == ["r1"]


def test_a_full_disk_ends_the_resuming_at_once(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Plan, **_: Any) -> Report:
        raise StorageError("cannot write the journal at /x", hint="the disk is full")

    monkeypatch.setattr(Plan, "apply", full)
    cut_short(case, args=ARGS, run_id="r1")
    cut_short(case, args=ARGS | {"inputs": {"word": "x"}}, run_id="r2")
    with pytest.raises(StorageError):
        runs.resume(case)
    assert [r.id for r in runs.unfinished(case)] == ["r1", "r2"]


def test_a_run_of_a_later_version_is_not_guessed_at(case: Case) -> None:
    with pytest.raises(BadInput, match="a run of teleport, which this version of irkit does not"):
        runs.start(case, "teleport", {})
    assert runs.unfinished(case) == []


@pytest.mark.parametrize(
    ("wrong", "instead", "error", "says"),
    [
        ("with: {word: first}", "with: {word: 5}", InvalidParameter, "parameter word"),
        ("with: {word: first}", "with: {wrod: x}", InvalidParameter, "unknown parameter wrod"),
        ("notebook: try/break", "notebook: try/none", NotFound, "no notebook try/none"),
    ],
)
def test_what_is_wrong_in_any_step_is_told_before_the_first_begins(
    wrong: str, instead: str, error: Any, says: str, case: Case, tmp_path: Path
) -> None:
    (tmp_path / "playbooks" / "small.yaml").write_text(PLAYBOOK.replace(wrong, instead))
    before = case.journal.path.read_bytes()
    with pytest.raises(error, match=says):
        runs.start(case, "playbook", ARGS)
    assert case.journal.path.read_bytes() == before


def test_after_a_step_that_must_not_fail_nothing_runs(case: Case, tmp_path: Path) -> None:
    text = PLAYBOOK.replace("title: Breaks", "title: Breaks\n    on_failure: stop")
    (tmp_path / "playbooks" / "small.yaml").write_text(text)
    report = runs.start(case, "playbook", ARGS)
    assert statuses(report)["last"] == "skipped"
    assert notes(case) == ["apply first"]
