"""What changed between two snapshots of a volume: as ranges, and as the image of the later one made from the earlier's.

Blocks that did not change are copied from the image that the case holds, and held against that one's list of digests
like everything that an earlier run wrote; so the new image is proved as if all of it had been read.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from irkit.capture.image.blocks import Listing
from irkit.capture.image.working import Working
from irkit.durable import storage
from irkit.errors import IntegrityError
from irkit.plan import Progress

if TYPE_CHECKING:
    from irkit.case import Case

_MARK = "based"
_RANGES = "ranges.jsonl"


def base(case: Case, since: str) -> tuple[Path, Path] | None:
    """Image and block list of the earlier snapshot, when the case holds them."""
    from irkit.capture.image.taking import images

    found = images(case, since)
    return (case.evidence.path(found[0]), case.evidence.path(found[1])) if found else None


def see_that_it_fits(folder: Path, found: tuple[Path, Path] | None) -> None:
    """Raise `StorageError` when the copy of the base image would not fit on the disk of `folder`."""
    from irkit.capture.image.taking import see_that_there_is_room

    if found is None or (folder / _MARK).exists():
        return
    with storage("prepare a disk image", folder):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        copied = found[0].stat().st_blocks * 512
    see_that_there_is_room(folder, copied)


def prepare(working: Working, listing: Listing, found: tuple[Path, Path] | None, progress: Progress) -> Path:
    """Write the changed ranges, and begin the image as a copy of the base where there is one. Returns the ranges' file.

    Done once: what follows it is marked, so that a run after a kill does not undo what was read.
    """
    ranges, mark = working.folder / _RANGES, working.folder / _MARK
    working.based = found is not None
    if mark.exists():
        return ranges
    if found is not None:
        progress("copying the image of the earlier snapshot")
        working.copy_in(found[0])
        for index, digest in _listed(found[1]):
            working.adopt(index, digest)
    with storage("write the changed ranges", ranges), ranges.open("wb") as report:
        for start, stop, written in _stretches(listing):
            _write(report, start, stop, written, working.shape.block_size)
            if found is not None:
                for index in range(start, stop):
                    working.forget(index, zero=not written)
        report.flush()
        os.fsync(report.fileno())
    working.flush()
    with storage("prepare a disk image", mark):
        mark.touch()
    return ranges


def _stretches(listing: Listing) -> Iterator[tuple[int, int, bool]]:
    """(first block, one after the last, whether it holds data now) of each stretch of changed blocks."""
    start, stop, written = 0, 0, False
    for page in listing.pages():
        for block in page.blocks:
            now = block.token is not None
            if block.index == stop and now is written and stop > start:
                stop += 1
                continue
            if stop > start:
                yield start, stop, written
            start, stop, written = block.index, block.index + 1, now
    if stop > start:
        yield start, stop, written


def _write(report: BinaryIO, start: int, stop: int, written: bool, block_size: int) -> None:
    told = {
        "first_block": start,
        "blocks": stop - start,
        "offset": start * block_size,
        "length": (stop - start) * block_size,
        "now": "data" if written else "zeros",
    }
    report.write((json.dumps(told) + "\n").encode("ascii"))


def _listed(path: Path) -> Iterator[tuple[int, bytes]]:
    """Number and digest of each block in a list that `following` wrote."""
    with storage("read the list of blocks", path), path.open("r", encoding="ascii") as lines:
        for line in lines:
            if line.startswith("#"):
                continue
            number, _, text = line.strip().partition(" ")
            try:
                yield int(number), bytes.fromhex(text)
            except ValueError:
                raise IntegrityError(
                    f"{path} is not a list of blocks", hint="run `irkit case verify`"
                ) from None
