"""Evidence in a bucket of the simulated AWS, over real boto3."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from irkit.case import Case
from irkit.cli import cli
from irkit.errors import BadInput
from irkit.evidence import deposit, seal, verify
from irkit.plan import Report, Status
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
    (again,) = deposited(case).steps  # what was left out is tried again, what is there is left
    assert (again.missing, again.earlier) == ((), False)
    (third,) = deposited(case).steps
    assert third.missing == ()


def test_without_a_bucket_nothing_is_planned(case: Case) -> None:
    with pytest.raises(BadInput, match="no bucket to deposit the evidence of case T-1 in: give --bucket"):
        deposit.plan(case)


# --- whose bucket, where, and for how long ------------------------------------------------------------------------


@pytest.fixture
def locked(running: Simulator, s3: Any) -> tuple[Any, str]:
    """The forensics account's S3, and a new bucket in it with Object Lock; nobody can empty it, so it stays."""
    there = running.session(running.forensics_account).client("s3")
    name = f"example-locked-{os.urandom(4).hex()}"
    there.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    return there, name


def test_objects_are_locked_encrypted_and_held_as_asked(
    case: Case, locked: tuple[Any, str], running: Simulator
) -> None:
    there, bucket = locked
    key = running.session().client("kms").create_key()["KeyMetadata"]["Arn"]
    report = deposit.plan(
        case, bucket, kms_key=key, retention="governance:90", legal_hold=True, owner=running.forensics_account
    ).apply()
    assert report.complete, report.to_dict()
    (step,) = report.steps
    assert step.result["object_lock"] is True
    for path in step.result["versions"]:
        head = there.head_object(Bucket=bucket, Key=path)
        assert head["ObjectLockMode"] == "GOVERNANCE"
        assert (head["ObjectLockRetainUntilDate"] - datetime.now(UTC)).days in {89, 90}
        assert head["ObjectLockLegalHoldStatus"] == "ON"
        assert (head["ServerSideEncryption"], head["SSEKMSKeyId"]) == ("aws:kms", key)


def test_what_was_deposited_before_is_locked_later_and_not_sent_again(
    case: Case, locked: tuple[Any, str], running: Simulator
) -> None:
    there, bucket = locked
    assert deposit.plan(case, bucket).apply().complete
    item = case.evidence.items()[0].path
    assert "ObjectLockMode" not in there.head_object(Bucket=bucket, Key=item)
    assert deposit.plan(case, bucket, retention="compliance:30", legal_hold=True).apply().complete
    head = there.head_object(Bucket=bucket, Key=item)
    assert (head["ObjectLockMode"], head["ObjectLockLegalHoldStatus"]) == ("COMPLIANCE", "ON")
    versions = [v for v in there.list_object_versions(Bucket=bucket)["Versions"] if v["Key"] == item]
    assert len(versions) == 1


def test_the_seals_go_with_the_journal(case: Case, s3: Any, tmp_path: Path) -> None:
    seal.with_key(case, seal.make_key(tmp_path / "key.pem"))
    assert deposited(case).complete
    keys = [o["Key"] for o in s3.list_objects_v2(Bucket=BUCKET, Prefix="custody/")["Contents"]]
    assert sum("/seals/" in k for k in keys) == 1


def test_a_bucket_of_somebody_else_gets_nothing(case: Case, s3: Any) -> None:
    (step,) = deposit.plan(case, BUCKET, owner="999988887777").apply().steps
    assert step.status is Status.FAILED
    assert "it is not account 999988887777's" in step.why
    assert s3.list_objects_v2(Bucket=BUCKET)["KeyCount"] == 0


def test_the_owner_that_the_case_names_is_the_one_that_counts(s3: Any, tmp_path: Path) -> None:
    sources = {"evidence_bucket": BUCKET, "forensics_account": "444455556666"}
    opened = Case.open("T-2", region="us-east-1", cases=tmp_path / "more", sources=sources)
    opened.evidence.add(b"x", kind="k", name="x", source="i-1")
    (step,) = deposit.plan(opened).apply().steps
    assert "it is not account 444455556666's" in step.why


def test_a_bucket_without_object_lock_is_refused_where_a_lock_is_asked_for(case: Case, s3: Any) -> None:
    for asked in ({"retention": "governance:90"}, {"legal_hold": True}):
        (step,) = deposit.plan(case, BUCKET, **asked).apply().steps
        assert step.status is Status.FAILED
        assert "has no Object Lock" in step.why
    assert s3.list_objects_v2(Bucket=BUCKET)["KeyCount"] == 0


def test_a_disabled_key_fails_every_upload_and_says_so(case: Case, s3: Any, running: Simulator) -> None:
    kms = running.session().client("kms")
    key = kms.create_key()["KeyMetadata"]["Arn"]
    kms.disable_key(KeyId=key)
    (step,) = deposit.plan(case, BUCKET, kms_key=key).apply().steps
    assert step.status is Status.FAILED
    assert "KMS.DisabledException" in step.why


def test_a_bucket_in_another_region_is_found_there_and_the_region_is_told(
    case: Case, s3: Any, running: Simulator
) -> None:
    there = running.session().client("s3", region_name="eu-west-1")
    there.create_bucket(Bucket="far-away", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    report = deposit.plan(case, "far-away").apply()
    assert report.complete, report.to_dict()
    assert report.steps[0].result["region"] == "eu-west-1"


def test_a_bucket_that_is_not_there_fails_before_anything_is_read(case: Case, s3: Any) -> None:
    (step,) = deposit.plan(case, "no-such-bucket-7f3a").apply().steps
    assert "no-such-bucket-7f3a: the bucket does not exist" in step.why


@pytest.mark.parametrize("text", ["governance", "governance:0", "forever:1", "compliance:99999", "$(x):1"])
def test_a_retention_that_is_none_is_refused_before_anything_is_planned(case: Case, text: str) -> None:
    with pytest.raises(BadInput, match="is not a retention"):
        deposit.plan(case, BUCKET, retention=text)


def test_sealing_can_lock_the_case_in_the_bucket(
    case: Case, locked: tuple[Any, str], running: Simulator, tmp_path: Path
) -> None:
    there, bucket = locked
    known = Case.open("T-3", region="us-east-1", cases=tmp_path / "sealed", simulated=running.world_id)
    known.evidence.add(b"x", kind="k", name="x", source="i-1")
    asked = [
        "case",
        "seal",
        str(known.root),
        "--key",
        str(tmp_path / "s.pem"),
        "--make-key",
        "--bucket",
        bucket,
    ]
    done = CliRunner().invoke(cli, [*asked, "--lock", "governance:30", "--json"])
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    (seal_key,) = [k for k in said["deposit"]["steps"][0]["result"]["versions"] if "/seals/" in k]
    assert there.head_object(Bucket=bucket, Key=seal_key)["ObjectLockMode"] == "GOVERNANCE"
    refused = CliRunner().invoke(cli, [*asked[:-1], bucket, "--lock", "for-ever"])
    assert isinstance(refused.exception, BadInput)
