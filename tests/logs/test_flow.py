from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from irkit.logs.flow import fill, read_flows
from irkit.tables import FLOW, connection
from tests.logs.builders import FLOW_HEADER, flow


def _rows(content: str) -> tuple[list[dict[str, Any]], list[str]]:
    read = read_flows("f", content.encode())
    with connection() as con:
        fill(con, [read.rows])
        rows = con.execute("select * from rows").fetchall()
    return [dict(zip((c.name for c in FLOW), row, strict=True)) for row in rows], [
        one.fault for one in read.lost
    ]


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
    read = read_flows("f", content.encode("utf-8", "replace"))
    assert read.rows.num_rows >= 1
