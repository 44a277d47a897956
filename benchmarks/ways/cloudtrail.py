"""CloudTrail: the floor, pandas in two ways, a fast decoder, irkit."""

from __future__ import annotations

import gzip
import json
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.ways.way import Way, floor, unpacked


def _floor(files: list[Path], _: Path) -> int:
    return floor(files, 2)


def _zlib(files: list[Path], _: Path) -> int:
    return sum(len(gzip.decompress(path.read_bytes())) for path in files)


def _normalized(files: list[Path], _: Path) -> int:
    """What most notebooks do."""
    import pandas as pd

    frames = [pd.json_normalize(json.loads(gzip.decompress(path.read_bytes()))["Records"]) for path in files]
    return len(pd.concat(frames))


def _by_hand(files: list[Path], _: Path) -> int:
    """A careful analyst: the interesting fields by hand, the rest as JSON."""
    import pandas as pd

    rows: list[dict[str, Any]] = []
    for path in files:
        for record in json.loads(gzip.decompress(path.read_bytes()))["Records"]:
            identity = record.get("userIdentity") or {}
            issuer = (identity.get("sessionContext") or {}).get("sessionIssuer") or {}
            rows.append(
                {
                    "event_time": record["eventTime"],
                    "event_id": record.get("eventID"),
                    "event_source": record["eventSource"],
                    "event_name": record["eventName"],
                    "region": record["awsRegion"],
                    "account": record.get("recipientAccountId"),
                    "source_ip": record.get("sourceIPAddress"),
                    "user_agent": record.get("userAgent"),
                    "error_code": record.get("errorCode"),
                    "type": identity.get("type"),
                    "arn": identity.get("arn"),
                    "access_key_id": identity.get("accessKeyId"),
                    "issuer": issuer.get("arn"),
                    "identity": json.dumps(identity),
                    "request": json.dumps(record.get("requestParameters")),
                    "response": json.dumps(record.get("responseElements")),
                    "more": json.dumps(record.get("additionalEventData")),
                }
            )
    frame = pd.DataFrame(rows)
    frame["event_time"] = pd.to_datetime(frame["event_time"])
    return len(frame)


def _msgspec(files: list[Path], scratch: Path) -> int:
    """The fastest decoder in Python, the same fields as by hand, to Parquet."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    msgspec = import_module("msgspec")

    fields = "eventTime eventID eventSource eventName awsRegion recipientAccountId sourceIPAddress userAgent errorCode"
    nested = "userIdentity requestParameters responseElements additionalEventData"
    record: Any = msgspec.defstruct(
        "Record",
        [(name, str | None, None) for name in fields.split()]
        + [(name, msgspec.Raw, msgspec.Raw(b"null")) for name in nested.split()],
        gc=False,
    )
    decoder = msgspec.json.Decoder(msgspec.defstruct("File", [("Records", list[record])]))
    count = 0
    for number, path in enumerate(files):
        records = decoder.decode(unpacked(path)).Records
        columns = {name: [getattr(one, name) for one in records] for name in fields.split()}
        columns |= {name: [bytes(getattr(one, name)).decode() for one in records] for name in nested.split()}
        pq.write_table(pa.table(columns), scratch / f"{number}.parquet", compression="zstd")
        count += len(records)
    return count


def _irkit(files: list[Path], scratch: Path) -> int:
    from irkit.logs import ingest

    return ingest(files, scratch / "tables").records


def _grep(files: list[Path], _: Path) -> int:
    from irkit.logs import grep

    return sum(1 for _ in grep("203.0.113.66", files))


_ARROW = ("pandas", "pyarrow.csv", "pyarrow.parquet", "pyarrow.compute", "duckdb", "irkit.logs")
CLOUDTRAIL = (
    Way(kind="CloudTrail", short="floor", title="decompression alone, libdeflate, 2 workers", work=_floor,
        imports=("deflate",)),
    Way(kind="CloudTrail", short="zlib", title="decompression alone, zlib", work=_zlib),
    Way(kind="CloudTrail", short="irkit", title="irkit logs ingest", work=_irkit, imports=_ARROW, takes_folder=True),
    Way(kind="CloudTrail", short="grep", title="irkit logs grep, one address", work=_grep, imports=_ARROW,
        takes_folder=True),
    Way(kind="CloudTrail", short="msgspec", title="msgspec to Parquet, 17 fields", work=_msgspec, slow=True,
        imports=("msgspec", "pyarrow", "pyarrow.parquet", "deflate", "pandas")),
    Way(kind="CloudTrail", short="by hand", title="pandas, 17 fields by hand, in memory only", work=_by_hand, slow=True,
        imports=("pandas",)),
    Way(kind="CloudTrail", short="json_normalize", title="pandas.json_normalize, in memory only", work=_normalized,
        slow=True, imports=("pandas",)),
)  # fmt: skip
