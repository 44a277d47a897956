"""What is derived from flow records: times, direction, and the address that is not ours."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

_LATEST = 4_102_444_800  # 2100-01-01: what is later is no time
# RFC 1918, shared (RFC 6598), link-local, loopback, unique local and unspecified addresses, told from their text.
_INSIDE = (
    r"^(10\.|192\.168\.|172\.(1[6-9]|2[0-9]|3[01])\.|100\.(6[4-9]|[7-9][0-9]|1[01][0-9]|12[0-7])\.|169\.254\.|127\.|0\."
    r"|f[cd][0-9a-f]{2}:|fe[89ab][0-9a-f]:|::1$|::$)"
)
_DIRECTIONS = ["outside", "in", "out", "internal"]


def flow_rows(tables: list[pa.Table]) -> pa.Table:
    """The rows of the `flow` table that parsed records make; a column that no file has is left out."""
    import pyarrow as pa

    table = pa.concat_tables(tables, promote_options="default").unify_dictionaries().combine_chunks()
    for name in ("start", "end"):
        if name in table.column_names:
            table = table.set_column(table.schema.get_field_index(name), f"{name}_ts", _moments(table[name]))
    return _directed(table)


def _moments(seconds: pa.ChunkedArray) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    sound = pc.and_(pc.greater_equal(seconds, 0), pc.less_equal(seconds, _LATEST))
    micro = pc.multiply(pc.if_else(sound, seconds, pa.scalar(None, pa.int64())), 1_000_000)
    return micro.cast(pa.timestamp("us"))


def _directed(table: pa.Table) -> pa.Table:
    """`table` with `direction` and `external_ip`."""
    import numpy as np
    import pyarrow as pa

    ends = [name for name in ("srcaddr", "dstaddr") if name in table.column_names]
    if not ends or not table.num_rows:
        return table
    # One dictionary for both ends, so that an address has one number.
    both = pa.chunked_array([chunk for name in ends for chunk in table[name].chunks]).unify_dictionaries()
    known = both.chunk(0).dictionary
    inside = np.append(_inside(known), False)
    nobody = len(known)
    split = both.combine_chunks()
    numbers = split.indices.fill_null(nobody).to_numpy()
    of = {name: numbers[i * table.num_rows : (i + 1) * table.num_rows] for i, name in enumerate(ends)}
    none = np.full(table.num_rows, nobody, dtype=np.int32)
    src, dst = of.get("srcaddr", none), of.get("dstaddr", none)
    src_in, dst_in = inside[src], inside[dst]
    code = src_in * 2 + dst_in * np.int8(1)
    unknown = (src == nobody) & ~dst_in
    direction = pa.DictionaryArray.from_arrays(
        pa.array(code.astype(np.int8), mask=unknown), pa.array(_DIRECTIONS, pa.string())
    )
    table = table.append_column("direction", direction)
    if len(ends) == 2:
        out = src_in & ~dst_in & (dst != nobody)
        into = dst_in & ~src_in & (src != nobody)
        external = np.where(out, dst, src).astype(np.int32)
        outside = pa.DictionaryArray.from_arrays(pa.array(external, mask=~(out | into)), known)
        table = table.append_column("external_ip", outside)
    return table


def _inside(addresses: pa.StringArray) -> np.ndarray:
    import pyarrow.compute as pc

    found: np.ndarray = pc.match_substring_regex(addresses, _INSIDE).to_numpy(zero_copy_only=False)
    return found.astype(bool)
