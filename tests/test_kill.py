"""Killed with SIGKILL at any moment, a capture and a demo are completed by `irkit case resume`; nothing is done twice.

Killed is either the process alone, which leaves its notebook's kernel an orphan for a moment, or the process with all
its kernels. The simulated account lives on, as AWS would. `make test` kills at a few fixed moments, `make soak` at ten
random ones each; KILL_AT=seconds,seconds repeats those that a failure named.
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
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from irkit.sim import daemon
from tests.processes import below, mentioning, running

IRKIT = Path(sys.executable).with_name("irkit")
pytestmark = [pytest.mark.needs_user_namespaces, pytest.mark.needs_mke2fs, pytest.mark.timeout(900)]


def moments(latest: float) -> list[float]:
    """Ten random moments up to `latest` seconds after the start, or those that the environment names."""
    given = os.environ.get("KILL_AT", "")
    # The processes of one run draw alike, or each would collect tests of its own.
    draw = random.Random(os.environ.get("PYTEST_XDIST_TESTRUNUID"))
    drawn = [round(draw.uniform(0.1, latest), 2) for _ in range(10)]
    return [float(text) for text in given.split(",") if text] or drawn


def irkit(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([IRKIT, *map(str, arguments)], capture_output=True, text=True, timeout=600)


def kernels(pid: int) -> set[int]:
    """What `pid` has started, but for the simulated account."""
    accounts = mentioning("irkit.sim.daemon")
    return below(pid) - accounts - {p for account in accounts for p in below(account)}


def killed(command: Iterable[object], *, after: float, everything: bool) -> bool:
    """Start the command and kill it `after` seconds, alone or with `everything` it started; False when it had ended."""
    given = [str(part) for part in command]
    with subprocess.Popen(given, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            process.wait(timeout=after)
        except subprocess.TimeoutExpired:
            orphans = kernels(process.pid)
            process.send_signal(signal.SIGKILL)
            for orphan in orphans if everything else ():
                os.kill(orphan, signal.SIGKILL)
        else:
            return False
    print(f"\nkilled {' '.join(given[1:3])} after {after} s, with {len(orphans)} kernels {everything=}")
    return True


def twice(things: Iterable[Any]) -> list[Any]:
    return [thing for thing, count in Counter(things).items() if count > 1]


def tags(resource: dict[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in resource.get("Tags", ())}


def entries(case: Path) -> list[dict[str, Any]]:
    lines = (case / "journal.jsonl").read_bytes().split(b"\n")
    return [json.loads(line) for line in lines if line.startswith(b"{") and line.endswith(b"}")]


def items(case: Path) -> list[dict[str, Any]]:
    return [item for e in entries(case) if e["kind"] == "items" for item in e["body"]["items"]]


def assert_sound_and_done_once(case: Path, session: boto3.Session) -> None:
    """The chain verifies, nothing is left to resume, and neither the case nor AWS holds anything twice."""
    verdict = irkit("case", "verify", case, "--json")
    assert verdict.returncode == 0, verdict.stdout
    shown = json.loads(irkit("case", "show", case, "--json").stdout)
    assert shown["unfinished"] == []

    done = [e["body"]["step"] for e in entries(case) if e["kind"] == "done" and e["body"].get("step")]
    assert not twice(done), "a step was done twice"
    kept = [
        (i["kind"], i["name"], i["source"])
        for i in items(case)
        if i["kind"] not in {"notebook", "interrupted"}
    ]
    assert not twice(kept), "evidence was taken twice"

    ec2 = session.client("ec2")
    mine = [{"Name": "tag:irkit:case", "Values": [case.name]}]
    snapshots = ec2.describe_snapshots(OwnerIds=["self"], Filters=mine)["Snapshots"]
    assert not twice((s["VolumeId"], tags(s)["irkit:set"]) for s in snapshots), "a disk was copied twice"
    groups = [tags(g) for g in ec2.describe_security_groups(Filters=mine)["SecurityGroups"]]
    assert not twice(g.get("irkit:purpose") for g in groups), "a quarantine group was made twice"
    assert not list((case / "staging").glob("*/*")), "a part of a capture was left lying about"


# --- irkit capture against an account that is up ---------------------------------------------------------------


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[daemon.Up]:
    state = tmp_path_factory.mktemp("sim")
    yield daemon.up(state, idle_minutes=60)
    daemon.down(state)


@pytest.fixture
def session(account: daemon.Up) -> boto3.Session:
    """This test's environment, and so every irkit that it starts, points at the account."""
    os.environ.update(account.env)
    return boto3.Session()


def opened(cases: Path, name: str, account: daemon.Up) -> Path:
    os.environ["IRKIT_CASES"] = str(cases)
    bucket = account.public["evidence_bucket"]
    ran = irkit("case", "open", name, "--source", f"evidence_bucket={bucket}")
    assert ran.returncode == 0, ran.stderr
    return cases / name


@pytest.fixture(scope="module")
def whole(account: daemon.Up, tmp_path_factory: pytest.TempPathFactory) -> set[tuple[str, str]]:
    """Kind and name of everything that a capture takes which nobody disturbs."""
    before = dict(os.environ)
    os.environ.update(account.env)
    try:
        case = opened(tmp_path_factory.mktemp("whole"), "undisturbed", account)
        ran = irkit("capture", account.instance_id, "--case", case, "--apply")
        assert ran.returncode == 0, ran.stdout + ran.stderr
    finally:
        os.environ.clear()
        os.environ.update(before)
    return {(i["kind"], i["name"]) for i in items(case)}


def kill_capture(
    cases: Path, account: daemon.Up, session: boto3.Session, after: float, whole: set[tuple[str, str]]
) -> None:
    case = opened(cases, f"k-{int(after * 1000)}-{os.getpid()}", account)
    command = [IRKIT, "capture", account.instance_id, "--case", case.name, "--apply"]
    if killed(command, after=after, everything=False):
        # Killed before it began, there is nothing to resume, and the command is given again.
        ran = (
            irkit("case", "resume", case.name)
            if any(e["kind"] == "run" for e in entries(case))
            else irkit(*command[1:])
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
    assert_sound_and_done_once(case, session)
    assert {(i["kind"], i["name"]) for i in items(case) if i["kind"] != "interrupted"} == whole


@pytest.mark.slow
@pytest.mark.parametrize("after", [1.3, 2.6])
def test_a_killed_capture_is_completed_with_nothing_taken_twice(
    after: float, tmp_path: Path, account: daemon.Up, session: boto3.Session, whole: set[tuple[str, str]]
) -> None:
    kill_capture(tmp_path, account, session, after, whole)


@pytest.mark.slow
def test_two_captures_of_one_case_at_once_take_everything_once(
    tmp_path: Path, account: daemon.Up, session: boto3.Session, whole: set[tuple[str, str]]
) -> None:
    case = opened(tmp_path, "at-once", account)
    command = [str(IRKIT), "capture", account.instance_id, "--case", case.name, "--apply"]
    both = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)
    ]
    for process in both:
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, out + err
    assert_sound_and_done_once(case, session)
    assert {(i["kind"], i["name"]) for i in items(case)} == whole


@pytest.mark.soak
@pytest.mark.parametrize("after", moments(4.0))
def test_a_capture_killed_at_a_random_moment_is_completed(
    after: float, tmp_path: Path, account: daemon.Up, session: boto3.Session, whole: set[tuple[str, str]]
) -> None:
    kill_capture(tmp_path, account, session, after, whole)


# --- irkit contain, put back at the end ---------------------------------------------------------------------------


def groups_of(instance: str, session: boto3.Session) -> dict[str, list[str]]:
    """The security groups of each interface of the instance."""
    mine = [{"Name": "attachment.instance-id", "Values": [instance]}]
    found = session.client("ec2").describe_network_interfaces(Filters=mine)["NetworkInterfaces"]
    return {i["NetworkInterfaceId"]: sorted(g["GroupId"] for g in i["Groups"]) for i in found}


def kill_containment(cases: Path, account: daemon.Up, session: boto3.Session, after: float) -> None:
    before = groups_of(account.instance_id, session)
    case = opened(cases, f"c-{int(after * 1000)}-{os.getpid()}", account)
    command = [IRKIT, "contain", account.instance_id, "--case", case.name, "--apply"]
    if killed(command, after=after, everything=False):
        begun = any(e["kind"] == "run" for e in entries(case))
        ran = irkit("case", "resume", case.name) if begun else irkit(*command[1:])
        assert ran.returncode == 0, ran.stdout + ran.stderr
    assert_sound_and_done_once(case, session)
    (quarantine,) = {group for groups in groups_of(account.instance_id, session).values() for group in groups}
    assert quarantine not in {group for groups in before.values() for group in groups}

    undone = irkit("case", "undo", case.name, "--retire-replacement", "--apply")
    assert undone.returncode == 0, undone.stdout + undone.stderr
    assert groups_of(account.instance_id, session) == before


@pytest.mark.slow
@pytest.mark.parametrize("after", [2.0])
def test_a_killed_containment_is_completed_and_can_still_be_put_back(
    after: float, tmp_path: Path, account: daemon.Up, session: boto3.Session
) -> None:
    kill_containment(tmp_path, account, session, after)


@pytest.mark.soak
@pytest.mark.parametrize("after", moments(6.0))
def test_a_containment_killed_at_a_random_moment_is_completed(
    after: float, tmp_path: Path, account: daemon.Up, session: boto3.Session
) -> None:
    kill_containment(tmp_path, account, session, after)


# --- irkit demo, which starts an account of its own -------------------------------------------------------------


def kill_demo(out: Path, *, seed: int, after: float, everything: bool) -> None:
    command = [IRKIT, "demo", "--out", out, "--seed", seed, "--keep", "--quiet", "--json"]
    cases = out / "cases"
    try:
        if killed(command, after=after, everything=everything):
            noted = "".join(journal.read_text(errors="replace") for journal in cases.glob("*/journal.jsonl"))
            begun, ended = ('"what":"demo begun"' in noted), ('"what":"demo ended"' in noted)
            again = ["case", "resume", "--cases", cases, "--json", "--quiet"] if begun else command[1:]
            ran = irkit(*again)
            assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-3000:]
            answer = json.loads(ran.stdout)
            if not ended:
                assert answer["found"] == answer["truths"], answer["missed"]
                assert answer["missing"] == []
        (case,) = cases.iterdir()
        state = out / "sim" / case.name
        up = daemon.status(state)
        assert up is not None
        assert mentioning("irkit.sim.daemon") & mentioning(str(state)) == {up.pid}, (
            "two accounts for one case"
        )
        os.environ.update(up.env)
        assert_sound_and_done_once(case, boto3.Session())
    finally:
        for state in (out / "sim").glob("*"):
            daemon.down(state)
    left = time.monotonic() + 20
    while (orphans := mentioning(str(out))) and time.monotonic() < left:
        time.sleep(0.2)
    assert not orphans


@pytest.mark.slow
@pytest.mark.parametrize(("after", "everything"), [(17.0, True)])
def test_a_demo_killed_with_its_kernels_is_completed_and_finds_every_truth(
    after: float, everything: bool, tmp_path: Path
) -> None:
    kill_demo(tmp_path / "out", seed=31, after=after, everything=everything)


@pytest.mark.soak
@pytest.mark.parametrize("after", moments(50.0))
def test_a_demo_killed_at_a_random_moment_is_completed(after: float, tmp_path: Path) -> None:
    kill_demo(tmp_path / "out", seed=int(after * 100), after=after, everything=int(after * 100) % 2 == 0)


@pytest.mark.slow
def test_the_kernel_of_a_killed_notebook_ends_by_itself(
    tmp_path: Path, account: daemon.Up, session: boto3.Session
) -> None:
    case = opened(tmp_path, "orphan", account)
    command = [IRKIT, "notebooks", "run", "capture/instance", "--case", case.name, "--apply"]
    command += ["--set", f"instance_id={account.instance_id}", "--set", "only=host"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 60
        while not any(e["kind"] == "intended" for e in entries(case)) and time.monotonic() < deadline:
            time.sleep(0.1)
        orphans = kernels(process.pid)
        assert orphans
        process.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 15
    while any(map(running, orphans)) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not [pid for pid in orphans if running(pid)]

    ran = irkit("capture", account.instance_id, "--case", case.name, "--only", "host", "--apply")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert_sound_and_done_once(case, session)


@pytest.mark.soak
def test_a_demo_whose_disk_fills_up_is_completed_once_there_is_room(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    script = f"""
        mount -t tmpfs -o size=24m none {out}
        {IRKIT} demo --out {out} --quiet --json; echo "first $?" >&2
        mount -o remount,size=300m {out}
        {IRKIT} case resume --cases {out}/cases --quiet --json; echo "second $?" >&2
        {IRKIT} case verify {out}/cases/demo-7 >&2; echo "verify $?" >&2
        {IRKIT} sim down --state {out}/sim/demo-7 >&2
    """
    namespace = ["unshare", "--user", "--map-root-user", "--mount", "--fork", "sh", "-uc"]
    ran = subprocess.run([*namespace, script], capture_output=True, text=True, timeout=800)
    assert "first 1" in ran.stderr, ran.stderr
    assert "the disk is full" in ran.stderr
    assert "second 0" in ran.stderr, ran.stderr
    assert "verify 0" in ran.stderr, ran.stderr
    answer = json.loads(ran.stdout)
    assert (answer["found"], answer["missing"]) == (answer["truths"], [])
