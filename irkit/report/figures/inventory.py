"""What evidence is held: bytes by kind, with the number of items."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from irkit.evidence import Item
from irkit.report.figures.style import LIGHT, Theme, canvas, legend, literal, note_empty, titled
from irkit.report.words import counted, shortened, volume

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """The items of one kind together."""

    kind: str
    items: int
    bytes: int
    partial: int


def holdings(items: Sequence[Item]) -> list[Holding]:
    """`items` by kind, most bytes first."""
    by_kind: dict[str, list[Item]] = {}
    for item in items:
        by_kind.setdefault(item.kind, []).append(item)
    found = [
        Holding(
            kind=kind,
            items=len(those),
            bytes=sum(i.size for i in those),
            partial=sum(i.partial for i in those),
        )
        for kind, those in by_kind.items()
    ]
    return sorted(found, key=lambda h: (-h.bytes, h.kind))


def draw(items: Sequence[Item], *, ax: Axes | None = None, theme: Theme = LIGHT) -> Axes:
    """Bytes by kind of evidence on a logarithmic scale; hatched where an item holds less than there was."""
    rows = holdings(items)[:_MOST]
    ax = canvas(ax, height=1.5 + 0.3 * max(4, len(rows)), theme=theme)
    if not rows:
        return note_empty(ax, "no evidence was taken", theme)
    from matplotlib.patches import Patch
    from matplotlib.ticker import FuncFormatter, LogLocator

    places = range(len(rows) - 1, -1, -1)
    for place, row in zip(places, rows, strict=True):
        size = max(1.0, float(row.bytes))
        ax.barh(
            place,
            size,
            height=0.68,
            color=theme.usual,
            linewidth=0,
            hatch="xxx" if row.partial else None,
            edgecolor=theme.paper,
        )
        partial = f", {row.partial} partial" if row.partial else ""
        ax.annotate(
            f"{counted(row.items, 'item')}, {volume(row.bytes)}{partial}",
            (size, place),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            fontsize=8.5,
            color=theme.ink,
        )
    ax.set_xscale("log", base=2)
    ax.set_xlim(1, max(1024.0, float(rows[0].bytes)) ** 1.42)
    ax.xaxis.set_major_locator(LogLocator(base=1024))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda size, _: volume(size)))
    ax.minorticks_off()
    ax.set_yticks(list(places), [literal(row.kind) for row in rows])
    ax.set_ylim(-0.6, len(rows) - 0.4)
    ax.set_xlabel("bytes held (logarithmic)", color=theme.muted, fontsize=9)
    ax.grid(visible=True, axis="x", color=theme.grid, linewidth=0.6)
    if any(row.partial for row in rows):
        legend(
            ax,
            [Patch(facecolor=theme.usual, hatch="xxx", edgecolor=theme.paper, label="with partial items")],
            theme,
        )
    titled(ax, headline(items), theme)
    return ax


def headline(items: Sequence[Item]) -> str:
    """The finding that the figure shows."""
    if not items:
        return "No evidence was taken"
    kinds = counted(len({item.kind for item in items}), "kind")
    return f"{counted(len(items), 'item')} of {kinds} held, {volume(sum(i.size for i in items))}, each with its SHA-256"


def alt(items: Sequence[Item]) -> str:
    """The figure in words."""
    told = "; ".join(
        f"{shortened(h.kind)} {counted(h.items, 'item')}, {volume(h.bytes)}" for h in holdings(items)[:8]
    )
    return f"{headline(items)}. {told}." if items else "Empty: no evidence was taken."
