"""Input that is broken, hostile or enormous: no crash, no good record lost, memory bounded, everything counted."""

from __future__ import annotations

import gzip
import json
import random
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from irkit.logs import IngestReport, ingest
from irkit.logs.recognise import Shape
from irkit.logs.records import cuts
from irkit.tables import Tables
from tests.logs.builders import DATASETS, record, write
from tests.logs.damage import (
    TEXT_DAMAGES,
    as_lines,
    as_object,
    intact,
    packed_then_damaged,
    text_of,
)

GIB = 1024**3


def _ids(into: Path) -> set[str]:
    with Tables.open(into) as tables:
        return {row[0] for row in tables.rows("select event_id from cloudtrail")}


def _add_up(report: IngestReport, into: Path) -> None:
    """Every record lost is in the quarantine with a reason, every broken file is kept there, every row is counted."""
    listed = into / "quarantine" / "records.jsonl"
    lines = [json.loads(line) for line in listed.read_text().splitlines()] if listed.exists() else []
    assert len(lines) == report.lost_records
    assert all(line["fault"] and line["file"] for line in lines)
    files = into / "quarantine" / "files.jsonl"
    for line in files.read_text().splitlines() if files.exists() else ():
        assert (into / json.loads(line)["kept"]).is_file()
    with Tables.open(into) as tables:
        assert tables.rows("select count(*) from cloudtrail") == [(report.records,)]


def _damaged(folder: Path, count: int, seed: int, sources: list[list[dict[str, Any]]]) -> set[str]:
    """`count` damaged files; returns the ids of the records that are still whole in them."""
    rng = random.Random(seed)
    safe: set[str] = set()
    folder.mkdir(parents=True)
    for number in range(count):
        records = rng.choice(sources)
        texts = [text_of(one) for one in records]
        plain = rng.choice((as_object, as_lines))(texts)
        if rng.random() < 0.3:
            content = packed_then_damaged(plain, rng)
            plain = _unpacked(content)
            path = folder / f"{number}.json.gz"
        else:
            plain = content = rng.choice(TEXT_DAMAGES)(plain, rng)
            path = folder / f"{number}.json"
        path.write_bytes(content)
        safe |= intact(plain, records, texts)
    return safe


def _unpacked(content: bytes) -> bytes:
    """What zlib gets out of damaged gzip, up to the damage; nothing where the head is damaged."""
    stream = zlib.decompressobj(wbits=31)
    found = bytearray()
    try:
        for at in range(0, len(content), 64):
            found += stream.decompress(content[at : at + 64])
    except zlib.error:
        pass
    return bytes(found) if content.startswith(b"\x1f\x8b") else b""


def test_damaged_files_lose_nothing_that_is_whole(tmp_path: Path) -> None:
    sources = [[record(minutes=n) for n in range(6)] for _ in range(40)]
    safe = _damaged(tmp_path / "raw", 120, 7, sources)
    report = ingest(tmp_path / "raw", tmp_path / "tables")
    assert safe - _ids(tmp_path / "tables") == set()
    _add_up(report, tmp_path / "tables")


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(4))
def test_a_thousand_damaged_real_files_lose_nothing_that_is_whole(seed: int, tmp_path: Path) -> None:
    sources = [records for path in sorted(DATASETS.rglob("*.json")) if (records := _records(path))]
    if not sources:
        sources = [[record(minutes=n) for n in range(rng)] for rng in range(1, 60)]
    safe = _damaged(tmp_path / "raw", 250, seed, sources)
    report = ingest(tmp_path / "raw", tmp_path / "tables")
    assert safe - _ids(tmp_path / "tables") == set()
    _add_up(report, tmp_path / "tables")


def _records(path: Path) -> list[dict[str, Any]]:
    content = json.loads(path.read_text())
    return [one for one in (content["Records"] if isinstance(content, dict) else content) if "eventID" in one]


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_bytes_between_good_records_cost_at_most_their_neighbours(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("any")
    good = [record(minutes=n) for n in range(4)]
    middle = data.draw(st.binary(max_size=60))
    texts = [text_of(one).encode() for one in good]
    content = b'{"Records":[' + b",".join([*texts[:2], middle, *texts[2:]]) + b"]}"
    write(folder / "raw/a.json", content)
    report = ingest(folder / "raw", folder / "tables")
    # What opens a string or an object before a record makes that record its content.
    assert {good[0]["eventID"], good[1]["eventID"], good[3]["eventID"]} <= _ids(folder / "tables")
    _add_up(report, folder / "tables")


@settings(max_examples=60, deadline=None)
@given(st.sampled_from([Shape.OBJECT, Shape.ARRAY, Shape.LINES]), st.binary(max_size=300), st.data())
def test_cuts_lose_no_byte_whatever_the_pieces(shape: Shape, noise: bytes, data: st.DataObject) -> None:
    content = as_object([text_of(record())] * 3) + noise
    at = data.draw(st.integers(0, len(content)))
    pieces = [piece for piece in (content[:at], content[at:]) if piece]
    (one,) = cuts(iter(pieces), shape)
    assert bytes(one.text) in content
    assert len(content) - len(one.text) <= 12 + 2 + len(noise)


@pytest.mark.parametrize("depth", [10_000, 200_000])
def test_nesting_beyond_measure_costs_at_most_its_own_record(depth: int, tmp_path: Path) -> None:
    deep = '{"a":' * depth + "1" + "}" * depth
    good = [record(), record()]
    texts = [text_of(good[0]), text_of(record(request="@")).replace('"@"', deep), text_of(good[1])]
    write(tmp_path / "raw/a.json.gz", as_object(texts))
    write(tmp_path / "raw/b.json", ("[" * depth).encode())
    report = ingest(tmp_path / "raw", tmp_path / "tables")
    assert {one["eventID"] for one in good} <= _ids(tmp_path / "tables")
    assert report.records + report.lost_records >= 3


def test_the_records_of_a_second_gzip_member_are_read(tmp_path: Path) -> None:
    first, second = record(), record()
    packed = gzip.compress(f"{text_of(first)}\n".encode()) + gzip.compress(f"{text_of(second)}\n".encode())
    write(tmp_path / "raw/a.jsonl.gz", packed, packed=False)
    ingest(tmp_path / "raw", tmp_path / "tables")
    assert _ids(tmp_path / "tables") == {first["eventID"], second["eventID"]}


# Not ru_maxrss: that of a process that was started remembers the memory of the one that started it.
_MEASURED = """
import pathlib, re, sys
from irkit.logs import ingest
report = ingest(sys.argv[1], pathlib.Path(sys.argv[2]))
peak = int(re.search(r"VmHWM:\\s+(\\d+)", pathlib.Path("/proc/self/status").read_text())[1])
print(report.records, report.flows, report.lost_records, len(report.quarantined), peak // 1024)
for one in report.quarantined: print(one.reason, file=sys.stderr)
"""


def _measured(raw: Path, into: Path) -> tuple[list[int], str]:
    """Records, flows, lost records, quarantined files and peak MiB of an ingest in a process of its own."""
    ran = subprocess.run(
        [sys.executable, "-c", _MEASURED, str(raw), str(into)],
        capture_output=True,
        text=True,
        timeout=170,
        check=True,
    )
    return [int(word) for word in ran.stdout.split()], ran.stderr


def _bomb(path: Path, size: int, head: bytes, filler: bytes, tail: bytes = b"") -> Path:
    """A gzip file of `head`, `filler` over and over until `size` bytes, and `tail`; a few MB on disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    packer = zlib.compressobj(1, wbits=31)
    block = filler * (1024**2 // len(filler))
    with path.open("wb") as file:
        file.write(packer.compress(head))
        for _ in range(size // len(block)):
            file.write(packer.compress(block))
        file.write(packer.compress(tail))
        file.write(packer.flush())
    return path


def test_a_bomb_of_blanks_is_stopped_in_bounded_memory_and_the_rest_is_taken(tmp_path: Path) -> None:
    _bomb(tmp_path / "raw/bomb.json.gz", GIB // 4, b'{"Records":[' + text_of(record()).encode(), b" ")
    write(tmp_path / "raw/good.json.gz", as_object([text_of(record())]))
    (records, _, _, quarantined, peak), why = _measured(tmp_path / "raw", tmp_path / "tables")
    assert records >= 1
    assert quarantined == 1
    assert "no record ends within" in why
    assert peak < 1024


@pytest.mark.soak
def test_a_bomb_of_five_gib_is_stopped_in_bounded_memory(tmp_path: Path) -> None:
    bomb = _bomb(tmp_path / "raw/bomb.json.gz", 5 * GIB, b'{"Records":[', b" ")
    assert bomb.stat().st_size < 40_000_000
    write(tmp_path / "raw/good.json.gz", as_object([text_of(record())]))
    (records, _, _, quarantined, peak), _ = _measured(tmp_path / "raw", tmp_path / "tables")
    assert (records, quarantined) == (1, 1)
    assert peak < 1024


@pytest.mark.soak
def test_one_file_of_a_gigabyte_of_records_is_read_whole_in_bounded_memory(tmp_path: Path) -> None:
    text = text_of(record(request={"filler": "x" * 3000})).encode()
    count = 250_000
    path = tmp_path / "raw/large.json.gz"
    path.parent.mkdir()
    packer = zlib.compressobj(1, wbits=31)
    with path.open("wb") as file:
        file.write(packer.compress(b'{"Records":['))
        for number in range(count):
            one = text.replace(b"11111111-1111-4111-8111", f"{number:08x}-1111-4111-8111".encode())
            file.write(packer.compress((b"," if number else b"") + one))
        file.write(packer.compress(b"]}") + packer.flush())
    (records, _, lost, quarantined, peak), _ = _measured(tmp_path / "raw", tmp_path / "tables")
    assert (records, lost, quarantined) == (count, 0, 0)
    assert peak < 1024


@pytest.mark.soak
def test_one_file_of_many_flow_records_is_read_whole_in_bounded_memory(tmp_path: Path) -> None:
    from tests.logs.builders import FLOW_HEADER, flow

    line = flow("10.0.0.1", "203.0.113.9", 40000, 443, 700).encode() + b"\n"
    block = line * (1024**2 // len(line))
    _bomb(tmp_path / "raw/large.log.gz", GIB, FLOW_HEADER.encode() + b"\n", line)
    (_, flows, lost, quarantined, peak), _ = _measured(tmp_path / "raw", tmp_path / "tables")
    assert (lost, quarantined) == (0, 0)
    assert flows == GIB // len(block) * (len(block) // len(line))
    assert peak < 512
