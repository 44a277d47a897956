"""Who was active when: one row a principal, calls an hour, the incident's window shaded."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from irkit.report.figures.style import (
    LIGHT,
    Theme,
    canvas,
    days,
    legend,
    literal,
    note_empty,
    time_axis,
    titled,
)
from irkit.report.words import clock, counted, short_arn, shortened

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

Window = tuple[datetime, datetime]
_SUSPECTS, _OTHERS = 10, 5
_HOUR = 1 / 24


@dataclass(frozen=True, slots=True)
class _Row:
    name: str
    suspect: bool
    calls: pd.DataFrame


def draw(
    calls: pd.DataFrame,
    *,
    suspects: Collection[str] = (),
    window: Window | None = None,
    ax: Axes | None = None,
    theme: Theme = LIGHT,
) -> Axes:
    """Calls per hour and principal. `calls` has `hour`, `principal`, `calls`, `denied`, one row an hour or more.

    A column `intruder` marks rows that are the intruder's; without it, all rows of the principals in `suspects` are.

    Heights are square roots within a row, so that a quiet intruder is seen beside a busy service.
    """
    rows = _rows(calls, suspects)
    ax = canvas(ax, height=1.9 + 0.44 * max(3, len(rows)), theme=theme)
    if not rows:
        return note_empty(ax, "no CloudTrail records were ingested", theme)
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    for place, row in enumerate(reversed(rows)):
        colour = theme.suspect if row.suspect else theme.usual
        when = days(row.calls["hour"])
        most = float(row.calls["calls"].max())
        heights = [(float(count) / most) ** 0.5 * 0.78 for count in row.calls["calls"]]
        edge = [(t, h) for start, high in zip(when, heights, strict=True) for t, h in _block(start, high)]
        ax.fill_between(
            [t for t, _ in edge],
            [place] * len(edge),
            [place + h for _, h in edge],
            facecolor=colour,
            linewidth=0,
            hatch="////" if row.suspect else None,
            edgecolor=theme.paper,
        )
        refused = [
            (t + _HOUR / 2, place + h + 0.09)
            for t, h, d in zip(when, heights, row.calls["denied"], strict=True)
            if d
        ]
        if refused:
            ax.plot(*zip(*refused, strict=True), linestyle="", marker="x", markersize=4.5, color=theme.ink)
        ax.annotate(
            f"peak {int(most):,}/h",
            (1, place + 0.3),
            xycoords=("axes fraction", "data"),
            xytext=(6, 0),
            textcoords="offset points",
            fontsize=8,
            color=theme.muted,
            va="center",
        )
    ax.set_yticks([n + 0.3 for n in range(len(rows))], [literal(row.name) for row in reversed(rows)])
    ax.set_ylim(-0.12, len(rows) + 0.05)
    handles: list[Any] = [Patch(facecolor=theme.usual, label="everything else")]
    if any(row.suspect for row in rows):
        handles.insert(
            0,
            Patch(facecolor=theme.suspect, hatch="////", edgecolor=theme.paper, label="the intruder"),
        )
    if calls["denied"].any():
        handles.append(
            Line2D([], [], linestyle="", marker="x", color=theme.ink, label="hours with refused calls")
        )
    if window:
        begin, end = days(window)
        ax.axvspan(
            begin, max(end, begin + _HOUR / 4), facecolor=theme.window, edgecolor=theme.suspect, linewidth=0.8
        )
        handles.append(Patch(facecolor=theme.window, edgecolor=theme.suspect, label="time of the incident"))
    time_axis(ax, theme)
    legend(ax, handles, theme)
    titled(ax, headline(calls, suspects=suspects, window=window), theme)
    return ax


def _block(start: float, high: float) -> tuple[tuple[float, float], ...]:
    """The outline of one hour. One outline a row draws ten times faster than a bar an hour."""
    return (start, 0), (start, high), (start + _HOUR, high), (start + _HOUR, 0)


def headline(calls: pd.DataFrame, *, suspects: Collection[str] = (), window: Window | None = None) -> str:
    """The finding that the figure shows."""
    known = _marked(calls, suspects)
    found = known.loc[known["intruder"], "principal"].nunique()
    if found and window:
        return (
            f"Intruder active as {counted(found, 'principal')}, {clock(window[0])} to {clock(window[1])} UTC"
        )
    principals = counted(known["principal"].nunique(), "principal")
    return f"{principals} made {counted(int(known['calls'].sum()), 'call')}"


def alt(calls: pd.DataFrame, *, suspects: Collection[str] = (), window: Window | None = None) -> str:
    """The figure in words."""
    rows = _rows(calls, suspects)
    if not rows:
        return "Empty: no CloudTrail records were ingested."
    told = [
        f"intruder as {shortened(row.name)}: {counted(int(row.calls['calls'].sum()), 'call')}"
        f", {int(row.calls['denied'].sum()):,} refused"
        for row in rows
        if row.suspect
    ]
    others = sum(int(row.calls["calls"].sum()) for row in rows if not row.suspect)
    text = f"{headline(calls, suspects=suspects, window=window)}. Calls per hour, one row a principal."
    return f"{text} {'; '.join(told)}{'; ' if told else ''}all else: {counted(others, 'call')}."


def _marked(calls: pd.DataFrame, suspects: Collection[str]) -> pd.DataFrame:
    known = calls.assign(principal=calls["principal"].fillna("(no principal)"))
    marked = known["intruder"] if "intruder" in known else known["principal"].isin(suspects)
    return known.assign(intruder=marked.astype(bool))


def _rows(calls: pd.DataFrame, suspects: Collection[str]) -> Sequence[_Row]:
    if calls.empty:
        return ()
    known = _marked(calls, suspects)
    bad, rest = known[known["intruder"]], known[~known["intruder"]]
    # The intruder in the order of appearance, everyone else by how busy they are.
    named = list(bad.groupby("principal")["hour"].min().sort_values(kind="stable").index)[:_SUSPECTS]
    usual = list(rest.groupby("principal")["calls"].sum().sort_values(ascending=False, kind="stable").index)
    # A principal whose keys were taken is shown with its own business too.
    usual.sort(key=lambda name: name not in named)
    shown = usual[: _OTHERS + len(set(named) & set(usual))]
    rows = [_Row(short_arn(name), True, _hourly(bad, [name])) for name in named]
    rows += [_Row(short_arn(name), False, _hourly(rest, [name])) for name in shown]
    if more := usual[len(shown) :]:
        rows.append(_Row(counted(len(more), "other principal"), False, _hourly(rest, more)))
    return rows


def _hourly(calls: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    mine = calls[calls["principal"].isin(names)]
    return mine.groupby("hour", as_index=False, sort=True)[["calls", "denied"]].sum()
