"""An ingest that is killed, or runs out of disk, and is run again."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from irkit.logs import ingest
from irkit.tables import Tables
from tests.logs.builders import flow, record, write_flows, write_trail

_INGEST = "import sys, pathlib; from irkit.logs import ingest; ingest(sys.argv[1], pathlib.Path(sys.argv[2]))"


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("raw")
    for number in range(40):
        write_trail(folder / f"{number}.json.gz", [record(minutes=n) for n in range(200)])
        write_flows(
            folder / f"{number}.log.gz",
            [
                flow("10.0.0.1", "203.0.113.1", 40000, 443, n, n)
                for n in range(number * 200, number * 200 + 200)
            ],
        )
    return folder


def test_a_killed_ingest_is_completed_by_the_next_with_nothing_twice(raw: Path, tmp_path: Path) -> None:
    rng = random.Random(3)
    for _ in range(4):
        running = subprocess.Popen([sys.executable, "-c", _INGEST, str(raw), str(tmp_path)])
        time.sleep(rng.uniform(0.3, 1.3))
        running.kill()
        running.wait()
    ingest(raw, tmp_path)
    with Tables.open(tmp_path) as tables:
        assert tables.rows("select count(*), count(distinct event_id) from cloudtrail") == [(8000, 8000)]
        assert tables.rows("select count(*), count(distinct start_ts) from flow") == [(8000, 8000)]
    assert not (tmp_path / ".staging").exists()


def test_a_full_disk_is_told_in_one_line_and_the_next_run_completes(raw: Path, tmp_path: Path) -> None:
    limited = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000));" + _INGEST
    ran = subprocess.run(
        [sys.executable, "-c", limited, str(raw), str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert ran.returncode != 0
    assert "StorageError: cannot write tables at" in ran.stderr.splitlines()[-1]
    assert "run the same command again" in ran.stderr.splitlines()[-1]
    assert (ingest(raw, tmp_path).records, ingest(raw, tmp_path).records) == (8000, 0)
