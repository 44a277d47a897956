from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from irkit import canonical
from irkit.case import Case
from irkit.errors import IntegrityError, NotFound
from irkit.evidence import Verdict, verify


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A sound case: three items, a copy for work among them, notes, and a manifest that is up to date."""
    case = Case.open("T-1", region="us-east-1", cases=tmp_path)
    case.evidence.add(b"metadata", kind="instance", name="instance.json", source="i-1", step="abc")
    case.note("something happened")
    case.evidence.add(b"\xff\xd8" + bytes(range(256)), kind="console-screenshot", name="c.jpg", source="i-1")
    case.evidence.add(b"", kind="console-output", name="console.txt", source="i-1", partial=True)
    case.close()
    assert verify(case.root).problems == ()
    return case.root


def changed(path: Path, offset: int) -> bytes:
    """Flip one bit of the byte at `offset`; returns what was there."""
    before = path.read_bytes()
    after = bytearray(before)
    after[offset] ^= 1 << (offset % 8)
    path.chmod(0o600)
    path.write_bytes(bytes(after))
    return before


def items_of(root: Path) -> list[Path]:
    return sorted(p for p in (root / "intake").rglob("*") if p.is_file())


# --- one bit ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["journal.jsonl", "manifest.json", "manifest-sha256.txt", "case.json"])
def test_a_flip_of_any_byte_of_a_record_is_found_and_named(root: Path, name: str) -> None:
    path = root / name
    size = path.stat().st_size
    for offset in sorted({*range(0, size, 23), size - 1}):
        before = changed(path, offset)
        problems = verify(root).problems
        assert any(p.startswith(f"{name}: ") for p in problems), f"byte {offset}: {problems}"
        path.write_bytes(before)
    assert verify(root).sound


def test_a_flip_of_any_byte_of_evidence_is_found_and_named(root: Path) -> None:
    for path in items_of(root):
        for offset in range(0, path.stat().st_size, 37):
            before = changed(path, offset)
            (problem,) = verify(root).problems
            assert problem.startswith(f"{path.relative_to(root)}: changed: SHA-256 is ")
            path.write_bytes(before)
    assert verify(root).sound


def test_damage_in_the_journal_names_the_entry(root: Path) -> None:
    lines = (root / "journal.jsonl").read_bytes().splitlines(keepends=True)
    changed(root / "journal.jsonl", len(b"".join(lines[:2])) + 30)
    assert verify(root).problems[0].startswith("journal.jsonl: entry 2: ")


# --- files --------------------------------------------------------------------------------------------------


def problems_after(root: Path, change: Callable[[], Any]) -> tuple[str, ...]:
    change()
    return verify(root).problems


def test_a_missing_file_is_named(root: Path) -> None:
    path = items_of(root)[1]
    (problem,) = problems_after(root, path.unlink)
    assert problem.startswith(f"{path.relative_to(root)}: missing")


def test_an_added_file_is_named(root: Path) -> None:
    (problem,) = problems_after(root, lambda: (root / "intake" / "planted").write_bytes(b"x"))
    assert problem.startswith("intake/planted: nobody recorded it")


def test_an_added_file_with_a_hostile_name_is_named_on_one_line(root: Path) -> None:
    (problem,) = problems_after(root, lambda: (root / "intake" / "a\n\x1b[2J\udcff").write_bytes(b"x"))
    assert problem.startswith("intake/a\\n\\x1b[2J\\udcff: nobody recorded it")


def test_an_added_pipe_is_named(root: Path) -> None:
    (problem,) = problems_after(root, lambda: os.mkfifo(root / "intake" / "pipe"))
    assert problem.startswith("intake/pipe: nobody recorded it")


def test_a_renamed_file_is_named_twice(root: Path) -> None:
    path = items_of(root)[0]
    missing, added = problems_after(root, lambda: path.rename(path.with_name("other")))
    assert "missing" in missing
    assert added.startswith(f"{path.relative_to(root).with_name('other')}: nobody recorded it")


@pytest.mark.parametrize("size", [0, 1, 9, 100_000])
def test_a_file_that_became_longer_or_shorter_is_named(root: Path, size: int) -> None:
    path = items_of(root)[0]
    path.chmod(0o600)
    (problem,) = problems_after(root, lambda: os.truncate(path, size))
    assert problem.startswith(f"{path.relative_to(root)}: {size} bytes, recorded were 8")


def test_a_file_replaced_by_a_link_to_the_same_bytes_is_named(root: Path, tmp_path: Path) -> None:
    inside, outside = items_of(root)[:2]
    for path, copy, said in (
        (inside, root / "active" / "copy", "was replaced by a symbolic link"),
        (outside, tmp_path / "copy", "lies outside the case folder"),
    ):
        copy.write_bytes(path.read_bytes())
        path.unlink()
        path.symlink_to(copy)
        assert any(p.startswith(f"{path.relative_to(root)}: {said}") for p in verify(root).problems)


def test_a_folder_replaced_by_a_link_is_named(root: Path) -> None:
    folder = items_of(root)[0].parent
    folder.rename(root / "active" / "moved")
    folder.symlink_to(root / "active" / "moved")
    problems = verify(root).problems
    assert any("was replaced by a symbolic link" in p for p in problems)


def test_a_file_replaced_by_a_folder_is_named(root: Path) -> None:
    path = items_of(root)[0]
    path.unlink()
    path.mkdir()
    (problem,) = verify(root).problems
    assert problem.startswith(str(path.relative_to(root)))


def test_a_file_that_cannot_be_read_is_a_problem_like_any_other(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = items_of(root)[0]
    real = Path.open

    def refused(self: Path, *args: Any, **more: Any) -> Any:
        if self.name == path.name and "intake" in self.parts:
            raise PermissionError(13, "Permission denied")
        return real(self, *args, **more)

    monkeypatch.setattr(Path, "open", refused)
    (problem,) = verify(root).problems
    assert problem.startswith(f"{path.relative_to(root)}: cannot be read: Permission denied")


@pytest.mark.parametrize("name", ["manifest.json", "manifest-sha256.txt", "case.json"])
def test_a_missing_record_is_named(root: Path, name: str) -> None:
    (root / name).unlink()
    (problem,) = verify(root).problems
    assert problem.startswith(f"{name}: missing")


def test_a_folder_without_a_journal_is_no_case(root: Path) -> None:
    (root / "journal.jsonl").unlink()
    with pytest.raises(NotFound, match="give the folder that holds"):
        verify(root)


# --- the end of the journal ---------------------------------------------------------------------------------


def test_entries_cut_off_the_end_are_noticed_by_the_manifest(root: Path) -> None:
    lines = (root / "journal.jsonl").read_bytes().splitlines(keepends=True)
    for count in range(len(lines)):
        (root / "journal.jsonl").write_bytes(b"".join(lines[:count]))
        gone = f"journal.jsonl: {len(lines) - count} entries that manifest.json knew are gone from its end"
        assert gone in verify(root).problems


def test_entries_cut_off_and_replaced_are_noticed_even_after_the_case_went_on(root: Path) -> None:
    lines = (root / "journal.jsonl").read_bytes().splitlines(keepends=True)
    (root / "journal.jsonl").write_bytes(b"".join(lines[:2]))
    case = Case.load(str(root))
    for _ in range(10):
        case.note("nothing happened here")
    case.evidence.recover()
    case.close()
    problems = verify(root).problems
    assert any("manifest.json: changed: it names another journal" in p and "set aside" in p for p in problems)


def test_a_journal_that_lost_everything_is_not_begun_anew(root: Path) -> None:
    (root / "journal.jsonl").write_bytes(b"")
    for attempt in (
        lambda: Case.open("T-1", region="us-east-1", cases=root.parent),
        lambda: Case.load(str(root)),
    ):
        with pytest.raises(IntegrityError, match="has lost its entries"):
            attempt()
    assert not verify(root).sound


def test_what_a_crash_left_is_a_problem_until_it_is_recorded_and_a_note_afterwards(root: Path) -> None:
    with (root / "journal.jsonl").open("ab") as journal:
        journal.write(b'{"actor":"an')
    (problem,) = verify(root).problems
    assert "12 bytes after entry" in problem
    case = Case.load(str(root))
    case.note("resumed")
    case.close()
    verdict = verify(root)
    assert verdict.sound
    assert "records a torn write of 12 bytes" in verdict.notes[0]


def test_a_crash_between_the_two_manifests_is_told_from_a_change(root: Path) -> None:
    case = Case.load(str(root))
    before = (root / "manifest.json").read_bytes()
    case.evidence.add(b"late", kind="k", name="late", source="s")
    case.close()
    (root / "manifest.json").write_bytes(before)
    problems = verify(root).problems
    assert any(p.startswith("manifest-sha256.txt: newer than manifest.json (a crash)") for p in problems)
    Case.load(str(root)).close()
    assert verify(root).sound


# --- someone who can compute hashes -------------------------------------------------------------------------


def forged(root: Path, change: Callable[[list[dict[str, Any]]], Any]) -> Verdict:
    """The verdict on a journal whose entries were changed and chained anew by someone who knows how."""
    lines = [json.loads(line) for line in (root / "journal.jsonl").read_bytes().splitlines()]
    change(lines)
    prev, out = "0" * 64, []
    for seq, line in enumerate(lines):
        sealed = {k: v for k, v in line.items() if k != "hash"} | {"prev": prev, "seq": seq}
        prev = hashlib.sha256(canonical.dumps(sealed).encode()).hexdigest()
        out.append(canonical.dumps(sealed | {"hash": prev}) + "\n")
    (root / "journal.jsonl").write_text("".join(out))
    return verify(root)


def test_a_chain_made_anew_does_not_fit_the_manifest(root: Path) -> None:
    def change(lines: list[dict[str, Any]]) -> None:
        lines[2]["actor"] = "mallory"

    assert (
        "manifest.json: changed: it names another journal than journal.jsonl" in forged(root, change).problems
    )


ITEM = ("id", "kind", "name", "path", "sha256", "size", "source", "acquired_at", "tool", "place")


@pytest.mark.parametrize(
    "body",
    [
        {}, {"items": 5}, {"items": [5]}, {"items": [{}]}, {"items": [{"id": "E1", "place": "nowhere"}]},
        {"items": [dict.fromkeys(ITEM, 1) | {"place": "intake"}]},
    ],
    ids=str,
)  # fmt: skip
def test_entries_that_irkit_would_not_write_are_named_not_stumbled_over(root: Path, body: Any) -> None:
    def change(lines: list[dict[str, Any]]) -> None:
        lines[1]["body"] = body

    assert any("entry 1 records items that irkit did not write" in p for p in forged(root, change).problems)


@pytest.mark.parametrize("path", ["../../etc/passwd", "/etc/passwd", "intake/\x00", "x" * 5000, "日本"])
def test_an_item_that_points_elsewhere_is_never_taken_for_evidence(root: Path, path: str) -> None:
    def change(lines: list[dict[str, Any]]) -> None:
        lines[1]["body"]["items"][0]["path"] = path

    assert not forged(root, change).sound


@pytest.mark.parametrize(
    "text",
    ["", "[]", "null", '"x"', "{}", '{"journal":[]}', '{"journal":{"entries":1e999}}', '{"journal":{"entries":-3}}',
     '{"journal":{"entries":"x"}}', '{"journal":{"entries":2,"head":5}}', "[" * 100_000, '{"journal":{"entries":0}}'],
)  # fmt: skip
def test_a_manifest_that_is_none_is_named_not_stumbled_over(root: Path, text: str) -> None:
    (root / "manifest.json").write_text(text)
    assert any(p.startswith("manifest.json: changed") for p in verify(root).problems)


# --- a case that is being worked on -------------------------------------------------------------------------

WORK = """
import sys
from irkit.case import Case
case = Case.load("T-1", cases=sys.argv[1])
for number in range(40):
    case.evidence.add(b"x", kind="k", name=str(number), source="s")
    case.evidence.write_manifest()
"""


def test_a_case_that_is_being_worked_on_is_not_taken_for_a_damaged_one(root: Path) -> None:
    worker = subprocess.Popen([sys.executable, "-c", WORK, str(root.parent)])
    while worker.poll() is None:
        assert [p for p in verify(root).problems if "newer items are not in it yet" not in p] == []
    assert worker.returncode == 0
    assert verify(root).sound


# --- versions -----------------------------------------------------------------------------------------------


def test_a_case_of_an_irkit_that_knew_other_fields_is_read_and_is_sound(root: Path) -> None:
    def change(lines: list[dict[str, Any]]) -> None:
        for line in lines:
            for item in line["body"].get("items", ()):
                item["smell"] = "of a later version"
                del item["partial"]

    for name in ("manifest.json", "manifest-sha256.txt"):
        (root / name).unlink()
    forged(root, change)
    case = Case.load(str(root))
    assert [i.partial for i in case.evidence.items()] == [False] * 3
    case.close()
    assert verify(root).problems == ()
    assert b"smell" in (root / "manifest.json").read_bytes()
    Case.load(str(root)).close()
    assert verify(root).sound
