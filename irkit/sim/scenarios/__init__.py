"""Compromised worlds to plant in the simulator: coherent in every source, with a truth to check findings against."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from irkit.sim.simulator import Simulator

SCENARIOS = {
    "web-to-role-theft": "A web server is entered, its role's credentials are stolen and used from outside.",
}
"""Every scenario, by name, with one line that gives nothing away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """A planted world. `public` is what a responder starts from; `truth` is for scoring, never for analysis."""

    public: dict[str, Any]
    truth: dict[str, Any] = field(repr=False)
    intruder: dict[str, Any] = field(repr=False)
    """Credentials with which a test can act as the intruder."""


def plant(name: str, sim: Simulator, *, seed: int = 7, at: datetime | None = None) -> World:
    """Build the scenario `name` in a running simulator, its story ending at `at` (default: now).

    The same seed and `at` give the same world. Raises `NotFound` for an unknown name.
    """
    from irkit.errors import NotFound

    if name not in SCENARIOS:
        raise NotFound(f"there is no scenario {name!r}", hint=f"choose one of {', '.join(SCENARIOS)}")
    room = importlib.import_module(f"{__name__}.{name.replace('-', '_')}")
    public, truth, intruder = room.build(sim, seed=seed, at=at or datetime.now(UTC))
    return World(public=public, truth=truth, intruder=intruder)


def preview(name: str, *, seed: int = 7, at: datetime) -> dict[str, Any]:
    """What `plant` with the same arguments will make public, without a simulator: enough to open a case with."""
    from irkit.errors import NotFound

    if name not in SCENARIOS:
        raise NotFound(f"there is no scenario {name!r}", hint=f"choose one of {', '.join(SCENARIOS)}")
    room = importlib.import_module(f"{__name__}.{name.replace('-', '_')}")
    public: dict[str, Any] = room.preview(seed=seed, at=at)
    return public
