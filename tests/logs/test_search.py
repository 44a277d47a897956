from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from irkit.errors import BadInput
from irkit.logs import Searched, grep, ingest
from irkit.logs.search import Needle, matches_as_files
from irkit.tables import Tables
from tests.logs.builders import FLOW_HEADER, flow, record, user, write, write_flows, write_trail

KEY = "AKIAWANTED0000000001"
OTHER = "AKIAOTHER00000000000"


def _found(value: str, where: Path, **more: Any) -> list[dict[str, Any] | None]:
    return [match.record for match in grep(value, where, **more)]


@pytest.mark.parametrize("shape", ["object", "array", "lines", "pretty", "wrapped", "exported"])
def test_the_records_with_a_value_are_found_whole_in_every_layout(shape: str, tmp_path: Path) -> None:
    records = [
        record(minutes=n, identity=user(key=KEY if n in (0, 3, 7) else "AKIAOTHER00000000000"))
        for n in range(8)
    ]
    texts = {
        "object": json.dumps({"Records": records}),
        "array": json.dumps(records, separators=(",", ":")),
        "lines": "\n".join(map(json.dumps, records)),
        "pretty": json.dumps({"Records": records}, indent=2),
        "wrapped": json.dumps({"Events": [{"CloudTrailEvent": json.dumps(one)} for one in records]}),
        "exported": "\n".join(f"2026-11-20T10:00:00.000Z {json.dumps(one)}" for one in records),
    }
    write(tmp_path / "log.json.gz", texts[shape].encode())
    assert _found(KEY, tmp_path) == [records[0], records[3], records[7]]


def test_a_value_is_found_however_json_writes_it(tmp_path: Path) -> None:
    arn = "arn:aws:iam::1:role/app/Über"
    documents = {"policyDocument": json.dumps({"Resource": arn})}
    record_ = json.dumps(record(request=documents, userAgent=f"<{arn}>"))
    for number, text in enumerate((record_, record_.replace("/", "\\/"), record_.replace("Ü", "\\u00dc"))):
        write(tmp_path / f"{number}.json", f'{{"Records":[{text}]}}'.encode())
    assert len(_found(arn, tmp_path)) == 3


def test_case_is_heeded_unless_told_otherwise(tmp_path: Path) -> None:
    write_trail(tmp_path / "a.json", [record(identity=user(key=KEY))])
    assert _found(KEY.lower(), tmp_path) == []
    assert len(_found(KEY.lower(), tmp_path, ignore_case=True)) == 1


def test_a_record_in_which_the_value_stands_twice_is_one_match(tmp_path: Path) -> None:
    write_trail(tmp_path / "a.json", [record(identity=user(key=KEY), request={"accessKeyId": KEY})])
    assert len(_found(KEY, tmp_path)) == 1


def test_lines_of_flow_logs_are_found_and_can_be_ingested_with_their_header(tmp_path: Path) -> None:
    lines = [flow("10.0.0.1", f"203.0.113.{n}", 1, 2, n) for n in range(1, 200)]
    write_flows(tmp_path / "raw" / "f.log.gz", lines)
    matches = list(grep(" 203.0.113.77 ", tmp_path / "raw"))
    assert [match.text for match in matches] == [lines[76]]
    report = ingest(list(matches_as_files(matches)), tmp_path / "tables")
    assert report.flows == 1
    assert matches[0].header == FLOW_HEADER


def test_what_matches_can_be_ingested_alone_under_the_names_of_its_files(tmp_path: Path) -> None:
    for number in range(3):
        write_trail(tmp_path / "raw" / f"{number}.json.gz", [record(identity=user(key=KEY)), record()])
    report = ingest(list(matches_as_files(grep(KEY, tmp_path / "raw"))), tmp_path / "tables")
    assert report.records == 3
    with Tables.open(tmp_path / "tables") as tables:
        files = tables.rows("select src_file from cloudtrail order by 1")
    assert [Path(name).name for (name,) in files] == ["0.json.gz", "1.json.gz", "2.json.gz"]


def test_broken_files_are_searched_as_far_as_they_go_and_told(tmp_path: Path) -> None:
    whole = gzip.compress(
        json.dumps({"Records": [record(identity=user(key=KEY)) for _ in range(200)]}).encode()
    )
    write(tmp_path / "cut.json.gz", whole[: len(whole) // 2], packed=False)
    state = Searched()
    assert len(_found(KEY, tmp_path, searched=state)) > 10
    assert len(state.unreadable) == 1
    assert "ends early" in state.unreadable[0]


def test_a_file_larger_than_a_piece_is_searched_across_its_pieces(tmp_path: Path) -> None:
    many = [
        record(minutes=n, identity=user(key=KEY if n % 1000 == 7 else "AKIAOTHER00000000000"))
        for n in range(20_000)
    ]
    path = tmp_path / "large.json"
    path.write_bytes(gzip.compress(json.dumps({"Records": many}).encode(), 1))
    # Two members, so that it comes in pieces.
    path.write_bytes(path.read_bytes() + gzip.compress(b" "))
    assert [one["eventID"] for one in _found(KEY, tmp_path) if one] == [
        many[n]["eventID"] for n in range(7, 20_000, 1000)
    ]


def test_too_short_a_value_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="too short"):
        list(grep("ab", tmp_path))


@settings(max_examples=60)
@given(st.text(min_size=3, max_size=20), st.text(max_size=30), st.booleans())
def test_whatever_value_json_holds_is_found_in_its_text(value: str, around: str, ascii_only: bool) -> None:
    try:
        text = json.dumps({"a": around + value + around}, ensure_ascii=ascii_only).encode()
    except UnicodeEncodeError:
        return
    assert Needle.of(value, ignore_case=False).occurs(text)
