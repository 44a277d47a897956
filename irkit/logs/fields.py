"""Words of a log line as values: what is no number, time or address becomes no value, never an error."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from typing import Any

_WHOLE = re.compile(r"-?\d{1,18}", re.ASCII)
_REAL = re.compile(r"-?\d{1,18}(?:\.\d{1,18})?", re.ASCII)
_ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?Z?", re.ASCII)
_ISO_LENGTH = 26


def text(value: Any) -> str | None:
    """`value` as text; None for nothing and for `-`. Half surrogate pairs, which nothing can store, are replaced."""
    if value is None or value in ("-", ""):
        return None
    return str(value).encode("utf-8", "replace").decode("utf-8")


def long_number(value: Any) -> int | None:
    """`value` as a 64-bit number."""
    return int(value) if _WHOLE.fullmatch(str(value)) else None


def short_number(value: Any) -> int | None:
    """`value` as a 32-bit number."""
    number = long_number(value)
    return number if number is not None and abs(number) < 2**31 else None


def port(value: Any) -> int | None:
    """`value` as a port."""
    number = long_number(value)
    return number if number is not None and 0 <= number < 2**16 else None


def seconds(value: Any) -> float | None:
    """`value` as seconds; -1, which stands for `it never came to that`, is None."""
    if not _REAL.fullmatch(str(value)):
        return None
    number = float(value)
    return number if number >= 0 and math.isfinite(number) else None


def moment(value: Any, pattern: str = "iso") -> datetime | None:
    """`value` as a time in UTC without its zone, as the tables store it; `iso` stands for ISO 8601 in UTC."""
    if not isinstance(value, str):
        return None
    try:
        if pattern == "iso":
            if not _ISO.fullmatch(value):
                return None
            # Microseconds are what the tables hold, and what datetime reads.
            found = datetime.fromisoformat(value.rstrip("Z")[:_ISO_LENGTH])
        else:
            found = datetime.strptime(value, pattern)  # noqa: DTZ007 - the pattern may have a zone, see below
    except ValueError:
        return None
    try:
        return found.astimezone(UTC).replace(tzinfo=None) if found.tzinfo else found
    except OverflowError:
        return None


def address(value: str) -> tuple[str | None, int | None]:
    """An address and port written as `192.0.2.1:443` or `[2001:db8::1]:443`."""
    host, _, number = value.rpartition(":")
    return (text(host.strip("[]")), port(number)) if host else (text(value), None)
