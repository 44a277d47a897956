"""Real papermill, real kernels, on a catalogue of two small notebooks."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from irkit import shipped
from irkit.case import Case
from irkit.errors import InvalidParameter, NotFound
from irkit.evidence import Place
from irkit.notebook import keeping, models
from irkit.notebook.parameters import Parameters
from irkit.notebook.runner import NotebookFailed, execute

papermill = pytest.importorskip("papermill")

ENDS_WELL = (
    "import irkit.notebook as nb\nfrom irkit.case import Case\nnb.finish(Case.load(case_id, cases=cases))"
)


class Small(Parameters):
    """What the small notebooks take."""

    word: str = "nothing"
    loud: bool = False


def cell(source: str, *tags: str) -> dict[str, Any]:
    return {"cell_type": "code", "id": f"c{abs(hash(source)) % 10**8}", "metadata": {"tags": list(tags)},
            "source": source, "outputs": [], "execution_count": None}  # fmt: skip


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Writes the notebook `try/it` of the cells that are given."""
    folder = tmp_path / "notebooks"
    (folder / "try").mkdir(parents=True)
    monkeypatch.setattr(shipped, "folder", lambda kind: folder)
    monkeypatch.setitem(models.BY_NOTEBOOK, "try/it", Small)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(p for p in sys.path if p))

    def written(*cells: str) -> Path:
        begin = cell('case_id = ""\ncases = ""\nword = ""\nloud = False', "parameters")
        kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
        document = {"nbformat": 4, "nbformat_minor": 5, "metadata": {"kernelspec": kernel},
                    "cells": [begin, *map(cell, cells)]}  # fmt: skip
        path = folder / "try" / "it.ipynb"
        path.write_text(json.dumps(document))
        return path

    return written


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case.open("T-1", region="us-east-1", cases=tmp_path / "cases")


def given(case: Case, **more: Any) -> dict[str, Any]:
    return {"case_id": case.id, "cases": str(case.root.parent)} | more


def test_parameters_arrive_with_their_types(write: Any, case: Case, tmp_path: Path) -> None:
    write("print(type(word).__name__, word, type(loud).__name__, loud)", ENDS_WELL)
    ran = execute("try/it", given(case, word="012", loud="false"), tmp_path / "out.ipynb", timeout=60)
    printed = [
        o["text"] for c in json.loads(ran.output.read_text())["cells"] for o in c["outputs"] if "text" in o
    ]
    assert "".join(printed[0]) == "str 012 bool False\n"
    assert (ran.status, ran.missing) == ("done", ())


def test_neither_another_kernel_called_python3_nor_start_up_files_are_in_the_way(
    write: Any, case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = {"argv": ["/nowhere/python", "-m", "ipykernel_launcher", "-f", "{connection_file}"],
            "display_name": "Python 3", "language": "python"}  # fmt: skip
    for path, text in (
        (tmp_path / "jupyter" / "kernels" / "python3" / "kernel.json", json.dumps(spec)),
        (tmp_path / "ipython" / "profile_default" / "startup" / "mine.py", "favourite = 'tea'"),
    ):
        path.parent.mkdir(parents=True)
        path.write_text(text)
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    model = "class Small(nb.Parameters):\n    word: str\n    loud: bool"
    write(f"import irkit.notebook as nb\nassert favourite\n{model}\nnb.params(Small)", ENDS_WELL)
    assert execute("try/it", given(case, word="x"), tmp_path / "out.ipynb", timeout=60).status == "done"


def test_a_cell_that_raises_fails_the_notebook_which_is_kept(write: Any, case: Case) -> None:
    write('raise ValueError("boom \\x1b[2J")', "print('not reached')")
    with pytest.raises(NotebookFailed, match=r"notebook try/it, cell 2: ValueError: boom") as caught:
        keeping.run(case, "try/it", given(case), timeout=60, progress=lambda _: None, label="look")
    (item,) = case.evidence.items()
    assert (item.name, item.place, item.partial) == ("look-try-it.ipynb", Place.ACTIVE, True)
    assert f"item {item.id}" in str(caught.value)
    assert "\x1b" not in str(caught.value)
    assert list((case.active / "notes" / "running").iterdir()) == []


def test_a_notebook_that_takes_too_long_is_ended_and_kept(write: Any, case: Case) -> None:
    write("print('begun')", "import time; time.sleep(300)")
    begun = time.monotonic()
    with pytest.raises(NotebookFailed, match="not finished after 6 s: the executed notebook is item E0001"):
        keeping.run(case, "try/it", given(case), timeout=6, progress=lambda _: None)
    assert time.monotonic() - begun < 60
    assert b"begun" in case.evidence.read(case.evidence.items()[0])


def test_a_kernel_that_is_killed_fails_the_notebook(write: Any, case: Case, tmp_path: Path) -> None:
    write("import os; os.kill(os.getpid(), 9)")
    with pytest.raises(NotebookFailed, match=r"notebook try/it: DeadKernelError: .*run it again"):
        execute("try/it", given(case), tmp_path / "out.ipynb", timeout=60)


def test_a_notebook_that_ends_without_a_result_is_done_in_part(write: Any, case: Case) -> None:
    write("import sys; sys.exit(0)", ENDS_WELL)
    ran, item = keeping.run(case, "try/it", given(case), timeout=60, progress=lambda _: None)
    assert (ran.status, ran.missing) == ("partial", ("try/it ended without saying what it did",))
    assert item.partial


def test_what_the_kernel_journals_is_shown_while_it_runs(write: Any, case: Case) -> None:
    act = (
        "from irkit.case import Case\nfrom irkit.plan import Outcome, Plan, Step\n"
        "act = lambda _: Outcome(missing=('half',))\n"
        "Plan(Case.load(case_id, cases=cases), [Step(verb='a.b', target='t', title='T', act=act)], title='x').apply()"
    )
    write(act, ENDS_WELL)
    shown: list[str] = []
    keeping.run(case, "try/it", given(case), timeout=60, progress=shown.append)
    assert "a.b done, 1 not captured" in shown


@pytest.mark.parametrize(
    ("name", "parameters", "error", "says"),
    [
        ("try/it", {"wrod": "x"}, InvalidParameter, "unknown parameter wrod"),
        ("try/it", {"word": 5}, InvalidParameter, "parameter word: .* got 5 .*pass it with -r"),
        ("try/none", {}, NotFound, "no notebook try/none: there are try/it"),
        ("../x", {}, NotFound, "no notebook"),
    ],
)
def test_what_is_wrong_is_told_before_a_kernel_starts(
    name: str, parameters: Any, error: Any, says: str, write: Any, case: Case, tmp_path: Path
) -> None:
    write(ENDS_WELL)
    with pytest.raises(error, match=says):
        execute(name, given(case, **parameters), tmp_path / "out.ipynb", timeout=60)
    assert not (tmp_path / "out.ipynb").exists()


def test_following_survives_a_journal_that_is_damaged_meanwhile(case: Case) -> None:
    shown: list[str] = []
    with keeping.following(case.journal, shown.append, every=0.01):
        path = case.journal.path
        path.write_bytes(path.read_bytes() + b"x\ny\n")
        time.sleep(0.1)
    assert shown == []
