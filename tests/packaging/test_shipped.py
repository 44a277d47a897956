"""Notebooks, playbooks and templates are found from a wheel and from a checkout, and the command lists them."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import resources
from pathlib import Path

import pytest

from irkit import shipped
from irkit.errors import NotFound


@pytest.mark.parametrize(
    ("kind", "suffix"), [("notebooks", ".ipynb"), ("playbooks", ".yaml"), ("cfn", ".yaml")]
)
def test_each_kind_of_data_is_found_where_irkit_is_installed(kind: shipped.Kind, suffix: str) -> None:
    folder = shipped.folder(kind)
    package = Path(str(resources.files("irkit")))

    assert [path for path in folder.rglob(f"*{suffix}") if path.is_file()]
    assert folder in {package / "_data" / kind, package.parent / kind}


def test_data_that_is_not_there_is_an_error_with_a_hint() -> None:
    with pytest.raises(NotFound, match="install irkit-aws again"):
        shipped.folder("nothing")  # type: ignore[arg-type]


def test_the_installed_command_lists_notebooks_whose_paths_exist() -> None:
    irkit = Path(sys.executable).with_name("irkit")
    run = subprocess.run([irkit, "notebooks", "list", "--json"], capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr

    names = [entry["name"] for entry in json.loads(run.stdout)]
    assert names
    path = subprocess.run([irkit, "notebooks", "path", names[0]], capture_output=True, text=True, timeout=60)
    assert Path(path.stdout.strip()).is_file()
