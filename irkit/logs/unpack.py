"""The content of a log file, decompressed piece by piece within bounds.

libdeflate (the `deflate` package) is 2.5 times as fast as zlib, but needs to know the size beforehand and stops at
the first member; whatever it cannot do falls to zlib, which also yields what comes before a damaged byte. zstd comes
with pyarrow. What is small comes in one piece, what is large in pieces of a few MiB, so that memory does not grow with
the file.

References:
    RFC 1952: magic 1f 8b; the last four bytes are the size modulo 2^32, of the last member only.
    RFC 8878: zstd's magic 28 b5 2f fd.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from irkit.durable import storage

MAX_UNPACKED = 64 * 1024**3
GZIP = b"\x1f\x8b"
_MEMBER = GZIP + b"\x08"
_SMALLEST = 18
ZSTD = b"\x28\xb5\x2f\xfd"
_WHOLE = 64 * 1024**2
_STEP = 4 * 1024**2
_ZSTD_STEP = 256 * 1024
_HEAD = 64 * 1024
_SIP = 16
# Deflate cannot shrink more than 1032 times, so a larger claim is a lie (or the end of something else).
_DEFLATE_MOST = 1032

Content = bytes | Path


class Unpacking:
    """The pieces of one file's content; after the last of them `fault` says why there may be fewer than there were."""

    def __init__(self, content: Content, *, limit: int = MAX_UNPACKED) -> None:
        self.fault: str | None = None
        self._content = content
        self._limit = limit
        self._size = 0

    def __iter__(self) -> Iterator[bytes | bytearray]:
        with _opened(self._content) as (head, file):
            if head.startswith(GZIP):
                whole = _libdeflate(self._content, self._limit) if isinstance(self._content, bytes) else None
                pieces = iter((whole,)) if whole is not None else self._gunzipped(file)
            elif head.startswith(ZSTD):
                pieces = self._unzstd(file)
            elif isinstance(self._content, bytes) and len(self._content) <= self._limit:
                pieces = iter((self._content,))
            else:
                pieces = iter(lambda: file.read(_STEP), b"")
            for piece in pieces:
                self._size += len(piece)
                if self._size > self._limit:
                    self.fault = f"unpacks to more than {self._limit:,} bytes"
                    return
                if piece:
                    yield piece

    def _gunzipped(self, file: BinaryIO) -> Iterator[bytes]:
        """All members up to the first damage."""
        rest = file.read(_STEP)
        while rest:
            before = member = zlib.decompressobj(wbits=31)
            try:
                ended = False
                while not ended and rest:
                    before = member.copy()
                    yield member.decompress(rest, _STEP)
                    ended = member.eof
                    rest = member.unconsumed_tail or (b"" if ended else file.read(_STEP))
            except zlib.error as error:
                yield from _sips(before, rest)
                self.fault = f"damaged gzip: {error}"
                return
            if not ended:
                self.fault = "gzip ends early"
                return
            rest = _past_padding(member.unused_data, file)
            if rest and not rest.startswith(GZIP):
                self.fault = "more bytes after the end of the gzip data"
                return

    def _unzstd(self, file: BinaryIO) -> Iterator[bytes]:
        import pyarrow as pa

        stream = pa.input_stream(file, compression="zstd")
        try:
            while piece := stream.read(_ZSTD_STEP):
                yield piece
        except OSError as error:
            self.fault = "zstd ends early" if "runcated" in str(error) else f"damaged zstd: {error}"


def head_of(content: Content) -> bytes:
    """The first bytes of what `content` holds, as far as they can be had; enough to tell what it is."""
    with _opened(content, head=_HEAD) as (raw, _):
        if raw.startswith(GZIP):
            try:
                return zlib.decompressobj(wbits=31).decompress(raw, _HEAD)
            except zlib.error:
                return b"".join(_until(_sips(zlib.decompressobj(wbits=31), raw), _HEAD))
        if raw.startswith(ZSTD):
            return b"".join(_until(iter(Unpacking(raw, limit=_DEFLATE_MOST * _HEAD)), _HEAD))
        return raw


def _sips(member: zlib._Decompress, packed: bytes) -> Iterator[bytes]:
    """What `member` gives until the damage: zlib keeps back what a call that fails has unpacked already."""
    for at in range(0, len(packed), _SIP):
        try:
            piece = member.decompress(packed[at : at + _SIP])
        except zlib.error:
            return
        if piece:
            yield piece


def _until(pieces: Iterator[bytes | bytearray], size: int) -> Iterator[bytes | bytearray]:
    for piece in pieces:
        yield piece
        size -= len(piece)
        if size <= 0:
            return


@contextmanager
def _opened(content: Content, *, head: int = 4) -> Iterator[tuple[bytes, BinaryIO]]:
    """The first bytes of `content`, and all of it as a file."""
    if isinstance(content, bytes):
        yield content[:head], io.BytesIO(content)
        return
    with storage("read", content), content.open("rb") as file:
        first = file.read(head)
        file.seek(0)
        yield first, file


def _past_padding(rest: bytes, file: BinaryIO) -> bytes:
    """What follows a gzip member, without the zero bytes that some writers pad with."""
    while True:
        rest = rest.lstrip(b"\0")
        if rest:
            return rest if len(rest) > 1 else rest + file.read(_STEP)
        rest = file.read(_STEP)
        if not rest:
            return b""


def _libdeflate(raw: bytes, limit: int) -> bytearray | None:
    """The content if it is one sound member of the size that the trailer claims, else None."""
    claimed = int.from_bytes(raw[-4:], "little")
    if not 0 < claimed <= min(limit, _WHOLE, _DEFLATE_MOST * len(raw)):
        return None
    # Of several members libdeflate gives the first. What looks like the start of another is nearly always chance, and
    # zlib is only slower; the CRC of the last, by libdeflate's own fast function, is asked in any case.
    if raw.find(_MEMBER, _SMALLEST) > 0:
        return None
    try:
        import deflate
    except ModuleNotFoundError:
        return None
    try:
        data: bytearray = deflate.gzip_decompress(raw, claimed)
    except (deflate.DeflateError, ValueError):
        return None
    sound = len(data) == claimed and deflate.crc32(data) == int.from_bytes(raw[-8:-4], "little")
    return data if sound else None
