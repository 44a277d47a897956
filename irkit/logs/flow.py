"""VPC flow records, from text or Parquet to typed rows, by way of Arrow.

The header line names the fields, in any order and with custom formats; without one (CloudWatch Logs) the fields are
those that the caller names, or version 2's. `-` is no value. Text columns are dictionaries from the parser on: a few
addresses make up millions of lines, and what is derived from an address is reckoned once for each.

References:
    https://docs.aws.amazon.com/vpc/latest/userguide/flow-log-records.html (fields of versions 2 to 10)
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from irkit.logs.lost import LostRecord
from irkit.logs.recognise import BOM
from irkit.tables import FLOW

if TYPE_CHECKING:
    import pyarrow as pa

VERSION_2 = (
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
)
FRAGMENT = 24 * 1024**2
_EXPORTED = "export-timestamp"
_SHORT_NUMBERS = {c.name for c in FLOW if c.type == "INTEGER"}
_LONG_NUMBERS = {c.name for c in FLOW if c.type == "BIGINT"} | {"start", "end"}
_KNOWN = {c.name for c in FLOW} | {"start", "end"}
_TIMESTAMP = re.compile(rb"\d{4}-\d\d-\d\dT[\d:.]+Z$")
_LONGEST_LINE = 64 * 1024
# A header that was damaged in few places is still version 2's.
_ALIKE = 11


@dataclass(frozen=True, slots=True, kw_only=True)
class Flows:
    """Records as parsed (`start` and `end` are seconds), and the lines that are none."""

    rows: pa.Table
    lost: list[LostRecord]


@dataclass(slots=True)
class FlowReader:
    """Reads one file of flow records, piece by piece; `fields` are used when the file does not name them."""

    name: str
    fields: Sequence[str] | None = None
    _header: list[str] = field(default_factory=list)
    _line: int = 1
    _headed: bool = False

    def read(self, pieces: Iterator[bytes | bytearray]) -> Iterator[Flows]:
        """The records of `pieces`. Raises `ValueError` where the fields cannot be told."""
        rest: bytes | bytearray = next(pieces, b"").removeprefix(BOM)
        for piece in pieces:
            if len(rest) >= FRAGMENT:
                cut = rest.rfind(b"\n") + 1
                if cut:
                    yield self._flows(rest[:cut])
                    self._line += rest.count(b"\n", 0, cut)
                    rest = rest[cut:]
                elif len(rest) > 2 * FRAGMENT:
                    raise ValueError(f"no line ends within {2 * FRAGMENT:,} bytes")
            rest = bytearray(rest) if isinstance(rest, bytes) else rest
            rest += piece
        if rest.strip():
            yield self._flows(rest)

    def _flows(self, text: bytes | bytearray) -> Flows:
        body = memoryview(text)
        if not self._header:
            self._header, begin = _header(bytes(text[:_LONGEST_LINE]), self.fields)
            body = body[begin:]
            self._headed = begin > 0
        else:
            self._headed = False
        first = self._line + self._headed
        lost: list[LostRecord] = []
        try:
            table = _parse(self._header, body, first, self.name, lost)
        except ValueError:  # pyarrow.ArrowInvalid is one
            sound, lost = _sound_lines(self.name, self._header, bytes(body), first=first)
            table = _parse(self._header, memoryview(sound), first, self.name, lost, exact=False)
        return Flows(rows=_named(table, self.name), lost=lost)


def _header(start: bytes, fields: Sequence[str] | None) -> tuple[list[str], int]:
    """The fields of the records, and where the records begin."""
    words = start.partition(b"\n")[0].split()
    if words and not words[0][:1].isdigit():
        named = [word.decode("ascii", "replace") for word in words]
        alike = sum(a == b for a, b in zip(named, VERSION_2, strict=False))
        begin = start.find(b"\n") + 1 or len(start)
        return list(VERSION_2) if len(named) == len(VERSION_2) and alike >= _ALIKE else named, begin
    exported = bool(words) and _TIMESTAMP.match(words[0]) is not None
    given = list(fields or VERSION_2)
    lines = [line for line in start.splitlines()[:20] if line.strip()]
    if lines and all(len(line.split()) != len(given) + exported for line in lines):
        raise ValueError(
            f"no header, and {len(words) - exported} fields where {len(given)} were expected; name them with --format"
        )
    return [_EXPORTED, *given] if exported else given, 0


def _column(name: str) -> str:
    return name.replace("-", "_")


def _parse(
    header: list[str], body: memoryview, first: int, name: str, lost: list[LostRecord], *, exact: bool = True
) -> pa.Table:
    import pyarrow as pa
    from pyarrow import csv

    text = pa.dictionary(pa.int32(), pa.string())
    short = pa.int32() if exact else pa.int64()
    names = [_column(one) for one in header]
    types = {
        one: short if one in _SHORT_NUMBERS else pa.int64() if one in _LONG_NUMBERS else text for one in names
    }
    if not bytes(body[:_LONGEST_LINE]).strip():
        return pa.table({one: pa.array([], kind) for one, kind in types.items()})

    def fault(row: Any) -> str:
        why = f"{row.actual_columns} fields where the header has {row.expected_columns}"
        lost.append(LostRecord(file=name, number=first + row.number - 1, fault=why, text=row.text))
        return "skip"

    table: pa.Table = csv.read_csv(
        pa.BufferReader(pa.py_buffer(body)),
        read_options=csv.ReadOptions(column_names=names, use_threads=False, block_size=4 << 20),
        parse_options=csv.ParseOptions(
            delimiter=" ", quote_char=False, double_quote=False, invalid_row_handler=fault
        ),
        convert_options=csv.ConvertOptions(
            column_types=types,
            null_values=["-", ""],
            strings_can_be_null=True,
            include_columns=[one for one in names if one in _KNOWN],
        ),
    )
    return table if exact else _narrowed(table)


def _narrowed(table: pa.Table) -> pa.Table:
    """`table` with 32-bit numbers where the schema has them; what does not fit is no value."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for name in _SHORT_NUMBERS.intersection(table.column_names):
        values = table[name]
        fits = pc.and_(pc.greater_equal(values, -(2**31)), pc.less(values, 2**31))
        fitting = pc.if_else(fits, values, pa.scalar(None, pa.int64())).cast(pa.int32())
        table = table.set_column(table.schema.get_field_index(name), name, fitting)
    return table


def _sound_lines(name: str, header: list[str], body: bytes, *, first: int) -> tuple[bytes, list[LostRecord]]:
    """The lines of `body` that have the header's fields, and the others with a reason; repeated headers are dropped."""
    numbers = _SHORT_NUMBERS | _LONG_NUMBERS
    whole = [index for index, one in enumerate(header) if _column(one) in numbers]
    repeated = [one.encode() for one in header]
    sound: list[bytes] = []
    lost: list[LostRecord] = []
    for number, line in enumerate(body.split(b"\n"), start=first):
        words = line.split()
        if not words or words == repeated:
            continue
        fault = None
        if len(words) != len(header):
            fault = f"{len(words)} fields where the header has {len(header)}"
        elif not line.isascii() or b"\0" in line:
            fault = "not ASCII"
        elif not all(words[i] == b"-" or (words[i].isdigit() and len(words[i]) < 19) for i in whole):
            fault = "a number field is no number"
        if fault:
            text = line.decode("utf-8", "replace")
            lost.append(LostRecord(file=name, number=number, fault=fault, text=text))
        else:
            sound.append(b" ".join(words))
    return b"\n".join(sound) + b"\n", lost


def _named(table: pa.Table, name: str) -> pa.Table:
    import pyarrow as pa

    known = table.select([column for column in table.column_names if column in _KNOWN])
    file = pa.DictionaryArray.from_arrays(
        pa.repeat(pa.scalar(0, pa.int32()), table.num_rows), pa.array([name], pa.string())
    )
    return known.append_column("src_file", file)
