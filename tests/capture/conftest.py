"""A simulated world for each module of tests; cases are cheap and each test opens its own."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from irkit.capture import once
from irkit.case import Case
from irkit.sim import Pace, Simulator
from irkit.sim.scenarios import plant, web_to_role_theft

AT = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """A running simulator with the compromised web server in it: `sim`, `public`, `truth`, `instance_id`."""
    quick = Pace(snapshot_seconds=0.1, ssm_latency=0.02)
    with (
        pytest.MonkeyPatch.context() as patched,
        Simulator.start(workdir=tmp_path_factory.mktemp("sim"), pace=quick) as sim,
    ):
        # Capture looks at the account and the hosts; three days of logs would take longer to plant than the tests run.
        patched.setattr(web_to_role_theft, "background", lambda _story: [])
        patched.setattr(web_to_role_theft, "_fill_buckets", lambda *_: None)
        # An answer that was lost is looked for after seconds; here AWS is consistent at once.
        patched.setattr(once, "VISIBLE_AFTER", (0.02,))
        world = plant("web-to-role-theft", sim, seed=11, at=AT)
        yield SimpleNamespace(
            sim=sim, public=world.public, truth=world.truth, instance_id=world.public["instance_id"]
        )


@pytest.fixture
def world(planted: SimpleNamespace) -> Iterator[SimpleNamespace]:
    """The planted world, with this test's environment pointing at it and no faults left from another."""
    before = dict(os.environ)
    os.environ.update(planted.sim.env())
    planted.sim.faults.clear()
    yield planted
    planted.sim.faults.clear()
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def open_case(world: SimpleNamespace, tmp_path: Path) -> Callable[..., Case]:
    """Open a case in this test's folder; keywords go to `Case.open`."""
    count = iter(range(1, 100))

    def opened(case_id: str | None = None, **facts: Any) -> Case:
        asked = {"region": world.public["region"], "cases": tmp_path / "cases", "responder": "ana"} | facts
        return Case.open(case_id or f"T-{os.getpid()}-{tmp_path.name[-20:]}-{next(count)}", **asked)

    return opened


@pytest.fixture
def bucket(world: SimpleNamespace) -> str:
    """The evidence bucket of the planted world."""
    return str(world.public["evidence_bucket"])


@pytest.fixture
def case(open_case: Callable[..., Case]) -> Case:
    """An open case on the planted world."""
    return open_case()
