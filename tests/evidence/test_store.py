from __future__ import annotations

import hashlib
import os
import random
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from irkit.case import Case
from irkit.errors import StorageError
from irkit.evidence import Item, verify
from irkit.evidence.items import safe_name
from irkit.journal import Kind, read


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case.open("T-1", region="us-east-1", cases=tmp_path)


def added(case: Case, data: Any = b"bytes", **more: Any) -> Item:
    return case.evidence.add(data, **({"kind": "console", "name": "a.txt", "source": "i-1"} | more))


def died(case: Case) -> None:
    """The locks that the process of `case` held are gone, as they are when it is killed."""
    assert case.evidence._own is not None
    os.close(case.evidence._own[1])


def names_in(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


# --- keeping ------------------------------------------------------------------------------------------------


def test_an_item_is_hashed_journaled_and_put_where_nobody_writes(case: Case) -> None:
    item = added(case, b"hello")
    path = case.evidence.path(item)
    assert item.path == "intake/cases/T-1/E0001-console/a.txt"
    assert (item.sha256, item.size) == (hashlib.sha256(b"hello").hexdigest(), 5)
    assert path.read_bytes() == b"hello"
    assert path.stat().st_mode & 0o777 == 0o400
    assert case.journal.entries[-1].kind is Kind.ITEMS
    assert Case.load("T-1", cases=case.root.parent).evidence.items() == [item]


@pytest.mark.parametrize("data", [b"", [], [b""]], ids=["bytes", "no chunks", "an empty chunk"])
def test_an_item_of_no_bytes_is_an_item(case: Case, data: Any) -> None:
    item = added(case, data)
    assert item.size == 0
    assert case.evidence.path(item).read_bytes() == b""
    case.close()
    assert verify(case.root).sound


def test_many_chunks_make_one_item(case: Case) -> None:
    item = added(case, (bytes([n % 256]) * 997 for n in range(3000)))
    assert item.size == 997 * 3000
    assert hashlib.sha256(case.evidence.read(item)).hexdigest() == item.sha256


def test_several_files_are_committed_by_one_entry(case: Case) -> None:
    staged = []
    for name in ("one", "two", "three"):
        with case.evidence.stage(kind="k", name=name, source="s", step="abc") as (writer, ready):
            writer.write(name.encode())
        staged.append(ready)
    assert case.evidence.items() == []
    items = case.evidence.commit(staged)
    assert [i.id for i in items] == ["E0001", "E0002", "E0003"]
    assert len(case.journal.of_step("abc")) == 1


def test_items_keep_their_order_and_numbers_when_there_are_many(case: Case) -> None:
    staged = []
    for number in range(300):
        with case.evidence.stage(kind="file", name=f"f{number}", source="s") as (writer, ready):
            writer.write(b"x")
        staged.append(ready)
    case.evidence.commit(staged)
    again = Case.load("T-1", cases=case.root.parent).evidence.items()
    assert [i.id for i in again] == [f"E{n:04d}" for n in range(1, 301)]
    assert len({i.path for i in again}) == 300


# --- names that someone else chose --------------------------------------------------------------------------

HOSTILE = [
    "../../../../etc/passwd", "..", ".", "", "/etc/shadow", "a\nb", "a\x00b", "\udcff\ud800", "x" * 5000, "~root",
    ".hidden", "-rf", "$(id)", "日本語", "a" * 200 + "/../b", "CON", "a\\b", "%2e%2e%2f", "\\u202eexe.txt",
]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_name_stays_inside_its_folder_and_is_not_forgotten(case: Case, name: str) -> None:
    item = added(case, b"x", name=name, kind=name or "k")
    path = case.evidence.path(item)
    assert path.is_file()
    assert path.resolve().is_relative_to(case.root / "intake" / "cases" / "T-1")
    assert item.notes.get("original_name", item.name) == name
    case.close()
    assert verify(case.root).sound
    assert Case.load("T-1", cases=case.root.parent).evidence.items() == [item]


@given(st.text(st.characters(), max_size=300))
def test_a_safe_name_is_one_plain_file_name(text: str) -> None:
    name = safe_name(text)
    assert 0 < len(name) <= 120
    assert name.isascii()
    assert name.isprintable()
    assert not name.startswith(".")
    assert "/" not in name
    assert safe_name(name) == name


# --- when it goes wrong -------------------------------------------------------------------------------------


def test_a_source_that_breaks_off_leaves_nothing_and_is_not_called_a_full_disk(case: Case) -> None:
    def stream() -> Iterator[bytes]:
        yield b"begun"
        raise ConnectionResetError("the peer went away")

    with pytest.raises(ConnectionResetError):
        added(case, stream())
    assert case.evidence.items() == []
    case.close()
    assert not (case.root / "staging").exists() or names_in(case.root / "staging") == []


def test_a_partial_capture_that_breaks_off_is_kept_as_interrupted(case: Case) -> None:
    def stream() -> Iterator[bytes]:
        yield b"half a memory image"
        raise TimeoutError

    with pytest.raises(TimeoutError):
        added(case, stream(), partial=True)
    again = Case.load("T-1", cases=case.root.parent)
    again.evidence.recover()
    assert again.evidence.items() == []  # the process that staged it still lives
    died(case)
    again.evidence.recover()
    (item,) = again.evidence.items()
    assert (item.kind, item.partial, again.evidence.read(item)) == (
        "interrupted",
        True,
        b"half a memory image",
    )


@pytest.fixture
def small_files() -> Iterator[None]:
    """No file may grow beyond 64 KiB, as if the disk were full."""
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (65536, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


def test_an_item_for_which_there_is_no_room_leaves_the_case_as_it_was(case: Case, small_files: None) -> None:
    added(case)
    with pytest.raises(StorageError, match="cannot write evidence at"):
        added(case, [b"x" * 30_000] * 5)
    added(case, b"a small one still fits", name="b.txt")
    case.close()
    assert [i.name for i in case.evidence.items()] == ["a.txt", "b.txt"]
    assert verify(case.root).sound
    assert not (case.root / "staging").exists() or names_in(case.root / "staging") == []


# --- several processes --------------------------------------------------------------------------------------

ADD = """
import sys
from irkit.case import Case
case = Case.load("T-1", cases=sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
for number in range(int(sys.argv[3])):
    case.evidence.add([b"x" * 1000] * 3, kind=sys.argv[2], name=str(number), source="s")
    case.evidence.write_manifest()
    case.close()
    print(number, flush=True)
"""
RECOVER = """
import sys
from irkit.case import Case
case = Case.load("T-1", cases=sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
for number in range(int(sys.argv[3])):
    case.evidence.recover()
"""


def started(code: str, case: Case, kind: str, count: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code, str(case.root.parent), kind, str(count)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def released(*processes: subprocess.Popen[str]) -> None:
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()


def test_processes_that_add_while_another_recovers_lose_nothing(case: Case) -> None:
    processes = [started(ADD, case, "one", 15), started(ADD, case, "two", 15), started(RECOVER, case, "", 60)]
    released(*processes)
    for process in processes:
        process.communicate(timeout=60)
    assert [p.returncode for p in processes] == [0, 0, 0]
    items = case.evidence.items()
    assert sorted((i.kind, int(i.name)) for i in items) == [(k, n) for k in ("one", "two") for n in range(15)]
    case.close()
    assert verify(case.root).problems == ()


def test_the_file_of_a_capture_that_still_runs_is_never_taken(case: Case) -> None:
    other = Case.load("T-1", cases=case.root.parent)
    with case.evidence.stage(kind="memory", name="m", source="s") as (writer, staged):
        writer.write(b"first ")
        case.close()  # the playbook ended; the step that missed its deadline has not
        other.evidence.recover()
        case.evidence.recover()
        writer.write(b"second")
    (item,) = case.evidence.commit([staged])
    assert case.evidence.read(item) == b"first second"
    assert other.evidence.items() == [item]
    case.close()
    assert verify(case.root).sound


def test_a_recovery_does_not_hold_up_those_who_write_the_journal(case: Case) -> None:
    abandoned = case.root / "staging" / "dead"
    abandoned.mkdir(parents=True)
    (abandoned / "big").write_bytes(b"x")
    waiting, go_on = threading.Event(), threading.Event()

    def note(_: str) -> None:
        waiting.set()
        go_on.wait(20)

    other = Case.load("T-1", cases=case.root.parent)
    thread = threading.Thread(target=lambda: other.evidence.recover(note=note))
    thread.start()
    assert waiting.wait(20)
    begun = time.monotonic()
    case.note("containment goes on")
    assert time.monotonic() - begun < 5
    go_on.set()
    thread.join()
    assert [i.kind for i in case.evidence.items()] == ["interrupted"]


# --- killed -------------------------------------------------------------------------------------------------

DIE_BEFORE_THE_MOVE = """
import os, sys
from pathlib import Path
from irkit.case import Case
case = Case.load("T-1", cases=sys.argv[1])
Path.rename = lambda *_: os.kill(os.getpid(), 9)
case.evidence.add(b"committed, not moved", kind="k", name="n", source="s")
"""


def test_an_item_whose_move_was_cut_short_is_moved_by_whoever_comes_next(case: Case) -> None:
    run = subprocess.run([sys.executable, "-c", DIE_BEFORE_THE_MOVE, str(case.root.parent)])
    assert run.returncode == -signal.SIGKILL
    (item,) = case.evidence.items()
    assert not case.evidence.path(item).exists()
    (problem, *_) = verify(case.root).problems
    assert problem.startswith(f"{item.path}: missing; `irkit case resume`")
    assert case.evidence.read(item) == b"committed, not moved"
    case.close()
    assert verify(case.root).sound


def killed_while_adding(case: Case, *, after: float) -> None:
    """Every item that was confirmed is there, once, and the case is sound after the next run."""
    process = started(ADD, case, "k", 10_000)
    released(process)
    time.sleep(after)
    os.kill(process.pid, signal.SIGKILL)
    said, _ = process.communicate()
    again = Case.load("T-1", cases=case.root.parent)
    again.evidence.recover()
    again.close()
    verdict = verify(case.root)
    assert verdict.problems == ()
    numbers = [int(i.name) for i in again.evidence.items(kind="k")]
    assert numbers == list(range(len(numbers)))
    assert 0 <= len(numbers) - len(said.split()) <= 1
    staging = case.root / "staging"  # killed at once, the process never made it
    assert not staging.exists() or (names_in(staging) == [] and list(staging.iterdir()) == [])
    assert not read(case.root / "journal.jsonl").problems


def test_a_capture_killed_at_a_random_moment_is_completed_by_the_next_run(case: Case) -> None:
    killed_while_adding(case, after=random.SystemRandom().uniform(0.0, 0.5))


@pytest.mark.soak
@pytest.mark.parametrize("round_", range(30))
def test_captures_killed_again_and_again_are_completed(round_: int, case: Case) -> None:
    killed_while_adding(case, after=random.SystemRandom().uniform(0.0, 1.0))


# --- the manifest -------------------------------------------------------------------------------------------


def test_the_sums_are_what_sha256sum_reads(case: Case) -> None:
    added(case)
    added(case, b"more", name="b")
    case.close()
    check = subprocess.run(
        ["sha256sum", "--check", "--strict", "manifest-sha256.txt"], cwd=case.root, capture_output=True
    )
    assert check.returncode == 0, check.stderr


def test_a_manifest_that_knows_more_than_the_journal_is_set_aside_not_overwritten(case: Case) -> None:
    added(case)
    for number in range(3):
        case.note(f"note {number}")
    case.close()
    journal = case.root / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:-2]))
    again = Case.load("T-1", cases=case.root.parent)
    again.close()
    (problem,) = verify(case.root).problems
    assert "2 entries that manifest.json knew are gone from its end; it was set aside as" in problem
    assert len(list(case.root.glob("manifest-*.set-aside.json"))) == 1
