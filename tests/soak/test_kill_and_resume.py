"""Killed at any moment, an investigation is completed by the next run: nothing is lost, nothing is done twice.

`make soak` does this ten times at random moments; `make test` once. The moment is printed, so that a failure can be
repeated with SOAK_MOMENTS=seconds,seconds.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.needs_user_namespaces, pytest.mark.needs_mke2fs]

IRKIT = Path(sys.executable).with_name("irkit")
ROUNDS = 10
LATEST = 45.0  # seconds after the start; about as long as a whole run takes
GIVEN = os.environ.get("SOAK_MOMENTS", "")
MOMENTS = [float(text) for text in GIVEN.split(",") if text] or [
    round(random.SystemRandom().uniform(0.5, LATEST), 2) for _ in range(ROUNDS)
]


def irkit(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([IRKIT, *map(str, arguments)], capture_output=True, text=True, timeout=600)


def killed(out: Path, *, seed: int, after: float) -> bool:
    """Start the demo and kill it `after` seconds; False when it was done before that."""
    command = [str(IRKIT), "demo", "--out", str(out), "--seed", str(seed), "--keep", "--quiet", "--json"]
    with (out / "killed.log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            process.wait(timeout=after)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            return True
    return False


def completed(out: Path, *, seed: int) -> dict[str, Any]:
    """What the resumed investigation says of itself."""
    if any((out / "cases").glob("*/journal.jsonl")):
        run = irkit("case", "resume", "--cases", out / "cases", "--json", "--quiet")
    else:
        run = irkit("demo", "--out", out, "--seed", str(seed), "--keep", "--json", "--quiet")
    assert run.returncode == 0, f"exit code {run.returncode}\n{run.stdout[-3000:]}\n{run.stderr[-3000:]}"
    answer: dict[str, Any] = json.loads(run.stdout)
    return answer


@contextmanager
def world_of(case: Path) -> Iterator[Any]:
    """The simulated account as it stands after the investigation, as a boto3 session; taken down at the end."""
    import boto3

    from irkit.sim import daemon

    state = Path(json.loads((case / "case.json").read_text(encoding="utf-8"))["simulated"])
    running = daemon.status(state)
    assert running is not None, "the simulated account has ended"
    os.environ.update(running.env)
    try:
        yield boto3.Session()
    finally:
        daemon.down(state)


def tags(resource: dict[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in resource.get("Tags", [])}


def twice(things: Any) -> list[Any]:
    return [thing for thing, count in Counter(things).items() if count > 1]


def kill_and_resume(out: Path, *, seed: int, after: float) -> None:
    out.mkdir()
    started = time.monotonic()
    was_killed = killed(out, seed=seed, after=after)
    print(f"\nseed {seed}: {'killed' if was_killed else 'done'} after {time.monotonic() - started:.2f} s")
    if was_killed:
        answer = completed(out, seed=seed)
        assert answer["found"] == answer["truths"], answer["missed"]

    (journal,) = (out / "cases").glob("*/journal.jsonl")
    verdict = irkit("case", "verify", journal.parent)
    assert verdict.returncode == 0, verdict.stdout

    entries = [
        json.loads(line) for line in journal.read_text(encoding="utf-8").splitlines() if line.startswith("{")
    ]
    steps = [e["body"].get("step") for e in entries if e["kind"] == "done"]
    assert len(steps) > 10
    assert not twice(step for step in steps if step), "a step was done twice"

    with world_of(journal.parent) as session:
        ec2 = session.client("ec2")
        pages = ec2.get_paginator("describe_snapshots").paginate(OwnerIds=["self"])
        snapshots = [tags(s) | {"volume": s["VolumeId"]} for page in pages for s in page["Snapshots"]]
        groups = [
            tags(group) | {"vpc": group["VpcId"]}
            for group in ec2.describe_security_groups()["SecurityGroups"]
        ]
    assert any("irkit:step" in snapshot for snapshot in snapshots)
    assert any("irkit:purpose" in group for group in groups)
    assert not twice((s["irkit:step"], s["volume"]) for s in snapshots if "irkit:step" in s), (
        "a disk was copied twice"
    )
    assert not twice((g["irkit:purpose"], g["vpc"]) for g in groups if "irkit:purpose" in g), (
        "a group was made twice"
    )


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_demo_killed_half_way_is_completed_by_the_next_run(tmp_path: Path) -> None:
    kill_and_resume(tmp_path / "out", seed=11, after=12.0)


@pytest.mark.soak
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("round_", range(len(MOMENTS)))
def test_killed_at_a_random_moment_nothing_is_lost_or_done_twice(round_: int, tmp_path: Path) -> None:
    kill_and_resume(tmp_path / "out", seed=100 + round_, after=MOMENTS[round_])
