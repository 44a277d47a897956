"""Evidence: items hashed while they are first written, and the proof that they have not changed since."""

from __future__ import annotations

from irkit.evidence.items import Item, Place
from irkit.evidence.store import Evidence
from irkit.evidence.verification import Verdict, verify

__all__ = ["Evidence", "Item", "Place", "Verdict", "verify"]
