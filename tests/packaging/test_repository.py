"""Rules for the repository itself: no traces of a machine, commands that exist, notebooks without outputs."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

# The one-letter classes keep this file from finding itself.
MACHINE_PATHS = re.compile(r"/[w]ork/[a-z.]|/[f]arm/[a-z.]|/tmp/[b]ash_|/tmp/[t]eam|/root/[.]pyenv")
SECRETS = re.compile(
    r"-----BEGIN (RSA |EC |OPENSSH )?PRIVATE KEY-----\n[A-Za-z0-9+/=]{40}|ghp_[A-Za-z0-9]{36}|xox[bp]-\d{8}"
)


def text_of(path: Path) -> str:
    return path.read_bytes().decode("utf-8", "replace")


def test_no_tracked_file_names_a_path_of_the_machine_it_was_written_on(
    checkout: Path, tracked: list[str]
) -> None:
    named = {
        name: match.group() for name in tracked if (match := MACHINE_PATHS.search(text_of(checkout / name)))
    }

    assert not named


def test_no_tracked_file_holds_a_private_key_or_token(checkout: Path, tracked: list[str]) -> None:
    assert not [name for name in tracked if SECRETS.search(text_of(checkout / name))]


def test_tracked_notebooks_hold_no_outputs(checkout: Path, tracked: list[str]) -> None:
    for name in tracked:
        if name.endswith(".ipynb"):
            cells = json.loads(text_of(checkout / name))["cells"]
            ran = [cell for cell in cells if cell.get("outputs") or cell.get("execution_count")]
            assert not ran, f"{name} has saved outputs: run `make format`"


def test_every_make_target_that_the_documents_mention_exists(checkout: Path, tracked: list[str]) -> None:
    makefile = text_of(checkout / "Makefile")
    targets = set(re.findall(r"^([a-z][a-z-]*):", makefile, flags=re.MULTILINE))
    for name in tracked:
        if name.endswith(".md"):
            mentioned = set(re.findall(r"`(?:[A-Z]+=\S+ )?make ([a-z-]+)", text_of(checkout / name)))
            mentioned |= set(re.findall(r"^make ([a-z-]+)", text_of(checkout / name), flags=re.MULTILINE))
            assert mentioned <= targets, f"{name} mentions {mentioned - targets}"


def test_every_make_target_is_explained_by_make_help(checkout: Path) -> None:
    makefile = text_of(checkout / "Makefile")
    phony = set(re.findall(r"^\.PHONY: ([a-z-]+)$", makefile, flags=re.MULTILINE))
    shown = subprocess.run(["make", "help"], cwd=checkout, capture_output=True, text=True, check=True).stdout

    assert phony == set(re.findall(r"^make ([a-z-]+) +\S", shown, flags=re.MULTILINE))


def test_the_changelog_has_a_section_for_this_version(checkout: Path) -> None:
    version = re.search(r'__version__ = "([^"]+)"', text_of(checkout / "irkit" / "_version.py"))
    changelog = text_of(checkout / "CHANGELOG.md")

    assert version
    assert f"## [{version.group(1)}]" in changelog or "## [Unreleased]" in changelog


def test_constraints_pin_every_direct_dependency_and_nothing_else_than_versions(checkout: Path) -> None:
    lines = [
        line
        for line in text_of(checkout / "constraints.txt").splitlines()
        if line and not line.startswith("#")
    ]
    assert all(re.fullmatch(r"[a-z0-9][a-z0-9.-]*==[0-9][0-9a-z.+!-]*", line) for line in lines)

    pinned = {line.partition("==")[0] for line in lines}
    project = tomllib.loads(text_of(checkout / "pyproject.toml"))
    wanted = list(project["project"]["dependencies"])
    for extra in project["project"]["optional-dependencies"].values():
        wanted += extra
    for group in project["dependency-groups"].values():
        wanted += [item for item in group if isinstance(item, str)]
    names = {re.split(r"[\[><=;~ ]", item)[0].lower() for item in wanted} - {"irkit-aws"}
    assert names <= pinned, f"run `make constraints`: {sorted(names - pinned)} are not pinned"


@pytest.mark.parametrize(
    "needed", ["pyproject.toml", "irkit", "notebooks", "playbooks", "cfn", "tests", "LICENSE"]
)
def test_the_top_level_is_as_agreed(checkout: Path, needed: str) -> None:
    assert (checkout / needed).exists()
