from __future__ import annotations

import shutil
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest

from irkit import report
from irkit.case import Case
from irkit.report import Built
from tests.report import cases
from tests.report.parsed import Page


@dataclass(frozen=True)
class Reported:
    """A case with its report, and a copy of its folder from before the report was made."""

    case: Case
    before: Path
    built: Built
    html: str

    @cached_property
    def page(self) -> Page:
        """The report, parsed."""
        return Page(self.html)


def _reported(case: Case) -> Reported:
    before = Path(shutil.copytree(case.root, case.root.parent / "before" / case.id))
    built = report.build(case)
    return Reported(case, before, built, built.path.read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def investigated(tmp_path_factory: pytest.TempPathFactory) -> Reported:
    return _reported(cases.investigated(tmp_path_factory.mktemp("investigated")))


@pytest.fixture(scope="session")
def trapped(tmp_path_factory: pytest.TempPathFactory) -> Reported:
    return _reported(cases.trapped(tmp_path_factory.mktemp("trapped")))
