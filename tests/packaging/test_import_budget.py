"""Starting irkit is cheap: measured by what is loaded, because a stopwatch lies on a busy machine.

The seconds themselves are printed by benchmarks/startup.py.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {
    "boto3", "botocore", "duckdb", "IPython", "jinja2", "jsonschema", "matplotlib", "moto", "nbformat", "numpy",
    "pandas", "papermill", "pyarrow", "pydantic", "rich", "yaml",
}  # fmt: skip
LIST_LOADED = "import sys; print(*sorted({name.partition('.')[0] for name in sys.modules}), file=sys.stderr)"


def loaded_by(code: str, tmp_path: Path) -> set[str]:
    """Top-level modules that a fresh interpreter holds after it ran `code`."""
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    return set(run.stderr.splitlines()[-1].split())


def test_import_irkit_loads_nothing_heavy(tmp_path: Path) -> None:
    assert not loaded_by(f"import irkit; {LIST_LOADED}", tmp_path) & HEAVY


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["case", "--help"], ["capture", "--help"]])
def test_asking_for_help_loads_nothing_heavy(arguments: list[str], tmp_path: Path) -> None:
    code = (
        "import atexit, sys\n"
        f"atexit.register(lambda: exec({LIST_LOADED!r}))\n"
        f"sys.argv = ['irkit', *{arguments!r}]\n"
        "from irkit.cli import main\n"
        "sys.exit(main())\n"
    )
    assert not loaded_by(code, tmp_path) & HEAVY


def test_every_public_name_can_be_imported_on_its_own() -> None:
    import irkit

    for name in irkit.__all__:
        assert getattr(irkit, name) is not None


def test_the_names_listed_by_dir_are_the_public_ones() -> None:
    import irkit

    assert set(irkit.__all__) <= set(dir(irkit))
    assert sorted(irkit.__all__) == list(irkit.__all__)


def test_a_name_that_does_not_exist_is_an_ordinary_attribute_error() -> None:
    import irkit

    with pytest.raises(AttributeError, match="no_such_name"):
        _ = irkit.no_such_name  # type: ignore[attr-defined]
