"""Untrusted text on its way to a reader: attackers choose user agents, tags, file names and shell history.

Each function makes a string safe for one destination and keeps it readable. HTML is escaped by `html.escape`
and by Jinja2's autoescape; SQL by bound parameters; neither is repeated here.
"""

from __future__ import annotations

import re

# Control characters, line separators, and what is invisible or turns the direction of text (Unicode category Cf).
_CONTROL = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e007f]"
)
_SURROGATE = re.compile(r"[\ud800-\udfff]")
# All of ASCII's punctuation that Markdown, its tables, its links or a notebook's mathematics ($) give a meaning.
_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+\-.!|<>~&$=:@])")
# A cell that starts so is run as a formula by spreadsheets (OWASP, CSV injection); the wide forms too, in some.
_FORMULA = re.compile(r"^\s*[=+\-@\t\r\uff1d\uff0b\uff0d\uff20]")


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
