from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from irkit.sim.scenarios.web_to_role_theft.attack import Attack, attack
from irkit.sim.scenarios.web_to_role_theft.background import background
from irkit.sim.scenarios.web_to_role_theft.delivery import trail_files
from irkit.sim.scenarios.web_to_role_theft.flows import Flows, flows
from irkit.sim.scenarios.web_to_role_theft.story import Story, tell
from irkit.sim.scenarios.web_to_role_theft.truth import truth

if TYPE_CHECKING:
    from collections.abc import Callable

AT = datetime(2026, 11, 23, 14, 0, 0, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Paper:
    """The parts of a world that need no simulator."""

    story: Story
    attack: Attack
    background: list[dict[str, Any]]
    flows: Flows
    truth: dict[str, Any]

    @property
    def records(self) -> list[dict[str, Any]]:
        return [*self.background, *self.attack.records]

    def delivered(self) -> list[tuple[str, bytes]]:
        return list(trail_files(self.story, self.records))

    def flow_rows(self) -> list[list[str]]:
        lines = (gzip.decompress(content).decode().splitlines() for _, content in self.flows.files)
        return [line.split(" ") for text in lines for line in text[1:]]

    def values(self, kind: str) -> set[str]:
        return {fact["value"] for fact in self.truth["facts"] if fact["kind"] == kind}

    def value(self, name: str) -> str:
        return next(str(fact["value"]) for fact in self.truth["facts"] if fact["id"] == name)


def _write_down(seed: int) -> Paper:
    story = tell(seed=seed, at=AT)
    intrusion, traffic = attack(story), flows(story)
    return Paper(
        story=story,
        attack=intrusion,
        background=background(story),
        flows=traffic,
        truth=truth(story, intrusion, traffic),
    )


@pytest.fixture(scope="session")
def write_down() -> Callable[[int], Paper]:
    return _write_down


@pytest.fixture(scope="session")
def paper() -> Paper:
    return _write_down(7)


@pytest.fixture(scope="session")
def other_paper() -> Paper:
    return _write_down(8)


@pytest.fixture(scope="session")
def delivered_records(paper: Paper) -> list[dict[str, Any]]:
    return [
        record
        for _, content in paper.delivered()
        for record in json.loads(gzip.decompress(content))["Records"]
    ]
