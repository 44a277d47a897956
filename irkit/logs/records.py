"""JSON text of many records cut into one text a record, without decoding it.

A file of CloudTrail is cut where a comma (or a line's end) is followed by an object that begins as the first one does.
That may be wrong, where a record holds such objects itself; then what was cut is no JSON, which the decoder notices,
and what lies around is decoded the slow way. So a cut is a guess that is always checked, and it is ten times as fast.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from irkit.logs.recognise import BOM, Shape

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

FRAGMENT = 24 * 1024**2
_LARGEST = 64 * 1024**2
_FIRST = re.compile(rb'\s*(\{)(\s*)"((?:[^"\\\x00-\x1f]|\\.){1,64})"(\s*):')
_OPENED = re.compile(rb'"Records"\s*:\s*\[')
_BRACKET = re.compile(rb"\A\s*\[")
_CLOSED = re.compile(rb'\]\s*(?:,\s*"[^"]*"\s*:\s*(?:"[^"]*"|[\w.+-]+)\s*)*\}\s*\Z')
_TAIL = 4096
_SEARCHED = 256 * 1024
_FALLBACK = re.compile(rb',\{"eventVersion":')


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """Text between two places of a file, and where in it a record is taken to end (the separators themselves)."""

    text: bytes | bytearray | memoryview
    at: np.ndarray
    joint: bytes


class TooLong(ValueError):
    """No record ended for so long that going on would fill the memory."""


def cuts(pieces: Iterator[bytes | bytearray], shape: Shape) -> Iterator[Cut]:
    """The text of `pieces` as cuts of at most a few ten MiB. Raises `TooLong`."""
    rest: bytes | bytearray = next(pieces, b"")
    rest = rest.removeprefix(BOM)
    lines = shape is Shape.LINES
    pattern: re.Pattern[bytes] | None = re.compile(rb"\n") if lines else None
    joint = b"\n" if lines else b","
    begin = 0
    for piece in pieces:
        if len(rest) >= FRAGMENT:
            if pattern is None:
                begin, pattern = _begun(rest, shape)
            at = _found(pattern, rest, begin, len(rest))
            if len(at):
                yield Cut(text=bytes(rest[begin : begin + at[-1]]), at=at[:-1], joint=joint)
                rest, begin = rest[begin + int(at[-1]) + 1 :], 0
            elif len(rest) > _LARGEST:
                raise TooLong(f"no record ends within {_LARGEST:,} bytes")
        rest = bytearray(rest) if isinstance(rest, bytes) else rest
        rest += piece
    if pattern is None:
        begin, pattern = _begun(rest, shape)
    end = len(rest) if lines else max(_end(rest, shape), begin)
    yield Cut(text=memoryview(rest)[begin:end], at=_found(pattern, rest, begin, end), joint=joint)


def _found(pattern: re.Pattern[bytes], text: bytes | bytearray, begin: int, end: int) -> np.ndarray:
    """Where `pattern` begins in `text`, counted from `begin`."""
    import numpy as np

    return np.asarray([found.start() for found in pattern.finditer(text, begin, end)], dtype=np.int64) - begin


def _begun(text: bytes | bytearray, shape: Shape) -> tuple[int, re.Pattern[bytes]]:
    """Where the first record begins, and the pattern of the separators after it."""
    opened = (_OPENED if shape is Shape.OBJECT else _BRACKET).search(text, 0, _TAIL)
    begin = opened.end() if opened else 0
    first = _FIRST.match(text, begin)
    if first is None:
        return begin, _FALLBACK
    # As the first two records are parted, so are the others: a literal is found three times as fast as a pattern.
    name = re.escape(first[3])
    parted = re.compile(rb"\}\s*(,\s*\{\s*\"" + name + rb"\"\s*:)").search(text, begin, begin + _SEARCHED)
    if parted is not None:
        return begin, re.compile(re.escape(parted[1]))
    return begin, re.compile(rb",\s*\{\s*\"" + name + rb"\"\s*:")


def _end(text: bytes | bytearray, shape: Shape) -> int:
    """Where the last record ends: before the bracket that closes the array, if there is one."""
    tail = bytes(text[-_TAIL:])
    start = len(text) - len(tail)
    if shape is Shape.OBJECT:
        close = tail.rfind(b"]")
        if close >= 0 and _CLOSED.match(tail, close):
            return start + close
        return len(text)
    stripped = tail.rstrip()
    return start + len(stripped) - 1 if stripped.endswith(b"]") else len(text)


@dataclass(slots=True)
class Span:
    """The slices of a batch that come from one file; `first` is the number of the first record among them."""

    name: str
    begin: int
    end: int
    joint: bytes
    first: int


@dataclass(slots=True)
class RecordTexts:
    """Texts of many records from many files, side by side in one buffer as Arrow and DuckDB take them."""

    spans: list[Span] = field(default_factory=list)
    _buffer: bytearray = field(default_factory=bytearray)
    _starts: list[np.ndarray] = field(default_factory=list)
    _blanks: list[np.ndarray] = field(default_factory=list)
    _odd: dict[int, bytes] = field(default_factory=dict)
    count: int = 0

    def __len__(self) -> int:
        return len(self._buffer)

    def add(self, name: str, cut: Cut, *, first: int = 1) -> None:
        """Take a cut of the file `name`, whose first record has the number `first`."""
        import numpy as np

        if not len(cut.text):
            return
        offset, at = len(self._buffer), cut.at
        self._buffer += cut.text if is_text(cut.text) else self._blanked(cut.text, at.tolist())
        self._starts.append(np.concatenate(([offset], at + offset)))
        self._blanks.append(at + offset)
        begin = self.count
        self.count += len(at) + 1
        self.spans.append(Span(name=name, begin=begin, end=self.count, joint=cut.joint, first=first))

    def _blanked(self, text: bytes | bytearray | memoryview, at: list[int]) -> bytearray:
        """`text` with blanks for every slice that is not UTF-8; the slice as it was is remembered."""
        clean = bytearray(text)
        ends = [*at, len(clean)]
        for number, (start, end) in enumerate(zip([0, *at], ends, strict=True)):
            piece = bytes(clean[start:end])
            if not is_text(piece):
                self._odd[self.count + number] = piece
                clean[start:end] = b" " * len(piece)
        return clean

    def to_arrow(self) -> pa.Table:
        """One row a slice, its text as `rec`; nothing is copied. Nothing may be added after that."""
        import numpy as np
        import pyarrow as pa

        letters = np.frombuffer(self._buffer, dtype=np.uint8)
        for blank in self._blanks:
            letters[blank] = 32
        starts = np.concatenate([*self._starts, np.asarray([len(self._buffer)], dtype=np.int64)])
        array = pa.LargeStringArray.from_buffers(self.count, pa.py_buffer(starts), pa.py_buffer(self._buffer))
        self._starts = [starts]
        return pa.table({"rec": array})

    def text(self, begin: int, end: int, joint: bytes) -> bytes:
        """The slices `begin` to `end` as they stood in the file, separators and all; after `to_arrow`."""
        starts = self._starts[0]
        pieces = []
        for number in range(begin, end):
            piece = self._odd.get(number)
            if piece is None:
                piece = bytes(self._buffer[starts[number] : starts[number + 1]])
            # A slice begins with the separator before it, which may have been blanked.
            pieces.append(piece[1:] if piece[:1] in (b" ", joint) else piece)
        return joint.join(pieces)


def is_text(text: bytes | bytearray | memoryview) -> bool:
    """Whether `text` is UTF-8."""
    whole = bytes(text) if isinstance(text, memoryview) else text
    if whole.isascii():
        return True
    try:
        whole.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
