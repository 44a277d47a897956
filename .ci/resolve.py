"""Print `name==version` of everything irkit can need, newest versions, as pip resolves it for this Python.

Nothing is installed: pip's dry-run report holds the whole resolution (https://pip.pypa.io/en/stable/reference/installation-report/).
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HEADER = """\
# Versions that irkit is developed and tested with: `pip install --constraint constraints.txt …`.
# Made by `make constraints` from pyproject.toml; not edited by hand.
"""


def resolve() -> list[str]:
    """`name==version` lines of the workbench, the demo, the tests and the checks together, sorted."""
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch) / "report.json"
        subprocess.run(  # noqa: S603 - the interpreter that runs this script
            [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed"]
            + ["--report", str(report), "--group", f"{ROOT / 'pyproject.toml'}:dev", "pip", f"{ROOT}[workbench,demo]"],
            check=True,
        )
        installed = json.loads(report.read_text(encoding="utf-8"))["install"]
    versions = {
        item["metadata"]["name"].lower().replace("_", "-"): item["metadata"]["version"] for item in installed
    }
    del versions["irkit-aws"]
    return [f"{name}=={version}" for name, version in sorted(versions.items())]


if __name__ == "__main__":
    sys.stdout.write(HEADER + "\n".join(resolve()) + "\n")
