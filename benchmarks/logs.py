"""Logs into tables, and questions to them: irkit beside the floor (decompression alone) and the usual ways in pandas.

The data are the scenario's own logs, made for several seeds, so nothing is downloaded. Slow ways run on a part of the
files and are scaled up, which is printed. CPU seconds of this process; ratios are what to look at.
"""

from __future__ import annotations

import gzip
import io
import json
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

SEEDS = (7, 8, 9)
AT = datetime(2026, 11, 20, 12, tzinfo=UTC)
FLOW_COLUMNS = (
    "version account_id interface_id srcaddr dstaddr srcport dstport protocol packets bytes start end action "
    "log_status"
)


def make(folder: Path) -> tuple[list[Path], list[Path]]:
    """CloudTrail and flow log files of all seeds, in AWS's layout."""
    from irkit.sim.scenarios.web_to_role_theft.attack import attack
    from irkit.sim.scenarios.web_to_role_theft.background import background
    from irkit.sim.scenarios.web_to_role_theft.delivery import trail_files
    from irkit.sim.scenarios.web_to_role_theft.flows import flows
    from irkit.sim.scenarios.web_to_role_theft.story import tell

    trail: list[Path] = []
    network: list[Path] = []
    for seed in SEEDS:
        story = tell(seed=seed, at=AT)
        records = [*background(story), *attack(story).records]
        records.sort(key=lambda record: str(record["eventTime"]))
        for kind, files, into in (
            ("trail", trail_files(story, records), trail),
            ("flow", flows(story).files, network),
        ):
            for key, content in files:
                path = folder / kind / str(seed) / key
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
                into.append(path)
    return trail, network


def cpu(work: Callable[[], object]) -> float:
    """CPU seconds of `work`, all threads."""
    begun = time.process_time()
    work()
    return time.process_time() - begun


def floor(files: list[Path]) -> None:
    """Decompress and throw away, with the fastest library there is."""
    import deflate

    for path in files:
        content = path.read_bytes()
        deflate.gzip_decompress(content, int.from_bytes(content[-4:], "little"))


def plain_gzip(files: list[Path]) -> None:
    """Decompress with the standard library."""
    for path in files:
        gzip.decompress(path.read_bytes())


def normalized(files: list[Path]) -> Any:
    """What most notebooks do: `pandas.json_normalize` for each file, and concatenate."""
    import pandas as pd

    return pd.concat(
        [pd.json_normalize(json.loads(gzip.decompress(path.read_bytes()))["Records"]) for path in files]
    )


def by_hand(files: list[Path]) -> Any:
    """A careful analyst: the interesting fields by hand, the rest as JSON."""
    import pandas as pd

    rows = []
    for path in files:
        for record in json.loads(gzip.decompress(path.read_bytes()))["Records"]:
            identity = record.get("userIdentity") or {}
            rows.append(
                {
                    "event_time": record["eventTime"],
                    "event_source": record["eventSource"],
                    "event_name": record["eventName"],
                    "region": record["awsRegion"],
                    "source_ip": record.get("sourceIPAddress"),
                    "user_agent": record.get("userAgent"),
                    "error_code": record.get("errorCode"),
                    "arn": identity.get("arn"),
                    "access_key_id": identity.get("accessKeyId"),
                    "request": json.dumps(record.get("requestParameters")),
                    "response": json.dumps(record.get("responseElements")),
                }
            )
    return pd.DataFrame(rows)


def flows_in_pandas(files: list[Path]) -> Any:
    """Flow logs with `pandas.read_csv` for each file."""
    import pandas as pd

    names = FLOW_COLUMNS.split()
    return pd.concat(
        [
            pd.read_csv(
                io.BytesIO(gzip.decompress(path.read_bytes())), sep=" ", header=0, names=names, na_values="-"
            )
            for path in files
        ]
    )


def show(title: str, rows: list[tuple[str, float, float]], megabytes: float) -> None:
    """A table of ways with their CPU seconds, the speed, and the ratio to irkit."""
    ours = next(seconds for name, seconds, _ in rows if name.startswith("irkit"))
    print(f"\n{title}\n{'':44}{'CPU s':>8}{'MB/s':>8}{'x irkit':>9}")
    for name, seconds, share in rows:
        note = "" if share == 1 else f"   scaled from {share:.0%}"
        print(f"{name:44}{seconds:8.2f}{megabytes / seconds:8.0f}{seconds / ours:9.2f}{note}")


def main() -> int:
    """Print the tables; exit 1 when `json_normalize` would have been faster."""
    import pandas as pd

    from irkit import hunt, logs
    from irkit.tables import Tables

    pd.DataFrame({"imports": ["are not part of the measurement"]}).to_json()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        trail, network = make(folder)
        trail_mb = sum(len(gzip.decompress(p.read_bytes())) for p in trail) / 1e6
        flow_mb = sum(len(gzip.decompress(p.read_bytes())) for p in network) / 1e6
        tenth = trail[::10]
        share = sum(p.stat().st_size for p in tenth) / sum(p.stat().st_size for p in trail)
        report = []
        rows = [
            ("decompression alone, libdeflate", cpu(lambda: floor(trail)), 1.0),
            ("decompression alone, zlib", cpu(lambda: plain_gzip(trail)), 1.0),
            (
                "irkit logs ingest, to Parquet",
                cpu(lambda: report.append(logs.ingest(folder / "trail", folder / "t"))),
                1.0,
            ),
            ("pandas, fields by hand, in memory only", cpu(lambda: by_hand(trail)), 1.0),
            ("pandas.json_normalize, in memory only", cpu(lambda: normalized(tenth)) / share, share),
        ]
        show(f"CloudTrail: {len(trail)} files, {trail_mb:.0f} MB of JSON. {report[0]!r}", rows, trail_mb)
        slower = rows[2][1] > rows[4][1]

        rows = [
            ("decompression alone, libdeflate", cpu(lambda: floor(network)), 1.0),
            (
                "irkit logs ingest, to Parquet",
                cpu(lambda: report.append(logs.ingest(folder / "flow", folder / "t"))),
                1.0,
            ),
            ("pandas.read_csv, in memory only", cpu(lambda: flows_in_pandas(network)), 1.0),
        ]
        show(f"Flow logs: {len(network)} files, {flow_mb:.0f} MB of text. {report[1]!r}", rows, flow_mb)

        tables = Tables.open(folder / "t")
        print(f"\nQuestions over all of it, the answer as a DataFrame\n{'':44}{'CPU s':>8}")
        for name in ("denied_calls", "coverage", "top_talkers", "api_activity"):
            print(f"{name:44}{cpu(lambda name=name: hunt.ask(tables, name)):8.2f}")  # type: ignore[misc]
    return int(slower)


if __name__ == "__main__":
    sys.exit(main())
