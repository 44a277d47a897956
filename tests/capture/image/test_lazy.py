"""A snapshot looked into without being fetched: a forensic library reads files, deleted ones too, of few blocks."""

from __future__ import annotations

import hashlib
import io
import json
import os
from typing import Any

import pytest

from irkit.capture.image import LazyDisk, open_lazy
from irkit.capture.image.lazy import KIND
from irkit.case import Case
from irkit.durable import Held
from irkit.errors import IntegrityError, NotFound, Refused
from irkit.evidence import verify
from irkit.sim.disks import BLOCK
from tests.capture.image.conftest import DELETED, PLANTED, World

pytestmark = pytest.mark.needs_mke2fs


def file_system(disk: LazyDisk) -> Any:
    """The Sleuth Kit over the disk."""
    import pytsk3

    class Image(pytsk3.Img_Info):
        def __init__(self) -> None:
            super().__init__(url="", type=pytsk3.TSK_IMG_TYPE_EXTERNAL)

        def read(self, offset: int, length: int) -> bytes:
            return disk.read_at(offset, length)

        def get_size(self) -> int:
            return disk.size

    return pytsk3.FS_Info(Image())


def test_planted_files_and_the_deleted_one_are_found_with_a_part_of_the_blocks(
    aws: World, case: Case, snapshot: str
) -> None:
    import pytsk3

    with open_lazy(case, snapshot) as disk:
        system = file_system(disk)
        for name, content in PLANTED.items():
            file = system.open(name)
            assert file.read_random(0, file.info.meta.size) == content
        folder, _, name = DELETED[0].rpartition("/")
        entries = {e.info.name.name.decode(): e for e in system.open_dir(folder)}
        assert entries[name].info.name.flags == pytsk3.TSK_FS_NAME_FLAG_UNALLOC
        assert "partial, not an image" in repr(disk)
        read = disk.fetched
        assert disk.bytes_read == read * BLOCK

    fetched = aws.fetched(snapshot)
    assert len(fetched) == len(set(fetched)) == read
    assert read < len(aws.blocks(snapshot)) * 0.8
    print(f"{read} of {len(aws.blocks(snapshot))} blocks were read")


def test_what_was_read_is_evidence_marked_partial_with_a_digest_of_each_block(
    aws: World, case: Case, snapshot: str
) -> None:
    with open_lazy(case, snapshot) as disk:
        disk.seek(1024)
        disk.read(100)
        disk.seek(700 * BLOCK)  # a hole
        assert disk.read(10) == bytes(10)
        index = aws.blocks(snapshot)[2]
        disk.read_at(index * BLOCK, 1)
    (item,) = case.evidence.items()
    assert (item.kind, item.partial) == (KIND, True)
    told = json.loads(case.evidence.read(item))
    assert told["what"].endswith("nothing is said about any other block")
    data = {str(n): hashlib.sha256(aws.sim.disks.read(snapshot, n)).hexdigest() for n in (0, index)}
    assert told["blocks"] == data
    assert told["zeros"] == [700]
    case.close()
    assert verify(case.root).problems == ()


def test_it_is_a_file_like_any_other(aws: World, case: Case, snapshot: str) -> None:
    whole = aws.disk.read_bytes()
    with open_lazy(case, snapshot, transport="raw", cached=2) as disk:
        assert disk.seekable()
        assert disk.readable()
        assert not disk.writable()
        assert disk.seek(0, io.SEEK_END) == len(whole) == disk.size
        assert disk.read(5) == b""
        for offset, count in ((0, 10), (BLOCK - 3, 7), (33 * BLOCK + 11, 3 * BLOCK), (len(whole) - 5, 100)):
            assert disk.seek(offset) == offset == disk.tell()
            assert io.BufferedReader(_Unclosed(disk)).read(count) == whole[offset : offset + count]
        with pytest.raises(ValueError, match="before the beginning"):
            disk.seek(-1)
    with pytest.raises(ValueError, match="closed"):
        disk.read_at(0, 1)


class _Unclosed(io.RawIOBase):
    """A view of the disk that closes nothing when it goes."""

    def __init__(self, disk: LazyDisk) -> None:
        self._disk = disk

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        return self._disk.readinto(buffer)


def test_what_was_read_once_is_not_fetched_again_by_another_process_later(
    aws: World, case: Case, snapshot: str
) -> None:
    with open_lazy(case, snapshot) as disk:
        first = disk.read_at(0, 4096)
    before = len(aws.fetched(snapshot))
    with open_lazy(Case.load(str(case.root)), snapshot) as disk:
        assert disk.read_at(0, 4096) == first
        assert disk.fetched == 0
        assert disk.bytes_read == BLOCK
    assert len(aws.fetched(snapshot)) == before


def test_a_kept_block_that_rotted_is_fetched_again(aws: World, case: Case, snapshot: str) -> None:
    with open_lazy(case, snapshot) as disk:
        first = disk.read_at(0, 4096)
    (image,) = (case.active / "artifacts" / "images").glob("lazy-*/image.raw")
    with image.open("r+b") as file:
        file.write(os.urandom(64))
    with open_lazy(case, snapshot) as disk:
        assert disk.read_at(0, 4096) == first
        assert disk.fetched == 1


def test_a_block_that_never_arrives_right_is_an_error_and_not_zeros(
    aws: World, case: Case, snapshot: str
) -> None:
    aws.sim.disks.spoil(snapshot, 0, times=10**6)
    with open_lazy(case, snapshot) as disk, pytest.raises(IntegrityError, match="block 0 of"):
        disk.read_at(0, 10)
    assert case.evidence.items() == []


def test_a_refusal_is_raised_as_it_is(aws: World, case: Case, snapshot: str) -> None:
    aws.sim.faults.inject("ebs", "GetSnapshotBlock", "AccessDeniedException", status=403, times=9)
    with open_lazy(case, snapshot) as disk, pytest.raises(Refused, match="not allowed"):
        disk.read_at(0, 10)
    with pytest.raises(NotFound):
        open_lazy(case, "snap-0123456789abcdef0")


def test_one_reader_at_a_time_holds_the_blocks_of_a_snapshot(
    case: Case, snapshot: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from irkit.capture.image import lazy

    monkeypatch.setattr(lazy, "_PATIENCE", 0.05)
    with open_lazy(case, snapshot), pytest.raises(Held):
        open_lazy(case, snapshot)
    open_lazy(case, snapshot).close()
