"""Files brought here ahead of their turn, in order, within a bound of bytes; large ones to disk."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from irkit.durable import storage
from irkit.errors import IrkitError
from irkit.logs.recognise import Shape, recognise
from irkit.logs.sources import LogFile
from irkit.logs.unpack import Content, head_of

_READERS = 8
_FILES_AHEAD = 256
_BYTES_AHEAD = 16 * 1024**2
_LARGE = 48 * 1024**2


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrived:
    """One file and what it seems to be, or why it could not be read."""

    file: LogFile
    content: Content = b""
    sha256: str = ""
    shape: Shape = Shape.UNKNOWN
    error: str | None = None


class Fetcher:
    """Reads files side by side; what is too large for memory and not on this machine goes to `spool`."""

    def __init__(self, spool: Path) -> None:
        self._spool = spool

    def arrivals(self, files: Iterable[LogFile]) -> Iterator[Arrived]:
        """The files in their order, each once it is here."""
        waiting = iter(files)
        pending: deque[tuple[int, Future[list[Arrived]]]] = deque()
        ahead = count = 0
        with ThreadPoolExecutor(_READERS, thread_name_prefix="irkit-read") as readers:
            exhausted = False
            while pending or not exhausted:
                while not exhausted and (not pending or (ahead < _BYTES_AHEAD and count < _FILES_AHEAD)):
                    few, size = _few(waiting)
                    exhausted = not few
                    if few:
                        pending.append((size, readers.submit(self._read_few, few)))
                        ahead, count = ahead + size, count + len(few)
                if pending:
                    size, future = pending.popleft()
                    arrived = future.result()
                    ahead, count = ahead - size, count - len(arrived)
                    yield from arrived

    def _read_few(self, files: list[LogFile]) -> list[Arrived]:
        return [self._read(file) for file in files]

    def _read(self, file: LogFile) -> Arrived:
        try:
            content = file.read() if file.size <= _LARGE else self._spooled(file)
            head = head_of(content)
            sha256 = _sha256(content)
        except IrkitError as error:
            return Arrived(file=file, error=str(error))
        return Arrived(file=file, content=content, sha256=sha256, shape=recognise(head))

    def _spooled(self, file: LogFile) -> Content:
        if file.path is not None:
            return file.path
        if file.save is None:
            return file.read()
        self._spool.mkdir(parents=True, exist_ok=True)
        to = self._spool / hashlib.sha256(file.uri.encode()).hexdigest()[:24]
        file.save(to)
        return to

    def release(self, content: Content) -> None:
        """Remove what was put to disk for reading."""
        if isinstance(content, Path) and content.parent == self._spool:
            content.unlink(missing_ok=True)


def _few(files: Iterator[LogFile]) -> tuple[list[LogFile], int]:
    """The next files that are worth one task: small ones cost less together than the task itself."""
    few: list[LogFile] = []
    size = 0
    for file in files:
        few.append(file)
        size += min(file.size, _LARGE)
        if size >= 256 * 1024 or len(few) >= 16:
            break
    return few, size


def _sha256(content: Content) -> str:
    if isinstance(content, bytes):
        return hashlib.sha256(content).hexdigest()
    with storage("read", content), content.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
