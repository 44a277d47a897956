"""Figures of a case: one module each, with `draw` (returns the matplotlib Axes), `headline` and `alt`.

    activity    who was active when, the incident's window shaded
    heat        which APIs were called when
    outbound    what left, by destination
    steps       what the responders did, from the journal
    inventory   what evidence is held
    lineage     where credentials came from and what they became

`irkit.report.gallery.pictures(case)` draws all of them from a case.
"""

from __future__ import annotations

from irkit.report.figures import activity, heat, inventory, lineage, outbound, steps
from irkit.report.figures.style import DARK, LIGHT, THEMES, Theme, png

__all__ = [
    "DARK",
    "LIGHT",
    "THEMES",
    "Theme",
    "activity",
    "heat",
    "inventory",
    "lineage",
    "outbound",
    "png",
    "steps",
]
