"""Rows as Parquet parts, a file a day, that become visible whole."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from irkit.durable import sync_folder
from irkit.errors import StorageError
from irkit.escape import for_terminal
from irkit.tables import SCHEMAS, TableName

if TYPE_CHECKING:
    import pyarrow as pa

WHEN: dict[TableName, str] = {"flow": "start_ts"}
_NO_DAY = "unknown"
_LAST_DAY = 2**31 - 1
# Nearly every value is another: a dictionary would be built for nothing.
_DISTINCT = frozenset(
    [
        "event_time",
        "event_id",
        "request_id",
        "shared_event_id",
        "rec_no",
        "object_key",
        "start_ts",
        "end_ts",
        "bytes",
        "packets",
        "raw",
        "host_id",
        "request_uri",
        "url",
        "trace_id",
        "bytes_in",
        "bytes_out",
        "srcport",
        "dstport",
        "client_port",
        "source_port",
        "request_parameters",
        "additional_event_data",
        "response_elements",
    ]
)
_ROWS_PER_GROUP = 512 * 1024


@dataclass(frozen=True, slots=True)
class DayRows:
    """The rows of one day, as `2026-11-20`, or `unknown`."""

    day: str
    rows: pa.Table


def by_day(table: TableName, rows: pa.Table) -> list[DayRows]:
    """`rows` split by the day of their time."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    when = WHEN.get(table, "event_time")
    if when not in rows.column_names:
        return [DayRows(_NO_DAY, rows)]
    days = rows[when].cast(pa.date32(), safe=False).cast(pa.int32()).combine_chunks()
    distinct = pc.unique(days).to_pylist()
    if len(distinct) == 1:
        return [DayRows(_named(distinct[0]), rows)]
    # Sorted once and sliced: to filter for each day would copy all columns as often as there are days.
    order = np.argsort(days.fill_null(_LAST_DAY).to_numpy(), kind="stable")
    counts = {found["values"]: found["counts"] for found in pc.value_counts(days).to_pylist()}
    rows, begin = rows.take(pa.array(order)), 0
    made: list[DayRows] = []
    for day in sorted(distinct, key=lambda day: (day is None, day)):
        made.append(DayRows(_named(day), rows.slice(begin, counts[day])))
        begin += counts[day]
    return made


def _own(rows: pa.Table) -> pa.Table:
    """`rows` without dictionaries that are larger than they are themselves: a part holds a dictionary whole."""
    import pyarrow as pa

    for index, column in enumerate(rows.columns):
        kept = pa.types.is_dictionary(column.type) and column.num_chunks
        if kept and len(column.chunk(0).dictionary) > rows.num_rows:
            rows = rows.set_column(index, rows.column_names[index], column.cast(column.type.value_type))
    return rows


def _named(day: int | None) -> str:
    from datetime import date, timedelta

    return _NO_DAY if day is None else (date(1970, 1, 1) + timedelta(days=day)).isoformat()


class PartWriter:
    """Writes parts into one tables folder; what is written and not named by the ledger counts for nothing."""

    def __init__(self, into: Path) -> None:
        self._into = into

    def write(self, table: TableName, made: DayRows, name: str) -> str:
        """Write `made` as a part called `name`; its path within the tables folder."""
        import pyarrow.parquet as pq

        part = f"{table}/day={made.day}/part-{name}.parquet"
        staged = self._into / ".staging" / f"{table}-{made.day}-{name}.parquet"
        rows = made.rows.select([c.name for c in SCHEMAS[table] if c.name in made.rows.column_names])
        rows = _own(rows)
        dictionary = [column for column in rows.column_names if column not in _DISTINCT]
        with full_disk(self._into):
            staged.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(
                rows,
                staged,
                compression="zstd",
                use_dictionary=dictionary,
                row_group_size=_ROWS_PER_GROUP,
                store_schema=False,
            )
            place = self._into / part
            place.parent.mkdir(parents=True, exist_ok=True)
            # The ledger will say that the part is there; it must be, even after a power cut.
            with staged.open("rb") as file:
                os.fsync(file.fileno())
            staged.replace(place)
            sync_folder(place.parent)
        return part


@contextmanager
def full_disk(folder: Path) -> Iterator[None]:
    """Raise `StorageError` in place of Arrow's word for a full disk or a lost folder."""
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"cannot write tables at {folder} ({for_terminal(error)[:120]})",
            hint="free some space and run the same command again, it goes on where it stopped",
        ) from error
