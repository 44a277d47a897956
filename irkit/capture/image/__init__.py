"""Disk images: an EBS snapshot read block by block, into a whole image or only where someone looks.

Importing this package loads neither boto3 nor anything of the transports; the names below are loaded when they are
first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from irkit.capture.image.lazy import LazyDisk as LazyDisk
    from irkit.capture.image.lazy import open_lazy as open_lazy
    from irkit.capture.image.planning import Estimate as Estimate
    from irkit.capture.image.planning import plan as plan

_WHERE = {"Estimate": "planning", "LazyDisk": "lazy", "open_lazy": "lazy", "plan": "planning"}

__all__ = ["Estimate", "LazyDisk", "open_lazy", "plan"]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
