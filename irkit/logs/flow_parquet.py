"""Flow logs that AWS delivered as Parquet.

References:
    https://docs.aws.amazon.com/vpc/latest/userguide/flow-logs-s3-path.html (names have `_` in place of `-`)
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from irkit.logs.flow import Flows
from irkit.logs.unpack import Content
from irkit.tables import FLOW

if TYPE_CHECKING:
    import pyarrow as pa

_ROWS = 200_000


def read_parquet(name: str, content: Content) -> Iterator[Flows]:
    """The flow records of a Parquet file, some at a time. Raises `ValueError` where it is none."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        source = pa.BufferReader(content) if isinstance(content, bytes) else str(content)
        with pq.ParquetFile(source) as file:
            names = {column.replace("-", "_") for column in file.schema_arrow.names}
            if not names & {"srcaddr", "interface_id", "pkt_srcaddr"}:
                raise ValueError("Parquet, but no flow records")
            for batch in file.iter_batches(batch_size=_ROWS):
                yield Flows(rows=_typed(pa.Table.from_batches([batch]), name), lost=[])
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"damaged Parquet: {error}") from error


def _typed(table: pa.Table, name: str) -> pa.Table:
    """`table` with the types that text flow logs are parsed to."""
    import pyarrow as pa
    import pyarrow.compute as pc

    numbers = {c.name: pa.int32() if c.type == "INTEGER" else pa.int64() for c in FLOW if c.type != "VARCHAR"}
    numbers |= {"start": pa.int64(), "end": pa.int64()}
    made: dict[str, object] = {}
    for column in table.column_names:
        plain = column.replace("-", "_")
        values = table[column]
        if plain in numbers:
            if pa.types.is_timestamp(values.type):
                values = pc.divide(values.cast(pa.timestamp("us")).cast(pa.int64()), 1_000_000)
            made[plain] = values.cast(numbers[plain], safe=False)
        elif plain in {c.name for c in FLOW} and plain not in {"src_file", "direction", "external_ip"}:
            kind = pa.dictionary(pa.int32(), pa.string())
            made[plain] = values.cast(pa.string()).combine_chunks().dictionary_encode().cast(kind)
    file = pa.DictionaryArray.from_arrays(
        pa.repeat(pa.scalar(0, pa.int32()), table.num_rows), pa.array([name], pa.string())
    )
    return pa.table({**made, "src_file": file})
