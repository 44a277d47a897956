"""What is on disk, what counts as read, and that the hash of the whole follows in any order of arrival."""

from __future__ import annotations

import hashlib
import os
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from irkit.capture.image.following import Bits, Follower, Frontier
from irkit.capture.image.working import Shape, Working
from irkit.errors import IntegrityError

BLOCK = 4096


def shape(blocks: int, **more: object) -> Shape:
    told = {"snapshot": "snap-1", "since": None, "size": blocks * BLOCK, "block_size": BLOCK} | more
    return Shape(**told)  # type: ignore[arg-type]


def content(index: int) -> bytes:
    return random.Random(index).randbytes(BLOCK)


def put(working: Working, index: int, data: bytes | None = None) -> None:
    data = content(index) if data is None else data
    working.put(index, memoryview(data), hashlib.sha256(data).digest())


def test_a_block_counts_as_read_only_once_it_is_on_disk_for_good(tmp_path: Path) -> None:
    working = Working(tmp_path / "w", shape(8))
    put(working, 3)
    assert working.digest(3) is None
    working.flush()
    assert working.digest(3) == hashlib.sha256(content(3)).digest()
    assert [n for n, _ in working.done()] == [3]
    working.close()


def test_what_was_not_flushed_is_read_again_by_the_next_run(tmp_path: Path) -> None:
    working = Working(tmp_path / "w", shape(8))
    put(working, 1)
    working.flush()
    put(working, 2)
    working.close()
    again = Working(tmp_path / "w", shape(8))
    assert [n for n, _ in again.done()] == [1]
    again.close()


def test_the_beginning_of_another_image_is_left_alone(tmp_path: Path) -> None:
    Working(tmp_path / "w", shape(8)).close()
    with pytest.raises(IntegrityError, match="another image"):
        Working(tmp_path / "w", shape(8, snapshot="snap-2"))


def test_blocks_of_zeros_stay_holes_unless_the_file_began_as_a_copy(tmp_path: Path) -> None:
    for based in (False, True):
        working = Working(tmp_path / str(based), shape(64))
        working.based = based
        put(working, 7, bytes(BLOCK))
        working.flush()
        assert (working.image.stat().st_blocks > 0) is based
        assert working.digest(7) == hashlib.sha256(bytes(BLOCK)).digest()
        working.close()


@settings(max_examples=40)
@given(data=st.data())
def test_the_hash_is_that_of_the_file_in_whatever_order_blocks_arrive(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    blocks = data.draw(st.integers(1, 60), label="blocks")
    present = sorted(data.draw(st.sets(st.integers(0, blocks - 1)), label="present"))
    before = set(data.draw(st.sets(st.sampled_from(present)), label="earlier")) if present else set()
    rotten = set(data.draw(st.sets(st.sampled_from(sorted(before))), label="rotten")) if before else set()
    working = Working(tmp_path_factory.mktemp("w"), shape(blocks))
    frontier, earlier = Frontier(blocks), Bits(blocks)
    for index in before:
        put(working, index)
        earlier.add(index)
    working.flush()
    for index in rotten:
        with working.image.open("r+b") as image:
            image.seek(index * BLOCK)
            image.write(b"not what was written")

    def mend(index: int) -> None:
        put(working, index)
        working.flush()

    follower = Follower(working, frontier, earlier, mend)
    working.flushed = frontier.arrived
    missing = [n for n in present if n not in before]
    for index in missing:
        frontier.expect(index)
    follower.start()
    for index in data.draw(st.permutations(missing), label="order"):
        put(working, index)
        if index % 3 == 0:
            working.flush()
    working.flush()
    frontier.no_more()
    follower.hurry()
    follower.join(timeout=60)

    assert follower.error is None
    assert follower.mended == len(rotten)
    expected = b"".join(content(n) if n in present else bytes(BLOCK) for n in range(blocks))
    assert follower.sha256 == hashlib.sha256(expected).hexdigest()
    assert working.image.read_bytes() == expected
    listed = follower.listed.read_bytes()
    assert follower.list_sha256 == hashlib.sha256(listed).hexdigest()
    assert [int(line.split()[0]) for line in listed.decode().splitlines()[1:]] == present
    working.close()


def test_an_abandoned_hash_ends_without_one(tmp_path: Path) -> None:
    working = Working(tmp_path / "w", shape(8))
    frontier = Frontier(8)
    frontier.expect(2)
    follower = Follower(working, frontier, Bits(8), lambda _: None)
    follower.start()
    follower.abandon()
    follower.join(timeout=60)
    assert not follower.is_alive()
    assert follower.sha256 == ""
    working.close()


@given(st.sets(st.integers(0, 500)))
def test_bits_hold_what_was_put_in(numbers: set[int]) -> None:
    bits = Bits(501)
    for number in numbers:
        bits.add(number)
    assert {n for n in range(501) if n in bits} == numbers
    assert bits.count == len(numbers)


def test_digests_of_a_sparse_terabyte_are_found_without_reading_it_all(tmp_path: Path) -> None:
    blocks = (1 << 40) // (512 * 1024)
    working = Working(tmp_path / "w", shape(blocks, size=1 << 40, block_size=512 * 1024))
    far = [0, 4095, 4096, blocks // 2, blocks - 1]
    for index in far:
        working.adopt(index, os.urandom(32))
    assert [n for n, _ in working.done()] == far
    working.close()
