"""Static HTML for results in notebooks: inline styles, no script, everything escaped; untrusted notebooks keep it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from irkit.escape import for_terminal

_CELL = "padding:2px 8px;border-bottom:1px solid #ddd;text-align:left;vertical-align:top"


def cell(value: object, *, longest: int = 300) -> str:
    """`value` as HTML text on one line; what is longer than `longest` characters ends in an ellipsis."""
    text = for_terminal("" if value is None else value)
    return escape(text if len(text) <= longest else text[: longest - 1] + "…")


def table(
    columns: Sequence[str], rows: Iterable[Sequence[object]], *, caption: str = "", note: str = ""
) -> str:
    """An HTML table with `caption` above and `note` below; all of it is escaped here."""
    head = "".join(f'<th style="{_CELL};font-weight:600">{cell(name)}</th>' for name in columns)
    body = "".join(
        "<tr>"
        + "".join(f'<td style="{_CELL};font-family:monospace">{cell(value)}</td>' for value in row)
        + "</tr>"
        for row in rows
    )
    above = f'<p style="margin:4px 0;font-weight:600">{cell(caption, longest=2000)}</p>' if caption else ""
    below = f'<p style="margin:4px 0;color:#555">{cell(note, longest=2000)}</p>' if note else ""
    return (
        f'<div style="font-size:13px;overflow-x:auto">{above}<table style="border-collapse:collapse">'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{below}</div>"
    )
