"""What left the machine, by destination: bytes, on a logarithmic scale."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from irkit.report.figures.style import LIGHT, Theme, canvas, legend, literal, note_empty, titled
from irkit.report.words import counted, shortened, volume

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

_MOST = 15


def draw(
    destinations: pd.DataFrame,
    *,
    suspects: Collection[str] = (),
    ax: Axes | None = None,
    theme: Theme = LIGHT,
) -> Axes:
    """Bytes out by destination, most first. `destinations` has `external_ip`, `port`, `bytes_out`, `flows`.

    `suspects` are addresses, or `address:port`; they are shown also where others sent more.
    """
    rows, rest = _rows(destinations, suspects)
    ax = canvas(ax, height=1.6 + 0.31 * max(4, len(rows)), theme=theme)
    if rows.empty:
        return note_empty(ax, "no outbound flow to outside addresses was recorded", theme)
    from matplotlib.patches import Patch
    from matplotlib.ticker import FuncFormatter, LogLocator

    places = range(len(rows) - 1, -1, -1)
    for place, row in zip(places, rows.to_dict(orient="records"), strict=True):
        bad = bool(row["suspect"])
        size = max(1.0, float(row["bytes_out"]))
        ax.barh(
            place,
            size,
            height=0.68,
            color=theme.suspect if bad else theme.usual,
            linewidth=0,
            hatch="////" if bad else None,
            edgecolor=theme.paper,
        )
        ax.annotate(
            f"{volume(row['bytes_out'])} in {counted(int(row['flows']), 'flow record')}",
            (size, place),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            fontsize=8.5,
            color=theme.ink,
        )
    ax.set_xscale("log", base=2)
    largest = max(1024.0, float(rows["bytes_out"].max()))
    # Room on the right for what is written behind the longest bar.
    ax.set_xlim(1, largest**1.42)
    ax.xaxis.set_major_locator(LogLocator(base=1024))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda size, _: volume(size)))
    ax.minorticks_off()
    ax.set_yticks(
        list(places),
        [
            ("● " if s else "") + literal(label)
            for label, s in zip(rows["label"], rows["suspect"], strict=True)
        ],
    )
    ax.set_ylim(-0.6, len(rows) - 0.4)
    ax.set_xlabel(
        "bytes sent out (logarithmic)"
        + (f"; {counted(rest, 'smaller destination')} not shown" if rest else ""),
        color=theme.muted,
        fontsize=9,
    )
    ax.grid(visible=True, axis="x", color=theme.grid, linewidth=0.6)
    if rows["suspect"].any():
        legend(
            ax,
            [
                Patch(
                    facecolor=theme.suspect,
                    hatch="////",
                    edgecolor=theme.paper,
                    label="● named in the findings",
                ),
                Patch(facecolor=theme.usual, label="other destinations"),
            ],
            theme,
        )
    titled(ax, headline(destinations, suspects=suspects), theme)
    return ax


def headline(destinations: pd.DataFrame, *, suspects: Collection[str] = ()) -> str:
    """The finding that the figure shows."""
    if destinations.empty:
        return "Nothing was sent to outside addresses"
    rows = _labelled(destinations, suspects)
    bad = rows[rows["suspect"]]
    total = volume(rows["bytes_out"].sum())
    if bad.empty:
        return f"{total} left for {counted(rows['label'].nunique(), 'outside destination')}"
    where = counted(bad["label"].nunique(), "suspect destination")
    return f"{volume(bad['bytes_out'].sum())} of {total} sent out went to {where}"


def alt(destinations: pd.DataFrame, *, suspects: Collection[str] = ()) -> str:
    """The figure in words."""
    rows, rest = _rows(destinations, suspects)
    if rows.empty:
        return "Empty: no outbound flow to outside addresses was recorded."
    told = "; ".join(
        f"{shortened(r['label'])} {volume(r['bytes_out'])}{' (suspect)' if r['suspect'] else ''}"
        for r in rows.head(8).to_dict(orient="records")
    )
    more = len(rows) - min(8, len(rows)) + rest
    return f"{headline(destinations, suspects=suspects)}. {told}{f'; and {more} more' if more else ''}."


def _labelled(destinations: pd.DataFrame, suspects: Collection[str]) -> pd.DataFrame:
    ports = destinations["port"].map(lambda port: f":{int(port)}", na_action="ignore")
    named = destinations.assign(label=destinations["external_ip"].astype(str) + ports.fillna(""))
    flagged = named["label"].isin(suspects) | named["external_ip"].isin(suspects)
    return (
        named.assign(suspect=flagged)
        .groupby(["label", "suspect"], as_index=False)[["bytes_out", "flows"]]
        .sum()
    )


def _rows(destinations: pd.DataFrame, suspects: Collection[str]) -> tuple[pd.DataFrame, int]:
    if destinations.empty:
        return destinations, 0
    rows = _labelled(destinations, suspects)
    ranked = rows.sort_values(
        ["suspect", "bytes_out", "label"], ascending=[False, False, True], kind="stable"
    ).head(_MOST)
    shown = ranked.sort_values(["bytes_out", "label"], ascending=[False, True], kind="stable")
    return shown.reset_index(drop=True), len(rows) - len(shown)
