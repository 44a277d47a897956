from __future__ import annotations

import gzip
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from irkit.logs.unpack import Unpacking, head_of


@dataclass
class _Unpacked:
    data: bytes
    fault: str | None


def unpack(raw: bytes | Path, *, limit: int = 10_000_000) -> _Unpacked:
    pieces = Unpacking(raw, limit=limit)
    data = b"".join(pieces)
    return _Unpacked(data, pieces.fault)


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
    assert len(unpacked.data) <= 1_000_000
    assert "1,000,000" in (unpacked.fault or "")


def test_a_bomb_that_lies_about_its_size_is_stopped_too() -> None:
    raw = bytearray(gzip.compress(bytes(8_000_000)))
    raw[-4:] = (1000).to_bytes(4, "little")
    assert len(unpack(bytes(raw), limit=1_000_000).data) <= 1_000_000


@given(st.binary(max_size=3000), st.data())
def test_any_damage_to_a_gzip_ends_in_a_result_never_in_an_error(content: bytes, data: st.DataObject) -> None:
    raw = bytearray(gzip.compress(content))
    for _ in range(data.draw(st.integers(0, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    unpacked = unpack(bytes(raw[: data.draw(st.integers(0, len(raw)))]), limit=100_000)
    assert len(unpacked.data) <= 100_000


@pytest.mark.parametrize("codec", ["gzip", "zstd"])
def test_a_large_file_comes_in_pieces_and_whole(codec: str, tmp_path: Path) -> None:
    whole = b"".join(b"%d," % number for number in range(3_000_000))
    path = tmp_path / "large"
    path.write_bytes(gzip.compress(whole, 1) if codec == "gzip" else pa.compress(whole, codec, asbytes=True))
    pieces = list(Unpacking(path))
    assert b"".join(pieces) == whole
    assert len(pieces) > 1
    assert max(map(len, pieces)) <= 4 * 1024**2


def test_zstd_is_decompressed_and_a_truncated_one_says_so() -> None:
    whole = bytes(range(256)) * 40_000
    packed = pa.compress(whole, "zstd", asbytes=True)
    assert unpack(packed, limit=20_000_000).data == whole
    cut = unpack(packed[:-10], limit=20_000_000)
    assert whole.startswith(cut.data)
    assert cut.fault is not None


def test_the_head_of_a_packed_file_is_had_without_the_rest() -> None:
    whole = b"0123456789" * 1_000_000
    for packed in (whole, gzip.compress(whole), pa.compress(whole, "zstd", asbytes=True)):
        assert whole.startswith(head_of(packed))
        assert len(head_of(packed)) >= 64 * 1024
    assert head_of(b"\x1f\x8bnonsense") == b""


def test_the_claim_of_a_second_member_does_not_hide_it() -> None:
    # Both members have the same size, so that the trailer's claim fits the first.
    assert unpack(gzip.compress(b"one") + gzip.compress(b"two")).data == b"onetwo"
    assert unpack(gzip.compress(b"one") + gzip.compress(b"one")).data == b"oneone"
