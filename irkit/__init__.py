"""irkit: incident response and forensics on AWS, from the shell, from a notebook and from code.

    import irkit

    case = irkit.Case.open("2026-11-0042", region="us-east-1")
    plan = irkit.capture.plan(case, "i-0123456789abcdef0")   # shows what would be done
    plan.apply()                                             # does it, journaled

Names are loaded when first used, so `import irkit` costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from irkit._version import __version__

if TYPE_CHECKING:
    from irkit import capture, contain, findings, hunt, logs, notebook, playbooks, report
    from irkit.case import Case
    from irkit.errors import IrkitError
    from irkit.evidence import Item, verify
    from irkit.findings import Finding
    from irkit.plan import Plan, Report

__all__ = [
    "Case",
    "Finding",
    "IrkitError",
    "Item",
    "Plan",
    "Report",
    "__version__",
    "capture",
    "contain",
    "findings",
    "hunt",
    "logs",
    "notebook",
    "playbooks",
    "report",
    "verify",
]

_NAMES = {
    "Case": "irkit.case",
    "Finding": "irkit.findings",
    "IrkitError": "irkit.errors",
    "Item": "irkit.evidence",
    "Plan": "irkit.plan",
    "Report": "irkit.plan",
    "verify": "irkit.evidence",
}


def __getattr__(name: str) -> Any:
    """The public name `name`, imported now (PEP 562)."""
    if name in _NAMES:
        return getattr(importlib.import_module(_NAMES[name]), name)
    if name in __all__:
        return importlib.import_module(f"irkit.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
