"""The figures of a case, drawn in both themes and ready to show."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from irkit.escape import for_terminal
from irkit.report import figures
from irkit.report.figures.style import DARK, LIGHT, Theme

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from irkit.case import Case
    from irkit.report.casebook import Casebook


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A figure as PNG for light and dark surroundings, with its words. `tells` says what it was drawn from."""

    name: str
    title: str
    alt: str
    tells: str
    light: bytes = field(repr=False)
    dark: bytes = field(repr=False)

    @property
    def light_uri(self) -> str:
        """The light image as a `data:` address."""
        return "data:image/png;base64," + b64encode(self.light).decode("ascii")

    @property
    def dark_uri(self) -> str:
        """The dark image as a `data:` address."""
        return "data:image/png;base64," + b64encode(self.dark).decode("ascii")

    def _repr_mimebundle_(self, **_: object) -> tuple[dict[str, Any], dict[str, Any]]:
        alt = {"image/png": {"alt": self.alt}}
        return {
            "image/png": b64encode(self.light).decode("ascii"),
            "text/plain": f"{self.title}. {self.alt}",
        }, alt


def pictures(case: Case) -> list[Picture]:
    """Every figure that the case has data for."""
    from irkit.report.casebook import read

    return drawn(read(case))[0]


def drawn(book: Casebook) -> tuple[list[Picture], list[str]]:
    """The figures of a case that was read already, and a line for each that could not be drawn."""
    made: list[Picture] = []
    lacking: list[str] = []
    for name, tells, headline, alt, draw in _wanted(book):
        try:
            made.append(
                Picture(
                    name=name,
                    title=headline(),
                    alt=alt(),
                    tells=tells,
                    light=figures.png(draw(LIGHT)),
                    dark=figures.png(draw(DARK)),
                )
            )
        except Exception as error:  # noqa: BLE001  one figure must never cost the report
            lacking.append(
                f"the figure {name} could not be drawn: {type(error).__name__}: {for_terminal(error)}"
            )
    return made, lacking


_Wanted = tuple[str, str, Callable[[], str], Callable[[], str], "Callable[[Theme], Axes]"]


def _wanted(book: Casebook) -> list[_Wanted]:
    when = book.incident.window
    wanted: list[_Wanted] = []
    if book.traces is not None and book.traces.extent.records:
        calls, cells, whose = book.traces.activity, book.traces.calls, "Intruder's credentials"
        if cells.empty:
            cells, whose = book.traces.hours, ""
        edges, keys = book.traces.edges, book.incident.keys
        wanted += [
            (
                "activity",
                "all ingested CloudTrail records; the intruder's are those with the incident's keys from its addresses",
                lambda: figures.activity.headline(calls, window=when),
                lambda: figures.activity.alt(calls, window=when),
                lambda theme: figures.activity.draw(calls, window=when, theme=theme),
            ),
            (
                "heat",
                "calls with the incident's keys from its addresses"
                if whose
                else "all ingested CloudTrail records",
                lambda: figures.heat.headline(cells, whose=whose),
                lambda: figures.heat.alt(cells, whose=whose),
                lambda theme: figures.heat.draw(cells, whose=whose, theme=theme),
            ),
        ]
        if not edges.empty:
            wanted.append(
                (
                    "lineage",
                    "credentials that were issued to or by the incident's keys",
                    lambda: figures.lineage.headline(edges, suspects=keys),
                    lambda: figures.lineage.alt(edges, suspects=keys),
                    lambda theme: figures.lineage.draw(edges, suspects=keys, theme=theme),
                )
            )
    if book.traces is not None and book.traces.extent.flows:
        outbound, there = book.traces.outbound, (*book.incident.addresses, *book.incident.pools)
        wanted.append(
            (
                "outbound",
                "outbound_by_destination over all ingested flow records",
                lambda: figures.outbound.headline(outbound, suspects=there),
                lambda: figures.outbound.alt(outbound, suspects=there),
                lambda theme: figures.outbound.draw(outbound, suspects=there, theme=theme),
            )
        )
    done = [step for step in book.steps if not step.notebook]
    wanted += [
        (
            "steps",
            "the journal",
            lambda: figures.steps.headline(done),
            lambda: figures.steps.alt(done),
            lambda theme: figures.steps.draw(done, theme=theme),
        ),
        (
            "inventory",
            "the journal's evidence entries",
            lambda: figures.inventory.headline(book.items),
            lambda: figures.inventory.alt(book.items),
            lambda theme: figures.inventory.draw(book.items, theme=theme),
        ),
    ]
    return wanted
