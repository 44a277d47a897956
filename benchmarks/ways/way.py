"""One way to read logs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """`work(files, scratch)` gives how many rows were read; `imports` are not part of what is measured."""

    kind: str
    short: str
    title: str
    work: Callable[[list[Path], Path], int]
    imports: tuple[str, ...] = ()
    slow: bool = False
    takes_folder: bool = False

    @property
    def name(self) -> str:
        """The kind and the short name."""
        return f"{self.kind} {self.short}"


def unpacked(path: Path) -> bytearray:
    """A gzip file's content by libdeflate."""
    import deflate

    content = path.read_bytes()
    found: bytearray = deflate.gzip_decompress(content, int.from_bytes(content[-4:], "little"))
    return found


def floor(files: list[Path], workers: int) -> int:
    """Decompress and throw away."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(workers) as pool:
        return sum(len(content) for content in pool.map(unpacked, files))
