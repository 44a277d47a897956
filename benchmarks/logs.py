"""Logs into tables: irkit beside the floor (decompression alone), the usual ways in pandas, and other readers.

The data are generated (`benchmarks/generate`), the same for the same seed. Each way runs in a process of its own, which
reports wall time, CPU time and peak memory, imports left out. Slow ways run on a part and are scaled, which is printed.
Ratios to the floor of the same run are what to look at, of CPU time where others use the machine: absolute figures
depend on the machine and on its neighbours. `x floor` is of wall time, `CPU x` and `x irkit` are of CPU time.

    python benchmarks/logs.py                   60 MB of CloudTrail, 1 million flow records
    python benchmarks/logs.py --full            1.95 GB in 2,000 files, 50 million flow records: takes a while
    python benchmarks/logs.py --keep DIR        generate there, and use what is there already

msgspec and polars are measured where they are installed.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.generate import flow, trail
from benchmarks.ways import WAYS, Way


def measured(way: str, folder: Path, scratch: Path, share: float) -> dict[str, float]:
    """Seconds, CPU seconds, peak MiB and the result of `way` on a share of the files, in a process of its own."""
    command = [sys.executable, __file__, "--way", way, str(folder), str(scratch), str(share)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise RuntimeError(f"{way} failed: {ran.stderr[-800:]}")
    found: dict[str, float] = json.loads(ran.stdout.splitlines()[-1])
    return found


def run(name: str, folder: Path, scratch: Path, share: float) -> None:
    """Do one way here and print what it took."""
    way = WAYS[name]
    for module in way.imports:
        __import__(module)
    files = sorted(folder.rglob("*.gz"))
    step = max(1, round(1 / share))
    chosen = files[::step]
    size = sum(path.stat().st_size for path in chosen) / sum(path.stat().st_size for path in files)
    cpu, wall = _cpu(), time.monotonic()
    rows = way.work(chosen if step > 1 or not way.takes_folder else [folder], scratch)
    print(
        json.dumps(
            {
                "wall": time.monotonic() - wall,
                "cpu": _cpu() - cpu,
                "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
                "rows": rows,
                "share": size,
            }
        )
    )


def _cpu() -> float:
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def show(kind: str, folder: Path, megabytes: float, rows: int, *, small: float) -> dict[str, float]:
    """Measure every way of a kind and print a table; the CPU seconds of each, scaled."""
    print(f"\n{kind}: {megabytes:,.0f} MB unpacked, {rows:,} records")
    print(
        f"{'':46}{'wall s':>9}{'CPU s':>9}{'MB/s':>8}{'peak MiB':>10}{'x floor':>9}{'CPU x':>7}{'x irkit':>9}"
    )
    found: list[tuple[Way, dict[str, float]]] = []
    for name, way in WAYS.items():
        if way.kind != kind:
            continue
        if any(find_spec(module.partition(".")[0]) is None for module in way.imports):
            print(f"{way.title:46} not installed")
            continue
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            found.append((way, measured(name, folder, Path(scratch), small if way.slow else 1.0)))
    walls = {way.name: one["wall"] / one["share"] for way, one in found}
    costs = {way.name: one["cpu"] / one["share"] for way, one in found}
    floor, ours = f"{kind} floor", f"{kind} irkit"
    for way, one in found:
        cost = costs[way.name]
        wall, note = walls[way.name], "" if one["share"] > 0.99 else f"  scaled from {one['share']:.0%}"
        print(
            f"{way.title:46}{wall:9.2f}{cost:9.2f}{megabytes / wall:8.0f}{one['peak']:10.0f}"
            f"{wall / walls[floor]:9.1f}{cost / costs[floor]:7.1f}{cost / costs[ours]:9.2f}{note}",
            flush=True,
        )
    return costs


def main() -> int:
    """Print the tables; 1 when irkit costs more than what it is measured against."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--full", action="store_true", help="1.95 GB of CloudTrail and 50 million flow records"
    )
    parser.add_argument("--megabytes", type=float, default=60)
    parser.add_argument("--files", type=int, default=60)
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument(
        "--samples", type=Path, action="append", default=[], help="real CloudTrail to draw from"
    )
    parser.add_argument("--keep", type=Path, help="where to keep the data for another run")
    parser.add_argument(
        "--way", nargs=4, metavar=("NAME", "FOLDER", "SCRATCH", "SHARE"), help=argparse.SUPPRESS
    )
    given = parser.parse_args()
    if given.way:
        name, folder, scratch, share = given.way
        run(name, Path(folder), Path(scratch), float(share))
        return 0
    if given.full:
        given.megabytes, given.files, given.lines = 2140, 2000, 50_000_000
    with tempfile.TemporaryDirectory() as temporary:
        home = given.keep or Path(temporary)
        costs = _trail(home / "trail", given) | _flow(home / "flow", given)
    behind = [
        rival
        for ours, rivals in {
            "CloudTrail irkit": ("CloudTrail by hand", "CloudTrail json_normalize"),
            "flow irkit": ("flow DuckDB",),
        }.items()
        for rival in rivals
        if rival in costs and costs[rival] < costs[ours]
    ]
    if behind:
        print(f"\ncosts more than: {', '.join(behind)}")
    return int(bool(behind))


def _trail(folder: Path, given: argparse.Namespace) -> dict[str, float]:
    if not (folder / "truth.json").exists():
        spec = trail.Spec(
            into=folder, megabytes=given.megabytes, files=given.files, samples=tuple(given.samples)
        )
        trail.generate(spec)
    truth = json.loads((folder / "truth.json").read_text())
    costs = show("CloudTrail", folder, truth["bytes_json"] / 1e6, truth["total_events"], small=0.1)
    _check(folder, truth)
    return costs


def _check(folder: Path, truth: dict[str, object]) -> None:
    """What is fast must also be right: the planted incident is found in what was read."""
    from irkit.logs import ingest
    from irkit.tables import Tables

    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        report = ingest(folder, Path(scratch))
        with Tables.open(scratch) as tables:
            (found,) = tables.rows(
                "select count(*) filter (where source_ip = $ip),"
                " sum(bytes_out) filter (where source_ip = $ip and event_name = 'GetObject') from cloudtrail",
                {"ip": truth["attacker_ip"]},
            )
    right = (report.records, *found) == (truth["total_events"], truth["events"], truth["s3_bytes_out"])
    print(f"{'every record, and the planted incident to the byte':46} {'found' if right else 'NOT FOUND'}")


def _flow(folder: Path, given: argparse.Namespace) -> dict[str, float]:
    if not (folder / "truth.json").exists():
        flow.generate(flow.FlowSpec(into=folder, lines=given.lines))
    truth = json.loads((folder / "truth.json").read_text())
    return show("flow", folder, truth["bytes_text"] / 1e6, truth["lines"], small=0.1)


if __name__ == "__main__":
    sys.exit(main())
