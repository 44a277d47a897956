# ruff: noqa: S608 - SQL is put together from our own column names and quoted paths; values are bound
"""Batches of files, decoded and written as Parquet parts, a file a day; no record twice.

A part becomes visible by a rename after it is whole; the ledger's line makes the batch count.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from irkit.durable import sync_folder
from irkit.errors import StorageError
from irkit.escape import for_terminal
from irkit.logs import cloudtrail, flow
from irkit.logs.ledger import Batch, Taken
from irkit.tables import file_pattern, quoted

if TYPE_CHECKING:
    import duckdb

# 128 bits of a hash stand for the pair, so that millions of them fit in memory.
_KEY = (
    "md5_number(coalesce(event_id, src_file || '#' || cast(rec_no as varchar)) || '|' || "
    "coalesce(recipient_account_id, ''))"
)
_DEDUPLICATE = f"""
create or replace temp table rows as
select * exclude (copy) from (
    select *, row_number() over (partition by {_KEY} order by event_time, src_file, rec_no) as copy
    from rows where {_KEY} not in (select key from seen)
) where copy = 1
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A batch whose parts are in place, and what it holds."""

    batch: Batch
    lost: list[cloudtrail.LostRecord]
    first: datetime | None
    last: datetime | None
    regions: list[str]
    accounts: list[str]


class BatchWriter:
    """Writes batches into one tables folder, from several threads if need be."""

    def __init__(self, into: Path, con: duckdb.DuckDBPyConnection) -> None:
        self._into = into
        self._con = con
        self._deduplicate = threading.Lock()
        self.clear()
        con.execute("create table seen (key uhugeint)").fetchall()
        parts = sorted((into / "cloudtrail").glob("**/*.parquet"))
        if parts:
            listed = ", ".join(file_pattern(part) for part in parts)
            con.execute(
                f"insert into seen select {_KEY} from read_parquet([{listed}], union_by_name=true)"
            ).fetchall()

    def clear(self) -> None:
        """Remove what a run, this one or one that was killed, has left half-written."""
        shutil.rmtree(self._into / ".staging", ignore_errors=True)

    def trail(self, taken: list[tuple[Taken, cloudtrail.Document]]) -> Written:
        """Write CloudTrail records and the edges among them."""
        files = [file for file, _ in taken]
        with self._con.cursor() as cursor:
            lost = cloudtrail.decode(cursor, [document for _, document in taken])
            before = _count(cursor)
            with self._deduplicate:
                cursor.execute(_DEDUPLICATE).fetchall()
                cursor.execute(f"insert into seen select {_KEY} from rows").fetchall()
            parts = self._parts(cursor, "cloudtrail", files, cloudtrail.SELECT_ROWS, "event_time")
            parts += self._parts(cursor, "edge", files, cloudtrail.SELECT_EDGES, "event_time")
            count = _count(cursor)
            batch = Batch(
                id=_batch_id(files), parts=parts, files=files, rows=count, duplicates=before - count
            )
            return _written(cursor, batch, lost, ("event_time", "aws_region", "recipient_account_id"))

    def flows(self, taken: list[tuple[Taken, flow.Flows]]) -> Written:
        """Write flow records."""
        files = [file for file, _ in taken]
        with self._con.cursor() as cursor:
            flow.fill(cursor, [found.rows for _, found in taken])
            parts = self._parts(cursor, "flow", files, "select * from rows", "start_ts")
            batch = Batch(id=_batch_id(files), parts=parts, files=files, rows=_count(cursor))
            lost = [one for _, found in taken for one in found.lost]
            return _written(cursor, batch, lost, ("start_ts", "region", "account_id"))

    def _parts(
        self, cursor: duckdb.DuckDBPyConnection, table: str, files: list[Taken], select: str, when: str
    ) -> list[str]:
        """Write the rows that `select` gives and move them in place; their paths within the folder."""
        batch = _batch_id(files)
        staging = self._into / ".staging" / batch / table
        staging.mkdir(parents=True, exist_ok=True)
        with _full_disk(self._into):
            cursor.execute(
                f"copy (select *, coalesce(strftime({when}, '%Y-%m-%d'), 'unknown') as day from ({select})"
                f" order by {when}) to {quoted(str(staging))}"
                " (format parquet, compression zstd, partition_by (day), overwrite_or_ignore)"
            ).fetchall()
        parts: list[str] = []
        for number, written in enumerate(sorted(staging.glob("day=*/*.parquet"))):
            part = f"{table}/{written.parent.name}/part-{batch}-{number}.parquet"
            place = self._into / part
            place.parent.mkdir(parents=True, exist_ok=True)
            # The ledger will say that the part is there; it must be, even after a power cut.
            with written.open("rb") as file:
                os.fsync(file.fileno())
            written.replace(place)
            sync_folder(place.parent)
            parts.append(part)
        return parts


@contextmanager
def _full_disk(folder: Path) -> Iterator[None]:
    """Raise `StorageError` in place of DuckDB's word for a full disk or a lost folder."""
    import duckdb

    try:
        yield
    except duckdb.IOException as error:
        raise StorageError(
            f"cannot write tables at {folder} ({for_terminal(error)[:120]})",
            hint="free some space and run the same command again, it goes on where it stopped",
        ) from error


def _batch_id(files: list[Taken]) -> str:
    return hashlib.sha256("".join(sorted(file.sha256 for file in files)).encode()).hexdigest()[:16]


def _count(cursor: duckdb.DuckDBPyConnection) -> int:
    return int(cursor.execute("select count(*) from rows").fetchall()[0][0])


def _written(
    cursor: duckdb.DuckDBPyConnection,
    batch: Batch,
    lost: list[cloudtrail.LostRecord],
    names: tuple[str, str, str],
) -> Written:
    when, region, account = names
    first, last, regions, accounts = cursor.execute(
        f"select min({when}), max({when}), list(distinct {region}), list(distinct {account}) from rows"
    ).fetchall()[0]
    return Written(
        batch=batch,
        lost=lost,
        first=first.replace(tzinfo=UTC) if first else None,
        last=last.replace(tzinfo=UTC) if last else None,
        regions=[r for r in regions or () if r],
        accounts=[a for a in accounts or () if a],
    )
