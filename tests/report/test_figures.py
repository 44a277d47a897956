from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from irkit import report
from irkit.evidence import Item
from irkit.report import figures
from irkit.report.figures.style import DARK, LIGHT, THEMES, literal
from irkit.report.steps import StepRecord
from tests.report.cases import TRAPS, opened

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.axes import Axes

START = datetime(2026, 11, 20, tzinfo=UTC)
STANDINGS = ("done", "done in part", "failed", "skipped", "interrupted", "running", "undone")


def told(names: tuple[str, ...]) -> tuple[str, ...]:
    """`names` as a frame can hold them: Arrow's text has no lone surrogates."""
    return tuple(name.encode("utf-8", "replace").decode() for name in names)


def hourly(names: tuple[str, ...], hours: int = 48) -> pd.DataFrame:
    rows = [
        (START + timedelta(hours=h), name, 1 + h % 7, h % 5 == 0)
        for h in range(hours)
        for name in told(names)
    ]
    return pd.DataFrame(rows, columns=["hour", "principal", "calls", "denied"]).astype({"denied": int})


def cells(names: tuple[str, ...]) -> pd.DataFrame:
    rows = [(START + timedelta(minutes=7 * n), name, n + 1, n % 3) for n, name in enumerate(told(names))]
    return pd.DataFrame(rows, columns=["minute", "api", "calls", "denied"])


def destinations(names: tuple[str, ...]) -> pd.DataFrame:
    rows = [(name, 443 if n else None, 10**n, n + 1) for n, name in enumerate(told(names))]
    return pd.DataFrame(rows, columns=["external_ip", "port", "bytes_out", "flows"])


def edges(names: tuple[str, ...]) -> pd.DataFrame:
    keys = told(names)
    pairs = zip(keys, keys[1:] + keys[:1], strict=True)  # the last one leads back to the first
    rows = [(one, one, other, other, other, START) for one, other in pairs]
    columns = [
        "parent_access_key_id",
        "parent_arn",
        "issued_access_key_id",
        "issued_arn",
        "event_name",
        "event_time",
    ]
    return pd.DataFrame(rows, columns=columns)


def steps(names: tuple[str, ...]) -> list[StepRecord]:
    return [
        StepRecord(
            step=str(n), verb=name, target=name, title=name, standing=STANDINGS[n % len(STANDINGS)],
            began=START + timedelta(seconds=n), ended=START + timedelta(seconds=2 * n), actor=name, changes=n % 2 == 0,
        )
        for n, name in enumerate(names)
    ]  # fmt: skip


def items(names: tuple[str, ...]) -> list[Item]:
    return [
        Item(
            id=f"E{n:04d}", kind=name, name=name, path=name, sha256="0" * 64, size=10**n % 10**9, source=name,
            acquired_at="2026-11-20T00:00:00Z", tool="irkit", partial=n % 2 == 0,
        )
        for n, name in enumerate(names)
    ]  # fmt: skip


FIGURES: dict[str, tuple[Any, Callable[[tuple[str, ...]], Any], dict[str, Any]]] = {
    "activity": (
        figures.activity,
        hourly,
        {"suspects": TRAPS[:3], "window": (START, START + timedelta(hours=5))},
    ),
    "heat": (figures.heat, cells, {}),
    "outbound": (figures.outbound, destinations, {"suspects": TRAPS[:3]}),
    "steps": (figures.steps, steps, {}),
    "inventory": (figures.inventory, items, {}),
    "lineage": (figures.lineage, edges, {"suspects": TRAPS[:3]}),
}


def shown(ax: Axes) -> list[str]:
    figure = ax.get_figure(root=True)
    assert figure is not None
    figure.draw_without_rendering()
    texts = [
        *ax.texts,
        *ax.get_xticklabels(),
        *ax.get_yticklabels(),
        figure.get_suptitle() and figure._suptitle,
    ]  # type: ignore[attr-defined]
    return [text.get_text() for text in texts if text]


@pytest.mark.parametrize("theme", THEMES.values(), ids=THEMES)
@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_draws_hostile_text_literally_in_both_themes(name: str, theme: figures.Theme) -> None:
    room, make, more = FIGURES[name]
    picture = Image.open(BytesIO(figures.png(room.draw(make(TRAPS), theme=theme, **more))))
    corner = f"#{''.join(f'{c:02x}' for c in picture.convert('RGB').getpixel((2, picture.height - 2)))}"
    assert corner == theme.paper
    assert picture.width == pytest.approx(1382, abs=2)
    assert len(picture.convert("L").getcolors(maxcolors=256) or []) > 10


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_tells_what_it_found_in_its_title_and_in_words(name: str) -> None:
    room, make, more = FIGURES[name]
    data = make(("alice", "bob", "arn:aws:iam::111122223333:role/Web"))
    words = room.alt(data, **more)
    assert room.headline(data, **more) in words
    assert words.endswith(".")
    assert "\n" not in room.alt(make(TRAPS), **more)


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_says_in_words_when_there_is_nothing_to_draw(name: str) -> None:
    room, make, more = FIGURES[name]
    nothing = make(("x",))[:0]
    assert figures.png(room.draw(nothing, **more)).startswith(b"\x89PNG")
    assert room.alt(nothing, **more).startswith("Empty: ")


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_draws_into_axes_that_it_is_given(name: str) -> None:
    room, make, more = FIGURES[name]
    figure = Figure()
    FigureCanvasAgg(figure)
    ax = figure.add_subplot()
    assert room.draw(make(TRAPS), ax=ax, theme=DARK, **more) is ax
    figures.png(ax)


@pytest.mark.parametrize("name", ["activity", "heat", "steps"])
def test_time_axes_name_their_zone(name: str) -> None:
    room, make, more = FIGURES[name]
    assert room.draw(make(TRAPS), **more).get_xlabel() == "time (UTC)"


def test_the_same_data_gives_the_same_bytes_also_from_many_threads() -> None:
    def draw(_: int) -> bytes:
        return figures.png(figures.activity.draw(hourly(TRAPS[:4], hours=6), theme=LIGHT))

    with ThreadPoolExecutor(max_workers=4) as pool:
        assert len(set(pool.map(draw, range(6)))) == 1


def test_no_figure_needs_pyplot() -> None:
    room, make, more = FIGURES["steps"]
    figures.png(room.draw(make(TRAPS), **more))
    assert "matplotlib.pyplot" not in sys.modules


@pytest.mark.parametrize("text", TRAPS)
def test_literal_text_is_one_short_line_without_formulas(text: str) -> None:
    made = literal(text)
    assert len(made.replace(r"\$", "$")) <= 46
    assert made.isprintable()
    assert made.count("$") == made.count(r"\$")


def test_dollars_are_drawn_as_dollars() -> None:
    ax = figures.inventory.draw(items(("$a$", r"\$b$", "100 $")))
    drawn = [label._preprocess_math(label.get_text()) for label in ax.get_yticklabels()]  # type: ignore[attr-defined]
    assert sorted(drawn) == sorted([("$a$", False), (r"\$b$", False), ("100 $", False)])


def test_the_intruder_is_marked_by_more_than_colour() -> None:
    bars = figures.outbound.draw(destinations(("192.0.2.1", "192.0.2.2")), suspects=["192.0.2.2"])
    assert {bar.get_hatch() for bar in bars.patches} == {None, "////"}
    assert any(text.startswith("● 192.0.2.2") for text in shown(bars))


def test_a_quiet_intruder_is_shown_however_busy_the_others_are() -> None:
    calls = pd.concat(
        [hourly(tuple(f"busy-{n}" for n in range(30))).assign(calls=9999), hourly(("quiet",), hours=1)]
    )
    assert "quiet" in shown(figures.activity.draw(calls, suspects=["quiet"]))


def test_what_a_stolen_identity_does_in_its_own_business_is_told_apart_from_the_intruder() -> None:
    own = hourly(("arn:aws:iam::111122223333:role/Web",), hours=9).assign(intruder=False)
    bad = hourly(("arn:aws:iam::111122223333:role/Web",), hours=2).assign(intruder=True)
    ax = figures.activity.draw(pd.concat([own, bad]))
    assert [label.get_text() for label in ax.get_yticklabels()] == ["role/Web", "role/Web"]
    assert {area.get_hatch() for area in ax.collections} == {None, "////"}
    words = figures.activity.alt(pd.concat([own, bad]))
    assert "intruder as role/Web: 3 calls, 1 refused; all else: 31 calls." in words


def test_rows_that_do_not_fit_are_counted_not_dropped_in_silence() -> None:
    many = tuple(f"svc:Api{n}" for n in range(60))
    assert "38 others" in shown(figures.heat.draw(cells(many)))
    assert "The first 44 of 60 are drawn." in figures.steps.alt(steps(many))
    few = figures.outbound.draw(destinations(tuple(f"192.0.2.{n}" for n in range(20)))).get_xlabel()
    assert few.endswith("5 smaller destinations not shown")


def test_credentials_that_lead_back_to_where_they_began_are_drawn_once() -> None:
    ax = figures.lineage.draw(edges(("AKIAONE", "ASIATWO", "ASIATHREE")), suspects=["AKIAONE"])
    labels = [text for text in shown(ax) if "," not in text and "IA" in text]
    assert sorted(labels) == ["ASIATHREE", "ASIATWO", "● AKIAONE"]


def test_a_case_gives_pictures_that_a_notebook_shows_with_their_alternative_text(tmp_path: Path) -> None:
    case = opened(tmp_path)
    case.evidence.add(b"x", kind="console-output", name="console.txt", source="i-1")
    pictures = report.pictures(case)
    assert [picture.name for picture in pictures] == ["steps", "inventory"]
    data, metadata = pictures[1]._repr_mimebundle_()
    assert data["text/plain"].endswith("console-output 1 item, 1 B.")
    assert metadata["image/png"]["alt"] == pictures[1].alt
    assert "PNG" not in repr(pictures[1])
