"""The documents lead where they say, and say what the program does."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

LINK = re.compile(r"\]\((?!https?://|#|mailto:)([^)#\s]+)")
COMMAND = re.compile(r"^(?:\.venv/bin/)?irkit ((?:[a-z][a-z-]*)(?: [a-z][a-z-]*)?)", flags=re.MULTILINE)
BLOCK = re.compile(r"```bash\n(.*?)```", flags=re.DOTALL)


def documents(checkout: Path, tracked: list[str]) -> dict[str, str]:
    return {name: (checkout / name).read_text(encoding="utf-8") for name in tracked if name.endswith(".md")}


def test_every_link_within_the_repository_leads_to_a_file(checkout: Path, tracked: list[str]) -> None:
    broken = [
        f"{name}: {target}"
        for name, text in documents(checkout, tracked).items()
        for target in LINK.findall(text)
        if not ((checkout / name).parent / target).exists()
    ]
    assert not broken


def test_every_document_can_be_reached_from_the_readme(checkout: Path, tracked: list[str]) -> None:
    reached: set[Path] = set()
    open_ends = [checkout / "README.md"]
    while open_ends:
        page = open_ends.pop()
        if page in reached or page.suffix != ".md" or not page.exists():
            continue
        reached.add(page)
        for target in LINK.findall(page.read_text(encoding="utf-8")):
            found = (page.parent / target).resolve()
            open_ends += sorted(found.glob("*.md")) if found.is_dir() else [found]

    assert not {checkout / name for name in documents(checkout, tracked)} - reached


def test_every_irkit_command_in_the_documents_exists(checkout: Path, tracked: list[str]) -> None:
    import click

    from irkit.cli import cli

    unknown = []
    for name, text in documents(checkout, tracked).items():
        for words in (match.split() for block in BLOCK.findall(text) for match in COMMAND.findall(block)):
            command: click.Command | None = cli
            for word in words:
                if isinstance(command, click.Group):
                    command = command.get_command(click.Context(command), word)
                    if command is None:
                        unknown.append(f"{name}: irkit {' '.join(words)}")
                        break
    assert not unknown


def test_the_reference_pages_are_in_step_with_the_code(checkout: Path) -> None:
    script = [sys.executable, str(checkout / "docs" / "generate.py"), "--check"]
    check = subprocess.run(script, capture_output=True, text=True, timeout=120)

    assert check.returncode == 0, check.stderr
