from __future__ import annotations

import getpass
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from irkit.case import Case, case_name, cases_folder, found
from irkit.errors import IntegrityError, InvalidName, NotFound, StorageError
from irkit.evidence import verify
from irkit.journal import Kind


def opened(cases: Path, case_id: str = "2026-11-0042", **facts: Any) -> Case:
    return Case.open(case_id, **({"region": "us-east-1", "cases": cases, "responder": "ana"} | facts))


@pytest.mark.parametrize(
    "text",
    ["", ".", "..", "../x", "a/b", "a\\b", "/etc", "-a", "a..b", "a.", ".a", "a b", "a\n", "a\x00", "é", "x" * 41, "~a",
     "a:b", "%2e"],
    ids=repr,
)  # fmt: skip
def test_what_cannot_name_a_case_is_refused_and_makes_nothing(text: str, tmp_path: Path) -> None:
    cases = tmp_path / "cases"
    with pytest.raises(InvalidName, match="cannot name a case: use letters") as caught:
        opened(cases, text)
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["2026-11-0042", "a", "A.b_c-1", "x" * 40])
def test_ordinary_ids_name_cases(text: str) -> None:
    assert case_name(text) == text


def test_a_case_is_found_again_with_all_its_facts(tmp_path: Path) -> None:
    case = opened(tmp_path, title="A miner", account="012345678901", sources={"cloudtrail": "s3://b/p"})
    for name in (case.id, str(case.root)):
        again = Case.load(name, cases=tmp_path)
        assert (again.facts, again.root) == (case.facts, case.root)
    assert case.tags() == {"irkit:case": "2026-11-0042", "irkit:responder": "ana"}


def test_nobody_else_can_look_into_a_case(tmp_path: Path) -> None:
    assert opened(tmp_path / "cases").root.stat().st_mode & 0o777 == 0o700


def test_opening_a_case_again_changes_nothing(tmp_path: Path) -> None:
    case = opened(tmp_path)
    before = {p: p.read_bytes() for p in case.root.rglob("*") if p.is_file()}
    again = opened(tmp_path, title="another", region="eu-west-1")
    assert again.facts == case.facts
    assert {p: p.read_bytes() for p in case.root.rglob("*") if p.is_file()} == before


def test_a_case_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"no case x in .*: `irkit case list` shows"):
        Case.load("x", cases=tmp_path)


@pytest.mark.parametrize("after", ["case folder", "empty journal", "case.json", "torn first entry"])
def test_an_opening_that_was_cut_short_is_redone(tmp_path: Path, after: str) -> None:
    root = tmp_path / "2026-11-0042"
    root.mkdir()
    if after != "case folder":
        (root / "journal.jsonl").touch()
    if after in {"case.json", "torn first entry"}:
        (root / "case.json").write_text(opened(tmp_path / "elsewhere").root.joinpath("case.json").read_text())
    if after == "torn first entry":
        (root / "journal.jsonl").write_bytes(b'{"actor":"ana","at":"2026')
    assert found(tmp_path) == []
    with pytest.raises(NotFound):
        Case.load("2026-11-0042", cases=tmp_path)
    opened(tmp_path)
    assert verify(root).sound
    assert [c.id for c in found(tmp_path)] == ["2026-11-0042"]


OPEN = """
import sys
from irkit.case import Case
sys.stdin.readline()
case = Case.open("T-1", region="us-east-1", cases=sys.argv[1], responder=sys.argv[2])
case.note("here")
print(case.facts.responder)
"""


def test_two_that_open_the_same_case_at_once_get_one_case(tmp_path: Path) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", OPEN, str(tmp_path), f"r{n}"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for n in range(4)
    ]  # fmt: skip
    said = {p.communicate("\n", timeout=60)[0] for p in processes}
    assert [p.returncode for p in processes] == [0] * 4
    assert len(said) == 1
    case = Case.load("T-1", cases=tmp_path)
    assert [e.kind for e in case.journal.entries] == [Kind.OPENED] + [Kind.NOTE] * 4
    assert verify(case.root).sound


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '"x"', "5", "{}", "[" * 100_000, '{"schema":"irkit/case/1"}']
)
def test_a_damaged_case_file_is_named(tmp_path: Path, text: str) -> None:
    case = opened(tmp_path)
    (case.root / "case.json").write_text(text)
    with pytest.raises(IntegrityError, match=r"case\.json is damaged: restore it from a copy"):
        Case.load(case.id, cases=tmp_path)


def test_a_changed_case_file_is_named(tmp_path: Path) -> None:
    case = opened(tmp_path)
    path = case.root / "case.json"
    path.write_text(path.read_text().replace("us-east-1", "eu-west-1"))
    with pytest.raises(IntegrityError, match="is not what the journal's first entry recorded"):
        Case.load(case.id, cases=tmp_path)


def test_a_case_of_a_later_format_is_not_guessed_at(tmp_path: Path) -> None:
    case = opened(tmp_path)
    path = case.root / "case.json"
    path.write_text(json.dumps({"schema": "irkit/case/2", "id": case.id}))
    with pytest.raises(IntegrityError, match="use a newer irkit"):
        Case.load(case.id, cases=tmp_path)


def test_a_place_where_no_folder_can_be_is_named_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(
        StorageError, match=r"cannot create the case at .*: part of the path is not a folder"
    ) as caught:
        opened(tmp_path / "file")
    assert "\n" not in str(caught.value)


def test_a_user_without_a_name_can_open_a_case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown() -> str:
        raise KeyError("getpwuid(): uid not found: 12345")

    monkeypatch.setattr(getpass, "getuser", unknown)
    assert opened(tmp_path, responder=None).facts.responder.startswith("uid-")


def test_cases_are_kept_where_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cases_folder() == tmp_path / "irkit" / "cases"
    monkeypatch.setenv("IRKIT_CASES", "~/elsewhere")
    assert cases_folder() == tmp_path / "elsewhere"
    assert cases_folder("/given") == Path("/given")
