"""Numbers, times and names in the words of the report and its figures."""

from __future__ import annotations

from datetime import UTC, datetime

from irkit.escape import for_terminal


def shortened(value: object, *, most: int = 46) -> str:
    """`value` on one line for words beside a figure, shortened in its middle to `most` characters."""
    text = for_terminal(value)
    if len(text) <= most:
        return text
    head = (most - 1) // 2
    return f"{text[:head]}…{text[len(text) - (most - 1 - head) :]}"


def volume(count: float) -> str:
    """`count` bytes for people: 1.5 MiB."""
    size = float(count)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if abs(size) < 1024 or unit == "TiB":
            return f"{size:,.0f} {unit}" if unit == "B" else f"{size:,.1f} {unit}"
        size /= 1024
    raise AssertionError("unreachable")


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """`1 call`, `2 calls`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def clock(moment: datetime) -> str:
    """`moment` as a title says it: 21 Nov 03:12."""
    return f"{moment.astimezone(UTC):%d %b %H:%M}"


def short_arn(text: str) -> str:
    """The part of an ARN that people know: `user/ana`, `assumed-role/Web/i-0abc`; other text as it is."""
    parts = text.split(":", 5)
    return parts[5] if len(parts) == 6 and parts[0] == "arn" else text
