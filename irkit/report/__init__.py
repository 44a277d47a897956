"""The report: what was found, done and kept, and what is not known, in one file that needs nothing else."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from irkit.report.building import Built, build
    from irkit.report.events import Event, timeline, to_csv, to_frame
    from irkit.report.exports import Exported, export
    from irkit.report.gallery import Picture, pictures

_ROOMS = {
    "Built": "building",
    "build": "building",
    "Event": "events",
    "timeline": "events",
    "to_csv": "events",
    "to_frame": "events",
    "Exported": "exports",
    "export": "exports",
    "Picture": "gallery",
    "pictures": "gallery",
}

__all__ = [
    "Built", "Event", "Exported", "Picture", "build", "export", "pictures", "timeline", "to_csv", "to_frame",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Public names on first use: nothing heavy is loaded before it is needed."""
    if name in _ROOMS:
        return getattr(importlib.import_module(f"{__name__}.{_ROOMS[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
