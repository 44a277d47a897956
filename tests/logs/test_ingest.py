from __future__ import annotations

import gzip
import json
import random
from pathlib import Path
from typing import Any

import pytest

from irkit.errors import NotFound, Refused
from irkit.logs import Progress, ingest
from irkit.logs.ledger import opened
from irkit.tables import Tables
from tests.logs.builders import (
    DATASETS,
    assume_role,
    at,
    flow,
    get_object,
    record,
    role_session,
    write,
    write_flows,
    write_trail,
)


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    return tmp_path / "raw"


@pytest.fixture
def into(tmp_path: Path) -> Path:
    return tmp_path / "tables"


def _ids(into: Path) -> set[str]:
    with Tables.open(into) as tables:
        return {row[0] for row in tables.rows("select event_id from cloudtrail")}


def _quarantined(into: Path) -> list[dict[str, Any]]:
    path = into / "quarantine" / "records.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_every_shape_of_cloudtrail_file_is_taken(raw: Path, into: Path) -> None:
    records = [record(minutes=n) for n in range(7)]
    write_trail(raw / "a.json.gz", [records[0]])
    write_trail(raw / "b.json", [records[1]])
    write(raw / "c.json", json.dumps([records[2]], indent=2).encode())
    write(raw / "d.jsonl", (json.dumps(records[3]) + "\n" + json.dumps(records[4])).encode())
    write(raw / "e.json", json.dumps({"Events": [{"CloudTrailEvent": json.dumps(records[5])}]}).encode())
    write(raw / "f.json.gz", json.dumps({"logEvents": [{"message": json.dumps(records[6])}]}).encode())
    report = ingest(raw, into)
    assert report.records == 7
    assert report.complete
    assert _ids(into) == {r["eventID"] for r in records}


def test_columns_are_typed_and_the_rest_is_kept_as_json(raw: Path, into: Path) -> None:
    identity = role_session("WebRole", "i-0123456789abcdef0", "ASIAWEB0000000000000")
    write_trail(
        raw / "a.json",
        [get_object("bucket", "a/b=c.txt", 1234.0, 5, identity=identity, ip="203.0.113.5")],
    )
    ingest(raw, into)
    with Tables.open(into) as tables:
        row = tables.frame("select * from cloudtrail").iloc[0]
    assert row["event_time"].to_pydatetime() == at(5)
    assert (row["bucket"], row["object_key"], row["bytes_out"]) == ("bucket", "a/b=c.txt", 1234)
    assert row["principal"] == "arn:aws:iam::111122223333:role/WebRole"
    assert row["issuer_user"] == "WebRole"
    assert bool(row["mfa"]) is False
    assert bool(row["management_event"]) is False
    assert json.loads(row["request_parameters"])["Host"] == "bucket.s3.amazonaws.com"
    assert row["src_file"].endswith("a.json")
    assert row["rec_no"] == 1


def test_issued_credentials_become_edges(raw: Path, into: Path) -> None:
    write_trail(
        raw / "a.json",
        [
            assume_role("Second", "s1", "ASIASECOND0000000000"),
            record(
                "iam:CreateAccessKey",
                1,
                request={"userName": "bob"},
                response={"accessKey": {"userName": "bob", "accessKeyId": "AKIABOB0000000000000"}},
            ),
            record(
                "sts:GetSessionToken", 2, response={"credentials": {"accessKeyId": "ASIATOKEN00000000000"}}
            ),
        ],
    )
    ingest(raw, into)
    with Tables.open(into) as tables:
        edges = tables.rows(
            "select kind, parent_access_key_id, issued_access_key_id, issued_arn from edge order by event_time"
        )
    assert edges == [
        (
            "role_session",
            "AKIAALICE0000000000A",
            "ASIASECOND0000000000",
            "arn:aws:sts::111122223333:assumed-role/Second/s1",
        ),
        ("access_key", "AKIAALICE0000000000A", "AKIABOB0000000000000", "arn:aws:iam::111122223333:user/bob"),
        ("session_token", "AKIAALICE0000000000A", "ASIATOKEN00000000000", None),
    ]


def test_a_second_run_takes_only_what_is_new(raw: Path, into: Path) -> None:
    write_trail(raw / "a.json.gz", [record()])
    write_flows(raw / "f.log.gz", [flow("10.0.0.1", "203.0.113.1", 40000, 443, 10)])
    assert (ingest(raw, into).records, ingest(raw, into).records) == (1, 0)
    write_trail(raw / "b.json.gz", [record()])
    again = ingest(raw, into)
    assert (again.files, again.records, again.flows) == (1, 1, 0)
    with Tables.open(into) as tables:
        assert tables.rows("select count(*) from flow") == [(1,)]


def test_the_same_record_in_two_files_counts_once(raw: Path, into: Path) -> None:
    same, other = record(), record()
    write_trail(raw / "a.json", [same])
    write_trail(raw / "b.json", [same, other])
    first = ingest(raw, into)
    write_trail(raw / "c.json", [other, record()])
    second = ingest(raw, into)
    assert (first.records, first.duplicates) == (2, 1)
    assert (second.records, second.duplicates) == (1, 1)


def test_the_same_event_in_two_accounts_is_two_records(raw: Path, into: Path) -> None:
    here = record()
    write_trail(raw / "a.json", [here, here | {"recipientAccountId": "999999999999"}])
    assert ingest(raw, into).records == 2


def test_a_copy_of_a_file_under_another_name_is_skipped(raw: Path, into: Path) -> None:
    lines = [flow("10.0.0.1", "203.0.113.1", 40000, 443, 10)]
    write_flows(raw / "a.log.gz", lines)
    write_flows(raw / "copy.log.gz", lines)
    report = ingest(raw, into)
    assert report.flows == 1
    assert report.skipped == {"taken before": 1}


def test_good_records_of_broken_files_are_kept_and_the_rest_is_listed(raw: Path, into: Path) -> None:
    good = [record(minutes=n) for n in range(4)]
    whole = json.dumps({"Records": good}).encode()
    write(raw / "cut.json.gz", gzip.compress(whole)[:-20], packed=False)
    write(raw / "half.json", json.dumps({"Records": [g := record(), record()]}).encode()[:-300])
    write(
        raw / "latin.json",
        json.dumps({"Records": [h := record()]}).encode()[:-2] + b',{"eventName":"\xe9"}]}',
    )
    write(raw / "notes.txt", b"nothing to see")
    report = ingest(raw, into)
    assert {g["eventID"], h["eventID"]} <= _ids(into)
    assert report.unknown_files == (str(raw / "notes.txt"),)
    assert report.lost_records == len(_quarantined(into)) >= 2
    assert not report.complete
    assert {q.source.rsplit("/", 1)[-1] for q in report.quarantined} == {
        "cut.json.gz",
        "half.json",
        "latin.json",
    }
    assert len(list((into / "quarantine").glob("*-cut.json.gz"))) == 1


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"eventTime": 5}, "eventTime is no time"),
        ({"eventTime": None}, "no eventTime"),
        ({"eventName": ""}, "no eventName"),
        ({"eventSource": None}, "no eventSource"),
        ({"userIdentity": "root"}, "userIdentity is not an object"),
    ],
)
def test_a_record_with_a_wrong_type_is_quarantined_alone(
    raw: Path, into: Path, change: dict[str, Any], fault: str
) -> None:
    write_trail(raw / "a.json", [record(), record() | change, record()])
    report = ingest(raw, into)
    assert (report.records, report.lost_records) == (2, 1)
    (lost,) = _quarantined(into)
    assert (lost["fault"], lost["number"]) == (fault, 2)
    assert "eventVersion" in lost["text"]


def test_values_of_odd_types_do_not_cost_the_record(raw: Path, into: Path) -> None:
    odd = record(
        request=["a", 1], response="text", additionalEventData=7, resources={"ARN": 1}, readOnly="maybe"
    )
    write_trail(raw / "a.json", [odd, record() | {"userIdentity": {"sessionContext": "x", "arn": {"y": 1}}}])
    assert ingest(raw, into).records == 2


def test_nesting_ten_thousand_deep_costs_at_most_its_own_record(raw: Path, into: Path) -> None:
    deep = '{"a":' * 10_000 + "1" + "}" * 10_000
    first, last = record(), record()
    text = f'{{"Records":[{json.dumps(first)},{json.dumps(record(request="@"))},{json.dumps(last)}]}}'
    write(raw / "a.json", text.replace('"@"', deep).encode())
    report = ingest(raw, into)
    assert {first["eventID"], last["eventID"]} <= _ids(into)
    assert report.records + report.lost_records == 3


def test_a_bomb_is_quarantined_and_the_rest_taken(raw: Path, into: Path) -> None:
    write(raw / "bomb.json.gz", b'{"Records":[' + b" " * 3_000_000)
    write_trail(raw / "ok.json.gz", [record()])
    report = ingest(raw, into, max_unpacked=1_000_000)
    assert report.records == 1
    assert [q.source.rsplit("/", 1)[-1] for q in report.quarantined] == ["bomb.json.gz"]


def test_digest_files_are_skipped_and_counted(raw: Path, into: Path) -> None:
    digest = json.dumps({"awsAccountId": "1", "digestS3Bucket": "b", "logFiles": []}).encode()
    write(raw / "AWSLogs/1/CloudTrail-Digest/us-east-1/2026/11/20/x.json.gz", digest)
    write(raw / "elsewhere.json", digest)
    assert ingest(raw, into).skipped == {"digest file": 2}


def test_originals_are_offered_to_be_kept_before_they_are_taken(raw: Path, into: Path) -> None:
    path = write_trail(raw / "a.json.gz", [record()])
    kept: list[tuple[str, bytes]] = []

    def keep(file: Any, content: bytes, sha256: str) -> str:
        kept.append((file.uri, content))
        return f"item-{sha256[:8]}"

    ingest(raw, into, keep=keep)
    assert kept == [(str(path), path.read_bytes())]
    assert '"kept_as": "item-' in (into / "ledger.jsonl").read_text()


def test_progress_is_told(raw: Path, into: Path) -> None:
    write_trail(raw / "a.json", [record()])
    told: list[Progress] = []
    ingest(raw, into, progress=told.append)
    assert (told[-1].files, told[-1].of, told[-1].rows) == (1, 1, 1)


def test_what_a_killed_run_left_behind_is_cleared_away(raw: Path, into: Path) -> None:
    write_flows(raw / "f.log.gz", [flow("10.0.0.1", "203.0.113.1", 40000, 443, 10)])
    ingest(raw, into)
    ledger = into / "ledger.jsonl"
    line = ledger.read_text()
    ledger.write_text(line[: len(line) // 2])
    report = ingest(raw, into)
    assert report.flows == 1
    with Tables.open(into) as tables:
        assert tables.rows("select count(*) from flow") == [(1,)]


def test_tables_that_were_removed_are_made_again(raw: Path, into: Path) -> None:
    write_trail(raw / "a.json", [record(), record("sts:GetCallerIdentity", 24 * 60)])
    ingest(raw, into)
    next(into.glob("cloudtrail/day=2026-11-21/*.parquet")).unlink()
    ingest(raw, into)
    with Tables.open(into) as tables:
        assert tables.rows("select count(*), count(distinct event_id) from cloudtrail") == [(2, 2)]


def test_two_ingests_do_not_write_to_one_folder(into: Path) -> None:
    with opened(into), pytest.raises(Refused, match="another ingest"):
        ingest([], into)


def test_a_folder_that_does_not_exist_is_named(into: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no-such"):
        ingest(tmp_path / "no-such", into)


def test_the_report_shows_hostile_names_as_text(raw: Path, into: Path) -> None:
    write(raw / "<img src=x onerror=alert(1)>.json.gz", gzip.compress(b'{"Records":[{')[:-3], packed=False)
    report = ingest(raw, into)
    html = report._repr_mimebundle_()["text/html"]
    assert "<img" not in html
    assert "&lt;img" in html
    assert json.loads(json.dumps(report.to_dict()))["quarantined"]
    assert list(report.to_frame().columns) == ["what", "value"]


def test_no_record_of_mutated_files_is_lost_without_being_counted(raw: Path, into: Path) -> None:
    rng = random.Random(5)
    total = 0
    for number in range(60):
        records = [record(minutes=m) for m in range(5)]
        content = bytearray(json.dumps({"Records": records}).encode())
        content[rng.randrange(len(content))] = rng.randrange(256)
        write(raw / f"{number:03}.json", bytes(content))
        total += 5
    report = ingest(raw, into)
    # A flipped byte may hit a value, an id, or the structure: at most two records of a file can suffer.
    assert report.records >= total - 2 * 60
    assert report.records + report.lost_records + report.duplicates >= total - 60


@pytest.mark.skipif(not DATASETS.is_dir(), reason="the shared data sets are not beside the checkout")
def test_real_files_give_as_many_records_as_counting_gives(into: Path) -> None:
    count: set[tuple[str, str]] = set()
    for path in DATASETS.rglob("*.json"):
        content = json.loads(path.read_text())
        for one in content["Records"] if isinstance(content, dict) else content:
            count.add((one["eventID"], one["recipientAccountId"]))
    report = ingest(DATASETS, into)
    assert report.records == len(count)
    assert not report.quarantined
