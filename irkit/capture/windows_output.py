"""What `facts.ps1` printed, taken apart: base64, gzip, JSON, sections. What the rows mean is `windows_parse`'s.

The host may be the attacker's, and its output may be cut anywhere: what came through is used, what did not is named.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from irkit.capture.host_output import MOST

_FIRST = re.compile(rb"irkit-windows-facts gzip base64\r?\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """One section: `state` is done, cut, late or failed, `why` says why it is not done."""

    state: str
    why: str
    rows: tuple[Any, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """The sections of one run or of several, and what is the matter with them."""

    sections: Mapping[str, Rows] = field(default_factory=dict)
    problems: tuple[str, ...] = ()

    def records(self, name: str) -> Iterator[Record]:
        """The rows of a section that are objects."""
        section = self.sections.get(name)
        for row in section.rows if section else ():
            if isinstance(row, dict):
                yield Record(row)

    def lines(self, name: str) -> str:
        """A section as text, a row a line; rows that are objects as JSON."""
        section = self.sections.get(name)
        return "".join(f"{shown(row)}\n" for row in (section.rows if section else ()))


@dataclass(frozen=True, slots=True)
class Record:
    """A row, read without trust: each value as the type that is wanted, or as nothing."""

    raw: Mapping[str, Any]

    def text(self, name: str) -> str:
        """The value as text; empty where there is none."""
        value = self.raw.get(name)
        return value if isinstance(value, str) else "" if value is None else shown(value)

    def number(self, name: str) -> int | None:
        """The value as a whole number, None where it is none."""
        value = self.raw.get(name)
        if isinstance(value, str) and re.fullmatch("[0-9]{1,18}", value):
            return int(value)
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    def time(self, name: str) -> str | None:
        """The value as ISO 8601 UTC, None where it is no such time."""
        value = self.raw.get(name)
        known = isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", value)
        return value if known and isinstance(value, str) else None

    def flag(self, name: str) -> bool:
        """Whether the value is true."""
        return self.raw.get(name) is True

    def texts(self, name: str) -> tuple[str, ...]:
        """The value as texts: a list, one text, or an array as Windows PowerShell 5.1 sometimes wraps it."""
        value = self.raw.get(name)
        if isinstance(value, dict) and set(value) == {"value", "Count"}:
            value = value["value"]
        many = value if isinstance(value, list) else [] if value is None else [value]
        return tuple(v if isinstance(v, str) else shown(v) for v in many if v not in (None, ""))

    def bytes(self, name: str) -> bytes:
        """The value, which is base64, as bytes; none where it is not."""
        try:
            return base64.b64decode(self.text(name), validate=True)
        except (binascii.Error, ValueError):
            return b""


def shown(value: Any) -> str:
    """A value as one line of text."""
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=True)


def is_windows(raw: bytes) -> bool:
    """Whether this is what `facts.ps1` prints, or the beginning of it."""
    return _FIRST.search(raw) is not None


def taken_apart(raw: bytes) -> Output:
    """The sections in `raw`, the standard output of one run of the script or of several."""
    starts = [m.end() for m in _FIRST.finditer(raw)]
    if not starts:
        return Output(problems=("the output does not begin as the facts script's does",))
    sections: dict[str, Rows] = {}
    problems: list[str] = []
    for start in starts:
        try:
            sections |= _sections(raw[start:].split(b"\n", 1)[0])
        except (ValueError, zlib.error, RecursionError) as error:
            problems.append(
                f"the output cannot be read ({type(error).__name__}); it was cut or is not the script's"
            )
    return Output(sections=sections, problems=tuple(problems))


def _sections(line: bytes) -> dict[str, Rows]:
    packed = base64.b64decode(re.sub(rb"[^0-9A-Za-z+/=]", b"", line), validate=True)
    unpack = zlib.decompressobj(wbits=31)
    plain = unpack.decompress(packed, MOST)
    if unpack.unconsumed_tail or not unpack.eof:
        raise ValueError("too large, or cut")
    said = json.loads(plain)
    if not isinstance(said, dict) or said.get("schema") != "irkit/windows-facts/1":
        raise ValueError("another schema")
    raw = said.get("sections")
    return {str(name): _rows(part) for name, part in (raw.items() if isinstance(raw, dict) else ())}


def _rows(part: Any) -> Rows:
    record = Record(part if isinstance(part, dict) else {})
    rows = record.raw.get("rows")
    if isinstance(rows, dict) and set(rows) == {"value", "Count"}:
        rows = rows["value"]
    many = rows if isinstance(rows, list) else [] if rows is None else [rows]
    return Rows(state=record.text("state") or "failed", why=record.text("error"), rows=tuple(many))
