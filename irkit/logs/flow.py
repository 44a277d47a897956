# ruff: noqa: S608 - SQL is put together from our own column names and quoted paths; values are bound
"""VPC flow records, from text to typed rows, by way of Arrow's CSV reader.

The header line names the fields, in any order and with custom formats; without one (CloudWatch exports) the records are
version 2, with or without the export's timestamp in front. `-` is no value.

References:
    https://docs.aws.amazon.com/vpc/latest/userguide/flow-log-records.html (fields of versions 2 to 10)
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from irkit.logs.cloudtrail import LostRecord
from irkit.tables import FLOW, Column

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

VERSION_2 = [
    "version",
    "account-id",
    "interface-id",
    "srcaddr",
    "dstaddr",
    "srcport",
    "dstport",
    "protocol",
    "packets",
    "bytes",
    "start",
    "end",
    "action",
    "log-status",
]
_EXPORTED = "export-timestamp"
_WHOLE = {c.name for c in FLOW if c.type in ("INTEGER", "BIGINT")} | {"start", "end"}
_KNOWN = {c.name for c in FLOW} | {"start", "end"}
_LATEST = 4_102_444_800  # 2100-01-01: what is later is no time
_TIMESTAMP = re.compile(rb"\d{4}-\d\d-\d\dT")

# RFC 1918, shared (RFC 6598), link-local, loopback, unique local and unspecified addresses, told from their text.
_INSIDE = (
    r"^(10\.|192\.168\.|172\.(1[6-9]|2[0-9]|3[01])\.|100\.(6[4-9]|[7-9][0-9]|1[01][0-9]|12[0-7])\.|169\.254\.|127\.|0\."
    r"|f[cd][0-9a-f]{2}:|fe[89ab][0-9a-f]:|::1$|::$)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Flows:
    """The records of one file and the lines that are none."""

    rows: pa.Table
    lost: list[LostRecord]


def read_flows(name: str, data: bytes) -> Flows:
    """The flow records of one file; columns are those of the `flow` table, with `start` and `end` as seconds."""
    header, body, headed = _header(data)
    lost: list[LostRecord] = []
    try:
        table = _parse(header, body)
    except ValueError:  # pyarrow.ArrowInvalid is one
        body, lost = _sound_lines(name, header, body, first=2 if headed else 1)
        table = _parse(header, body)
    return Flows(rows=_named(table, name), lost=lost)


def _header(data: bytes) -> tuple[list[str], bytes, bool]:
    first, _, rest = data.partition(b"\n")
    words = first.split()
    if words and not words[0][:1].isdigit():
        return [word.decode("ascii", "replace") for word in words], rest, True
    exported = bool(words) and _TIMESTAMP.match(words[0]) is not None
    return ([_EXPORTED, *VERSION_2] if exported else list(VERSION_2)), data, False


def _column(field: str) -> str:
    return field.replace("-", "_")


def _parse(header: list[str], body: bytes) -> pa.Table:
    import pyarrow as pa
    from pyarrow import csv

    names = [_column(field) for field in header]
    types = {name: pa.int64() if name in _WHOLE else pa.string() for name in names}
    if not body.strip():
        return pa.table({name: pa.array([], kind) for name, kind in types.items()})
    return csv.read_csv(
        pa.BufferReader(body),
        read_options=csv.ReadOptions(column_names=names, use_threads=False, block_size=8 << 20),
        parse_options=csv.ParseOptions(delimiter=" ", quote_char=False, double_quote=False),
        convert_options=csv.ConvertOptions(
            column_types=types, null_values=["-", ""], strings_can_be_null=True
        ),
    )


def _sound_lines(name: str, header: list[str], body: bytes, *, first: int) -> tuple[bytes, list[LostRecord]]:
    """The lines of `body` that have the header's fields, and the others with a reason; repeated headers are dropped."""
    whole = [index for index, field in enumerate(header) if _column(field) in _WHOLE]
    repeated = [field.encode() for field in header]
    sound: list[bytes] = []
    lost: list[LostRecord] = []
    for number, line in enumerate(body.split(b"\n"), start=first):
        words = line.split()
        if not words or words == repeated:
            continue
        fault = None
        if len(words) != len(header):
            fault = f"{len(words)} fields where the header has {len(header)}"
        elif not line.isascii():
            fault = "not ASCII"
        elif not all(words[i] == b"-" or (words[i].isdigit() and len(words[i]) < 19) for i in whole):
            fault = "a number field is no number"
        if fault:
            lost.append(
                LostRecord(file=name, number=number, fault=fault, text=line.decode("utf-8", "replace"))
            )
        else:
            sound.append(b" ".join(words))
    return b"\n".join(sound) + b"\n", lost


def _named(table: pa.Table, name: str) -> pa.Table:
    import pyarrow as pa

    unknown = [column for column in table.column_names if column not in _KNOWN]
    return table.drop_columns(unknown).append_column("src_file", pa.repeat(pa.scalar(name), table.num_rows))


def fill(cursor: duckdb.DuckDBPyConnection, parts: list[pa.Table]) -> None:
    """Fill the cursor's temporary table `rows` with the `flow` table's columns from what `read_flows` gave."""
    import pyarrow as pa

    table = pa.concat_tables(parts, promote_options="default")
    have = set(table.column_names)
    made = [f'{_made(column, have)} as "{column.name}"' for column in FLOW]
    inside = ", ".join(
        f"regexp_matches({end}addr, '{_INSIDE}') as {end}_inside"
        if f"{end}addr" in have
        else f"null as {end}_inside"
        for end in ("src", "dst")
    )
    cursor.register("flows_read", table)
    cursor.execute(
        f"create or replace temp table rows as select {', '.join(made)} from (select *, {inside} from flows_read)"
    ).fetchall()
    cursor.unregister("flows_read")


def _made(column: Column, have: set[str]) -> str:
    """SQL for one column of the `flow` table from the fields that the files have."""
    match column.name:
        case "start_ts" | "end_ts" if (field := column.name.removesuffix("_ts")) in have:
            return f'case when "{field}" between 0 and {_LATEST} then make_timestamp("{field}" * 1000000) end'
        case "direction":
            return (
                "case when src_inside and dst_inside then 'internal' when src_inside then 'out'"
                " when dst_inside then 'in' when src_inside is not null then 'outside' end"
            )
        case "external_ip" if {"srcaddr", "dstaddr"} <= have:
            return (
                "case when src_inside and not dst_inside then dstaddr"
                " when dst_inside and not src_inside then srcaddr end"
            )
        case name if name in have:
            return f'try_cast("{name}" as {column.type})'
    return f"cast(null as {column.type})"
