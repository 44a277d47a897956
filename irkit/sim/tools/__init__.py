"""Programs that stand in, inside the simulator, for what an operator would bring along."""

from __future__ import annotations

from pathlib import Path


def memory_tool() -> Path:
    """A stand-in for a memory acquisition tool: dumps the memory of the sandbox's processes, called as AVML is."""
    return Path(__file__).with_name("memory.sh")
