from __future__ import annotations

import errno
import hashlib
import json
import os
import random
import resource
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from irkit import canonical
from irkit.errors import JournalDamaged, StorageError
from irkit.journal import GENESIS, Journal, Kind, read, scan


def journal_at(path: Path, *, entries: int = 0) -> Journal:
    """A journal with an opening and so many notes in it."""
    journal = Journal.create(path, actor="ana")
    for number in range(entries):
        journal.append(Kind.NOTE, number=number, what="a café, a \ud800 surrogate, a\nnewline")
    return journal


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.jsonl"


# --- the chain ----------------------------------------------------------------------------------------------


def test_every_entry_carries_its_hash_and_the_hash_of_the_one_before(path: Path) -> None:
    journal_at(path, entries=3)
    lines = [json.loads(line) for line in path.read_bytes().splitlines()]
    prev = GENESIS
    for seq, line in enumerate(lines):
        claimed = line.pop("hash")
        assert (line["seq"], line["prev"]) == (seq, prev)
        text = json.dumps(line, sort_keys=True, separators=(",", ":"))
        assert hashlib.sha256(text.encode()).hexdigest() == claimed
        prev = claimed


def test_what_is_read_back_is_what_was_appended(path: Path) -> None:
    written = journal_at(path, entries=3)
    again = Journal(path, actor="bo")
    assert again.entries == written.entries
    assert again.head == written.head


def test_an_entry_tells_the_line_that_it_was_read_from_whoever_wrote_it(path: Path) -> None:
    journal_at(path, entries=1)
    line = json.loads(path.read_bytes())
    line.pop("hash")
    line["tool"] = "irkit/0.0.1"
    text = canonical.dumps(line)
    line["hash"] = hashlib.sha256(text.encode()).hexdigest()
    path.write_text(canonical.dumps(line) + "\n")
    assert Journal(path, actor="bo").entries[0].to_dict() == line


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats()
    | st.text(st.characters(), max_size=20)
    | st.binary(max_size=8)
    | st.datetimes(timezones=st.just(UTC)),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(), max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(body=st.dictionaries(st.text(st.characters(), max_size=8), values, max_size=4))
def test_whatever_a_step_returns_can_be_journaled_and_read_back(body: dict[str, Any]) -> None:
    written = canonical.dumps({"body": body})
    assert canonical.dumps(json.loads(written)) == written


def test_numbers_that_json_lacks_become_text_and_stop_nothing(path: Path) -> None:
    entry = journal_at(path).append(Kind.NOTE, cpu=float("nan"), most=float("inf"))
    assert entry.body == {"cpu": "nan", "most": "inf"}
    assert not read(path).problems


# --- damage -------------------------------------------------------------------------------------------------


def test_a_flip_of_any_byte_is_found(path: Path) -> None:
    journal_at(path, entries=4)
    sound = path.read_bytes()
    for offset in range(len(sound)):
        changed = bytearray(sound)
        changed[offset] ^= 1 << (offset % 8)
        reading = scan(bytes(changed))
        assert reading.problems or reading.torn, f"byte {offset}"


def test_damage_names_the_entry(path: Path) -> None:
    journal_at(path, entries=5)
    lines = path.read_bytes().splitlines(keepends=True)
    lines[2] = lines[2].replace(b'"ana"', b'"bob"')
    path.write_bytes(b"".join(lines))
    (problem,) = read(path).problems
    assert problem.startswith("entry 2: ")
    with pytest.raises(JournalDamaged, match=r"entry 2: .*restore the file from a copy"):
        Journal(path, actor="ana")


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda lines: [lines[0], lines[2], lines[1], *lines[3:]], id="swapped"),
        pytest.param(lambda lines: [lines[0], *lines[2:]], id="one taken out"),
        pytest.param(lambda lines: lines[1:], id="the first taken out"),
        pytest.param(lambda lines: [lines[0], lines[0], *lines[1:]], id="one doubled"),
        pytest.param(lambda lines: [lines[0], b"\n", *lines[1:]], id="an empty line put in"),
        pytest.param(lambda lines: [*lines, b"{}\n"], id="a line put behind"),
        pytest.param(lambda lines: [lines[0].replace(b'","', b'", "'), *lines[1:]], id="written otherwise"),
        pytest.param(lambda lines: [*lines, lines[2].rstrip(b"\n")], id="an old entry torn behind the last"),
    ],
)
def test_lines_in_another_order_or_number_are_damage(change: Any, path: Path) -> None:
    journal_at(path, entries=4)
    lines = path.read_bytes().splitlines(keepends=True)
    assert scan(b"".join(change(lines))).problems


def test_a_long_journal_that_is_damaged_at_its_start_is_read_in_good_time(path: Path) -> None:
    journal = Journal.create(path, actor="ana")
    journal.append(Kind.NOTE, what="x" * 20_000)
    lines = [path.read_bytes()]
    seq, prev = journal.head
    for number in range(1, 3000):
        body = {"what": "x" * 1000}
        sealed = {"v": 1, "seq": seq + number, "at": "", "kind": "recovered", "actor": "", "body": body,
                  "prev": prev, "tool": ""}  # fmt: skip
        prev = hashlib.sha256(canonical.dumps(sealed).encode()).hexdigest()
        lines.append(canonical.dumps(sealed | {"hash": prev}).encode() + b"\n")
    data = b"".join(lines)
    begun = time.process_time()
    assert scan(b"X" + data[1:]).problems
    assert time.process_time() - begun < 5  # a hash of all that lies between, for every line, took minutes


def test_an_entry_of_a_later_format_is_not_guessed_at(path: Path) -> None:
    journal_at(path, entries=1)
    line = json.loads(path.read_bytes())
    line.pop("hash")
    line["v"] = 2
    line["hash"] = hashlib.sha256(canonical.dumps(line).encode()).hexdigest()
    path.write_text(canonical.dumps(line) + "\n")
    assert read(path).problems


# --- torn tails ---------------------------------------------------------------------------------------------


def edges_and_some_between(begin: int, end: int) -> list[int]:
    return sorted({*range(begin, end)[:3], *range(begin, end)[-3:], *range(begin, end, 29)})


def test_a_write_cut_short_at_any_byte_is_survived(path: Path) -> None:
    journal_at(path, entries=3)
    whole = path.read_bytes()
    begin = whole.rindex(b"\n", 0, -1) + 1
    for cut in edges_and_some_between(begin, len(whole)):
        path.write_bytes(whole[:cut])
        assert read(path).torn == whole[begin:cut]
        journal = Journal(path, actor="bo")
        journal.append(Kind.NOTE, what="after the crash")
        assert not read(path).problems, f"cut at byte {cut}"
        assert read(path).entries == journal.entries
        assert whole[:cut] in path.read_bytes()  # what the crash left is still there


def test_a_crash_while_a_crash_is_recorded_is_survived_at_any_byte(path: Path) -> None:
    journal_at(path, entries=2)
    torn = path.read_bytes()[:-40]
    path.write_bytes(torn)
    Journal(path, actor="bo").append(Kind.NOTE, what="x")
    recovered = path.read_bytes()
    second = recovered.index(b"\x18\n") + 2
    for cut in {*edges_and_some_between(len(torn), second), *edges_and_some_between(second, len(recovered))}:
        path.write_bytes(recovered[:cut])
        journal = Journal(path, actor="cy")
        journal.append(Kind.NOTE, what="after the second crash")
        reading = read(path)
        assert not reading.problems, f"cut at byte {cut}"
        assert not reading.torn
        assert reading.entries == journal.entries


def test_a_torn_tail_is_recorded_with_its_hash(path: Path) -> None:
    journal_at(path, entries=2)
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"at":"20')
    Journal(path, actor="bo").append(Kind.NOTE, what="x")
    recovered = read(path).entries[2]
    assert recovered.kind is Kind.RECOVERED
    assert recovered.body["torn"] == {
        "offset": len(whole), "length": 9, "sha256": hashlib.sha256(b'{"at":"20').hexdigest()
    }  # fmt: skip


def test_a_torn_tail_that_is_changed_after_it_was_recorded_is_damage(path: Path) -> None:
    journal_at(path, entries=2)
    path.write_bytes(path.read_bytes() + b'{"at":"20')
    Journal(path, actor="bo").append(Kind.NOTE, what="x")
    path.write_bytes(path.read_bytes().replace(b'{"at":"20\x18', b'{"at":"21\x18'))
    assert read(path).problems


def test_an_entry_that_lacks_only_its_newline_counts_once_the_next_is_written(path: Path) -> None:
    journal_at(path, entries=3)
    path.write_bytes(path.read_bytes()[:-1])
    assert len(read(path).entries) == 2
    Journal(path, actor="bo").append(Kind.NOTE, what="x")
    assert [e.kind for e in read(path).entries] == [Kind.NOTE] * 4


# --- several at once ----------------------------------------------------------------------------------------

APPEND = """
import sys
from pathlib import Path
from irkit.journal import Journal, Kind
journal = Journal(Path(sys.argv[1]), actor=sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
for number in range(int(sys.argv[3])):
    journal.append(Kind.NOTE, number=number)
    print(number, flush=True)
"""


def appender(path: Path, name: str, count: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", APPEND, str(path), name, str(count)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def released(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def test_processes_that_append_at_once_make_one_chain(path: Path) -> None:
    journal_at(path)
    processes = [appender(path, f"p{n}", 25) for n in range(3)]
    for process in processes:
        released(process)
    assert [p.wait(60) for p in processes] == [0, 0, 0]
    for process in processes:
        process.communicate()
    reading = read(path)
    assert not reading.problems
    for n in range(3):
        assert [e.body["number"] for e in reading.entries if e.actor == f"p{n}"] == list(range(25))


def test_threads_that_append_at_once_make_one_chain(path: Path) -> None:
    journal = journal_at(path)
    other = Journal(path, actor="other")
    threads = [
        threading.Thread(target=lambda j=j: [j.append(Kind.NOTE) for _ in range(15)])
        for j in (journal, journal, other, other)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    reading = read(path)
    assert not reading.problems
    assert len(reading.entries) == 60


def test_a_reader_beside_a_writer_never_takes_the_journal_for_damaged(path: Path) -> None:
    journal_at(path)
    writer = appender(path, "writer", 120)
    watcher = Journal(path, actor="watcher")
    released(writer)
    while writer.poll() is None:
        watcher.refresh()
    writer.communicate()
    watcher.refresh()
    assert len(watcher.entries) == 120


def killed_while_appending(path: Path, *, after: float) -> None:
    """Everything that the writer was told is on disk is in the journal, and the next writer goes on."""
    journal_at(path)
    writer = appender(path, "writer", 100_000)
    released(writer)
    time.sleep(after)
    os.kill(writer.pid, signal.SIGKILL)
    said, _ = writer.communicate()
    confirmed = [int(n) for n in said.split()]
    Journal(path, actor="next").append(Kind.NOTE, what="after the kill")
    reading = read(path)
    assert not reading.problems
    numbers = [e.body["number"] for e in reading.entries if e.actor == "writer"]
    assert numbers[: len(confirmed)] == confirmed
    assert len(numbers) - len(confirmed) <= 1


def test_a_writer_killed_at_a_random_moment_loses_nothing_that_it_confirmed(path: Path) -> None:
    killed_while_appending(path, after=random.SystemRandom().uniform(0.0, 0.2))


@pytest.mark.soak
@pytest.mark.parametrize("round_", range(30))
def test_writers_killed_again_and_again_lose_nothing_that_they_confirmed(round_: int, path: Path) -> None:
    killed_while_appending(path, after=random.SystemRandom().uniform(0.0, 0.5))


# --- a disk that refuses ------------------------------------------------------------------------------------


@pytest.fixture
def small_files() -> Any:
    """No file may grow beyond 4 KiB: the kernel cuts the write that does, as it does on a full disk."""
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


def test_a_write_that_the_disk_has_no_room_for_is_taken_back(path: Path, small_files: Any) -> None:
    journal = journal_at(path, entries=2)
    before = path.read_bytes()
    with pytest.raises(StorageError, match=r"cannot write the journal at .*journal\.jsonl"):
        journal.append(Kind.NOTE, what="x" * 8000)
    assert path.read_bytes() == before
    journal.append(Kind.NOTE, what="a short one still fits")
    assert not read(path).problems


def test_a_full_disk_is_named_in_one_line(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = journal_at(path)

    def full(fd: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="the disk is full; free some space") as caught:
        journal.append(Kind.NOTE)
    assert "\n" not in str(caught.value)
    monkeypatch.undo()
    assert journal.append(Kind.NOTE).seq == 0


def test_an_error_inside_the_block_is_not_called_one_of_the_journal(path: Path) -> None:
    with pytest.raises(ConnectionResetError), journal_at(path).exclusive():
        raise ConnectionResetError("the peer went away")


def test_a_journal_that_becomes_shorter_while_it_is_open_is_damaged(path: Path) -> None:
    journal = journal_at(path, entries=2)
    os.truncate(path, 100)
    with pytest.raises(JournalDamaged, match="became shorter"):
        journal.append(Kind.NOTE)


def test_a_missing_journal_is_a_storage_error(path: Path) -> None:
    with pytest.raises(StorageError, match="it is not there"):
        Journal(path, actor="ana")


def test_a_journal_is_never_created_over_another(path: Path) -> None:
    journal_at(path, entries=1)
    with pytest.raises(StorageError, match="exists already"):
        Journal.create(path, actor="bo")


def test_the_journal_is_for_its_owner_alone(path: Path) -> None:
    journal_at(path, entries=1)
    assert path.stat().st_mode & 0o077 == 0


def test_times_are_utc(path: Path) -> None:
    def clock() -> datetime:
        return datetime.fromisoformat("2026-11-23T16:45:00+02:00")

    journal_at(path)
    assert Journal(path, actor="ana", clock=clock).append(Kind.NOTE).at == "2026-11-23T14:45:00Z"
