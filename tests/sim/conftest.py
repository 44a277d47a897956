from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from irkit.sim import Pace, Simulator

QUICK = Pace(snapshot_seconds=0.4, ssm_latency=0.02, trail_delivery_seconds=0.3, draining_seconds=0.4)


@pytest.fixture(scope="module")
def sim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    """One empty simulated AWS a module."""
    with Simulator.start(workdir=tmp_path_factory.mktemp("world"), pace=QUICK) as simulator:
        yield simulator


@pytest.fixture(autouse=True)
def _no_leftover_faults(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "sim" in request.fixturenames:
        request.getfixturevalue("sim").faults.clear()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """The file tree of a small Linux host."""
    root = tmp_path / "tree"
    (root / "etc").mkdir(parents=True)
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/bash\n")
    return root
