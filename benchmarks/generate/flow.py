"""VPC flow logs in AWS's own layout: version 2 with its header, gzipped text.

A few thousand hosts talk to each other and to popular peers; a beacon and a port scan are planted.
"""

from __future__ import annotations

import gzip
import io
import json
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.generate.letters import steady
from irkit.logs.flow import VERSION_2

if TYPE_CHECKING:
    import numpy as np

_BEGIN = int(datetime(2026, 10, 1, tzinfo=UTC).timestamp())
_DAYS = 2
_HOSTS = 2000
_PEERS = 20_000
_LINES_A_FILE = 250_000
_SERVICES = (443, 80, 53, 22, 3306, 5432, 6379, 123, 8080, 9092)
_SCANNED = (22, 23, 445, 3389, 8080, 5900, 6379, 2375, 1433, 25)
_ACCOUNT = "111122223333"


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowSpec:
    """How many lines, and where to."""

    into: Path
    lines: int
    seed: int = 7

    @property
    def files(self) -> int:
        """One for each 250,000 lines."""
        return max(1, self.lines // _LINES_A_FILE)


def generate(spec: FlowSpec, *, jobs: int = 2) -> dict[str, object]:
    """Write the files and `truth.json`; returns what the latter holds."""
    with ProcessPoolExecutor(jobs) as pool:
        sizes = list(pool.map(_written, [(spec, number) for number in range(spec.files)]))
    truth: dict[str, object] = {
        "lines": sum(count for count, _, _ in sizes),
        "bytes_text": sum(size for _, size, _ in sizes),
        "bytes_gz": sum(size for _, _, size in sizes),
        "files": spec.files,
        "beacon": {"src": _host(17), "dst": "203.0.113.10", "period_s": 60},
        "scan": {"src": "203.0.113.77", "dst": _host(23), "ports": 1500},
    }
    (spec.into / "truth.json").write_text(json.dumps(truth, indent=1))
    return truth


def _host(number: int) -> str:
    return f"10.{(number >> 8) & 3}.{number & 255}.{1 + (number * 7) % 253}"


def _written(task: tuple[FlowSpec, int]) -> tuple[int, int, int]:
    """Write one file; lines, bytes of text and bytes of gzip."""
    import pyarrow as pa
    from pyarrow import csv

    spec, number = task
    columns, begin = _columns(spec, number)
    table = pa.table({name: pa.array(values).cast(pa.string()) for name, values in columns.items()})
    text = io.BytesIO()
    csv.write_csv(table, text, csv.WriteOptions(include_header=False, delimiter=" ", quoting_style="none"))
    body = (" ".join(VERSION_2) + "\n").encode() + text.getvalue()
    moment = datetime.fromtimestamp(begin, UTC)
    folder = spec.into / f"AWSLogs/{_ACCOUNT}/vpcflowlogs/us-east-1/{moment:%Y/%m/%d}"
    folder.mkdir(parents=True, exist_ok=True)
    tail = f"{steady(f'{spec.seed}:{number}') & 0xFFFFFFFF:08x}"
    name = f"{_ACCOUNT}_vpcflowlogs_us-east-1_fl-0a1b2c3d4e5f60718_{moment:%Y%m%dT%H%M}Z_{tail}.log.gz"
    packed = gzip.compress(body, 6, mtime=0)
    (folder / name).write_bytes(packed)
    return table.num_rows, len(body), len(packed)


def _columns(spec: FlowSpec, number: int) -> tuple[dict[str, np.ndarray], int]:
    """The fields of one file's lines, and the second at which it begins."""
    import numpy as np

    rng = np.random.default_rng([spec.seed, number])
    count = spec.lines // spec.files
    span = _DAYS * 86400 // spec.files
    begin = _BEGIN + number * span
    addresses = np.asarray(
        [_host(k) for k in range(_HOSTS)]
        + [f"198.{18 + (k & 1)}.{(k >> 1) & 255}.{1 + (k * 13) % 254}" for k in range(_PEERS)]
        + ["203.0.113.10", "203.0.113.77"]
    )
    interfaces = np.asarray([f"eni-{steady(f'{spec.seed}{k}'):017x}"[:21] for k in range(_HOSTS)])
    host = (_HOSTS * rng.random(count) ** 2).astype(int)
    other = (_HOSTS * rng.random(count) ** 2).astype(int)
    peer = _HOSTS + (_PEERS * rng.random(count) ** 4).astype(int)
    # Out, answers in, east to west, noise from the internet (rejected), nothing seen.
    kind = rng.choice(5, count, p=[0.34, 0.28, 0.22, 0.13, 0.03])
    high, low = rng.integers(1024, 65535, count), rng.choice(_SERVICES, count)
    src = np.where((kind == 1) | (kind == 3), peer, host)
    dst = np.where(kind == 0, peer, np.where(kind == 2, other, host))
    sport = np.where(kind == 1, low, high)
    dport = np.where(kind == 1, high, np.where(kind == 3, rng.choice(_SCANNED, count), low))
    packets = np.where(
        kind == 3, rng.integers(1, 4, count), np.maximum(1, rng.lognormal(2.2, 1.3, count))
    ).astype(int)
    size = packets * rng.integers(40, 1400, count)
    start = begin + (rng.random(count) * span).astype(int)
    places, taken = rng.permutation(count), 0

    def plant(source: int, target: int, to: np.ndarray, when: np.ndarray, *, rejected: bool) -> None:
        nonlocal taken
        at = places[taken : taken + len(when)]
        taken += len(at)
        src[at], dst[at], dport[at], start[at] = source, target, to, when
        kind[at], size[at], packets[at] = 3 if rejected else 0, 480, 6

    beats = np.arange(-(-begin // 60) * 60, begin + span, 60)
    beats = beats + rng.integers(-2, 3, len(beats))
    plant(17, _HOSTS + _PEERS, np.full(len(beats), 443), beats, rejected=False)
    if number == spec.files // 2:
        ports = np.arange(1, 1501)
        plant(_HOSTS + _PEERS + 1, 23, ports, begin + ports % span, rejected=True)
    seen = kind != 4

    def shown(values: np.ndarray) -> np.ndarray:
        return np.where(seen, values.astype(str), "-")

    columns = {
        "version": np.full(count, "2"),
        "account-id": np.full(count, _ACCOUNT),
        "interface-id": interfaces[host],
        "srcaddr": shown(addresses[src]),
        "dstaddr": shown(addresses[dst]),
        "srcport": shown(sport),
        "dstport": shown(dport),
        "protocol": shown(np.where(np.isin(dport, (53, 123)), 17, 6)),
        "packets": shown(packets),
        "bytes": shown(size),
        "start": start.astype(str),
        "end": (start + rng.integers(1, 60, count)).astype(str),
        "action": shown(np.where(kind == 3, "REJECT", "ACCEPT")),
        "log-status": np.where(seen, "OK", "NODATA"),
    }
    return columns, begin
