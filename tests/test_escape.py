from __future__ import annotations

import html
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from irkit.escape import for_csv, for_markdown, for_terminal

any_text = st.text(st.characters(), max_size=80)
dangerous = {"Cc", "Cs", "Zl", "Zp"}


@given(any_text)
def test_what_a_terminal_gets_is_one_line_without_control_or_invisible_characters(text: str) -> None:
    shown = for_terminal(text)
    assert not {unicodedata.category(c) for c in shown} & dangerous
    shown.encode()
    assert for_terminal(shown) == shown


@pytest.mark.parametrize(
    "character",
    [
        "\x1b",
        "\n",
        "\r",
        "\x00",
        "\x9b",
        "\u202e",
        "\u2066",
        "\u200b",
        "\u061c",
        "\u00ad",
        "\ufeff",
        "\U000e0041",
        "\ud800",
    ],
    ids=ascii,
)
def test_what_deceives_the_eye_is_shown_as_an_escape(character: str) -> None:
    shown = for_terminal(f"a{character}b")
    assert character not in shown
    assert shown.isascii()
    assert shown[0] + shown[-1] == "ab"


def test_ordinary_text_of_any_script_stays_readable() -> None:
    assert for_terminal("café 日本語 Ω") == "café 日本語 Ω"


@given(any_text)
def test_markdown_shows_text_literally(text: str) -> None:
    shown = for_markdown(text)
    assert "\n" not in shown
    unescaped, position = "", 0
    while position < len(shown):
        if shown[position] == "\\":
            position += 1
        else:
            assert shown[position] not in "\\`*_{}[]()#+-.!|<>~&$=:@"
        unescaped += shown[position]
        position += 1
    assert unescaped == for_terminal(text)
    assert html.unescape(shown) == shown


@pytest.mark.parametrize("first", ["=", "+", "-", "@", "\t", "\r", " =", "\n=", "＝", "＠"], ids=ascii)  # noqa: RUF001
def test_a_spreadsheet_does_not_run_what_it_is_shown(first: str) -> None:
    assert for_csv(f"{first}cmd|' /C calc'!A0").startswith("'")


@given(any_text)
def test_a_cell_is_one_line(text: str) -> None:
    assert "\n" not in for_csv(text)
    assert "\r" not in for_csv(text)
