from __future__ import annotations

from dataclasses import dataclass

import pytest

from irkit import report
from irkit.case import Case
from irkit.report import Built
from tests.report import cases


@dataclass(frozen=True)
class Reported:
    """A case with its report."""

    case: Case
    built: Built
    html: str


def _reported(case: Case) -> Reported:
    built = report.build(case)
    return Reported(case, built, built.path.read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def investigated(tmp_path_factory: pytest.TempPathFactory) -> Reported:
    return _reported(cases.investigated(tmp_path_factory.mktemp("investigated")))


@pytest.fixture(scope="session")
def trapped(tmp_path_factory: pytest.TempPathFactory) -> Reported:
    return _reported(cases.trapped(tmp_path_factory.mktemp("trapped")))
