# ruff: noqa: S608 - SQL is put together from our own column names and quoted paths
"""Questions and rules over many events: how long each takes, and how much memory, on one machine.

The events are the scenario's own account, three days of 28,000 calls, repeated with other times, ids and access keys
until there are as many as asked for; so the JSON in them is what CloudTrail writes. Nothing is downloaded.

    python benchmarks/hunt.py                          one million events
    python benchmarks/hunt.py --events 10000000        the size that the goals are stated for
    python benchmarks/hunt.py --rules sigma/rules/cloud/aws --keep DIR

Wall seconds depend on what else the machine does; CPU seconds of all threads are printed beside them.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from typing import Any

AT = datetime(2026, 11, 20, 12, tzinfo=UTC)
GOALS = {"timeline of one key": 0.5, "lineage of one key": 0.2, "summary": 5.0, "all rules": 15.0}
SUMMARIES = (
    "keys_summary",
    "api_activity",
    "denied_calls",
    "enumeration_bursts",
    "user_agents",
    "rare_apis",
    "objects_read",
    "bytes_by_prefix",
    "coverage",
    "created_credentials",
    "log_tampering",
    "address_changes",
    "issued_keys",
)
_KEYS = ("access_key_id", "issued_access_key_id", "created_access_key_id", "parent_access_key_id")


def make(folder: Path, events: int) -> int:
    """Tables of at least `events` calls in `folder`; how many there are."""
    from irkit.logs import ingest
    from irkit.sim.scenarios.web_to_role_theft.attack import attack
    from irkit.sim.scenarios.web_to_role_theft.background import background
    from irkit.sim.scenarios.web_to_role_theft.delivery import trail_files
    from irkit.sim.scenarios.web_to_role_theft.story import tell
    from irkit.tables import SCHEMAS, connection, file_pattern, quoted

    story = tell(seed=7, at=AT)
    records = sorted([*background(story), *attack(story).records], key=lambda one: str(one["eventTime"]))
    with tempfile.TemporaryDirectory() as raw:
        for name, content in trail_files(story, records):
            path = Path(raw) / "raw" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        ingest(Path(raw) / "raw", Path(raw) / "tables")
        copies = -(-events // len(records))
        batch = 40
        with connection(memory="4GB") as con:
            for table in ("cloudtrail", "edge"):
                have = {column.name for column in SCHEMAS[table]}
                changed = [
                    f"case when n > 0 then {_renamed(key)} else {key} end as {key}"
                    for key in _KEYS
                    if key in have
                ]
                changed += [
                    "event_time + interval '2 hours' * n as event_time",
                    "left(event_id, 24) || printf('%012x', n * 1000003 + hash(event_id) % 1000003) as event_id",
                ]
                source = file_pattern(Path(raw) / "tables" / table).strip("'")
                for begin in range(0, copies, batch):
                    into = folder / table / f"day={begin:05d}" / "part-0.parquet"
                    into.parent.mkdir(parents=True)
                    con.execute(
                        f"copy (select * exclude (n) replace ({', '.join(changed)})"
                        f" from (select * from read_parquet('{source}/**/*.parquet', hive_partitioning=false) t,"
                        f" (select unnest(range({begin}, {min(begin + batch, copies)})) as n) r)"
                        f" order by event_time) to {quoted(str(into))} (format parquet, compression zstd)"
                    ).fetchall()
    return copies * len(records)


def _renamed(key: str) -> str:
    return f"left({key}, 14) || printf('%06X', n % 16777216)"


def timed(work: Callable[[], Any]) -> tuple[float, float, Any]:
    """Wall and CPU seconds of the fastest of three runs, and what came out."""

    def once() -> tuple[float, float, Any]:
        wall, cpu = time.perf_counter(), time.process_time()
        result = work()
        return time.perf_counter() - wall, time.process_time() - cpu, result

    return min((once() for _ in range(3)), key=lambda took: took[0])


def main() -> None:
    """Make the events, ask, and print what each question took beside its goal."""
    arguments = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    arguments.add_argument("--events", type=int, default=1_000_000)
    arguments.add_argument(
        "--rules", type=Path, action="append", help="a folder of Sigma rules; irkit's own are always run"
    )
    arguments.add_argument("--keep", type=Path, help="make the tables here, or use those that are here")
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.keep or Path(scratch)
        if not (folder / "cloudtrail").is_dir():
            # In a process of its own: what making the events takes is not what asking takes.
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as maker:
                print(f"{maker.submit(make, folder, given.events).result():,} events made")
        measure(folder, given.rules or [])


def measure(folder: Path, rules: list[Path]) -> None:
    """Ask the tables in `folder` and print."""
    import duckdb

    from irkit import hunt
    from irkit.tables import Tables

    size = sum(path.stat().st_size for path in folder.rglob("*.parquet"))
    print(f"{size / 1e6:,.0f} MB of Parquet; DuckDB {duckdb.__version__}")
    with Tables.open(folder) as tables:
        ((key,),) = tables.rows(
            "select min(access_key_id) from cloudtrail where event_name = 'CreateAccessKey'"
        )
        ((chained,),) = tables.rows("select min(parent_access_key_id) from edge where kind = 'role_session'")
        print(f"{'':28}{'wall s':>9}{'CPU s':>9}{'rows':>12}  goal")
        _show("what the tables hold", timed(lambda: Tables.open(folder).extent.records), None)
        tables.extent  # noqa: B018 - counted once for all questions of one opening
        _show("timeline of one key", timed(lambda: len(hunt.ask(tables, "calls_of_access_key", access_key_id=key))),
              GOALS["timeline of one key"])  # fmt: skip
        _show("lineage of one key", timed(lambda: len(hunt.ask(tables, "role_chain", access_key_id=chained))),
              GOALS["lineage of one key"])  # fmt: skip
        for name in SUMMARIES:
            _show(name, timed(lambda name=name: len(hunt.ask(tables, name))), GOALS["summary"])  # type: ignore[misc]
        for what, paths in (("irkit's own rules", [hunt.shipped_rules()]), ("rules given", rules)):
            if paths:
                read = hunt.read_rules(paths)
                wall, cpu, found = timed(lambda read=read: hunt.detect(tables, read))  # type: ignore[misc]
                told = f"{what}: {len(read)}"
                _show(told, (wall, cpu, sum(match.count for match in found.matches)), GOALS["all rules"])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak memory {peak:,.0f} MiB, goal 1,536")


def _show(name: str, took: tuple[float, float, Any], goal: float | None) -> None:
    wall, cpu, rows = took
    said = "" if goal is None else f"{goal:g} s{'' if wall <= goal else '  MISSED'}"
    print(f"{name:28}{wall:9.2f}{cpu:9.2f}{rows:12,}  {said}", flush=True)


if __name__ == "__main__":
    main()
