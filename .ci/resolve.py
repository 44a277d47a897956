"""Print `name==version` of everything irkit can need: the newest versions that run on the oldest Python we support.

That Python is Debian 12's 3.11.2, not the newest 3.11: some packages ask for 3.11.5. Nothing is installed; pip's
dry run reports the whole resolution (https://pip.pypa.io/en/stable/reference/installation-report/).
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OLDEST_PYTHON = "3.11.2"
HEADER = """\
# Versions that irkit is developed and tested with: `pip install --constraint constraints.txt …`.
# Made by `make constraints` from pyproject.toml; not edited by hand.
"""


def requirements() -> list[str]:
    """Every dependency, extra and group of pyproject.toml, without the extras' references to each other."""
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    project = pyproject["project"]
    lists = [
        project["dependencies"],
        *project["optional-dependencies"].values(),
        *pyproject["dependency-groups"].values(),
    ]
    wanted = [item for one in lists for item in one if isinstance(item, str)]
    return [item for item in wanted if not item.startswith(f"{project['name']}[")]


def resolve() -> list[str]:
    """`name==version` lines, sorted."""
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch) / "report.json"
        target = ["--python-version", OLDEST_PYTHON, "--only-binary=:all:", "--target", f"{scratch}/none"]
        dry_run = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed"]
        command = [*dry_run, *target, "--report", str(report), "pip", *requirements()]
        subprocess.run(command, check=True)  # noqa: S603 - the interpreter that runs this script
        installed = json.loads(report.read_text(encoding="utf-8"))["install"]
    found = {
        re.sub(r"[-_.]+", "-", item["metadata"]["name"]).lower(): item["metadata"]["version"]
        for item in installed
    }
    return [f"{name}=={version}" for name, version in sorted(found.items())]


if __name__ == "__main__":
    sys.stdout.write(HEADER + "\n".join(resolve()) + "\n")
