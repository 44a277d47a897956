"""Where credentials came from and what they became: keys as boxes, issuing calls as arrows."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from irkit.report.figures.style import LIGHT, WIDTH, Theme, canvas, literal, note_empty, titled
from irkit.report.words import clock, counted, short_arn, shortened

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

_MOST = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class _Edge:
    parent: str
    child: str
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Graph:
    edges: tuple[_Edge, ...]
    labels: Mapping[str, tuple[str, str]]  # by key: whose it is, and the key
    left_out: int

    def columns(self) -> list[list[str]]:
        """The keys by their distance from an origin; cycles end where they began."""
        children = {edge.child for edge in self.edges if edge.child != edge.parent}
        roots = [key for key in self.labels if key not in children] or list(self.labels)[:1]
        depth = dict.fromkeys(roots, 0)
        frontier = roots
        while frontier:
            following = []
            for edge in self.edges:
                if edge.parent in frontier and edge.child not in depth:
                    depth[edge.child] = depth[edge.parent] + 1
                    following.append(edge.child)
            frontier = following
        for key in self.labels:
            depth.setdefault(key, 0)
        return [
            [key for key in self.labels if depth[key] == level]
            for level in range(max(depth.values(), default=0) + 1)
        ]


def draw(
    edges: pd.DataFrame, *, suspects: Collection[str] = (), ax: Axes | None = None, theme: Theme = LIGHT
) -> Axes:
    """The chain of credentials. `edges` are rows of the `edge` table; `suspects` are the intruder's keys."""
    graph = _graph(edges, suspects)
    columns = graph.columns()
    tallest = max((len(column) for column in columns), default=0)
    ax = canvas(ax, height=0.8 + 1.0 * max(1, tallest), theme=theme)
    if not graph.edges:
        return note_empty(ax, "no credential was turned into another", theme)
    from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

    ax.set_axis_off()
    wide = max(2, len(columns))
    box = min(0.26, 0.8 / wide)  # of the axes' width; the rest is for the arrows
    room = int(box * WIDTH / 0.068)  # characters that fit into a box
    tall = 0.42 / max(1, tallest)
    where = {
        key: ((level + 0.5) / wide, 1 - (row + 0.55) / len(column))
        for level, column in enumerate(columns)
        for row, key in enumerate(column)
    }
    for key, (x, y) in where.items():
        bad = key in suspects
        ax.add_patch(
            FancyBboxPatch(
                (x - box / 2, y - tall / 2),
                box,
                tall,
                boxstyle="round,pad=0,rounding_size=0.008",
                facecolor=theme.paper,
                zorder=3,
                edgecolor=theme.suspect if bad else theme.usual,
                linewidth=1.9 if bad else 1.1,
                linestyle="solid" if bad else "dashed",
            )
        )
        name, ident = graph.labels[key]
        lines = (
            [literal(ident, most=room)]
            if name in {"", ident}
            else [literal(name, most=room - 4), literal(ident, most=room)]
        )
        ax.text(
            x,
            y,
            ("● " if bad else "") + "\n".join(lines),
            ha="center",
            va="center",
            fontsize=8,
            color=theme.ink,
            zorder=4,
            linespacing=1.45,
        )
    for edge in graph.edges:
        (x0, y0), (x1, y1) = where[edge.parent], where[edge.child]
        ax.add_patch(
            FancyArrowPatch(
                (x0 + box / 2, y0),
                (x1 - box / 2, y1),
                arrowstyle="-|>",
                mutation_scale=13,
                color=theme.muted,
                linewidth=1.1,
                zorder=2,
                shrinkA=0,
                shrinkB=1,
                connectionstyle="arc3,rad=0" if x1 > x0 else "arc3,rad=0.5",
            )
        )
    for key, (x, y) in where.items():
        incoming = [edge for edge in graph.edges if edge.child == key]
        if incoming:
            more = f" and {len(incoming) - 1} more" if len(incoming) > 1 else ""
            ax.text(
                x,
                y + tall / 2 + 0.05 / max(1, tallest),
                literal(incoming[0].label, most=room + 8) + more,
                ha="center",
                va="bottom",
                fontsize=7.4,
                color=theme.muted,
                zorder=4,
            )
    ax.set_xlim(0, 1)
    ax.set_ylim(0, 1.02)
    titled(ax, headline(edges, suspects=suspects), theme)
    return ax


def headline(edges: pd.DataFrame, *, suspects: Collection[str] = ()) -> str:
    """The finding that the figure shows."""
    graph = _graph(edges, suspects)
    if not graph.edges:
        return "No credential was turned into another"
    made = {edge.child for edge in graph.edges if edge.parent in suspects}
    if not made:
        return f"{counted(len({e.child for e in graph.edges}), 'credential')} issued along the chain"
    hops = len(graph.columns()) - 1
    return f"The intruder turned stolen credentials into {len(made)} more, {counted(hops, 'hop')} deep"


def alt(edges: pd.DataFrame, *, suspects: Collection[str] = ()) -> str:
    """The figure in words."""
    graph = _graph(edges, suspects)
    if not graph.edges:
        return "Empty: no credential was turned into another."
    told = "; ".join(
        f"{_spoken(graph.labels[e.parent])} to {_spoken(graph.labels[e.child])} by {shortened(e.label)}"
        for e in graph.edges[:10]
    )
    more = len(graph.edges) - 10 + graph.left_out
    return f"{headline(edges, suspects=suspects)}. {told}{f'; and {more} more' if more > 0 else ''}."


def _spoken(label: tuple[str, str]) -> str:
    return " ".join(shortened(part) for part in label if part)


def _graph(edges: pd.DataFrame, suspects: Collection[str]) -> _Graph:
    rows = [] if edges.empty else edges.sort_values("event_time", kind="stable").to_dict(orient="records")
    found: dict[tuple[str, str], list[Mapping[Any, Any]]] = {}
    who: dict[str, str] = {}
    for row in rows:
        parent, child = (
            _text(row.get("parent_access_key_id")) or _text(row.get("parent_arn")),
            _text(row.get("issued_access_key_id")),
        )
        if not parent or not child:
            continue
        found.setdefault((parent, child), []).append(row)
        who.setdefault(parent, _text(row.get("parent_arn")))
        who[child] = _text(row.get("issued_arn")) or _text(row.get("role_arn")) or who.get(child, "")
    # The intruder's own first: they must not fall behind the cut.
    kept = sorted(found, key=lambda pair: pair[0] not in suspects or pair[1] not in suspects)[:_MOST]
    chosen = [pair for pair in found if pair in kept]
    keys = dict.fromkeys(key for pair in chosen for key in pair)
    return _Graph(
        edges=tuple(_Edge(parent=pair[0], child=pair[1], label=_label(found[pair])) for pair in chosen),
        labels={key: (short_arn(who.get(key, "")), short_arn(key)) for key in keys},
        left_out=len(found) - len(chosen),
    )


def _label(rows: list[Mapping[Any, Any]]) -> str:
    first = rows[0]
    again = f" ×{len(rows)}" if len(rows) > 1 else ""
    return f"{first.get('event_name') or 'issued'}{again}, {clock(first['event_time'])}"


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
