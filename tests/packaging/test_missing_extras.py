"""With the core alone, a command that needs more says which extra brings it, in one line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXTRAS = ("cryptography", "deflate", "duckdb", "flask", "IPython", "ipykernel", "matplotlib", "moto", "nbclient",
          "nbformat", "numpy", "pandas", "papermill", "PIL", "pyarrow", "werkzeug")  # fmt: skip

# Read by every interpreter that finds it on its path, so that it holds for what a command starts, too.
SITECUSTOMIZE = f"""
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] in {EXTRAS!r}:
            raise ModuleNotFoundError(f'No module named {{name!r}}', name=name)

sys.meta_path.insert(0, Absent())
"""


def irkit_core(*arguments: str, scratch: Path) -> subprocess.CompletedProcess[str]:
    path = scratch / "without-extras"
    path.mkdir()
    (path / "sitecustomize.py").write_text(SITECUSTOMIZE, encoding="utf-8")
    places = {"IRKIT_CASES": str(scratch / "cases"), "XDG_STATE_HOME": str(scratch / "state")}
    return subprocess.run(
        [sys.executable, "-c", "from irkit.cli import main; main()", *arguments],
        env={**os.environ, **places, "PYTHONPATH": str(path)},
        cwd=scratch,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["case", "open", "2026-11-0042", "--region", "us-east-1"],
        ["case", "list"],
        ["notebooks", "list"],
        ["playbooks", "list"],
    ],
)
def test_the_core_alone_opens_cases_and_lists_what_it_has(arguments: list[str], tmp_path: Path) -> None:
    run = irkit_core(*arguments, scratch=tmp_path)

    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize(
    ("arguments", "extra"),
    [
        (["sim", "up"], "sim"),
        (["demo", "--out", "OUT"], "demo"),
        (["logs", "ask", "coverage", "--from", "OUT"], "analysis"),
        (["logs", "ingest", "OUT", "--into", "OUT/tables"], "analysis"),
    ],
)
def test_a_command_that_needs_more_names_the_extra(arguments: list[str], extra: str, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    given = [argument.replace("OUT", str(tmp_path / "out")) for argument in arguments]
    run = irkit_core(*given, scratch=tmp_path)

    assert run.returncode == 4, run.stderr
    assert "Traceback" not in run.stderr
    assert f"irkit-aws[{extra}]" in run.stderr
