"""Capture: what can be taken from an instance, one kind of evidence a module.

Importing this package loads neither boto3 nor pandas; the names below are loaded when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from irkit.capture.host_facts import HostFacts as HostFacts
    from irkit.capture.instance import Instance as Instance
    from irkit.capture.instance import describe as describe
    from irkit.capture.planning import plan as plan
    from irkit.capture.readiness import Preflight as Preflight
    from irkit.capture.readiness import preflight as preflight

KINDS = ("metadata", "console", "disks", "host", "memory", "keep")

_WHERE = {
    "HostFacts": "host_facts",
    "Instance": "instance",
    "Preflight": "readiness",
    "describe": "instance",
    "plan": "planning",
    "preflight": "readiness",
}

__all__ = ["KINDS", "HostFacts", "Instance", "Preflight", "describe", "plan", "preflight"]


def __getattr__(name: str) -> Any:
    if name == "image":  # a room of its own: capture.image.plan, capture.image.open_lazy
        return import_module(f"{__name__}.image")
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
