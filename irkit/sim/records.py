"""One answered call as a CloudTrail record, in the shapes that AWS writes.

EC2 has shapes of its own (`records_ec2`); other services lower the first letter of each member. Values that AWS
hides are hidden here too, and so is every secret.

References:
    https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-record-contents.html
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from irkit.sim import records_ec2

EVENT_VERSION = "1.11"
HIDDEN = "HIDDEN_DUE_TO_SECURITY_REASONS"
READ_ONLY = re.compile(
    r"^(Get|List|Describe|Head|Lookup|BatchGet|Search|Select|Test|Filter|Simulate|Check|AssumeRole|Download|Decode|Verify)"
)
_DATA_EVENTS = {
    "s3": re.compile(
        r"(Object|Objects|Part|Parts|MultipartUpload)$|^(ListObjectsV2|ListObjectVersions|GetObject\w+|PutObject\w+)$"
    ),
    "ebs": re.compile(r"Snapshot"),
    "lambda": re.compile(r"^Invoke"),
    "sns": re.compile(r"^Publish"),
    "sqs": re.compile(r"Message"),
}
_S3_BUCKET_LEVEL = {"PutObjectLockConfiguration", "GetObjectLockConfiguration"}
_S3_EVENT_NAMES = {"ListObjectsV2": "ListObjects", "GetBucketLifecycleConfiguration": "GetBucketLifecycle"}
_SECRET = re.compile(
    r"(secret|password|privatekey|private_key|plaintext|sessiontoken|securestring)", re.IGNORECASE
)
_HIDDEN_MEMBERS = {
    ("ec2", "userData"): "<sensitiveDataRemoved>",
    ("ssm", "parameters"): HIDDEN,
    ("ssm", "value"): HIDDEN,
    ("kms", "message"): HIDDEN,
}
_SOURCES = {"cloudwatch": "monitoring", "elbv2": "elasticloadbalancing", "elb": "elasticloadbalancing"}


def is_data_event(service: str, operation: str) -> bool:
    """Whether CloudTrail counts the call as a data event: not in Event History, only in trails that select it."""
    pattern = _DATA_EVENTS.get(service)
    return bool(pattern and pattern.search(operation)) and operation not in _S3_BUCKET_LEVEL


def event_source(service: str, endpoint_prefix: str) -> str:
    """The `eventSource` of a service."""
    return f"{_SOURCES.get(service, endpoint_prefix)}.amazonaws.com"


def error_code(service: str, code: str, status: int) -> str:
    """The `errorCode` that CloudTrail writes for what the API answered."""
    if service == "ec2":
        return (
            code
            if code.startswith(("Client.", "Server."))
            else f"{'Server' if status >= 500 else 'Client'}.{code}"
        )
    if code in {"AccessDeniedException", "AccessDenied"}:
        return "AccessDenied"
    if service == "iam" and not code.endswith("Exception"):
        return f"{code}Exception"
    return code


def stamp(moment: datetime) -> str:
    """A UTC time as CloudTrail writes it."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def request_parameters(service: str, operation: str, parsed: dict[str, Any]) -> dict[str, Any] | None:
    """The call's parameters as CloudTrail shows them; None when there are none."""
    if service == "ec2":
        shown = records_ec2.request_parameters(operation, parsed)
    elif service == "s3":
        shown = _s3_request(operation, parsed)
    else:
        shown = _lowered(parsed)
    return _hide(service, shown) or None


def response_elements(
    service: str, operation: str, parsed: dict[str, Any], body: bytes, request_id: str
) -> dict[str, Any] | None:
    """What the call made or changed; None for calls that only read, as in CloudTrail."""
    reads = READ_ONLY.match(operation) and operation not in {
        "AssumeRole",
        "AssumeRoleWithWebIdentity",
        "AssumeRoleWithSAML",
    }
    if reads or (is_data_event(service, operation) and service != "s3"):
        return None
    if service == "ec2":
        shown = records_ec2.response_elements(operation, body, request_id)
    else:
        shown = _lowered({k: v for k, v in parsed.items() if k not in {"ResponseMetadata", "Error", "Body"}})
    return _hide(service, shown) or None


def _lower_first(name: str) -> str:
    return name[:1].lower() + name[1:]


def _lowered(value: Any) -> Any:
    if isinstance(value, dict):
        return {_lower_first(str(k)): _lowered(v) for k, v in value.items() if v is not None}
    if isinstance(value, (list, tuple)):
        return [_lowered(item) for item in value]
    return _plain(value)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        moment = value if value.tzinfo else value.replace(tzinfo=UTC)
        return f"{moment:%b} {moment.day}, {moment.year} {moment.hour % 12 or 12}:{moment:%M:%S %p}"
    if isinstance(value, (bytes, bytearray)) or hasattr(value, "read"):
        return "<blob>"
    return value


def _hide(service: str, value: Any) -> Any:
    if isinstance(value, list):
        return [_hide(service, item) for item in value]
    if not isinstance(value, dict):
        return value
    shown = {}
    for name, inner in value.items():
        if (service, name) in _HIDDEN_MEMBERS:
            shown[name] = _HIDDEN_MEMBERS[service, name]
        elif _SECRET.search(name) and not isinstance(inner, (bool, int, dict, list)):
            if name != "secretAccessKey":  # AWS leaves this one out altogether
                shown[name] = HIDDEN
        else:
            shown[name] = _hide(service, inner)
    return shown


def _s3_request(operation: str, parsed: dict[str, Any]) -> dict[str, Any]:
    bucket = parsed.get("Bucket")
    shown: dict[str, Any] = {"Host": "s3.amazonaws.com"}
    if bucket:
        shown = {"bucketName": bucket, "Host": f"{bucket}.s3.amazonaws.com"}
    skipped = {"Bucket", "Body", "Key", "Metadata", "ExpectedBucketOwner"}
    for name, value in parsed.items():
        if name in skipped or value is None or name.startswith("Checksum") or name.endswith("MD5"):
            continue
        shown[_s3_name(name)] = _lowered(value)
    if parsed.get("Key"):
        shown["key"] = parsed["Key"]
    if operation == "ListObjectsV2":
        shown["list-type"] = "2"
    return shown


def _s3_name(name: str) -> str:
    return {
        "VersionId": "versionId",
        "MaxKeys": "max-keys",
        "ContinuationToken": "continuation-token",
        "EncodingType": "encoding-type",
        "ServerSideEncryption": "x-amz-server-side-encryption",
        "SSEKMSKeyId": "x-amz-server-side-encryption-aws-kms-key-id",
    }.get(name, _lower_first(name))


def s3_event_name(operation: str) -> str:
    """The `eventName` of an S3 operation, where it is not the operation's own name."""
    return _S3_EVENT_NAMES.get(operation, operation)


def s3_resources(parsed: dict[str, Any], account: str) -> list[dict[str, str]] | None:
    """The `resources` of an S3 record."""
    bucket, key = parsed.get("Bucket"), parsed.get("Key")
    if not bucket:
        return None
    found = [{"accountId": account, "type": "AWS::S3::Bucket", "ARN": f"arn:aws:s3:::{bucket}"}]
    if key:
        found.insert(0, {"type": "AWS::S3::Object", "ARN": f"arn:aws:s3:::{bucket}/{key}"})
    return found
