"""What is packed is what is in git: no more, no less."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

import pytest

pytest.importorskip("build", reason="the build tools are not installed: pip install build hatchling")
pytest.importorskip("hatchling", reason="the build tools are not installed: pip install build hatchling")

SHIPPED = {
    "notebooks": "irkit/_data/notebooks",
    "playbooks": "irkit/_data/playbooks",
    "cfn": "irkit/_data/cfn",
}


@pytest.fixture(scope="module")
def source(checkout: Path, tracked: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what git tracks, with the litter of a working day in it."""
    copy = tmp_path_factory.mktemp("source")
    for name in tracked:
        target = copy / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((checkout / name).read_bytes())
    for folder in ("notebooks", "playbooks", "irkit"):
        litter = copy / folder / ".ipynb_checkpoints"
        litter.mkdir(parents=True, exist_ok=True)
        (litter / "secret-checkpoint.ipynb").write_text("{}", encoding="utf-8")
    (copy / "irkit" / "__pycache__").mkdir(exist_ok=True)
    (copy / "irkit" / "__pycache__" / "stale.cpython-311.pyc").write_bytes(b"")
    return copy


@pytest.fixture(scope="module")
def built(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and with the wheel that was built from that sdist, as a release would be."""
    out = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(source)],
        check=True,
        capture_output=True,
    )
    return out


def packed_name(tracked_name: str) -> str | None:
    """Where the wheel keeps a tracked file; None when it does not."""
    top, _, rest = tracked_name.partition("/")
    if top == "irkit":
        return tracked_name
    return f"{SHIPPED[top]}/{rest}" if top in SHIPPED else None


def test_the_wheel_holds_exactly_the_tracked_files_of_the_package_and_its_data(
    built: Path, tracked: list[str]
) -> None:
    (wheel,) = built.glob("*.whl")
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    expected = {packed_name(name) for name in tracked if not name.endswith(".gitignore")} - {None}

    assert packed == expected


def test_the_wheel_has_notebooks_playbooks_and_templates_in_it(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()

    for folder, suffix in (("notebooks", ".ipynb"), ("playbooks", ".yaml"), ("cfn", ".yaml")):
        assert any(name.startswith(f"irkit/_data/{folder}/") and name.endswith(suffix) for name in names), (
            folder
        )


def test_the_sdist_holds_the_tests_but_nothing_of_the_build_machine(built: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = [PurePosixPath(name) for name in archive.getnames()]
    texts = {str(name.relative_to(name.parts[0])) for name in names}

    assert {"pyproject.toml", "README.md", "LICENSE", "constraints.txt", "tests/conftest.py"} <= texts
    assert not [
        name for name in texts if "checkpoint" in name or "__pycache__" in name or name.startswith(".venv")
    ]


def test_the_wheel_says_its_licence_its_python_and_its_command(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    archive = zipfile.ZipFile(wheel)
    (metadata,) = [archive.read(name).decode() for name in archive.namelist() if name.endswith("METADATA")]
    (scripts,) = [
        archive.read(name).decode() for name in archive.namelist() if name.endswith("entry_points.txt")
    ]

    assert "License-Expression: Apache-2.0" in metadata
    assert "Requires-Python: >=3.11" in metadata
    assert "irkit = irkit.cli:main" in scripts
    assert any(name.endswith("licenses/LICENSE") for name in archive.namelist())


def test_the_core_stays_small(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    archive = zipfile.ZipFile(wheel)
    (metadata,) = [archive.read(name).decode() for name in archive.namelist() if name.endswith("METADATA")]
    required = {
        line.removeprefix("Requires-Dist: ").split(">")[0].strip().lower()
        for line in metadata.splitlines()
        if line.startswith("Requires-Dist: ") and "extra ==" not in line
    }

    assert required == {"boto3", "click", "jinja2", "pydantic", "pyyaml"}
