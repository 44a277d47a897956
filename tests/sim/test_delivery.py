from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding

from irkit.sim import Simulator
from tests.sim.builders import eventually

LOG_KEY = re.compile(
    r"^audit/AWSLogs/111122223333/CloudTrail/us-east-1/\d{4}/\d\d/\d\d/"
    r"111122223333_CloudTrail_us-east-1_\d{8}T\d{4}Z_[A-Za-z0-9]{16}\.json\.gz$"
)


def fetch(sim: Simulator, key: str) -> dict[str, Any]:
    body = sim.session().client("s3").get_object(Bucket="trail-bucket", Key=key)["Body"].read()
    return dict(json.loads(gzip.decompress(body)))


def keys(sim: Simulator, prefix: str) -> list[str]:
    listed = sim.session().client("s3").list_objects_v2(Bucket="trail-bucket", Prefix=prefix)
    return sorted(entry["Key"] for entry in listed.get("Contents", []))


def test_live_calls_reach_the_bucket_and_digests_prove_them(sim: Simulator) -> None:
    trail, s3 = sim.session().client("cloudtrail"), sim.session().client("s3")
    s3.create_bucket(Bucket="trail-bucket")
    trail.create_trail(
        Name="main",
        S3BucketName="trail-bucket",
        S3KeyPrefix="audit",
        IsMultiRegionTrail=True,
        EnableLogFileValidation=True,
    )
    sim.session().client("iam").list_roles()
    sim.trail.deliver()
    assert keys(sim, "audit/") == [], "nothing is delivered before logging starts"

    trail.start_logging(Name="main")
    sim.session().client("iam").list_roles()
    logs = eventually(lambda: keys(sim, "audit/AWSLogs/111122223333/CloudTrail/"))
    assert all(LOG_KEY.match(key) for key in logs)
    sim.session().client("iam").list_users()
    s3.put_object(Bucket="trail-bucket", Key="other", Body=b"a data event that the trail does not select")
    sim.trail.deliver()
    records = [
        r for key in keys(sim, "audit/AWSLogs/111122223333/CloudTrail/") for r in fetch(sim, key)["Records"]
    ]
    assert {"ListRoles", "ListUsers"} <= {r["eventName"] for r in records}
    assert "PutObject" not in {r["eventName"] for r in records}
    sim.session().client("iam").list_groups()
    sim.trail.deliver()

    public = trail.list_public_keys()["PublicKeyList"][0]
    key = serialization.load_der_public_key(_spki(public["Value"]))
    digests = keys(sim, "audit/AWSLogs/111122223333/CloudTrail-Digest/")
    assert len(digests) >= 1
    covered: set[str] = set()
    for name in digests:
        got = s3.get_object(Bucket="trail-bucket", Key=name)
        text = gzip.decompress(got["Body"].read())
        digest = json.loads(text)
        assert digest["digestPublicKeyFingerprint"] == public["Fingerprint"]
        signed = "\n".join(
            [
                digest["digestEndTime"],
                f"{digest['digestS3Bucket']}/{digest['digestS3Object']}",
                hashlib.sha256(text).hexdigest(),
                digest["previousDigestSignature"] or "null",
            ]
        )
        key.verify(
            bytes.fromhex(got["Metadata"]["signature"]), signed.encode(), padding.PKCS1v15(), hashes.SHA256()
        )  # type: ignore[union-attr, call-arg]
        for entry in digest["logFiles"]:
            body = gzip.decompress(s3.get_object(Bucket="trail-bucket", Key=entry["s3Object"])["Body"].read())
            assert hashlib.sha256(body).hexdigest() == entry["hashValue"]
            covered.add(entry["s3Object"])
    assert covered >= set(logs)


def _spki(pkcs1: bytes) -> bytes:
    """ListPublicKeys gives a bare PKCS #1 key; wrap it as the library wants it."""
    algorithm = base64.b64decode("MA0GCSqGSIb3DQEBAQUA")
    bits = b"\x03" + _length(len(pkcs1) + 1) + b"\x00" + pkcs1
    inner = algorithm + bits
    return b"\x30" + _length(len(inner)) + inner


def _length(size: int) -> bytes:
    return bytes([size]) if size < 128 else bytes([0x82, size >> 8, size & 255])
