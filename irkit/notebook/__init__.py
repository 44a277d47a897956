"""What a notebook needs of irkit: strict parameters, its case, a place for results; and the runner that executes it."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from irkit.notebook.models import (
        AnalyzeAccessKey,
        AnalyzeAccount,
        AnalyzeCloudTrail,
        AnalyzeDetections,
        AnalyzeFindings,
        AnalyzeNetwork,
        AnalyzePrincipal,
        CaptureDiskImage,
        CaptureInstance,
        CaptureMemory,
        ContainCredentials,
        ContainInstance,
        Deposit,
        FinalReport,
        Notify,
        Preflight,
        Timeline,
        UndoContainment,
    )
    from irkit.notebook.parameters import Parameters, params
    from irkit.notebook.results import finish, keep, keep_answers, show
    from irkit.notebook.taken import host_facts, subject

_ROOMS = {
    "params": "parameters",
    "Parameters": "parameters",
    "finish": "results",
    "keep": "results",
    "keep_answers": "results",
    "host_facts": "taken",
    "show": "results",
    "subject": "taken",
    "Preflight": "models",
    "AnalyzeDetections": "models",
    "CaptureDiskImage": "models",
    "CaptureInstance": "models",
    "CaptureMemory": "models",
    "ContainCredentials": "models",
    "ContainInstance": "models",
    "UndoContainment": "models",
    "Notify": "models",
    "Deposit": "models",
    "AnalyzeCloudTrail": "models",
    "AnalyzeNetwork": "models",
    "AnalyzeFindings": "models",
    "AnalyzeAccessKey": "models",
    "AnalyzeAccount": "models",
    "AnalyzePrincipal": "models",
    "Timeline": "models",
    "FinalReport": "models",
}

__all__ = [
    "AnalyzeAccessKey",
    "AnalyzeAccount",
    "AnalyzeCloudTrail",
    "AnalyzeDetections",
    "AnalyzeFindings",
    "AnalyzeNetwork",
    "AnalyzePrincipal",
    "CaptureDiskImage",
    "CaptureInstance",
    "CaptureMemory",
    "ContainCredentials",
    "ContainInstance",
    "Deposit",
    "FinalReport",
    "Notify",
    "Parameters",
    "Preflight",
    "Timeline",
    "UndoContainment",
    "finish",
    "host_facts",
    "keep",
    "keep_answers",
    "params",
    "show",
    "subject",
]


def __getattr__(name: str) -> Any:
    """Public names on first use: pydantic is not needed to find a notebook's path."""
    if name in _ROOMS:
        return getattr(importlib.import_module(f"{__name__}.{_ROOMS[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
