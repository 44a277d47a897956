"""A group of files, decoded and written as Parquet parts; the ledger's line that names them makes the group count."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from irkit.logs import cloudtrail
from irkit.logs.flow import FlowReader, Flows
from irkit.logs.flow_parquet import read_parquet
from irkit.logs.flow_rows import flow_rows
from irkit.logs.ledger import Batch, Taken
from irkit.logs.lines import read_lines
from irkit.logs.lost import LostRecord
from irkit.logs.parts import DayRows, PartWriter, by_day
from irkit.logs.peel import peeled
from irkit.logs.recognise import Shape
from irkit.logs.records import RecordTexts, cuts
from irkit.logs.seen import Seen, Turns
from irkit.logs.sources import LogFile
from irkit.logs.unpack import Content, Unpacking
from irkit.tables import TableName

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

_FLUSH_BYTES = 32 * 1024**2
_FLUSH_ROWS = 200_000
_PEELED_MOST = 192 * 1024**2
TABLE_OF: dict[Shape, TableName] = {
    Shape.FLOW: "flow",
    Shape.FLOW_PARQUET: "flow",
    Shape.S3_ACCESS: "s3_access",
    Shape.ELB: "elb",
    Shape.DNS: "dns",
}
_PEELED = (Shape.WRAPPED, Shape.EXPORTED, Shape.CSV)
_REGION: dict[TableName, str] = {"flow": "region", "dns": "aws_region", "cloudtrail": "aws_region"}
_ACCOUNT: dict[TableName, str] = {
    "flow": "account_id",
    "dns": "account_id",
    "cloudtrail": "recipient_account_id",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """One file, here: in memory, or on disk if it is large."""

    file: LogFile
    content: Content
    sha256: str
    shape: Shape
    kept_as: str | None = None


@dataclass(slots=True, kw_only=True)
class Written:
    """What became of a group; its parts are in place."""

    batch: Batch
    rows: Counter[TableName] = field(default_factory=Counter)
    bytes: int = 0
    lost: list[LostRecord] = field(default_factory=list)
    first: datetime | None = None
    last: datetime | None = None
    regions: set[str] = field(default_factory=set)
    accounts: set[str] = field(default_factory=set)


class GroupWriter:
    """Writes groups into one tables folder, from several threads if need be."""

    def __init__(
        self, into: Path, con: duckdb.DuckDBPyConnection, *, limit: int, fields: Sequence[str] | None = None
    ) -> None:
        self.con = con
        self.seen = Seen(into, con)
        self.turns = Turns()
        self.parts = PartWriter(into)
        self.limit = limit
        self.fields = fields

    def write(self, number: int, files: list[Fetched]) -> Written:
        """Write the files of group `number`; groups pass the search for duplicates in the order of their numbers."""
        with self.turns.of(number), self.con.cursor() as cursor:
            return _Writing(self, cursor, number, files).run()


class _Writing:
    """One group under way."""

    def __init__(
        self, writer: GroupWriter, cursor: duckdb.DuckDBPyConnection, number: int, files: list[Fetched]
    ) -> None:
        self._writer = writer
        self._cursor = cursor
        self._number = number
        self._files = files
        whole = hashlib.sha256("".join(sorted(one.sha256 for one in files)).encode()).hexdigest()
        self._id = whole[:16]
        self._part_names: list[str] = []
        self._taken: list[Taken] = []
        self._duplicates = 0
        self._texts = RecordTexts()
        self._waiting: dict[TableName, list[pa.Table]] = {}
        self._sizes: Counter[TableName] = Counter()
        self._written = Written(batch=Batch(id=self._id, parts=[], files=[]))

    def run(self) -> Written:
        """Read, decode and write everything."""
        for one in self._files:
            fault = self._take(one)
            self._taken.append(
                Taken(
                    uri=one.file.uri,
                    size=one.file.size,
                    etag=one.file.etag,
                    sha256=one.sha256,
                    kind=TABLE_OF.get(one.shape, "cloudtrail"),
                    fault=fault,
                    kept_as=one.kept_as,
                )
            )
        self._flush_trail()
        for table in list(self._waiting):
            self._flush(table)
        self._written.batch = Batch(
            id=self._id,
            parts=self._part_names,
            files=self._taken,
            rows=self._written.rows.total(),
            duplicates=self._duplicates,
        )
        return self._written

    def _take(self, one: Fetched) -> str | None:
        """Read one file; what is wrong with it as a whole, if anything."""
        unpacking = Unpacking(one.content, limit=self._writer.limit)
        fault: str | None = None
        try:
            if one.shape is Shape.FLOW_PARQUET:
                self._parsed("flow", read_parquet(one.file.uri, one.content))
            else:
                fault = self._take_text(one, self._counted(unpacking))
        except (ValueError, RecursionError) as error:
            fault = str(error) or "nested too deeply"
        return unpacking.fault or fault

    def _counted(self, pieces: Unpacking) -> Iterator[bytes | bytearray]:
        for piece in pieces:
            self._written.bytes += len(piece)
            yield piece

    def _take_text(self, one: Fetched, pieces: Iterator[bytes | bytearray]) -> str | None:
        shape, uri, fault = one.shape, one.file.uri, None
        if shape in _PEELED:
            shape, inside, fault = self._peel(shape, pieces)
            pieces = iter((inside,))
        if shape is Shape.FLOW:
            reader = FlowReader(uri, self._writer.fields)
            self._parsed("flow", reader.read(pieces))
        elif shape in TABLE_OF:
            for found in read_lines(uri, shape, pieces):
                self._add(TABLE_OF[shape], found.rows, found.lost)
        else:
            first = 1
            for cut in cuts(pieces, shape):
                self._texts.add(uri, cut, first=first)
                first += len(cut.at) + 1
                if len(self._texts) >= _FLUSH_BYTES:
                    self._flush_trail()
        return fault

    def _peel(self, shape: Shape, pieces: Iterator[bytes | bytearray]) -> tuple[Shape, bytes, str | None]:
        whole = bytearray()
        for piece in pieces:
            whole += piece
            if len(whole) > _PEELED_MOST:
                raise ValueError(
                    f"records inside other records, and more than {_PEELED_MOST:,} bytes of them"
                )
        return peeled(shape, bytes(whole))

    def _parsed(self, table: TableName, found: Iterator[Flows]) -> None:
        for flows in found:
            self._add(table, flows.rows, flows.lost)

    def _add(self, table: TableName, rows: pa.Table, lost: list[LostRecord]) -> None:
        self._written.lost += lost
        if rows.num_rows:
            self._waiting.setdefault(table, []).append(rows)
            self._sizes[table] += rows.num_rows
        if self._sizes[table] >= _FLUSH_ROWS:
            self._flush(table)

    def _flush(self, table: TableName) -> None:
        import pyarrow as pa

        tables = self._waiting.pop(table, [])
        self._sizes[table] = 0
        if tables:
            rows = flow_rows(tables) if table == "flow" else pa.concat_tables(tables)
            self._store(table, by_day(table, rows))

    def _flush_trail(self) -> None:
        texts, self._texts = self._texts, RecordTexts()
        if not texts.count:
            return
        decoded = cloudtrail.decode(self._cursor, texts)
        del texts
        self._written.lost += decoded.lost
        self._writer.turns.wait(self._number)
        days: list[DayRows] = []
        for made in by_day("cloudtrail", decoded.rows):
            new = self._writer.seen.new(made.rows, made.day)
            count = int(new.sum())
            self._duplicates += len(new) - count
            if count:
                days.append(DayRows(made.day, made.rows if count == len(new) else made.rows.filter(new)))
        self._store("cloudtrail", days)
        issued = cloudtrail.edges(self._cursor, [made.rows for made in days])
        if issued is not None:
            self._store("edge", by_day("edge", issued))

    def _store(self, table: TableName, days: list[DayRows]) -> None:
        for made in days:
            if not made.rows.num_rows:
                continue
            name = f"{self._id}-{len(self._part_names)}"
            self._part_names.append(self._writer.parts.write(table, made, name))
            if table != "edge":
                self._written.rows[table] += made.rows.num_rows
                self._note(table, made.rows)

    def _note(self, table: TableName, rows: pa.Table) -> None:
        """Keep in mind the time, the regions and the accounts of `rows`."""
        import pyarrow.compute as pc

        written = self._written
        when = "start_ts" if table == "flow" else "event_time"
        if when in rows.column_names:
            range_ = pc.min_max(rows[when]).as_py()
            if range_["min"] is not None:
                first, last = (range_[end].replace(tzinfo=UTC) for end in ("min", "max"))
                written.first = min(written.first or first, first)
                written.last = max(written.last or last, last)
        for name, into in ((_REGION.get(table), written.regions), (_ACCOUNT.get(table), written.accounts)):
            if name in rows.column_names:
                into.update(value for value in pc.unique(rows[name]).to_pylist() if value)
