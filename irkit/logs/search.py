r"""Search in raw log files for a key, an address, an ARN or any text, at the speed of decompression.

A file is unpacked and searched as bytes; only where the bytes occur is anything decoded, and only the records (or the
lines) around them. JSON may write a character in several ways (`/` as `\/`, any as `\u002f`); what is searched for is
looked for as it is, with `/` escaped, and with the letters that JSON must escape.

References:
    RFC 8259 section 7 (strings)
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from itertools import groupby, islice
from pathlib import Path

from irkit.errors import BadInput, IrkitError
from irkit.logs.peel import peeled
from irkit.logs.recognise import Shape, recognise
from irkit.logs.sources import Clients, LogFile, Window, log_files
from irkit.logs.unpack import MAX_UNPACKED, Content, Unpacking, head_of

_WORKERS = 4
_AHEAD = 16
_LARGE = 48 * 1024**2
_SHORTEST = 3
_SHOWN_AROUND = 200
_LONGEST_RECORD = 4 * 1024**2
_RECORDS = (Shape.OBJECT, Shape.ARRAY)
_PEELED = (Shape.WRAPPED, Shape.EXPORTED, Shape.CSV)


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """A record or line that holds what was searched for.

    `record` is the decoded record, None for a line; `header` names the fields of the line where the file does.
    """

    file: str
    text: str
    record: dict[str, object] | None = None
    header: str = ""


@dataclass(slots=True)
class Searched:
    """What a search went through; complete once it is over."""

    files: int = 0
    of: int = 0
    bytes: int = 0
    matches: int = 0
    matching_files: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)

    def sentence(self) -> str:
        """One line for people."""
        found = f"{self.matches:,} records in {len(self.matching_files):,} files"
        left = f", {len(self.unreadable):,} files could not be read" if self.unreadable else ""
        return f"{found}; {self.files:,} files searched, {self.bytes:,} bytes{left}"


def grep(
    value: str,
    sources: str | Path | Iterable[str | Path],
    *,
    session: Clients | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    ignore_case: bool = False,
    searched: Searched | None = None,
    progress: Callable[[Searched], None] | None = None,
) -> Iterator[Match]:
    """Every record of `sources` in whose text `value` occurs, in the order of the files.

    Sources are those of `ingest`; files that are no logs are searched line by line, and broken files as far as they
    go. `searched` is filled in on the way. Raises `BadInput` where `value` is shorter than three characters.
    """
    if len(value) < _SHORTEST:
        raise BadInput(f"{value!r} is too short to search for", hint="give at least three characters")
    needle = Needle.of(value, ignore_case=ignore_case)
    state = searched if searched is not None else Searched()
    files = list(log_files(sources, Window(since=since, until=until), session))
    state.of = len(files)
    waiting = iter(files)
    with ThreadPoolExecutor(_WORKERS, thread_name_prefix="irkit-grep") as pool:
        pending: deque[Future[_Found]] = deque(
            pool.submit(_search, file, needle) for file in islice(waiting, _AHEAD)
        )
        try:
            while pending:
                found = pending.popleft().result()
                state.files += 1
                state.bytes += found.bytes
                if found.fault:
                    state.unreadable.append(f"{found.file.uri}: {found.fault}")
                if found.matches:
                    state.matching_files.append(found.file.uri)
                    state.matches += len(found.matches)
                    yield from found.matches
                if progress is not None:
                    progress(state)
                pending.extend(pool.submit(_search, file, needle) for file in islice(waiting, 1))
        finally:
            for future in pending:
                future.cancel()


@dataclass(frozen=True, slots=True)
class Needle:
    """What is searched for, in the ways that it may be written."""

    value: str
    pattern: re.Pattern[bytes] | None
    spellings: tuple[bytes, ...]

    @classmethod
    def of(cls, value: str, *, ignore_case: bool) -> Needle:
        """`value` as it stands, as JSON writes it, with and without escapes that JSON does not ask for."""
        plain = json.dumps(value, ensure_ascii=False)[1:-1]
        escaped = json.dumps(value)[1:-1]
        spellings = {value, plain, escaped, _entities(plain)}
        spellings |= {one.replace("/", "\\/") for one in (plain, escaped)}
        # JSON inside a JSON string, such as a policy document, is escaped once more.
        spellings |= {json.dumps(one)[1:-1] for one in (plain, escaped)}
        found = tuple(sorted(one.encode("utf-8", "replace") for one in spellings))
        if not ignore_case:
            return cls(value, None, found)
        return cls(value, re.compile(b"|".join(re.escape(one) for one in found), re.IGNORECASE), found)

    def occurs(self, text: bytes | bytearray) -> bool:
        """Whether it is in `text`."""
        if self.pattern is not None:
            return self.pattern.search(text) is not None
        return any(one in text for one in self.spellings)

    def places(self, text: bytes | bytearray) -> Iterator[int]:
        """Where it is in `text`, in order."""
        pattern = self.pattern or re.compile(b"|".join(re.escape(one) for one in self.spellings))
        return (found.start() for found in pattern.finditer(text))


def _entities(text: str) -> str:
    """`text` as encoders write it that escape what HTML could misread."""
    return "".join(f"\\u{ord(c):04x}" if c in "<>&='+" else c for c in text)


@dataclass(slots=True)
class _Found:
    file: LogFile
    bytes: int = 0
    fault: str | None = None
    matches: list[Match] = field(default_factory=list)


def _search(file: LogFile, needle: Needle) -> _Found:
    """The matches in one file."""
    found = _Found(file)
    try:
        content: Content = file.path if file.path is not None and file.size > _LARGE else file.read()
        head = head_of(content)
        shape = recognise(head)
        header = _flow_header(head) if shape is Shape.FLOW else ""
        pieces = Unpacking(content, limit=MAX_UNPACKED)
        if shape in _PEELED:
            whole = b"".join(pieces)
            found.bytes = len(whole)
            _, inside, fault = peeled(shape, whole)
            found.fault = pieces.fault or fault
            found.matches = list(_lines(inside, needle, file.uri))
            return found
        cut = _record_around if shape in _RECORDS else _line_around
        rest: bytes | bytearray = b""
        for piece, last in _with_last(iter(pieces)):
            found.bytes += len(piece)
            text = rest + piece if rest else piece
            # A record may go on in the next piece: what is near the end waits for it.
            limit = len(text) if last else max(len(text) - _LONGEST_RECORD, 0)
            done = 0
            if needle.occurs(text):
                done, matches = _around(text, needle, file.uri, cut, limit)
                found.matches += [replace(one, header=header) for one in matches] if header else matches
            if not last:
                rest = bytes(text[max(done, limit - _LONGEST_RECORD, 0) :])
        found.fault = pieces.fault
    except (IrkitError, ValueError, RecursionError) as error:
        found.fault = str(error)
    return found


def _flow_header(head: bytes) -> str:
    first = head.partition(b"\n")[0].strip()
    return "" if first[:1].isdigit() else first.decode("ascii", "replace")


def _with_last(pieces: Iterator[bytes | bytearray]) -> Iterator[tuple[bytes | bytearray, bool]]:
    """The pieces, each with whether it is the last."""
    held = next(pieces, None)
    while held is not None:
        following = next(pieces, None)
        yield held, following is None
        held = following


def _around(
    text: bytes | bytearray,
    needle: Needle,
    file: str,
    cut: Callable[[bytes | bytearray, int], tuple[int, int, dict[str, object] | None]],
    limit: int,
) -> tuple[int, list[Match]]:
    """What stands around each occurrence that begins before `limit`, and where the last of it ends."""
    matches: list[Match] = []
    done = 0
    for place in needle.places(text):
        if place >= limit:
            break
        if place < done:
            continue
        begin, end, record = cut(text, place)
        matches.append(
            Match(file=file, text=bytes(text[begin:end]).decode("utf-8", "replace"), record=record)
        )
        done = max(end, place + 1)
    return done, matches


def _line_around(text: bytes | bytearray, place: int) -> tuple[int, int, dict[str, object] | None]:
    begin = text.rfind(b"\n", 0, place) + 1
    end = text.find(b"\n", place)
    end = len(text) if end < 0 else end
    return begin, end, _decoded(bytes(text[begin:end]))


def _decoded(text: bytes) -> dict[str, object] | None:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


_BEGINS = re.compile(rb'[\[,]\s*(?=\{\s*")')


def _record_around(text: bytes | bytearray, place: int) -> tuple[int, int, dict[str, object] | None]:
    """The record that holds `place`: an object that decodes, reaches over the place and has a record's names.

    Looked for in growing stretches before the place, as records are small; where none decodes, some text around
    it is given.
    """
    decoder = json.JSONDecoder()
    for reach in (8 * 1024, 256 * 1024, _LONGEST_RECORD):
        low = max(place - reach, 0)
        window = bytes(text[low : place + reach]).decode("utf-8", "surrogateescape")
        # Places in bytes and in letters differ where text is not ASCII; what decodes is measured in bytes again.
        for found in _BEGINS.finditer(text, low, place):
            begin = found.end()
            start = len(bytes(text[low:begin]).decode("utf-8", "surrogateescape"))
            try:
                value, stop = decoder.raw_decode(window, start)
            except (ValueError, RecursionError):
                continue
            end = begin + len(window[start:stop].encode("utf-8", "surrogateescape"))
            if end > place and isinstance(value, dict) and "eventTime" in value and "userIdentity" in value:
                return begin, end, value
    return max(place - _SHOWN_AROUND, 0), min(place + _SHOWN_AROUND, len(text)), None


def _lines(text: bytes, needle: Needle, file: str) -> Iterator[Match]:
    if needle.occurs(text):
        yield from _around(text, needle, file, _line_around, len(text))[1]


def matches_as_files(matches: Iterable[Match]) -> Iterator[LogFile]:
    """The matches as sources for `ingest`, one for each file that has some, under that file's own name."""
    for name, found in groupby(matches, key=lambda match: match.file):
        held = list(found)
        lines = [json.dumps(one.record) if one.record is not None else one.text for one in held]
        if held[0].header:
            lines.insert(0, held[0].header)
        text = ("\n".join(lines) + "\n").encode("utf-8", "replace")
        yield LogFile(uri=name, size=len(text), etag="", read=partial(bytes, text))
