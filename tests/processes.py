"""Which processes run on this machine, from /proc."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path


def _status(pid: int) -> list[str] | None:
    """State, parent, process group, session … of a process; None when it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return text.rpartition(")")[2].split()


def running(pid: int) -> bool:
    """Whether the process lives; one that has ended and waits to be reaped does not."""
    status = _status(pid)
    return status is not None and status[0] not in "ZX"


def pids() -> Iterator[int]:
    """Every process."""
    return (int(entry.name) for entry in Path("/proc").glob("[0-9]*"))


def below(pid: int) -> set[int]:
    """The processes that `pid` started, and those that they started."""
    parents = {p: int(status[1]) for p in pids() if (status := _status(p))}
    found: set[int] = set()
    fresh = {pid}
    while fresh:
        fresh = {p for p, parent in parents.items() if parent in fresh} - found
        found |= fresh
    return found


def mentioning(text: str) -> set[int]:
    """The processes whose command line holds `text`."""
    found = set()
    for pid in pids():
        try:
            line = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        if text.encode() in line and running(pid):
            found.add(pid)
    return found
