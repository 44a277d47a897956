"""What the code imports is declared: nothing works only because something else happened to bring it."""

from __future__ import annotations

import ast
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

# Brought by a declared dependency as a promise of it: boto3 is botocore's face, moto's server is a Werkzeug app,
# click and Jinja2 document MarkupSafe, pandas documents numpy.
PROMISED = {
    "botocore": "boto3",
    "s3transfer": "boto3",
    "markupsafe": "jinja2",
    "numpy": "pandas",
    "werkzeug": "moto",
}
PROMISED |= {"nbformat": "papermill", "traitlets": "papermill", "responses": "moto", "IPython": "ipykernel"}


def imported(package: Path) -> dict[str, set[str]]:
    """Top-level third-party modules, each with the files that import it outside TYPE_CHECKING."""
    found: dict[str, set[str]] = {}
    for path in sorted(package.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        skipped = {
            id(inner)
            for node in ast.walk(tree)
            if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
            for inner in ast.walk(node)
        }
        for node in ast.walk(tree):
            if id(node) in skipped:
                continue
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                names = [node.module]
            for name in names:
                top = name.partition(".")[0]
                if top not in sys.stdlib_module_names and top != "irkit":
                    found.setdefault(top, set()).add(path.relative_to(package).as_posix())
    return found


@pytest.fixture(scope="module")
def declared(checkout: Path) -> dict[str, set[str]]:
    """The distributions of the core and of each extra, lower case."""
    import re
    import tomllib

    project = tomllib.loads((checkout / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    def names(items: list[str]) -> set[str]:
        return {re.split(r"[\[><=;~ ]", item)[0].lower() for item in items}

    extras = {extra: names(items) for extra, items in project["optional-dependencies"].items()}
    return {"core": names(project["dependencies"]), **extras}


DISTRIBUTIONS = packages_distributions()


def distribution_of(module: str) -> str:
    promised = PROMISED.get(module, module)
    return DISTRIBUTIONS.get(promised, [promised])[0].lower().replace("_", "-")


def test_every_third_party_import_is_a_declared_dependency(
    checkout: Path, declared: dict[str, set[str]]
) -> None:
    everything = set().union(*declared.values())
    missing = {
        module: files
        for module, files in imported(checkout / "irkit").items()
        if distribution_of(module) not in everything
    }
    assert not missing


def test_the_core_imports_only_what_the_core_declares_at_the_top_of_its_modules(
    checkout: Path, declared: dict[str, set[str]]
) -> None:
    for path in [*(checkout / "irkit").glob("*.py"), *(checkout / "irkit" / "cli").glob("*.py")]:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in tree.body:
            if isinstance(node, ast.Import | ast.ImportFrom) and not getattr(node, "level", 0):
                name = node.names[0].name if isinstance(node, ast.Import) else node.module or ""
                top = name.partition(".")[0]
                if top not in sys.stdlib_module_names and top != "irkit":
                    assert distribution_of(top) in declared["core"], f"{path.name} imports {top} at its top"


def test_nothing_but_the_command_line_imports_the_simulator(checkout: Path) -> None:
    package = checkout / "irkit"
    guilty = []
    for path in sorted(package.rglob("*.py")):
        room = path.relative_to(package).parts[0]
        if room in {"sim", "cli"}:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            if any(name == "irkit.sim" or name.startswith("irkit.sim.") for name in names):
                guilty.append(path.relative_to(package).as_posix())
    assert not guilty


@pytest.mark.parametrize("room", ["capture", "contain", "logs", "hunt"])
def test_the_four_rooms_do_not_import_each_other(checkout: Path, room: str) -> None:
    others = tuple(
        f"irkit.{other}" for other in ("capture", "contain", "logs", "hunt", "cli") if other != room
    )
    for path in sorted((checkout / "irkit" / room).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            module = node.module or "" if isinstance(node, ast.ImportFrom) else ""
            assert not module.startswith(others), f"{path.name} imports {module}"
