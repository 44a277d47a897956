"""The state of the one simulated AWS that lives in this process.

moto keeps its backends in module globals, so one process holds one world. The choke point and the mends ask
`active()`; while it is None they step aside and plain moto answers.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from irkit.sim.delivery import Delivery
    from irkit.sim.disks import Disks
    from irkit.sim.faults import Faults
    from irkit.sim.host import Hosts
    from irkit.sim.trail import Trail

MEMBER_ACCOUNT = "111122223333"
FORENSICS_ACCOUNT = "444455556666"
HOME_REGION = "us-east-1"
DISABLED_REGIONS = frozenset({"ap-east-1"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How long things take, in seconds; zero means at once."""

    snapshot_seconds: float = 1.0
    ssm_latency: float = 0.15
    ssm_visible_seconds: float = 0.05
    trail_delivery_seconds: float = 1.0
    draining_seconds: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One API call as it was answered."""

    at: datetime
    service: str
    operation: str
    status: int
    error: str | None
    user_agent: str
    account: str
    region: str
    access_key: str
    request_id: str


@dataclass(slots=True, kw_only=True)
class World:
    """Everything that the choke point and the mends share."""

    world_id: str
    seed: int
    workdir: Path
    region: str
    account: str
    forensics_account: str
    pace: Pace
    faults: Faults
    trail: Trail
    hosts: Hosts
    disks: Disks
    calls: list[Call] = field(default_factory=list)
    lock: threading.RLock = field(default_factory=threading.RLock)
    last_call: float = 0.0
    recording: bool = True
    delivery: Delivery | None = None


_active: list[World] = []


def active() -> World | None:
    """The running world, or None."""
    return _active[0] if _active else None


def current() -> World:
    """The running world; a programming error when there is none."""
    if not _active:
        raise RuntimeError("no simulator is running in this process")
    return _active[0]


def enter(world: World) -> None:
    """Make `world` the running one. A second one in the same process would share moto's state, so it is refused."""
    if _active:
        raise RuntimeError(
            f"simulator {_active[0].world_id} is already running in this process: stop it first"
        )
    _active.append(world)


def leave(world: World) -> None:
    """Forget `world`, if it is the running one."""
    if world in _active:
        _active.remove(world)
