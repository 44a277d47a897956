from __future__ import annotations

import io
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from irkit.logs.flow import FlowReader, Flows
from irkit.logs.flow_parquet import read_parquet
from irkit.logs.flow_rows import flow_rows
from irkit.tables import FLOW
from tests.logs.builders import FLOW_HEADER, flow


def _read(content: bytes, fields: list[str] | None = None) -> list[Flows]:
    return list(FlowReader("f", fields).read(iter([content])))


def _rows(content: str, fields: list[str] | None = None) -> tuple[list[dict[str, Any]], list[str]]:
    found = _read(content.encode(), fields)
    rows = flow_rows([one.rows for one in found]).to_pylist()
    empty = dict.fromkeys(column.name for column in FLOW)
    return [empty | row for row in rows], [one.fault for each in found for one in each.lost]


def test_the_header_decides_the_fields_whatever_their_order() -> None:
    header = "bytes srcaddr tcp-flags dstaddr start some-new-field action"
    rows, lost = _rows(f"{header}\n700 10.0.0.5 19 203.0.113.9 1763632800 whatever ACCEPT\n")
    assert lost == []
    assert rows[0]["bytes"] == 700
    assert rows[0]["tcp_flags"] == 19
    assert rows[0]["direction"] == "out"
    assert rows[0]["external_ip"] == "203.0.113.9"
    assert rows[0]["start_ts"].isoformat() == "2025-11-20T10:00:00"


def test_records_without_a_header_are_version_2() -> None:
    rows, _ = _rows(flow("203.0.113.9", "10.0.0.5", 50000, 80, 7) + "\n")
    assert (rows[0]["srcport"], rows[0]["dstport"], rows[0]["direction"]) == (50000, 80, "in")


def test_the_timestamp_that_a_cloudwatch_export_puts_in_front_is_passed_over() -> None:
    rows, lost = _rows("2026-11-20T10:00:00.000Z " + flow("10.0.0.1", "10.0.0.2", 1, 2, 3) + "\n")
    assert lost == []
    assert (rows[0]["version"], rows[0]["bytes"]) == (2, 3)


def test_a_dash_is_no_value() -> None:
    rows, _ = _rows(f"{FLOW_HEADER}\n2 111122223333 eni-1 - - - - - - - 1763632800 1763632860 - NODATA\n")
    assert rows[0]["srcaddr"] is None
    assert rows[0]["bytes"] is None
    assert rows[0]["log_status"] == "NODATA"


@pytest.mark.parametrize(
    ("address", "inside"),
    [
        ("10.1.2.3", True),
        ("172.16.0.1", True),
        ("172.31.255.1", True),
        ("172.32.0.1", False),
        ("192.168.1.1", True),
        ("100.64.0.1", True),
        ("100.128.0.1", False),
        ("169.254.169.254", True),
        ("198.18.0.1", False),
        ("fd00:ec2::254", True),
        ("fe80::1", True),
        ("2001:db8::1", False),
    ],
)
def test_inside_and_outside_addresses_are_told_apart(address: str, inside: bool) -> None:
    rows, _ = _rows(f"srcaddr dstaddr start\n{address} 10.9.9.9 1763632800\n")
    assert rows[0]["direction"] == ("internal" if inside else "in")


def test_broken_lines_are_lost_alone_with_a_reason() -> None:
    good = flow("10.0.0.1", "10.0.0.2", 1, 2, 3)
    lines = [
        good,
        "2 111122223333 eni-1 10.0.0.1",
        good.replace(" 6 4 3 ", " 6 four 3 "),
        good + " \xff",
        FLOW_HEADER,
        good,
    ]
    rows, lost = _rows("\n".join([FLOW_HEADER, *lines]) + "\n")
    assert len(rows) == 2
    assert len(lost) == 3


def test_a_time_that_is_none_is_left_empty() -> None:
    rows, _ = _rows("srcaddr dstaddr start\n10.0.0.1 10.0.0.2 999999999999999\n")
    assert rows[0]["start_ts"] is None


@given(st.lists(st.text(max_size=60), max_size=6))
def test_any_lines_after_a_header_end_in_rows_or_lost_lines(lines: list[str]) -> None:
    content = "\n".join([FLOW_HEADER, *lines, flow("10.0.0.1", "10.0.0.2", 1, 2, 3), ""])
    found = _read(content.encode("utf-8", "replace"))
    good = sum(one.rows.num_rows for one in found)
    assert good >= 1
    assert good + sum(len(one.lost) for one in found) <= len(content.split("\n"))


def test_a_large_file_is_read_in_pieces_with_its_lines_numbered_through() -> None:
    lines = [flow("10.0.0.1", "203.0.113.9", 40000, 443, number) for number in range(400_000)]
    lines[399_999] = "torn"
    content = "\n".join([FLOW_HEADER, *lines, ""]).encode()
    pieces = iter([content[at : at + 1_000_003] for at in range(0, len(content), 1_000_003)])
    found = list(FlowReader("f").read(pieces))
    assert len(found) > 1
    assert sum(one.rows.num_rows for one in found) == 399_999
    assert [one.number for each in found for one in each.lost] == [400_001]


def test_fields_can_be_given_for_files_without_a_header() -> None:
    rows, _ = _rows("203.0.113.9 10.0.0.5 77\n", ["srcaddr", "dstaddr", "bytes"])
    assert (rows[0]["srcaddr"], rows[0]["bytes"]) == ("203.0.113.9", 77)


def test_another_number_of_fields_without_a_header_asks_for_the_format() -> None:
    with pytest.raises(ValueError, match="--format"):
        _rows("2 111122223333 eni-1 10.0.0.1 10.0.0.2\n")


def test_a_header_with_a_flipped_letter_is_still_version_2() -> None:
    header = FLOW_HEADER.replace("srcaddr", "srcXddr")
    rows, _ = _rows(header + "\n" + flow("203.0.113.9", "10.0.0.2", 1, 2, 3) + "\n")
    assert rows[0]["srcaddr"] == "203.0.113.9"


def test_a_number_too_large_for_its_column_is_no_value() -> None:
    rows, _ = _rows("srcaddr dstaddr srcport bytes\n10.0.0.1 10.0.0.2 99999999999 7\n")
    assert (rows[0]["srcport"], rows[0]["bytes"]) == (None, 7)


def test_every_field_of_every_version_has_its_column() -> None:
    columns = [column for column in FLOW if column.name not in ("direction", "external_ip", "src_file")]
    header = " ".join(column.name.removesuffix("_ts").replace("_", "-") for column in columns)
    values = " ".join("x" if column.type == "VARCHAR" else "7" for column in columns)
    rows, lost = _rows(f"{header}\n{values}\n")
    assert lost == []
    assert [name for name, value in rows[0].items() if value is None] == ["external_ip"]


def test_parquet_is_read_like_text() -> None:
    table = pa.table(
        {
            "version": [5],
            "srcaddr": ["10.0.0.5"],
            "dstaddr": ["203.0.113.9"],
            "dstport": [443],
            "bytes": [700],
            "start": [1763632800],
            "end": [1763632860],
            "pkt_srcaddr": ["10.0.0.5"],
            "tcp_flags": [19],
            "unknown_field": ["x"],
        }
    )
    sink = io.BytesIO()
    pq.write_table(table, sink)
    (row,) = flow_rows([one.rows for one in read_parquet("f", sink.getvalue())]).to_pylist()
    assert (row["direction"], row["external_ip"], row["dstport"]) == ("out", "203.0.113.9", 443)
    assert row["start_ts"].isoformat() == "2025-11-20T10:00:00"


@pytest.mark.parametrize("content", [b"PAR1", b"PAR1 and nothing more PAR1"])
def test_parquet_that_is_broken_is_refused_in_words(content: bytes) -> None:
    with pytest.raises(ValueError, match="damaged Parquet"):
        list(read_parquet("f", content))
