"""The content of a log file, decompressed within bounds.

libdeflate (the `deflate` package) is 2.5 times as fast as zlib, but needs to know the size beforehand and stops at
the first member; whatever it cannot do falls to zlib, which also yields what comes before a damaged byte.

References:
    RFC 1952: magic 1f 8b; the last four bytes are the size modulo 2^32, of the last member only.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

MAX_UNPACKED = 256 * 1024 * 1024
GZIP = b"\x1f\x8b"
_STEP = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpacked:
    """Decompressed bytes; `fault` says why there may be fewer than the file once had."""

    data: bytes
    fault: str | None = None


def unpack(raw: bytes, *, limit: int = MAX_UNPACKED) -> Unpacked:
    """What `raw` holds: decompressed when it is gzip, else itself; never more than `limit` bytes."""
    if not raw.startswith(GZIP):
        if len(raw) > limit:
            return Unpacked(data=b"", fault=f"larger than {limit:,} bytes")
        return Unpacked(data=raw)
    whole = _libdeflate(raw, limit)
    return Unpacked(data=whole) if whole is not None else _zlib(raw, limit)


def _libdeflate(raw: bytes, limit: int) -> bytes | None:
    """The content if it is one sound member of the size that the trailer claims, else None."""
    claimed = int.from_bytes(raw[-4:], "little")
    # Deflate cannot shrink more than 1032 times, so a larger claim is a lie (or the end of something else).
    if not 0 < claimed <= min(limit, 1032 * len(raw)):
        return None
    try:
        import deflate
    except ModuleNotFoundError:
        return None
    try:
        data = bytes(deflate.gzip_decompress(raw, claimed))
    except (deflate.DeflateError, ValueError):
        return None
    return data if len(data) == claimed and zlib.crc32(data) == int.from_bytes(raw[-8:-4], "little") else None


def _zlib(raw: bytes, limit: int) -> Unpacked:
    """All members of `raw` up to the first damage or the limit."""
    parts: list[bytes] = []
    size = 0
    rest = raw
    while rest:
        member = zlib.decompressobj(wbits=31)
        pending = rest
        try:
            while pending and not member.eof:
                part = member.decompress(pending, _STEP)
                size += len(part)
                if size > limit:
                    return Unpacked(data=b"", fault=f"unpacks to more than {limit:,} bytes")
                parts.append(part)
                pending = member.unconsumed_tail
        except zlib.error as error:
            return Unpacked(data=b"".join(parts), fault=f"damaged gzip: {error}")
        if not member.eof:
            return Unpacked(data=b"".join(parts), fault="gzip ends early")
        rest = member.unused_data.lstrip(b"\0")
        if rest and not rest.startswith(GZIP):
            return Unpacked(data=b"".join(parts), fault=f"{len(rest):,} bytes after the end of the gzip data")
    return Unpacked(data=b"".join(parts))
