from __future__ import annotations

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from irkit.logs.unpack import unpack


def test_plain_bytes_come_back_as_they_are() -> None:
    assert unpack(b'{"Records": []}').data == b'{"Records": []}'


def test_gzip_is_decompressed() -> None:
    assert unpack(gzip.compress(b"hello" * 1000)).data == b"hello" * 1000


def test_all_members_of_a_concatenated_gzip_are_read() -> None:
    assert unpack(gzip.compress(b"one") + gzip.compress(b"two")).data == b"onetwo"


def test_an_empty_gzip_is_empty_and_sound() -> None:
    unpacked = unpack(gzip.compress(b""))
    assert (unpacked.data, unpacked.fault) == (b"", None)


@pytest.mark.parametrize("cut", [1, 8, 9, 40])
def test_a_truncated_gzip_gives_what_is_there_and_says_so(cut: int) -> None:
    whole = bytes(range(256)) * 50
    unpacked = unpack(gzip.compress(whole)[:-cut])
    assert whole.startswith(unpacked.data)
    assert unpacked.fault is not None
    assert "early" in unpacked.fault


def test_a_flipped_bit_is_noticed() -> None:
    raw = bytearray(gzip.compress(b"abc" * 2000))
    raw[-6] ^= 1
    assert unpack(bytes(raw)).fault is not None


def test_bytes_after_the_end_are_reported_and_zero_padding_is_not() -> None:
    assert "after the end" in (unpack(gzip.compress(b"x") + b"junk").fault or "")
    assert unpack(gzip.compress(b"x") + b"\0" * 512).fault is None


def test_a_bomb_is_stopped_at_the_limit() -> None:
    unpacked = unpack(gzip.compress(bytes(8_000_000)), limit=1_000_000)
    assert unpacked.data == b""
    assert "1,000,000" in (unpacked.fault or "")


def test_a_bomb_that_lies_about_its_size_is_stopped_too() -> None:
    raw = bytearray(gzip.compress(bytes(8_000_000)))
    raw[-4:] = (1000).to_bytes(4, "little")
    assert unpack(bytes(raw), limit=1_000_000).data == b""


@given(st.binary(max_size=3000), st.data())
def test_any_damage_to_a_gzip_ends_in_a_result_never_in_an_error(content: bytes, data: st.DataObject) -> None:
    raw = bytearray(gzip.compress(content))
    for _ in range(data.draw(st.integers(0, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    unpacked = unpack(bytes(raw[: data.draw(st.integers(0, len(raw)))]), limit=100_000)
    assert len(unpacked.data) <= 100_000
