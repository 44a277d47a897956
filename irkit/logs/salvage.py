"""The good records of a file that is not sound JSON: cut off, flipped bits, bytes that are not UTF-8.

Records are decoded one by one. After one that cannot be, the next place where an object that looks like a record can
be decoded is taken up; what lies between is given back as lost text with a reason.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

_START = re.compile(r"\{\s*\"")
_BEGIN = re.compile(r"\s*(?:\{\s*\"Records\"\s*:\s*\[|\[)?\s*")
_BETWEEN = re.compile(r"[\s,]*")
_END = re.compile(r"\s*\]?\s*\}?\s*")
# Characters that may be decoded in search of the next record; nested input must not make that take hours.
_BUDGET = 100_000_000
_DEEPEST = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A record's JSON text, or text that is no record and why."""

    text: str
    fault: str | None = None


def salvage(data: bytes) -> Iterator[Piece]:
    """Every record of `data` in order, and between them what was lost. Works for arrays, `Records` and JSON lines."""
    text = data.decode("utf-8", "surrogateescape")
    decoder = json.JSONDecoder()
    begin = _BEGIN.match(text)
    at = begin.end() if begin else 0
    while at < len(text):
        if _END.fullmatch(text, at):
            return
        value, after, fault = _decode(decoder, text, at)
        if fault is None:
            yield _piece(text[at:after], value)
        else:
            after = _next_record(decoder, text, at + 1)
            yield Piece(text=text[at:after], fault=fault)
        between = _BETWEEN.match(text, after)
        at = between.end() if between else after


def _decode(decoder: json.JSONDecoder, text: str, at: int) -> tuple[object, int, str | None]:
    try:
        value, after = decoder.raw_decode(text, at)
    except RecursionError:
        return None, at, "nested too deeply"
    except ValueError as error:
        return None, getattr(error, "pos", at), f"not JSON: {getattr(error, 'msg', error)}"
    return value, after, None


def _piece(text: str, value: object) -> Piece:
    if not isinstance(value, dict):
        return Piece(text=text, fault="not an object")
    if any("\ud800" <= c <= "\udfff" for c in text):
        return Piece(text=text, fault="not UTF-8")
    try:
        # A `\ud800` escape is legal JSON for Python but no character; nothing downstream can store it.
        clean = json.dumps(value, ensure_ascii=False)
        clean.encode("utf-8")
    except UnicodeEncodeError:
        return Piece(text=text, fault="half a surrogate pair")
    except RecursionError:
        return Piece(text=text, fault="nested too deeply")
    return Piece(text=clean)


def _next_record(decoder: json.JSONDecoder, text: str, at: int) -> int:
    """Where the next object begins that decodes and has a record's names; the end of `text` if there is none."""
    budget = _BUDGET + 10 * (len(text) - at)
    while budget > 0 and (start := _START.search(text, at)):
        begin = start.start()
        value, after, fault = _decode(decoder, text, begin)
        if fault is None and isinstance(value, dict):
            if "eventName" in value and "eventTime" in value:
                return begin
            # What lies in a whole object that is no record is none either, unless the object wraps records.
            at = begin + 1 if "Records" in value else after
        else:
            at = begin + 1
        budget -= max(after - begin, 0 if fault is None else _DEEPEST)
    return len(text)
