from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from irkit.sim import daemon
from tests.cli.running import SimulatedWorld, irkit


@pytest.fixture(scope="session")
def running_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimulatedWorld]:
    """One simulated account for all tests of the command line, in a process of its own."""
    state = tmp_path_factory.mktemp("sim")
    yield SimulatedWorld(daemon.up(state, idle_minutes=30))
    daemon.down(state)


@pytest.fixture
def world(running_world: SimulatedWorld) -> SimulatedWorld:
    """The simulated account, with this test's environment pointing at it."""
    os.environ.update(running_world.up.env)
    return running_world


@pytest.fixture
def cases(tmp_path: Path) -> Path:
    """An empty folder of cases, which the command line uses."""
    folder = tmp_path / "cases"
    folder.mkdir()
    os.environ["IRKIT_CASES"] = str(folder)
    return folder


@pytest.fixture
def case(world: SimulatedWorld, cases: Path) -> str:
    """The id of an open case."""
    assert irkit("case", "open", "c-1", "--region", "us-east-1").code == 0
    return "c-1"
