"""`irkit logs ingest` and `grep` from the shell: options, and output that neither a terminal nor a spreadsheet runs."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from irkit.cli.logs import logs
from irkit.errors import BadInput, NotFound
from irkit.logs import Progress
from tests.logs.builders import flow, record, write, write_trail

EVIL = "=cmd|' /C calc'!A0 \x1b[2J\x1b]0;owned\x07"


def test_matches_are_safe_for_a_terminal_and_a_spreadsheet(tmp_path: Path) -> None:
    write_trail(tmp_path / "a.json", [record(userAgent=EVIL, ip=EVIL, identity={"type": "X", "arn": EVIL})])
    shown = CliRunner().invoke(logs, ["grep", "calc", str(tmp_path)])
    assert shown.exit_code == 0
    assert "\x1b" not in shown.output
    table = CliRunner().invoke(logs, ["grep", "calc", str(tmp_path), "--format", "csv"])
    rows = list(csv.reader(io.StringIO(table.stdout)))
    assert not any(cell.startswith(("=", "+", "@", "\t")) for row in rows for cell in row)
    lines = CliRunner().invoke(logs, ["grep", "calc", str(tmp_path), "--format", "jsonl"])
    assert "\x1b" not in lines.stdout
    assert json.loads(lines.stdout)["record"]["userAgent"] == EVIL


def test_grep_can_stop_early_and_name_only_files(tmp_path: Path) -> None:
    for number in range(3):
        write_trail(tmp_path / f"{number}.json", [record(), record()])
    few = CliRunner().invoke(logs, ["grep", "AKIAALICE", str(tmp_path), "--most", "2"])
    assert len(few.stdout.splitlines()) == 2
    files = CliRunner().invoke(logs, ["grep", "AKIAALICE", str(tmp_path), "--files"])
    assert [Path(line).name for line in files.stdout.splitlines()] == ["0.json", "1.json", "2.json"]


def test_the_matches_alone_are_ingested(tmp_path: Path) -> None:
    write_trail(tmp_path / "raw/a.json", [record(ip="203.0.113.9"), record()])
    ran = CliRunner().invoke(
        logs, ["grep", "203.0.113.9", str(tmp_path / "raw"), "--ingest", str(tmp_path / "t")]
    )
    assert ran.exit_code == 0, ran.output
    assert any(line.split()[-2:] == ["records", "1"] for line in ran.stdout.splitlines())


def test_the_fields_of_a_flow_log_are_taken_as_the_console_writes_them(tmp_path: Path) -> None:
    line = flow("10.0.0.1", "203.0.113.9", 1, 2, 77).split()
    write(tmp_path / "raw/a.log", f"{line[3]} {line[4]} {line[9]}\n2.2.2.2 10.0.0.1 5\n".encode())
    write(
        tmp_path / "raw/b.log",
        b"2 111122223333 eni-1 10.0.0.1 10.0.0.2 1 2 6 4 5 1763632800 1763632860 ACCEPT OK\n",
    )
    ran = CliRunner().invoke(
        logs,
        [
            "ingest",
            str(tmp_path / "raw/b.log"),
            "--into",
            str(tmp_path / "t"),
            "--format",
            "${version} ${account-id}",
        ],
    )
    assert ran.exit_code == 3, "the file has other fields than were named, and is quarantined"
    assert "--format" in ran.output


@pytest.mark.parametrize(
    ("more", "error", "word"),
    [
        (["--since", "yesterday"], BadInput, "2026-11-20"),
        (["--format", "$$$"], BadInput, "names no fields"),
    ],
)
def test_bad_options_are_named(more: list[str], error: type[Exception], word: str, tmp_path: Path) -> None:
    ran = CliRunner().invoke(logs, ["ingest", str(tmp_path), "--into", str(tmp_path / "t"), *more])
    assert isinstance(ran.exception, error)
    assert word in str(ran.exception)


def test_a_source_that_is_not_there_is_named_before_anything_is_searched(tmp_path: Path) -> None:
    ran = CliRunner().invoke(logs, ["grep", "AKIA", str(tmp_path / "none")])
    assert isinstance(ran.exception, NotFound)


def test_a_window_leaves_out_folders_of_other_days(tmp_path: Path) -> None:
    for day in (1, 20):
        path = tmp_path / f"raw/AWSLogs/111122223333/CloudTrail/us-east-1/2026/11/{day:02}/a.json"
        write_trail(path, [record(), record()])
    ran = CliRunner().invoke(
        logs,
        ["ingest", str(tmp_path / "raw"), "--into", str(tmp_path / "t"), "--since", "2026-11-18", "--json"],
    )
    assert json.loads(ran.stdout)["records"] == 2


def test_progress_says_how_fast_it_goes_and_how_long_it_takes() -> None:
    at = Progress(files=50, of=100, bytes=1_000_000_000, rows=7, read=250, size=1000, seconds=10.0)
    assert at.sentence() == "50 of 100 files, 7 records, 100 MB/s, about 30 s left"
    assert Progress(files=1, of=2, bytes=5, rows=0, seconds=0.1).seconds_left is None
