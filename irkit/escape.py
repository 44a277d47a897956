"""Untrusted text on its way to a reader: attackers choose user agents, tags, file names and shell history.

Each function makes a string safe for one destination and keeps it readable. HTML is escaped by `html.escape`
and by Jinja2's autoescape; SQL by bound parameters; neither is repeated here.
"""

from __future__ import annotations

import re

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+\-.!|<>~&])")
# A cell that starts so is run as a formula by spreadsheets (OWASP, CSV injection).
_FORMULA = re.compile(r"^\s*[=+\-@\t\r]")


def for_terminal(text: object) -> str:
    """`text` on one line, with control, ANSI, bidirectional and unencodable characters shown as escapes."""
    visible = _CONTROL.sub(lambda m: m.group().encode("unicode_escape").decode("ascii"), str(text))
    return _SURROGATE.sub(lambda m: f"\\u{ord(m.group()):04x}", visible)


def for_markdown(text: object) -> str:
    """`text` on one line that Markdown shows literally, inside a table cell too."""
    return _MARKDOWN.sub(r"\\\1", for_terminal(text))


def for_csv(text: object) -> str:
    """`text` that a spreadsheet shows and does not run: a leading formula sign is preceded by an apostrophe."""
    visible = for_terminal(text)
    return f"'{visible}" if _FORMULA.match(str(text)) else visible
