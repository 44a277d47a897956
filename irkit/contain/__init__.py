"""Containment: limit the attacker, in an order that keeps the evidence, and be able to put everything back.

A containment is a plan of *controls* (`irkit.contain.control`): each changes one thing, records what was there before,
fails alone and closed, and can be asked later whether it still holds.

    guard      the machine cannot be terminated or deleted by accident, by itself or with its disks
    fleet      the scaling group does not replace it, the load balancers send it nothing
    network    every interface in a group without rules; connections that were up are cut
    identity   the role session of this instance is denied, wherever its credentials are used

    plan = contain.plan(case, "i-0123456789abcdef0")      # reads, changes nothing
    plan.apply()
    contain.prove(case, "i-0123456789abcdef0")            # asks AWS again
    contain.undo_plan(case).apply()                       # puts back what was there
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from irkit.contain.containment import KINDS as KINDS
    from irkit.contain.containment import plan as plan
    from irkit.contain.credentials import chained as chained
    from irkit.contain.credentials import keys as keys
    from irkit.contain.credentials import sessions as sessions
    from irkit.contain.notice import notify as notify
    from irkit.contain.notice import summary as summary
    from irkit.contain.proof import Proof as Proof
    from irkit.contain.proof import prove as prove
    from irkit.contain.since import calls_since as calls_since
    from irkit.contain.since import flows_since as flows_since
    from irkit.contain.undo import undo_plan as undo_plan
    from irkit.contain.users import user as user

__all__ = [
    "KINDS",
    "Proof",
    "calls_since",
    "chained",
    "flows_since",
    "keys",
    "notify",
    "plan",
    "prove",
    "sessions",
    "summary",
    "undo_plan",
    "user",
]

_ROOMS = {
    "calls_since": "since",
    "flows_since": "since",
    "KINDS": "containment",
    "plan": "containment",
    "chained": "credentials",
    "keys": "credentials",
    "sessions": "credentials",
    "notify": "notice",
    "summary": "notice",
    "Proof": "proof",
    "prove": "proof",
    "undo_plan": "undo",
    "user": "users",
}


def __getattr__(name: str) -> Any:
    """The public names, imported when first used."""
    if name in _ROOMS:
        return getattr(importlib.import_module(f"irkit.contain.{_ROOMS[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
