"""A simulated AWS with compromised accounts in it: for the demo, for training and for every test.

moto answers most calls; what it lacks or gets wrong is mended here, through one choke point that also records every
call as CloudTrail and injects faults. What cannot be simulated is refused (`NotSimulated`, HTTP 501), never faked;
`irkit.sim.fidelity` lists how true each answer is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from irkit.sim.simulator import Simulator as Simulator
    from irkit.sim.world import Pace as Pace

__all__ = ["Pace", "Simulator"]


def __getattr__(name: str) -> object:
    """Simulator and Pace on first use: moto takes about a second to import."""
    if name == "Simulator":
        from irkit.sim.simulator import Simulator

        return Simulator
    if name == "Pace":
        from irkit.sim.world import Pace

        return Pace
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
