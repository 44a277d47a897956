# ruff: noqa: S608 - our own column names and paths
"""Flow logs: the floor, the readers of DuckDB, polars and pandas, irkit."""

from __future__ import annotations

import gzip
import io
from importlib import import_module
from pathlib import Path

from benchmarks.ways.way import Way, floor, unpacked
from irkit.logs.flow import VERSION_2

_NUMBERS = ("version", "srcport", "dstport", "protocol", "packets", "bytes", "start", "end")


def _floor(files: list[Path], _: Path) -> int:
    return floor(files, 2)


def _floor_alone(files: list[Path], _: Path) -> int:
    return floor(files, 1)


def _duckdb(files: list[Path], scratch: Path) -> int:
    """DuckDB's own reader with a schema, to Parquet."""
    import duckdb

    columns = ", ".join(f"'{n}': '{'BIGINT' if n in _NUMBERS else 'VARCHAR'}'" for n in VERSION_2)
    listed = ", ".join(f"'{path}'" for path in files)
    with duckdb.connect(config={"threads": 2}) as con:
        con.execute("set enable_progress_bar=false")
        done = con.execute(
            f"copy (select * from read_csv([{listed}], delim=' ', header=true, nullstr='-', columns={{{columns}}}))"
            f" to '{scratch / 'flow.parquet'}' (format parquet, compression zstd)"
        ).fetchall()
    return int(done[0][0])


def _polars(files: list[Path], scratch: Path) -> int:
    """Polars' own reader on what libdeflate unpacks, to Parquet."""
    pl = import_module("polars")

    types = {name: pl.Int64 if name in _NUMBERS else pl.String for name in VERSION_2}
    count = 0
    for number, path in enumerate(files):
        frame = pl.read_csv(bytes(unpacked(path)), separator=" ", null_values="-", schema=types)
        frame.write_parquet(scratch / f"{number}.parquet", compression="zstd")
        count += frame.height
    return count


def _pandas(files: list[Path], _: Path) -> int:
    import pandas as pd

    frames = [
        pd.read_csv(io.BytesIO(gzip.decompress(path.read_bytes())), sep=" ", na_values="-") for path in files
    ]
    return len(pd.concat(frames))


def _irkit(files: list[Path], scratch: Path) -> int:
    from irkit.logs import ingest

    return ingest(files, scratch / "tables").flows


_ARROW = ("pandas", "pyarrow.csv", "pyarrow.parquet", "pyarrow.compute", "duckdb", "irkit.logs")
FLOWS = (
    Way(kind="flow", short="floor", title="decompression alone, libdeflate, 1 worker", work=_floor_alone,
        imports=("deflate",)),
    Way(kind="flow", short="floor 2", title="decompression alone, libdeflate, 2 workers", work=_floor,
        imports=("deflate",)),
    Way(kind="flow", short="irkit", title="irkit logs ingest", work=_irkit, imports=_ARROW, takes_folder=True),
    Way(kind="flow", short="DuckDB", title="DuckDB read_csv to Parquet, 2 threads", work=_duckdb, imports=("duckdb",)),
    Way(kind="flow", short="polars", title="polars.read_csv to Parquet", work=_polars, imports=("polars", "deflate")),
    Way(kind="flow", short="pandas", title="pandas.read_csv, in memory only", work=_pandas, slow=True,
        imports=("pandas",)),
)  # fmt: skip
