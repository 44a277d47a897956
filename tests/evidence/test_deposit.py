"""Evidence in a bucket of the simulated AWS, over real boto3."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from irkit.case import Case
from irkit.errors import BadInput
from irkit.evidence import deposit, verify
from irkit.plan import Report
from irkit.sim import Simulator

BUCKET = "example-evidence"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    with Simulator.start(workdir=tmp_path_factory.mktemp("world")) as simulator:
        yield simulator


@pytest.fixture
def s3(running: Simulator) -> Iterator[Any]:
    """S3 with an empty, versioned bucket for evidence."""
    os.environ.update(running.env())
    client = running.session().client("s3")
    client.create_bucket(Bucket=BUCKET)
    client.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    yield client
    running.faults.clear()
    for held in client.list_object_versions(Bucket=BUCKET).get("Versions", ()):
        client.delete_object(Bucket=BUCKET, Key=held["Key"], VersionId=held["VersionId"])
    client.delete_bucket(Bucket=BUCKET)


@pytest.fixture
def case(s3: Any, tmp_path: Path) -> Case:
    opened = Case.open("T-1", region="us-east-1", cases=tmp_path, responder="ana")
    for name in ("a.txt", "b.txt"):
        opened.evidence.add(name.encode(), kind="k", name=name, source="i-1")
    return opened


def deposited(case: Case) -> Report:
    return deposit.plan(case, BUCKET).apply()


def test_every_item_is_in_the_bucket_with_its_own_checksum(case: Case, s3: Any) -> None:
    report = deposited(case)
    assert report.complete, report.to_dict()
    for item in case.evidence.items():
        held = s3.get_object(Bucket=BUCKET, Key=item.path, ChecksumMode="ENABLED")
        assert held["Body"].read() == case.evidence.read(item)
        assert held["ChecksumSHA256"] == base64.b64encode(bytes.fromhex(item.sha256)).decode()
    assert verify(case.root).sound


def test_the_journal_goes_with_it_as_it_stood(case: Case, s3: Any) -> None:
    entries = len(case.journal.entries) + 1  # the intention to deposit
    deposited(case)
    key = f"custody/T-1/{entries:08d}/journal.jsonl"
    held = s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()
    assert held.count(b"\n") == entries
    assert case.journal.path.read_bytes().startswith(held)


def test_what_is_there_already_is_left_and_new_items_join_it(case: Case, s3: Any) -> None:
    deposited(case)
    case.evidence.add(b"c", kind="k", name="c.txt", source="i-1")
    assert deposited(case).complete
    versions = [
        v["Key"] for v in s3.list_object_versions(Bucket=BUCKET)["Versions"] if v["Key"].startswith("intake/")
    ]
    assert sorted(versions) == [i.path for i in case.evidence.items()]


@pytest.mark.parametrize("forged", [False, True], ids=["another object", "with the metadata of the item"])
def test_an_object_that_someone_else_put_there_is_told_and_left(case: Case, s3: Any, forged: bool) -> None:
    item = case.evidence.items()[0]
    metadata = {"sha256": item.sha256} if forged else {}
    s3.put_object(Bucket=BUCKET, Key=item.path, Body=b"planted", Metadata=metadata)
    (step,) = deposited(case).steps
    assert len(step.missing) == 1
    assert f"another object is at s3://{BUCKET}/{item.path}" in step.missing[0]
    assert s3.get_object(Bucket=BUCKET, Key=item.path)["Body"].read() == b"planted"


def test_a_file_that_changed_here_is_not_accepted_there(case: Case, s3: Any) -> None:
    item = case.evidence.items()[0]
    path = case.evidence.path(item)
    path.chmod(0o600)
    path.write_bytes(b"x.txt")
    (step,) = deposited(case).steps
    assert [m.partition(":")[0] for m in step.missing] == [item.path]
    held = [o["Key"] for o in s3.list_objects_v2(Bucket=BUCKET)["Contents"]]
    assert item.path not in held


def test_a_file_too_large_for_one_request_goes_up_in_parts_and_once(
    case: Case, s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = os.urandom(9 * 1024 * 1024)
    item = case.evidence.add(large, kind="k", name="memory.lime", source="i-1")
    monkeypatch.setattr(deposit, "_ONE_PUT", 5_000_000)
    assert deposited(case).complete
    case.evidence.add(b"later", kind="k", name="later", source="i-1")
    assert deposited(case).complete
    assert (
        hashlib.sha256(s3.get_object(Bucket=BUCKET, Key=item.path)["Body"].read()).hexdigest() == item.sha256
    )
    versions = [v for v in s3.list_object_versions(Bucket=BUCKET)["Versions"] if v["Key"] == item.path]
    assert len(versions) == 1


def test_an_object_that_may_not_be_put_is_missing_and_the_others_go_up(
    case: Case, s3: Any, running: Simulator
) -> None:
    running.faults.inject("s3", "PutObject", "AccessDenied", status=403, when=lambda r: "a.txt" in r.uri)
    (step,) = deposited(case).steps
    assert [m.partition(": not allowed")[0] for m in step.missing] == [case.evidence.items()[0].path]


def test_without_a_bucket_nothing_is_planned(case: Case) -> None:
    with pytest.raises(BadInput, match="no bucket to deposit the evidence of case T-1 in: give --bucket"):
        deposit.plan(case)
