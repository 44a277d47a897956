"""What the responders did and when: capture and containment steps from the journal, with how each stands."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from irkit.report.figures.style import (
    GREEN,
    LIGHT,
    PURPLE,
    YELLOW,
    Theme,
    canvas,
    days,
    legend,
    literal,
    note_empty,
    time_axis,
    titled,
)
from irkit.report.steps import Standing, StepRecord
from irkit.report.words import clock, counted, shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST = 44
_WIDE = 58  # characters of a title
_MARKERS: dict[Standing, str] = {
    "done": "o",
    "done in part": "P",
    "failed": "X",
    "skipped": ">",
    "interrupted": "s",
    "running": "s",
    "undone": "D",
}


def draw(steps: Sequence[StepRecord], *, ax: Axes | None = None, theme: Theme = LIGHT) -> Axes:
    """One row a step in the order in which they began: how long it took, and how it ended as marker and colour."""
    shown = sorted(steps, key=lambda step: (step.began, step.entries))[:_MOST]
    ax = canvas(ax, height=1.7 + 0.235 * max(5, len(shown)), theme=theme)
    if not shown:
        return note_empty(ax, "no step is in the journal", theme)
    from matplotlib.lines import Line2D

    colours = {
        "done": GREEN,
        "done in part": YELLOW if theme.name == "dark" else "#B58900",
        "failed": theme.suspect,
        "skipped": theme.quiet,
        "interrupted": PURPLE,
        "running": theme.usual,
        "undone": theme.usual,
    }
    for place, step in enumerate(shown):
        begin, end = days([step.began, step.ended])
        width = 4.0 if step.changes else 1.6
        ax.plot(
            [begin, end],
            [place, place],
            color=colours[step.standing],
            linewidth=width,
            solid_capstyle="butt",
            alpha=0.75,
        )
        ax.plot(
            [end],
            [place],
            linestyle="",
            marker=_MARKERS[step.standing],
            markersize=6.5,
            color=colours[step.standing],
            markeredgecolor=theme.paper,
            markeredgewidth=0.6,
        )
    ax.set_yticks(range(len(shown)), [_label(step) for step in shown], fontsize=8.5)
    ax.set_ylim(len(shown) - 0.4, -0.6)
    low, high = min(step.began for step in shown), max(step.ended for step in shown)
    margin = max((high - low).total_seconds() * 0.03, 0.5) / 86400
    begin, end = days([low, high])
    ax.set_xlim(begin - margin, end + margin)
    ax.grid(visible=True, axis="y", color=theme.grid, linewidth=0.4, linestyle=":")
    time_axis(ax, theme)
    there = Counter(step.standing for step in shown)
    handles = [
        Line2D(
            [],
            [],
            linestyle="",
            marker=marker,
            markersize=6.5,
            color=colours[standing],
            label=f"{standing} ({there[standing]})",
        )
        for standing, marker in _MARKERS.items()
        if there[standing]
    ]
    handles.append(Line2D([], [], color=theme.muted, linewidth=4, label="changed AWS"))
    handles.append(Line2D([], [], color=theme.muted, linewidth=1.6, label="read only"))
    legend(ax, handles, theme)
    titled(ax, headline(steps), theme)
    return ax


def _label(step: StepRecord) -> str:
    """A title is cut at its end: its first words say what was done."""
    title = step.title or step.verb
    return literal(title if len(title) <= _WIDE else f"{title[: _WIDE - 1].rstrip()}…", most=_WIDE + 20)


def headline(steps: Sequence[StepRecord]) -> str:
    """The finding that the figure shows."""
    if not steps:
        return "No step was taken"
    there = Counter(step.standing for step in steps)
    low, high = min(step.began for step in steps), max(step.ended for step in steps)
    seconds = max(1.0, (high - low).total_seconds())
    took = (
        f"{seconds:.0f} s"
        if seconds < 180
        else f"{seconds / 60:.0f} min"
        if seconds < 7200
        else f"{seconds / 3600:.1f} h"
    )
    open_ends = [
        f"{there[standing]} {standing}" for standing in _MARKERS if standing != "done" and there[standing]
    ]
    return f"{there['done']} of {counted(len(steps), 'step')} done within {took}" + "".join(
        f", {end}" for end in open_ends
    )


def alt(steps: Sequence[StepRecord]) -> str:
    """The figure in words."""
    if not steps:
        return "Empty: no step is in the journal."
    low = min(step.began for step in steps)
    open_ends = [
        f"{shortened(step.title or step.verb)} {step.standing}" for step in steps if step.standing != "done"
    ]
    told = f" Not plainly done: {'; '.join(open_ends[:10])}." if open_ends else ""
    more = f" The first {_MOST} of {len(steps)} are drawn." if len(steps) > _MOST else ""
    return f"{headline(steps)}, from {clock(low)} UTC. One row a step, oldest on top.{told}{more}"
