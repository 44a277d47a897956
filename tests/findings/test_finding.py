from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from irkit.errors import BadInput
from irkit.findings import Finding


def _finding(**more: Any) -> Finding:
    given: dict[str, Any] = {
        "id": "x",
        "title": "t",
        "statement": "s",
        "severity": "high",
        "confidence": "low",
        "first_seen": datetime(2026, 11, 20, 10, tzinfo=UTC),
        "facts": {"address": ("203.0.113.9",)},
        "attack": ("T1552.005",),
        "basis": ("coverage",),
    }
    return Finding(**(given | more))


def test_a_finding_survives_being_written_and_read() -> None:
    assert Finding.from_dict(_finding().to_dict()) == _finding()


def test_facts_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        _finding().facts["address"] = ()  # type: ignore[index]


@pytest.mark.parametrize(
    "change",
    [{"severity": "severe"}, {"confidence": "sure"}, {"first_seen": datetime(2026, 1, 1)}],  # noqa: DTZ001 - refused
)
def test_what_is_not_of_the_shape_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        _finding(**change)


@pytest.mark.parametrize("data", [{}, {"id": "x"}, _finding().to_dict() | {"first_seen": "yesterday"}])
def test_what_is_no_finding_is_not_read_as_one(data: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match="not a finding"):
        Finding.from_dict(data)


def test_the_repr_says_how_grave_it_is() -> None:
    assert repr(_finding()) == "Finding(x: high, low confidence, 1 kinds of facts)"
