"""How irkit's figures look: two themes, colours that colour-blind readers can tell apart, and text that is only text.

Nothing here or in the figures touches matplotlib's global state (pyplot, rcParams), so figures can be drawn in threads.

References:
    Okabe and Ito, Color Universal Design (2008): the palette
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from typing import TYPE_CHECKING, Any

from irkit.errors import MissingExtra
from irkit.escape import for_terminal
from irkit.report.words import shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ORANGE, SKY, GREEN, YELLOW, BLUE, VERMILLION, PURPLE = (
    "#E69F00",
    "#56B4E9",
    "#009E73",
    "#F0E442",
    "#0072B2",
    "#D55E00",
    "#CC79A7",
)
DPI = 144
WIDTH = 9.6  # inches
_OURS = "irkit"  # marks a figure that `canvas` made: its title and legend may use all of its width


@dataclass(frozen=True, slots=True, kw_only=True)
class Theme:
    """Colours of one appearance. `suspect` is the intruder's, `usual` all others'; markers and hatches repeat it."""

    name: str
    paper: str
    ink: str
    muted: str
    grid: str
    suspect: str
    usual: str
    quiet: str
    window: str


LIGHT = Theme(
    name="light",
    paper="#ffffff",
    ink="#1a1d21",
    muted="#5b636d",
    grid="#d9dde2",
    suspect=VERMILLION,
    usual=BLUE,
    quiet="#8a949e",
    window="#D55E0018",
)
DARK = Theme(
    name="dark",
    paper="#171a1e",
    ink="#e8eaed",
    muted="#a2abb5",
    grid="#343a41",
    suspect="#ff8c3a",
    usual=SKY,
    quiet="#78828d",
    window="#ff8c3a26",
)
THEMES: Mapping[str, Theme] = {"light": LIGHT, "dark": DARK}


@functools.cache
def _drawable() -> frozenset[int]:
    from matplotlib.font_manager import FontProperties, findfont, get_font

    return frozenset(get_font(findfont(FontProperties(family="DejaVu Sans"))).get_charmap())


def literal(value: object, *, most: int = 46) -> str:
    """`value` as text that matplotlib draws as it is, on one line, shortened in its middle to `most` characters.

    Dollar signs start no formula, and what the font lacks is shown as an escape: a figure never fails for its text.
    """
    known = _drawable()
    text = "".join(
        c if ord(c) in known else c.encode("unicode_escape").decode("ascii") for c in for_terminal(value)
    )
    # An even number of unescaped dollars would be read as mathematics; escaped ones are drawn as dollars.
    return shortened(text, most=most).replace("$", r"\$")


def canvas(ax: Axes | None, *, height: float, theme: Theme) -> Axes:
    """`ax`, or the axes of a new figure of `height` inches, in the theme's colours."""
    if ax is None:
        try:
            from matplotlib.backends.backend_agg import FigureCanvasAgg
            from matplotlib.figure import Figure
        except ModuleNotFoundError as missing:
            raise MissingExtra(
                "figures need matplotlib", hint='pip install "irkit-aws[analysis]"'
            ) from missing
        figure = Figure(figsize=(WIDTH, height), dpi=DPI, layout="constrained", facecolor=theme.paper)
        figure.set_gid(_OURS)
        FigureCanvasAgg(figure)
        ax = figure.add_subplot()
    ax.set_facecolor(theme.paper)
    ax.tick_params(colors=theme.muted, labelcolor=theme.ink, labelsize=9, length=3)
    ax.set_axisbelow(True)
    for side, spine in ax.spines.items():
        spine.set_visible(side in {"left", "bottom"})
        spine.set_color(theme.grid)
    return ax


def titled(ax: Axes, title: str, theme: Theme) -> None:
    """Put the finding, in words, above the axes. `title` is drawn literally."""
    text, style = literal(title, most=100), {"fontsize": 11.5, "fontweight": "bold", "color": theme.ink}
    figure = ax.get_figure(root=True)
    if figure is not None and figure.get_gid() == _OURS:
        figure.suptitle(text, x=0.006, ha="left", **style)
    else:
        ax.set_title(text, loc="left", **style)  # type: ignore[arg-type]


def time_axis(ax: Axes, theme: Theme) -> None:
    """Make x a time axis in UTC, and say so."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator(tz=UTC, minticks=3, maxticks=9)  # type: ignore[no-untyped-call]
    ax.xaxis.set_major_locator(locator)
    ax.xaxis.set_major_formatter(ConciseDateFormatter(locator, tz=UTC))  # type: ignore[no-untyped-call]
    ax.xaxis.get_offset_text().set_color(theme.muted)
    ax.set_xlabel("time (UTC)", color=theme.muted, fontsize=9)
    ax.grid(visible=True, axis="x", color=theme.grid, linewidth=0.6)


def days(moments: Iterable[datetime]) -> list[float]:
    """`moments` as matplotlib counts time."""
    from matplotlib.dates import date2num

    return [float(date2num(moment)) for moment in moments]  # type: ignore[no-untyped-call]


def note_empty(ax: Axes, why: str, theme: Theme) -> Axes:
    """An axes that says in words that there is nothing to draw."""
    ax.set_axis_off()
    ax.text(
        0.5,
        0.5,
        literal(why, most=100),
        ha="center",
        va="center",
        color=theme.muted,
        fontsize=11,
        transform=ax.transAxes,
    )
    return ax


def legend(ax: Axes, handles: list[Any], theme: Theme) -> None:
    """A legend below the axes, out of the data's way."""
    figure = ax.get_figure(root=True)
    style: dict[str, Any] = {
        "handles": handles,
        "frameon": False,
        "fontsize": 8.5,
        "handlelength": 1.6,
        "labelcolor": theme.ink,
    }
    if figure is not None and figure.get_gid() == _OURS:
        figure.legend(loc="outside lower left", ncols=len(handles), columnspacing=1.4, **style)
    else:
        ax.legend(loc="best", **style)


def png(ax: Axes) -> bytes:
    """The figure of `ax` as PNG; the same figure gives the same bytes."""
    buffer = BytesIO()
    figure = ax.get_figure(root=True)
    assert figure is not None  # noqa: S101 - axes made by `canvas` or by the caller's figure
    figure.savefig(buffer, format="png", metadata={"Software": None}, facecolor=figure.get_facecolor())
    return buffer.getvalue()
