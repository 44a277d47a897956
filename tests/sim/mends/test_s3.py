from __future__ import annotations

import base64
import hashlib
import json
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.config import Config

from irkit.sim import Simulator
from tests.sim.builders import code_of


def bucket(sim: Simulator, name: str, **options: Any) -> str:
    sim.session().client("s3").create_bucket(Bucket=name, **options)
    return name


def policy(name: str, *statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Sid": name, **s} for s in statements]})


def test_a_bucket_that_is_not_there_is_a_404_and_not_a_gap_of_the_simulator(sim: Simulator) -> None:
    assert code_of(sim.session().client("s3").head_bucket, Bucket="nobody-made-this") == "404"


def test_a_wrong_checksum_is_a_bad_digest(sim: Simulator) -> None:
    s3, name = sim.session().client("s3"), bucket(sim, "checksums")
    right = base64.b64encode(hashlib.sha256(b"evidence").digest()).decode()
    wrong = base64.b64encode(hashlib.sha256(b"other").digest()).decode()
    assert code_of(s3.put_object, Bucket=name, Key="k", Body=b"evidence", ChecksumSHA256=wrong) == "BadDigest"
    s3.put_object(Bucket=name, Key="k", Body=b"evidence", ChecksumSHA256=right)
    assert s3.head_object(Bucket=name, Key="k", ChecksumMode="ENABLED")["ChecksumSHA256"] == right


def test_a_bucket_policy_denies_what_its_conditions_name_and_nothing_else(sim: Simulator) -> None:
    s3, name = sim.session().client("s3"), bucket(sim, "guarded")
    both = [f"arn:aws:s3:::{name}", f"arn:aws:s3:::{name}/*"]
    insecure = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": both,
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    unencrypted = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:PutObject",
        "Resource": both[1],
        "Condition": {"StringNotEquals": {"s3:x-amz-server-side-encryption": "aws:kms"}},
    }
    s3.put_bucket_policy(Bucket=name, Policy=policy("Guard", insecure, unencrypted))
    assert code_of(s3.put_object, Bucket=name, Key="k", Body=b"x") == "AccessDenied"
    s3.put_object(Bucket=name, Key="k", Body=b"x", ServerSideEncryption="aws:kms")
    assert s3.get_object(Bucket=name, Key="k")["Body"].read() == b"x"


def test_presigned_urls_work_until_they_expire(sim: Simulator) -> None:
    s3, name = sim.session().client("s3", config=Config(signature_version="s3v4")), bucket(sim, "presigned")
    put = s3.generate_presigned_url("put_object", Params={"Bucket": name, "Key": "k"}, ExpiresIn=60)
    with urllib.request.urlopen(
        urllib.request.Request(put, data=b"from the host", method="PUT"), timeout=10
    ) as answer:
        assert answer.status == 200
    assert s3.get_object(Bucket=name, Key="k")["Body"].read() == b"from the host"
    late = put.replace("X-Amz-Expires=60", "X-Amz-Expires=0")
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(urllib.request.Request(late, data=b"x", method="PUT"), timeout=10)
    assert refused.value.code == 403
    refused.value.close()


def test_a_presigned_upload_of_parts_is_put_together(sim: Simulator) -> None:
    s3, name = sim.session().client("s3", config=Config(signature_version="s3v4")), bucket(sim, "parts")
    upload = s3.create_multipart_upload(Bucket=name, Key="memory.lime")["UploadId"]
    parts = []
    for number, data in ((1, b"a" * (5 << 20)), (2, b"b")):
        where = {"Bucket": name, "Key": "memory.lime", "UploadId": upload, "PartNumber": number}
        url = s3.generate_presigned_url("upload_part", Params=where, ExpiresIn=60)
        with urllib.request.urlopen(
            urllib.request.Request(url, data=data, method="PUT"), timeout=20
        ) as answer:
            parts.append({"PartNumber": number, "ETag": answer.headers["ETag"]})
    s3.complete_multipart_upload(
        Bucket=name, Key="memory.lime", UploadId=upload, MultipartUpload={"Parts": parts}
    )
    assert s3.head_object(Bucket=name, Key="memory.lime")["ContentLength"] == (5 << 20) + 1


def test_a_compliance_retention_only_grows(sim: Simulator) -> None:
    s3, name = sim.session().client("s3"), bucket(sim, "locked", ObjectLockEnabledForBucket=True)
    s3.put_object(Bucket=name, Key="k", Body=b"x")
    until = datetime.now(UTC).replace(microsecond=0) + timedelta(days=30)

    def retain(mode: str, days: int) -> dict[str, Any]:
        return {"Mode": mode, "RetainUntilDate": until + timedelta(days=days)}

    s3.put_object_retention(Bucket=name, Key="k", Retention=retain("COMPLIANCE", 0))
    for weaker in (retain("COMPLIANCE", -1), retain("GOVERNANCE", 10)):
        assert code_of(s3.put_object_retention, Bucket=name, Key="k", Retention=weaker) == "AccessDenied"
    s3.put_object_retention(Bucket=name, Key="k", Retention=retain("COMPLIANCE", 10))
    held = s3.get_object_retention(Bucket=name, Key="k")["Retention"]
    assert (held["Mode"], held["RetainUntilDate"]) == ("COMPLIANCE", until + timedelta(days=10))
    suspended = {"Bucket": name, "VersioningConfiguration": {"Status": "Suspended"}}
    assert code_of(s3.put_bucket_versioning, **suspended) == "InvalidBucketState"
    version = s3.head_object(Bucket=name, Key="k")["VersionId"]
    assert code_of(s3.delete_object, Bucket=name, Key="k", VersionId=version) == "AccessDenied"


def test_object_calls_are_data_events_with_their_bytes(sim: Simulator) -> None:
    s3, name = sim.session().client("s3"), bucket(sim, "data-events")
    s3.put_object(Bucket=name, Key="a b/ü", Body=b"x" * 1000)
    s3.get_object(Bucket=name, Key="a b/ü")["Body"].read()
    got = sim.trail.records()[-1]
    assert (got["eventName"], got["eventCategory"], got["managementEvent"]) == ("GetObject", "Data", False)
    assert got["requestParameters"]["key"] == "a b/ü"
    assert got["additionalEventData"]["bytesTransferredOut"] == 1000
    assert got["resources"][0]["ARN"] == f"arn:aws:s3:::{name}/a b/ü"
    s3.list_objects_v2(Bucket=name)
    assert sim.trail.records()[-1]["eventName"] == "ListObjects"
