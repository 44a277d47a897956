from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from irkit.markup import cell, table


def test_a_table_has_no_script_no_class_and_nothing_from_outside() -> None:
    html = table(["<a>"], [["<script>x</script>", None]], caption="<b>", note="\x1b[2J")
    assert "<script" not in html
    assert "<b>" not in html
    assert "\x1b" not in html
    assert "src=" not in html


def test_long_values_end_in_an_ellipsis() -> None:
    assert cell("x" * 500, longest=10) == "x" * 9 + "…"


@given(st.text())
def test_no_text_becomes_markup(text: str) -> None:
    assert "<" not in cell(text)
    assert '"' not in cell(text)
