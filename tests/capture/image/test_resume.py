"""Killed at any moment, the next run goes on: no block that was on disk for good is fetched a second time."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from irkit.capture.image import plan
from irkit.capture.image.taking import IMAGE
from irkit.case import Case
from irkit.evidence import verify
from irkit.sim.disks import BLOCK
from tests.capture.image.conftest import World

pytestmark = pytest.mark.needs_mke2fs
# As the command line does, but forcing to disk after a few blocks: the disk here is a small one.
PROGRAM = """
import sys
from irkit.capture.image import working
working._FLUSH_BLOCKS = 3
from irkit.cli import main
main(sys.argv[1:])
"""


def begun(case: Case, snapshot: str, *more: str) -> subprocess.Popen[bytes]:
    """`irkit image --apply` in a process of its own."""
    command = [sys.executable, "-c", PROGRAM, "image", snapshot, "--case", str(case.root), "--apply", *more]
    case.close()
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def kill(process: subprocess.Popen[bytes], when: Callable[[], bool]) -> bool:
    """Kill the process once `when` holds; False when it ended before."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if process.poll() is not None:
            return False
        if when():
            process.send_signal(signal.SIGKILL)
            process.wait(timeout=30)
            return True
        time.sleep(0.005)
    raise AssertionError("it neither ended nor came so far")


def on_disk(case: Case) -> set[int]:
    """The blocks that are on disk for good, as the working folder says."""
    found = list((case.active / "artifacts" / "images").glob("*/digests"))
    if not found:
        return set()
    raw = found[0].read_bytes()
    return {n // 32 for n in range(0, len(raw), 32) if any(raw[n : n + 32])}


def slowly(aws: World, seconds: float) -> None:
    """Let every block take its time."""

    def wait(_response: Any) -> bool:
        time.sleep(seconds)
        return False

    aws.sim.faults.inject("ebs", "GetSnapshotBlock", "Never", when=wait)


def test_a_killed_download_goes_on_and_fetches_no_finished_block_again(
    aws: World, case: Case, snapshot: str
) -> None:
    slowly(aws, 0.04)
    process = begun(case, snapshot, "--workers", "2")
    assert kill(process, lambda: len(on_disk(case)) >= 6)
    finished = on_disk(case)
    before = aws.fetched(snapshot)
    # At most what was in flight or not forced to disk yet is lost: two workers, three blocks.
    assert len(set(before) - finished) <= 2 + 3 + 2
    aws.sim.faults.clear()

    report = plan(case, snapshot).apply()

    assert report.exit_code == 0
    assert finished.isdisjoint(aws.fetched(snapshot)[len(before) :])
    assert report.steps[0].result["earlier"] == len(finished)
    assert case.evidence.items(kind=IMAGE)[0].sha256 == aws.sha256
    case.close()
    assert verify(case.root).problems == ()


def test_what_a_power_cut_took_from_the_disk_is_noticed_and_read_again(
    aws: World, case: Case, snapshot: str
) -> None:
    slowly(aws, 0.04)
    process = begun(case, snapshot, "--workers", "2")
    assert kill(process, lambda: len(on_disk(case)) >= 6)
    aws.sim.faults.clear()
    lost = sorted(on_disk(case))[2]
    (image,) = (case.active / "artifacts" / "images").glob("*/image.raw")
    with image.open("r+b") as file:
        file.seek(lost * BLOCK + 4000)
        file.write(b"\xa5" * 512)
    before = len(aws.fetched(snapshot))

    assert plan(case, snapshot).apply().exit_code == 0
    assert lost in aws.fetched(snapshot)[before:]
    assert case.evidence.items(kind=IMAGE)[0].sha256 == aws.sha256


def test_a_kill_after_the_last_block_costs_no_block(aws: World, case: Case, snapshot: str) -> None:
    process = begun(case, snapshot)
    blocks = set(aws.blocks(snapshot))
    if not kill(process, lambda: on_disk(case) == blocks):
        pytest.skip("this machine hashed a gibibyte faster than it could be killed")
    before = len(aws.fetched(snapshot))
    assert plan(Case.load(str(case.root)), snapshot).apply().exit_code == 0
    assert aws.fetched(snapshot)[before:] == []
    again = Case.load(str(case.root))
    assert [i.sha256 for i in again.evidence.items(kind=IMAGE)] == [aws.sha256]


@pytest.mark.soak
def test_kills_at_random_moments_end_in_the_one_image(aws: World, open_case: Callable[[], Case]) -> None:
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    rng = random.Random(seed)
    kills, most = 0, 0
    for _ in range(6):
        snapshot, case = aws.shoot(), open_case()
        slowly(aws, 0.03)
        for _ in range(6):
            seconds = rng.uniform(0.8, 3.5)
            process = begun(case, snapshot, "--workers", str(rng.choice([1, 2, 8])))
            end = time.monotonic() + seconds
            finished = on_disk(case)
            before = len(aws.fetched(snapshot))
            killed = kill(process, lambda end=end: time.monotonic() >= end)  # type: ignore[misc]
            assert finished.isdisjoint(aws.fetched(snapshot)[before:])
            kills += killed
            if not killed:
                break
        aws.sim.faults.clear()
        case = Case.load(str(case.root))
        case.evidence.recover()
        assert plan(case, snapshot).apply().exit_code == 0
        assert [i.sha256 for i in case.evidence.items(kind=IMAGE)] == [aws.sha256]
        most = max(most, *Counter(aws.fetched(snapshot)).values())
        case.close()
        assert verify(case.root).problems == ()
        assert not [p for p in (case.active / "artifacts" / "images").rglob("*") if not p.is_dir()]
        os.sync()
    print(f"{kills} kills; no block was fetched more than {most} times")


@pytest.mark.soak
def test_the_working_folder_may_be_read_only_once_it_is_whole(aws: World, case: Case, snapshot: str) -> None:
    """A kill between the last block and the journal may leave files that are evidence already, as another name."""
    process = begun(case, snapshot)
    blocks = set(aws.blocks(snapshot))
    if not kill(process, lambda: on_disk(case) == blocks):
        pytest.skip("this machine hashed a gibibyte faster than it could be killed")
    (image,) = (case.active / "artifacts" / "images").glob("*/image.raw")
    other = Path(image.parent / "another-name")
    other.hardlink_to(image)
    image.chmod(0o400)
    case = Case.load(str(case.root))
    assert plan(case, snapshot).apply().exit_code == 0
    assert case.evidence.items(kind=IMAGE)[0].sha256 == aws.sha256
