"""Damage to log files as it happens, and an independent count of what is left whole."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable
from typing import Any

Damage = Callable[[bytes, random.Random], bytes]


def flip(content: bytes, rng: random.Random) -> bytes:
    """One bit is another."""
    at = rng.randrange(len(content))
    return content[:at] + bytes([content[at] ^ (1 << rng.randrange(8))]) + content[at + 1 :]


def cut(content: bytes, rng: random.Random) -> bytes:
    """The end is missing."""
    return content[: rng.randrange(len(content))]


def hole(content: bytes, rng: random.Random) -> bytes:
    """A block of zeros, as a disk that lost a sector gives it."""
    at = rng.randrange(len(content))
    size = min(rng.randrange(1, 512), len(content) - at)
    return content[:at] + bytes(size) + content[at + size :]


def lost(content: bytes, rng: random.Random) -> bytes:
    """A stretch from the middle is missing."""
    at = rng.randrange(len(content))
    return content[:at] + content[at + rng.randrange(1, 400) :]


def doubled(content: bytes, rng: random.Random) -> bytes:
    """A stretch is there twice."""
    at = rng.randrange(len(content))
    return content[:at] + content[max(at - rng.randrange(1, 400), 0) :]


def noise(content: bytes, rng: random.Random) -> bytes:
    """Bytes that are nothing were written over some."""
    at = rng.randrange(len(content))
    size = min(rng.randrange(1, 64), len(content) - at)
    return content[:at] + rng.randbytes(size) + content[at + size :]


def whole(content: bytes, rng: random.Random) -> bytes:
    """Nothing happened."""
    return content


TEXT_DAMAGES: tuple[Damage, ...] = (flip, cut, hole, lost, doubled, noise, whole)


def packed_then_damaged(content: bytes, rng: random.Random) -> bytes:
    """Gzip whose bytes were damaged; what comes out is known only to a gzip reader."""
    return rng.choice((flip, cut, noise, whole))(gzip.compress(content, mtime=0), rng)


def intact(content: bytes, records: list[dict[str, Any]], texts: list[str]) -> set[str]:
    """The ids of `records` whose text is still in `content` byte for byte, which no reader may lose."""
    return {
        str(record["eventID"])
        for record, text in zip(records, texts, strict=True)
        if text.encode() in content
    }


def as_object(texts: list[str]) -> bytes:
    """The texts as CloudTrail delivers them."""
    return ('{"Records":[' + ",".join(texts) + "]}").encode()


def as_lines(texts: list[str]) -> bytes:
    """The texts one a line."""
    return "\n".join(texts).encode() + b"\n"


def text_of(record: dict[str, Any]) -> str:
    """A record as CloudTrail writes it."""
    return json.dumps(record, separators=(",", ":"))
