"""S3: checksums that are checked, bucket policies with conditions, locks that hold, presigned URLs that expire."""

from __future__ import annotations

import base64
import fnmatch
import hashlib
import re
import zlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlparse

from moto.core.responses import ActionResult
from moto.s3.models import FakeBucket, S3Backend
from moto.s3.responses import S3Response

from irkit.sim import authority
from irkit.sim.callers import Caller
from irkit.sim.faults import Refusal
from irkit.sim.mends.ebs import key_arn
from irkit.sim.seams import mends

_CHECKSUMS: dict[str, Callable[[bytes], bytes]] = {
    "x-amz-checksum-sha256": lambda data: hashlib.sha256(data).digest(),
    "x-amz-checksum-sha1": lambda data: hashlib.sha1(data, usedforsecurity=False).digest(),
    "x-amz-checksum-crc32": lambda data: zlib.crc32(data).to_bytes(4, "big"),
    "content-md5": lambda data: hashlib.md5(data, usedforsecurity=False).digest(),
}
_NOT_ROUTED = (
    "*Analytics*",
    "*IntelligentTiering*",
    "*BucketMetrics*",
    "*MetadataConfiguration",
    "*MetadataTable*",
    "*RequestPayment",
    "GetObjectTorrent",
    "CreateSession",
    "ListDirectoryBuckets",
    "RenameObject",
    "WriteGetObjectResponse",
)
_BODY_OF = frozenset({"PutObject", "UploadPart"})


def refuse(operation: str, response: Any, caller: Caller, parsed: dict[str, Any]) -> Refusal | None:
    """What S3 itself would refuse: an expired URL, a policy's Deny, a wrong checksum, a route moto lacks."""
    if any(fnmatch.fnmatchcase(operation, pattern) for pattern in _NOT_ROUTED):
        return Refusal("NotSimulated", f"s3:{operation} is not simulated.", 501)
    if _expired(response.uri):
        return Refusal("AccessDenied", "Request has expired", 403)
    if (refused := _not_the_owners(response, parsed) or _unusable_key(operation, response)) is not None:
        return refused
    if _policy_denies(operation, response, caller, parsed):
        action = authority.iam_action("s3", operation)
        why = f"User: {caller.arn} is not authorized to perform: {action}"
        why += " with an explicit deny in a resource-based policy"
        return Refusal("AccessDenied", why, 403)
    if operation in _BODY_OF and not _chunked(response):
        data = response.raw_body
        data = data if isinstance(data, bytes) else str(data or "").encode()
        for header, compute in _CHECKSUMS.items():
            claimed = response.headers.get(header)
            if claimed and claimed != base64.b64encode(compute(data)).decode():
                return Refusal("BadDigest", "The checksum you specified did not match what we received.", 400)
    return None


def _chunked(response: Any) -> bool:
    return str(response.headers.get("x-amz-content-sha256", "")).startswith("STREAMING")


def _expired(url: str) -> bool:
    query = parse_qs(urlparse(url).query)
    if "X-Amz-Date" not in query or "X-Amz-Expires" not in query:
        return False
    try:
        signed = datetime.strptime(query["X-Amz-Date"][0], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        return datetime.now(UTC) > signed + timedelta(seconds=int(query["X-Amz-Expires"][0]))
    except ValueError:
        return True


def _bucket(name: str) -> Any:
    from moto.s3.models import s3_backends

    for account in list(s3_backends):
        bucket = s3_backends[account]["aws"].buckets.get(name)
        if bucket is not None:
            return bucket
    return None


def _not_the_owners(response: Any, parsed: dict[str, Any]) -> Refusal | None:
    """A request that says whose the bucket must be, about a bucket of somebody else."""
    expected = response.headers.get("x-amz-expected-bucket-owner")
    name = str(parsed.get("Bucket", ""))
    if not expected or (bucket := _bucket(name)) is None or str(bucket.account_id) == expected:
        return None
    return Refusal("AccessDenied", "Access Denied", 403)


def _unusable_key(operation: str, response: Any) -> Refusal | None:
    """An upload to be encrypted under a KMS key that does not exist or is not enabled."""
    if operation not in {"PutObject", "CreateMultipartUpload", "CopyObject"}:
        return None
    named = response.headers.get("x-amz-server-side-encryption-aws-kms-key-id")
    if not named:
        return None
    arn = key_arn(named, response.current_account, response.region)
    if arn is None:
        return Refusal("KMS.NotFoundException", f"Key '{named}' does not exist", 400)
    from moto.kms.models import kms_backends

    key = kms_backends[arn.split(":")[4]][arn.split(":")[3]].keys[arn.rsplit("/", maxsplit=1)[-1]]
    if key.key_state == "Enabled":
        return None
    code = "KMS.DisabledException" if key.key_state == "Disabled" else "KMS.KMSInvalidStateException"
    return Refusal(code, f"{arn} is {key.key_state.lower()}.", 400)


def _policy_denies(operation: str, response: Any, caller: Caller, parsed: dict[str, Any]) -> bool:
    bucket = _bucket(str(parsed.get("Bucket", "")))
    if bucket is None or bucket.policy is None or operation in {"PutBucketPolicy", "DeleteBucketPolicy"}:
        return False
    resource = f"arn:aws:s3:::{bucket.name}" + (f"/{parsed['Key']}" if parsed.get("Key") else "")
    context = authority.context_of(caller)
    for header, value in response.headers.items():
        if header.lower().startswith("x-amz-"):
            context[f"s3:{header.lower()}"] = value
    action = authority.iam_action("s3", operation)
    text = bucket.policy.decode() if isinstance(bucket.policy, bytes) else bucket.policy
    for statement in authority.statements(text):
        if statement.get("Effect") != "Deny" or not authority.action_matches(statement, action):
            continue
        if not _principal(statement, caller) or not _covers(statement.get("Resource"), resource):
            continue
        if authority.conditions_hold(statement.get("Condition") or {}, context):
            return True
    return False


def _listed(value: Any) -> list[str]:
    return [str(v) for v in value] if isinstance(value, list) else [str(value)] if value is not None else []


def _principal(statement: dict[str, Any], caller: Caller) -> bool:
    own = {"*", caller.arn, caller.account, f"arn:aws:iam::{caller.account}:root"}
    if caller.session is not None:
        own.add(caller.session.role_arn)
    for member, inverted in (("Principal", False), ("NotPrincipal", True)):
        if member in statement:
            named = statement[member]
            listed = _listed(named.get("AWS")) if isinstance(named, dict) else _listed(named)
            return bool(own.intersection(listed)) is not inverted
    return False


def _covers(resource: Any, wanted: str) -> bool:
    return any(fnmatch.fnmatchcase(wanted, pattern) for pattern in _listed(resource))


@mends(FakeBucket, "get_permission")
def get_permission(original: Any, self: Any, action: str, resource: str) -> Any:
    """Denials are the choke point's business, which knows conditions; an allow still opens a public object."""
    from moto.iam.access_control import PermissionResult

    permission = original(self, action, resource)
    return PermissionResult.NEUTRAL if permission == PermissionResult.DENIED else permission


@mends(S3Response, "_get_checksum")
def kept_checksum(original: Any, self: Any, response_headers: dict[str, Any]) -> Any:
    """The checksum that came with an upload; moto overlooks one that is sent without naming its algorithm."""
    if not self.headers.get("x-amz-sdk-checksum-algorithm"):
        for algorithm in ("SHA256", "SHA1", "CRC32", "CRC32C", "CRC64NVME"):
            name = f"x-amz-checksum-{algorithm.lower()}"
            value = self.headers.get(name)
            if value:
                response_headers[name] = value
                return algorithm, value
    return original(self, response_headers)


def _until(value: Any) -> datetime | None:
    if not value:
        return None
    moment = datetime.fromisoformat(re.sub(r"\.\d+", "", str(value)))
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


@mends(S3Backend, "put_object_retention")
def put_object_retention(
    original: Any,
    self: Any,
    bucket_name: str,
    key_name: str,
    version_id: str | None,
    retention: tuple[Any, Any],
) -> Any:
    """Set a retention; one in compliance mode can only be lengthened."""
    key = self.get_object(bucket_name, key_name, version_id=version_id)
    held, mode = _until(getattr(key, "lock_until", None)), getattr(key, "lock_mode", None)
    if key is not None and mode == "COMPLIANCE" and held is not None and held > datetime.now(UTC):
        wanted = _until(retention[1])
        if retention[0] != "COMPLIANCE" or wanted is None or wanted < held:
            raise Refusal("AccessDenied", "Access Denied because object protected by object lock.", 403)
    return original(self, bucket_name, key_name, version_id, retention)


@mends(S3Response, "_key_response_get")
def key_response_get(original: Any, self: Any, query: dict[str, Any], key_name: str) -> Any:
    """Reads of an object; its retention too, which moto does not route."""
    if "retention" not in query:
        return original(self, query, key_name)
    version = (query.get("versionId") or [None])[0]
    key = self.backend.get_object(self.bucket_name, key_name, version_id=version)
    if key is None:
        raise Refusal("NoSuchKey", "The specified key does not exist.", 404)
    if not key.lock_mode:
        raise Refusal(
            "NoSuchObjectLockConfiguration",
            "The specified object does not have a ObjectLock configuration",
            404,
        )
    return self.serialized(
        ActionResult({"Retention": {"Mode": key.lock_mode, "RetainUntilDate": _until(key.lock_until)}})
    )


@mends(S3Backend, "put_bucket_versioning")
def put_bucket_versioning(original: Any, self: Any, bucket_name: str, status: str) -> Any:
    """Set versioning; it cannot be suspended on a bucket with Object Lock."""
    bucket = self.get_bucket(bucket_name)
    if status == "Suspended" and bucket.object_lock_enabled:
        raise Refusal(
            "InvalidBucketState",
            "An Object Lock configuration is present on this bucket, so the versioning state cannot be changed.",
            409,
        )
    return original(self, bucket_name, status)
