from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws
from moto.s3.models import s3_backends

from irkit.errors import BadInput, NotFound
from irkit.logs import ingest
from irkit.logs.sources import Window, log_files
from tests.logs.builders import record, write_trail

_TRAIL = "org/AWSLogs/111122223333/CloudTrail/us-east-1"


@pytest.fixture
def session() -> Iterator[boto3.Session]:
    with mock_aws():
        made = boto3.Session("testing", "testing", region_name="us-east-1")
        made.client("s3").create_bucket(Bucket="trail")
        yield made


def _put(session: boto3.Session, key: str, *records: dict[str, Any]) -> None:
    session.client("s3").put_object(
        Bucket="trail", Key=key, Body=json.dumps({"Records": list(records)}).encode()
    )


def _keys(session: boto3.Session, source: str, window: Window) -> list[str]:
    return [file.uri.rsplit("/", 1)[-1] for file in log_files(source, window, session)]


def _day(number: int) -> datetime:
    return datetime(2026, 11, number, tzinfo=UTC)


@pytest.fixture
def bucket(session: boto3.Session) -> boto3.Session:
    for day in (1, 10, 19, 20, 21, 22, 25):
        _put(session, f"{_TRAIL}/2026/11/{day:02}/{day}.json", record())
    _put(session, f"{_TRAIL}/2025/11/20/old.json", record())
    _put(session, "elsewhere/undated.json", record())
    return session


def test_without_a_window_everything_below_a_prefix_is_listed(bucket: boto3.Session) -> None:
    assert _keys(bucket, "s3://trail/org/", Window()) == [
        "old.json",
        "1.json",
        "10.json",
        "19.json",
        "20.json",
        "21.json",
        "22.json",
        "25.json",
    ]


def test_a_window_spares_listing_and_reading_other_days_with_a_day_of_slack(bucket: boto3.Session) -> None:
    window = Window(since=_day(20), until=_day(21))
    assert _keys(bucket, "s3://trail/org/", window) == ["19.json", "20.json", "21.json", "22.json"]


def test_what_has_no_date_in_its_path_is_always_listed(bucket: boto3.Session) -> None:
    assert _keys(bucket, "s3://trail", Window(since=_day(24)))[-1] == "25.json"
    assert "undated.json" in _keys(bucket, "s3://trail", Window(since=_day(24)))


def test_more_objects_than_a_page_holds_are_all_listed(session: boto3.Session) -> None:
    # Straight into the store: a thousand uploads would take longer than all other tests here.
    store = s3_backends["123456789012"]["aws"]
    for number in range(1005):
        store.put_object("trail", f"many/{number:04}.json", b"{}")
    assert len(_keys(session, "s3://trail/many/", Window())) == 1005


def test_a_bucket_is_ingested_and_a_second_run_reads_no_object_again(
    bucket: boto3.Session, tmp_path: Path
) -> None:
    assert ingest("s3://trail/", tmp_path, session=bucket).records == 9
    bucket.client("s3").put_object(
        Bucket="trail", Key="new.json", Body=json.dumps({"Records": [record()]}).encode()
    )
    again = ingest("s3://trail/", tmp_path, session=bucket)
    assert (again.files, again.skipped) == (1, {"taken before": 9})


def test_a_bucket_that_does_not_exist_is_named(session: boto3.Session, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no-such-bucket"):
        ingest("s3://no-such-bucket/x", tmp_path, session=session)


def test_s3_without_a_session_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="session"):
        ingest("s3://trail/x", tmp_path)


def test_a_source_without_a_bucket_is_refused(session: boto3.Session, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="names no bucket"):
        ingest("s3:///x", tmp_path, session=session)


def test_local_folders_are_pruned_by_date_alike(tmp_path: Path) -> None:
    for day in (1, 20, 25):
        write_trail(tmp_path / f"{_TRAIL}/2026/11/{day:02}/{day}.json", [record()])
    files = log_files(tmp_path, Window(since=_day(20), until=_day(21)), None)
    assert [Path(file.uri).name for file in files] == ["20.json"]


def test_links_are_not_followed(tmp_path: Path) -> None:
    outside = write_trail(tmp_path / "outside.json", [record()])
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "link.json").symlink_to(outside)
    assert list(log_files(tmp_path / "logs", Window(), None)) == []


@pytest.mark.parametrize(
    ("path", "held"),
    [
        ("/AWSLogs/1/CloudTrail/us-east-1/2026", True),
        ("/AWSLogs/1/CloudTrail/us-east-1/2025", False),
        ("/AWSLogs/1/CloudTrail/us-east-1/2026/11", True),
        ("/AWSLogs/1/CloudTrail/us-east-1/2026/10", False),
        ("/AWSLogs/1/CloudTrail/us-east-1/2026/13", True),
        ("/AWSLogs/1/CloudTrail/us-east-1", True),
        ("/9999", True),
    ],
)
def test_a_path_outside_the_window_is_told_at_every_level(path: str, held: bool) -> None:
    assert Window(since=_day(10), until=_day(12)).may_hold(path) is held
