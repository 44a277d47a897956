from __future__ import annotations

import errno
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from irkit.case import Case
from irkit.errors import Refused, StorageError
from irkit.evidence import verify
from irkit.journal import Kind
from irkit.plan import Call, Outcome, Plan, Report, Running, Status, Step, Undo


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case.open("T-1", region="us-east-1", cases=tmp_path)


def reopened(case: Case) -> Case:
    """The case as the next process finds it."""
    return Case.load("T-1", cases=case.root.parent)


def step(verb: str, act: Callable[[Running], Outcome] = lambda _: Outcome(), **more: Any) -> Step:
    return Step(**({"verb": verb, "target": "i-1", "title": f"Do {verb}", "act": act} | more))


def failing(error: BaseException) -> Callable[[Running], Outcome]:
    def act(_: Running) -> Outcome:
        raise error

    return act


def applied(case: Case, *steps: Step, **more: Any) -> Report:
    return Plan(case, steps, title="test").apply(**more)


def statuses(report: Report) -> dict[str, str]:
    return {s.verb: s.status.value for s in report.steps}


def kinds(case: Case, step: Step) -> list[str]:
    return [e.kind.value for e in reopened(case).journal.of_step(step.id(case.id))]


# --- showing ------------------------------------------------------------------------------------------------


def test_a_plan_changes_nothing_until_it_is_applied(case: Case) -> None:
    before = case.journal.path.read_bytes()
    plan = Plan(case, [step("a", failing(AssertionError()))], title="test")
    assert plan.rows()[0]["state"] == "planned"
    assert "<Plan test: 1 steps, 1 change AWS" in repr(plan)
    assert plan.to_dict()["case"] == "T-1"
    assert len(plan + plan) == 2
    assert case.journal.path.read_bytes() == before


def test_a_step_has_the_same_id_whenever_it_is_planned_and_another_when_anything_differs() -> None:
    same = {step("a", args={"x": 1, "y": [2]}).id("T-1") for _ in range(3)}
    others = {
        step("a", args={"x": 1, "y": [3]}).id("T-1"), step("b", args={"x": 1, "y": [2]}).id("T-1"),
        step("a", args={"x": 1, "y": [2]}, target="i-2").id("T-1"), step("a", args={"x": 1, "y": [2]}).id("T-2"),
    }  # fmt: skip
    assert len(same) == 1
    assert len(same | others) == 5


def test_hostile_text_is_shown_and_not_run(case: Case) -> None:
    hostile = step("a", target="<script>\x1b[2J", title="<b>", reversible="<i>")
    assert "<script" not in Plan(case, [hostile], title="t")._repr_html_()
    assert "<b>" not in applied(case, hostile)._repr_html_()


# --- running ------------------------------------------------------------------------------------------------


def test_an_action_is_journaled_before_and_after(case: Case) -> None:
    seen: list[list[str]] = []

    def act(running: Running) -> Outcome:
        seen.append(kinds(case, doing))
        return Outcome(
            result={"group": "sg-1"}, after={"groups": ["sg-1"]}, request_ids=("r-1",),
            undo=Undo(calls=(Call(service="ec2", operation="DeleteSecurityGroup", params={"GroupId": "sg-1"}),)),
        )  # fmt: skip

    doing = step("a", act, before=lambda: {"groups": ["sg-0"]}, args={"room": "none"})
    report = applied(case, doing)
    assert seen == [["intended"]]
    intended, done = case.journal.of_step(doing.id("T-1"))
    assert intended.body["before"] == {"groups": ["sg-0"]}
    assert intended.body["args"] == {"room": "none"}
    assert done.body["undo"]["calls"][0]["params"] == {"GroupId": "sg-1"}
    assert (report.exit_code, report.complete) == (0, True)


def test_stages_run_in_order_and_the_steps_of_one_side_by_side(case: Case) -> None:
    together = threading.Barrier(2, timeout=20)
    order: list[str] = []

    def meet(running: Running) -> Outcome:
        together.wait()
        order.append("first")
        return Outcome()

    def last(running: Running) -> Outcome:
        order.append("last")
        return Outcome()

    applied(case, step("c", last, stage=2), step("a", meet, stage=1), step("b", meet, stage=1))
    assert order == ["first", "first", "last"]


def test_no_more_steps_run_at_once_than_there_are_workers(case: Case) -> None:
    running, most = [0], [0]
    lock = threading.Lock()

    def act(_: Running) -> Outcome:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        time.sleep(0.05)
        with lock:
            running[0] -= 1
        return Outcome()

    applied(case, *(step(f"s{n}", act) for n in range(6)), workers=2)
    assert most[0] <= 2


def test_a_step_that_fails_fails_alone(case: Case) -> None:
    report = applied(case, step("a", failing(RuntimeError("boom\x1b[2J"))), step("b", stage=1))
    assert statuses(report) == {"a": "failed", "b": "done"}
    assert report.exit_code == 3
    assert "boom" in report.failed[0].why
    assert "\x1b" not in report.failed[0].why


@pytest.mark.parametrize(
    "result",
    [{"cpu": float("nan")}, {"when": object()}, {b"x": {1, 2}}, {"name": "\ud83d\ude00 \udcff"}],
    ids=["not a number", "no JSON type", "bytes and a set", "lone surrogates"],
)
def test_whatever_a_step_returns_it_is_journaled(case: Case, result: Any) -> None:
    assert statuses(applied(case, step("a", lambda _: Outcome(result=result)))) == {"a": "done"}
    assert verify(case.root).sound


def test_a_result_that_cannot_be_written_down_fails_its_step_alone(case: Case) -> None:
    endless: list[Any] = []
    endless.append(endless)
    report = applied(case, step("a", lambda _: Outcome(result={"x": endless})), step("b", stage=1))
    assert statuses(report) == {"a": "failed", "b": "done"}


def test_a_step_done_in_part_says_what_is_missing(case: Case) -> None:
    report = applied(case, step("a", lambda _: Outcome(missing=("the console",))))
    assert (report.complete, report.exit_code, report.steps[0].missing) == (False, 3, ("the console",))


def test_a_step_whose_need_is_not_met_is_skipped_and_says_so(case: Case) -> None:
    report = applied(case, step("a", failing(Refused("no"))), step("b", needs=("a",), stage=1))
    assert statuses(report) == {"a": "failed", "b": "skipped"}
    assert report.steps[1].why == "needs a, which is not done"


def test_after_a_vital_step_failed_nothing_that_comes_later_runs(case: Case) -> None:
    vital = step("a", failing(Refused("no")), vital=True, title="The vital one")
    report = applied(case, vital, step("b"), step("c", stage=1), step("d", stage=2))
    assert statuses(report) == {"a": "failed", "b": "done", "c": "skipped", "d": "skipped"}
    assert report.steps[2].why == "stopped by the failure of: The vital one"
    assert Report(report.steps[:1]).exit_code == 1


def test_progress_that_cannot_be_shown_stops_nothing(case: Case) -> None:
    def gone(_: str) -> None:
        raise BrokenPipeError(errno.EPIPE, "the terminal went away")

    assert statuses(applied(case, step("a"), progress=gone)) == {"a": "done"}


# --- resuming -----------------------------------------------------------------------------------------------


def test_what_is_done_is_not_done_again(case: Case) -> None:
    times: list[int] = []

    def act(_: Running) -> Outcome:
        times.append(1)
        return Outcome(result={"snapshot": "snap-1"}, missing=("half of it",))

    applied(case, step("a", act))
    report = applied(reopened(case), step("a", act), step("b", needs=("a",), stage=1))
    assert len(times) == 1
    first = report.steps[0]
    assert (first.status, first.earlier, first.why) == (Status.DONE, True, "done earlier")
    assert (first.result, first.missing) == ({"snapshot": "snap-1"}, ("half of it",))
    assert report.steps[1].status is Status.DONE


def begun(case: Case, doing: Step, before: Any = None) -> None:
    """As if a process had been killed after the intention was journaled."""
    case.journal.append(Kind.INTENDED, step=doing.id(case.id), verb=doing.verb, before=before)


def test_a_step_that_was_cut_short_is_looked_for_before_it_is_done_again(case: Case) -> None:
    asked: list[Any] = []

    def find(before: Any) -> Outcome | None:
        asked.append(before)
        return Outcome(result={"found": True})

    doing = step("a", failing(AssertionError("done twice")), find=find)
    begun(case, doing, before={"groups": ["sg-0"]})
    assert applied(case, doing).steps[0].result == {"found": True}
    assert asked == [{"groups": ["sg-0"]}]
    assert kinds(case, doing) == ["intended", "done"]


def test_a_step_that_was_cut_short_and_is_not_found_is_done(case: Case) -> None:
    doing = step("a", find=lambda before: None)
    begun(case, doing)
    assert statuses(applied(case, doing)) == {"a": "done"}
    assert kinds(case, doing) == ["intended", "intended", "done"]


@pytest.mark.parametrize("then", [Kind.FAILED, Kind.SKIPPED], ids=str)
def test_an_attempt_that_failed_on_the_way_is_looked_for_too(case: Case, then: Kind) -> None:
    doing = step("a", failing(AssertionError("done twice")), find=lambda before: Outcome(result=before))
    begun(case, doing, before={"x": 1})
    case.journal.append(then, step=doing.id(case.id), verb="a", why="the connection was lost")
    assert applied(case, doing).steps[0].result == {"x": 1}


@pytest.mark.parametrize("settled", [Kind.DONE, Kind.UNDONE], ids=str)
def test_what_was_settled_since_is_not_looked_for(case: Case, settled: Kind) -> None:
    doing = step("a", find=lambda before: pytest.fail("looked for"))
    begun(case, doing)
    case.journal.append(settled, step=doing.id(case.id), verb="a")
    assert statuses(applied(case, doing)) == {"a": "done"}


def test_what_was_undone_is_done_again_when_it_is_planned_again(case: Case) -> None:
    doing = step("a")
    applied(case, doing)
    case.journal.append(Kind.UNDONE, step=doing.id("T-1"), verb="a")
    assert not applied(case, doing).steps[0].earlier


def test_an_item_that_an_earlier_run_stored_stays_the_item(case: Case) -> None:
    def interrupted(running: Running) -> Outcome:
        running.keep(b"first", kind="k", name="n")
        raise RuntimeError("killed here")

    def whole(running: Running) -> Outcome:
        return Outcome(result={"item": running.keep(b"second", kind="k", name="n").id})

    applied(case, step("a", interrupted))
    again = reopened(case)
    assert applied(again, step("a", whole)).steps[0].result == {"item": "E0001"}
    assert [again.evidence.read(i) for i in again.evidence.items()] == [b"first"]


def test_names_that_become_the_same_file_name_are_two_items(case: Case) -> None:
    def act(running: Running) -> Outcome:
        for name in ("etc/passwd", "etc_passwd", "etc:passwd", "x" * 400 + "1", "x" * 400 + "1y" + "1" * 17):
            running.keep(name.encode(), kind="k", name=name)
        return Outcome()

    applied(case, step("a", act))
    applied(reopened(case), step("a", act))
    assert len({case.evidence.read(i) for i in case.evidence.items()}) == 5
    assert len(case.evidence.items()) == 5


# --- deadlines ----------------------------------------------------------------------------------------------


def test_a_step_that_misses_its_deadline_fails_alone_and_is_told(case: Case) -> None:
    told = threading.Event()

    def slow(running: Running) -> Outcome:
        while not running.stopped:
            time.sleep(0.01)
        told.set()
        raise TimeoutError

    begin = time.monotonic()
    report = applied(case, step("a", slow, deadline=0.2), step("b", stage=1))
    assert time.monotonic() - begin < 10
    assert statuses(report) == {"a": "failed", "b": "done"}
    assert "not finished after 0 s" in report.steps[0].why
    assert told.wait(10)


@pytest.mark.parametrize("part", ["before", "find"])
def test_looking_first_has_a_deadline_too(case: Case, part: str) -> None:
    go_on = threading.Event()
    doing = step("a", deadline=0.2, **{part: lambda *_: go_on.wait(30)})
    begun(case, doing)
    assert statuses(applied(case, doing)) == {"a": "failed"}
    go_on.set()


def test_an_error_that_looks_like_a_deadline_is_told_apart(case: Case) -> None:
    report = applied(case, step("a", failing(TimeoutError("the socket timed out"))))
    assert "the socket timed out" in report.steps[0].why


def test_a_step_that_ends_well_after_its_deadline_is_journaled_all_the_same(case: Case) -> None:
    go_on = threading.Event()

    def slow(running: Running) -> Outcome:
        go_on.wait(20)
        return Outcome(result={"snapshot": "snap-1"}, undo=Undo(impossible="it is evidence"))

    doing = step("a", slow, deadline=0.1)
    assert statuses(applied(case, doing)) == {"a": "failed"}
    go_on.set()
    again = applied(case, step("a", failing(AssertionError("done twice")), deadline=10))
    assert again.steps[0].result == {"snapshot": "snap-1"}
    assert kinds(case, doing) == ["intended", "failed", "done"]
    assert case.journal.of_step(doing.id("T-1"))[-1].body["late"] is True


def test_a_step_that_is_still_at_it_is_not_begun_beside_itself(case: Case) -> None:
    go_on = threading.Event()
    at_it: list[int] = []

    def slow(running: Running) -> Outcome:
        at_it.append(1)
        go_on.wait(20)
        raise TimeoutError

    doing = step("a", slow, deadline=0.1)
    applied(case, doing)
    report = applied(case, doing)
    assert len(at_it) == 1
    assert "another process or thread is at it" in report.steps[0].why
    go_on.set()


HANGS = """
import sys, time
from irkit.case import Case
from irkit.plan import Outcome, Plan, Step
case = Case.load("T-1", cases=sys.argv[1])
step = Step(verb="a", target="t", title="Hang", act=lambda _: time.sleep(300), deadline=0.2)
sys.exit(Plan(case, [step], title="t").apply().exit_code)
"""


def test_a_step_that_hangs_does_not_keep_the_process_from_ending(case: Case) -> None:
    run = subprocess.run([sys.executable, "-c", HANGS, str(case.root.parent)], timeout=60)
    assert run.returncode == 1


INTERRUPTED = """
import sys, time
from irkit.case import Case
from irkit.plan import Outcome, Plan, Step
case = Case.load("T-1", cases=sys.argv[1])
def act(_):
    print("at it", flush=True)
    time.sleep(300)
try:
    Plan(case, [Step(verb="a", target="t", title="Hang", act=act, deadline=300)], title="t").apply()
except KeyboardInterrupt:
    sys.exit(130)
"""


def test_control_c_ends_a_run_at_once(case: Case) -> None:
    command = [sys.executable, "-c", INTERRUPTED, str(case.root.parent)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "at it\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
    assert reopened(case).journal.entries[-1].kind is Kind.INTENDED


# --- a disk that refuses ------------------------------------------------------------------------------------


def test_evidence_that_finds_no_room_fails_its_step_and_containment_goes_on(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(*_: Any, **__: Any) -> Any:
        raise StorageError("cannot write evidence at /x", hint="the disk is full")

    monkeypatch.setattr(case.evidence, "add", no_room)
    capture = step("capture", lambda r: Outcome(result={"item": r.keep(b"x", kind="k", name="n").id}))
    report = applied(case, capture, step("contain", stage=1))
    assert statuses(report) == {"capture": "failed", "contain": "done"}
    assert "the disk is full" in report.steps[0].why


def test_where_nothing_can_be_journaled_nothing_is_done(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    acted: list[int] = []

    def full(fd: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(
        StorageError, match=r"cannot write the journal at .*: the disk is full; free some space"
    ):
        applied(case, *(step(f"s{n}", lambda _: acted.append(1) or Outcome()) for n in range(4)))  # type: ignore[func-returns-value]
    monkeypatch.undo()
    assert acted == []
    assert verify(case.root).sound


READ_ONLY = """
set -e
mount --bind "$1" "$1"
mount -o remount,ro,bind "$1"
exec "$2" -c "$3" "$1"
"""
APPLY = """
import sys
from irkit.case import Case
from irkit.errors import StorageError
from irkit.plan import Outcome, Plan, Step
case = Case.load("T-1", cases=sys.argv[1])
assert case.evidence.read(case.evidence.items()[0]) == b"x"
try:
    Plan(case, [Step(verb="a", target="t", title="T", act=lambda _: sys.exit("acted"))], title="t").apply()
except StorageError as error:
    print(error)
"""


@pytest.mark.needs_user_namespaces
def test_a_read_only_case_can_be_read_and_refuses_to_act(case: Case) -> None:
    case.evidence.add(b"x", kind="k", name="n", source="s")
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", READ_ONLY, "sh",
               str(case.root.parent), sys.executable, APPLY]  # fmt: skip
    run = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    assert "the file system is read-only; choose another folder" in run.stdout
    assert len(run.stdout.splitlines()) == 1


FULL = """
set -e
mount -t tmpfs -o size=400k tmpfs "$1"
exec "$2" -c "$3" "$1"
"""
FILL = """
import os, sys
from pathlib import Path
from irkit.case import Case
from irkit.errors import StorageError
from irkit.evidence import verify
from irkit.plan import Outcome, Plan, Step
cases = Path(sys.argv[1])
case = Case.open("T-1", region="us-east-1", cases=cases)
def step(n, size):
    def act(running):
        return Outcome(result={"item": running.keep(os.urandom(size), kind="k", name=str(n)).id, "why": "x" * 500})
    return Step(verb=f"v{n}", target="t", title="T", act=act, stage=n)
report = Plan(case, [step(0, 1000), step(1, 900_000), step(2, 1000)], title="a large item").apply()
print(*(s.status for s in report.steps))
full = None
while full is None:
    ballast = cases / "ballast"
    try:
        with ballast.open("ab") as file:
            file.write(os.urandom(4096))
    except OSError:
        try:
            for n in range(3, 300):
                Plan(case, [step(n, 3000)], title="until it is full").apply(workers=4)
        except StorageError as error:
            full = error
print(full)
print(verify(case.root).sound, [p for p in verify(case.root).problems])
ballast.unlink()
again = Case.load("T-1", cases=cases)
again.evidence.recover()
print(Plan(again, [step(400, 1000)], title="after").apply().exit_code)
again.close()
print(verify(again.root).problems)
"""


@pytest.mark.needs_user_namespaces
def test_a_disk_that_fills_up_leaves_a_sound_case_that_goes_on_when_there_is_room(tmp_path: Path) -> None:
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", FULL, "sh",
               str(tmp_path), sys.executable, FILL]  # fmt: skip
    run = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    large, full, before, after, problems = run.stdout.splitlines()
    assert large == "done failed done"
    assert "the disk is full; free some space" in full
    assert after == "0", before
    assert problems == "()"


# --- two processes, and kills -------------------------------------------------------------------------------

COUNT = """
import sys, uuid
from pathlib import Path
from irkit.case import Case
from irkit.plan import Outcome, Plan, Step
case, world = Case.load("T-1", cases=sys.argv[1]), Path(sys.argv[2])
def step(n):
    def act(running):
        (world / f"{n}.{uuid.uuid4()}").touch()  # AWS: what has been done stays done, whoever dies
        running.keep(b"evidence" * 1000, kind="k", name=str(n))
        return Outcome(result={"n": n})
    find = lambda before: Outcome(result={"n": n}) if list(world.glob(f"{n}.*")) else None
    return Step(verb=f"v{n}", target="t", title="T", act=act, find=find, stage=n // 4)
print("ready", flush=True)
sys.exit(Plan(case, [step(n) for n in range(24)], title="t").apply(workers=4).exit_code)
"""


def worker(case: Case, world: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", COUNT, str(case.root.parent), str(world)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def done_in(aws: Path) -> list[int]:
    """The steps that took effect, one that did so twice twice."""
    return sorted(int(p.name.partition(".")[0]) for p in aws.iterdir())


def ended(process: subprocess.Popen[str]) -> int:
    process.communicate(timeout=120)
    return process.returncode


@pytest.fixture
def aws(tmp_path: Path) -> Path:
    (tmp_path / "aws").mkdir()
    return tmp_path / "aws"


def test_two_processes_that_apply_the_same_plan_do_each_step_once(case: Case, aws: Path) -> None:
    processes = [worker(case, aws), worker(case, aws)]
    assert [ended(p) for p in processes] == [0, 0]
    assert done_in(aws) == list(range(24))
    assert sorted(int(i.name) for i in case.evidence.items()) == list(range(24))
    assert verify(case.root).sound


def killed_and_applied_again(case: Case, aws: Path, *, after: float) -> None:
    process = worker(case, aws)
    time.sleep(after)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert ended(worker(case, aws)) == 0
    again = reopened(case)
    again.evidence.recover()
    again.close()
    assert done_in(aws) == list(range(24))
    assert verify(case.root).problems == ()
    done = [e.body["verb"] for e in again.journal.entries if e.kind is Kind.DONE]
    assert sorted(done) == sorted(f"v{n}" for n in range(24))


def test_a_plan_killed_at_a_random_moment_is_completed_with_each_step_done_once(
    case: Case, aws: Path
) -> None:
    killed_and_applied_again(case, aws, after=random.SystemRandom().uniform(0.0, 0.4))


@pytest.mark.soak
@pytest.mark.parametrize("round_", range(20))
def test_plans_killed_again_and_again_are_completed(round_: int, case: Case, aws: Path) -> None:
    killed_and_applied_again(case, aws, after=random.SystemRandom().uniform(0.0, 1.0))
