"""Which APIs were called when: a heat map, hours across, APIs (or principals) down."""

from __future__ import annotations

from typing import TYPE_CHECKING

from irkit.report.figures.style import LIGHT, Theme, canvas, days, literal, note_empty, time_axis, titled
from irkit.report.words import clock, counted, shortened

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

_MOST_ROWS = 22
_MOST_CELLS = 72
_WIDTHS = ("5min", "15min", "1h", "3h", "6h", "1D", "7D", "30D")


def draw(
    cells: pd.DataFrame, *, rows: str = "api", whose: str = "", ax: Axes | None = None, theme: Theme = LIGHT
) -> Axes:
    """Calls by time and `rows`. `cells` has `minute` or `hour`, the column named by `rows`, `calls` and `denied`.

    The time step follows from the span; the colour scale is logarithmic; a cross marks steps with refused calls.
    """
    wide, refused, names = _grid(cells, rows)
    ax = canvas(ax, height=2.0 + 0.235 * max(5, len(names)), theme=theme)
    if not names:
        return note_empty(ax, "no calls to show", theme)
    import pandas as pd
    from matplotlib.colors import LogNorm
    from matplotlib.ticker import FuncFormatter

    starts = list(pd.DatetimeIndex(wide.columns).to_pydatetime())
    step = starts[1] - starts[0]
    edges = days([*starts, starts[-1] + step])
    values = wide.where(wide > 0).to_numpy(dtype=float)  # no calls: not drawn
    mesh = ax.pcolormesh(
        edges,
        range(len(names) + 1),
        values,
        cmap="cividis",
        norm=LogNorm(vmin=1, vmax=max(2.0, float(wide.to_numpy().max()))),
    )
    marks = refused.to_numpy(dtype=float) > 0
    crosses = [
        ((edges[c] + edges[c + 1]) / 2, r + 0.5)
        for r in range(len(names))
        for c in range(len(starts))
        if marks[r, c]
    ]
    if crosses:
        # White on black reads on both ends of cividis.
        ax.plot(
            *zip(*crosses, strict=True),
            linestyle="",
            marker="x",
            markersize=5.5,
            markeredgewidth=2.6,
            color="#000000",
        )
        ax.plot(
            *zip(*crosses, strict=True),
            linestyle="",
            marker="x",
            markersize=5,
            markeredgewidth=1.1,
            color="#ffffff",
        )
    ax.set_yticks([n + 0.5 for n in range(len(names))], [literal(name) for name in names], fontsize=8.5)
    ax.invert_yaxis()
    bar = ax.get_figure(root=True).colorbar(  # type: ignore[union-attr]
        mesh,
        ax=ax,
        pad=0.015,
        fraction=0.03,
        aspect=45,
        format=FuncFormatter(lambda count, _: f"{count:,.0f}"),
    )
    bar.set_label("calls (logarithmic)" + ("; × refused" if crosses else ""), color=theme.muted, fontsize=8.5)
    bar.ax.tick_params(colors=theme.muted, labelsize=8)
    bar.outline.set_edgecolor(theme.grid)
    time_axis(ax, theme)
    titled(ax, headline(cells, rows=rows, whose=whose), theme)
    return ax


def headline(cells: pd.DataFrame, *, rows: str = "api", whose: str = "") -> str:
    """The finding that the figure shows."""
    kinds = counted(cells[rows].nunique(), "API" if rows == "api" else rows)
    text = f"{whose + ': ' if whose else ''}{counted(int(cells['calls'].sum()), 'call')} of {kinds}"
    refused = int(cells["denied"].sum())
    return f"{text}, {refused:,} refused" if refused else text


def alt(cells: pd.DataFrame, *, rows: str = "api", whose: str = "") -> str:
    """The figure in words."""
    if cells.empty:
        return "Empty: there are no calls to show."
    totals = cells.groupby(rows)["calls"].sum().sort_values(ascending=False, kind="stable")
    most = ", ".join(f"{shortened(name)} {count:,}" for name, count in totals.head(5).items())
    when = cells[_time(cells)]
    span = f"{clock(when.min())} to {clock(when.max())} UTC"
    return f"{headline(cells, rows=rows, whose=whose)}. Heat map, {span}. Most often: {most}."


def _time(cells: pd.DataFrame) -> str:
    return "minute" if "minute" in cells.columns else "hour"


def _grid(cells: pd.DataFrame, rows: str) -> tuple[pd.DataFrame, pd.DataFrame, list[str]]:
    import pandas as pd

    if cells.empty:
        return cells, cells, []
    named = cells.assign(**{rows: cells[rows].fillna("(unknown)").astype(str)})
    order = named.groupby(rows)[[_time(cells), "calls"]].agg({_time(cells): "min", "calls": "sum"})
    kept = order.sort_values("calls", ascending=False, kind="stable").head(_MOST_ROWS).index
    # First seen on top: read from the upper left, the rows tell the attack in its order.
    names = [str(name) for name in order.loc[kept].sort_values(_time(cells), kind="stable").index]
    other = f"{len(order) - len(names)} others"
    if len(order) > len(names):
        named[rows] = named[rows].where(named[rows].isin(names), other)
        names.append(other)
    moments = named[_time(cells)]
    finest = 2 if _time(cells) == "hour" else 0
    width = next(
        (w for w in _WIDTHS[finest:] if (moments.max() - moments.min()) / pd.Timedelta(w) <= _MOST_CELLS),
        _WIDTHS[-1],
    )
    first, last = moments.min().floor(width), moments.max().floor(width)
    # At least two steps: one alone has no width to draw.
    steps = pd.date_range(first, max(last, first + pd.Timedelta(width)), freq=width)
    named["step"] = moments.dt.floor(width)
    sums = named.groupby([rows, "step"])[["calls", "denied"]].sum()
    wide, refused = (
        sums[column].unstack(fill_value=0).reindex(index=names, columns=steps, fill_value=0)
        for column in ("calls", "denied")
    )
    return wide, refused, names
