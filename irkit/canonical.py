"""One way to write JSON that is hashed or compared: the same value gives the same bytes, always.

Sorted keys, no spaces, ASCII only (a lone surrogate from a hostile file name survives as an escape), no NaN.
This is the shape of RFC 8785 (JSON Canonicalization Scheme) for the values irkit records; numbers are
written as Python's `json` writes them, so a re-read and re-written line is byte-equal.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import PurePath
from typing import Any, TypeAlias

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"


def plain(value: Any) -> Json:
    """`value` as JSON types only: times become ISO 8601 UTC with `Z`, bytes their length and SHA-256, paths text.

    Anything else that JSON does not know becomes its `str`, NaN and infinities too; nothing is dropped.
    """
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, Mapping):
        return {_text(str(k)): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        items = sorted(value, key=str) if isinstance(value, set | frozenset) else value
        return [plain(v) for v in items]
    if isinstance(value, datetime):
        return timestamp(value)
    if isinstance(value, date | PurePath):
        return _text(str(value))
    if isinstance(value, bytes | bytearray):
        return {"bytes": len(value), "sha256": hashlib.sha256(value).hexdigest()}
    return _text(str(value))


def _text(text: str) -> str:
    """`text` with surrogate pairs joined: JSON cannot tell a pair from its character, and keys are sorted by it."""
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


def dumps(value: Any) -> str:
    """Canonical JSON text of `value` on one line, without a newline at its end."""
    return json.dumps(plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def digest(value: Any) -> str:
    """SHA-256, in hex, of the canonical JSON of `value`."""
    return hashlib.sha256(dumps(value).encode("ascii")).hexdigest()


def timestamp(when: datetime) -> str:
    """`when` as ISO 8601 in UTC with `Z`; microseconds are kept where there are any."""
    return when.astimezone(UTC).isoformat().replace("+00:00", "Z")
