"""CloudTrail records, flow lines and log files for tests, as AWS would write them."""

from __future__ import annotations

import gzip
import itertools
import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

ACCOUNT = "111122223333"
START = datetime(2026, 11, 20, 10, 0, 0, tzinfo=UTC)
FLOW_HEADER = "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets"
FLOW_HEADER += " bytes start end action log-status"
DATASETS = Path(__file__).parents[3] / "shared" / "datasets" / "cloudtrail"
_numbers = itertools.count(1)


def at(minutes: float) -> datetime:
    """So many minutes after the tests' day begins."""
    return START + timedelta(minutes=minutes)


def user(name: str = "alice", key: str = "AKIAALICE0000000000A") -> dict[str, Any]:
    """The identity of an IAM user."""
    return {
        "type": "IAMUser",
        "principalId": f"AIDA{name.upper():0<17}",
        "arn": f"arn:aws:iam::{ACCOUNT}:user/{name}",
        "accountId": ACCOUNT,
        "accessKeyId": key,
        "userName": name,
    }


def role_session(role: str, session: str, key: str) -> dict[str, Any]:
    """The identity of a role session."""
    return {
        "type": "AssumedRole",
        "principalId": f"AROA{role.upper():0<17}:{session}",
        "arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/{role}/{session}",
        "accountId": ACCOUNT,
        "accessKeyId": key,
        "sessionContext": {
            "sessionIssuer": {
                "type": "Role",
                "principalId": f"AROA{role.upper():0<17}",
                "arn": f"arn:aws:iam::{ACCOUNT}:role/{role}",
                "accountId": ACCOUNT,
                "userName": role,
            },
            "attributes": {"creationDate": "2026-11-20T09:00:00Z", "mfaAuthenticated": "false"},
        },
    }


def record(
    call: str = "ec2:DescribeInstances",
    minutes: float = 0,
    *,
    identity: dict[str, Any] | None = None,
    ip: str = "192.0.2.10",
    request: Any = None,
    response: Any = None,
    error: str | None = None,
    read_only: bool | None = None,
    **more: Any,
) -> dict[str, Any]:
    """One CloudTrail record; what is not given is ordinary."""
    service, _, name = call.partition(":")
    made: dict[str, Any] = {
        "eventVersion": "1.11",
        "userIdentity": identity or user(),
        "eventTime": at(minutes).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "eventSource": f"{service}.amazonaws.com",
        "eventName": name,
        "awsRegion": "us-east-1",
        "sourceIPAddress": ip,
        "userAgent": "aws-cli/2.17",
        "requestParameters": request,
        "responseElements": response,
        "requestID": f"00000000-0000-4000-8000-{next(_numbers):012d}",
        "eventID": f"11111111-1111-4111-8111-{next(_numbers):012d}",
        "readOnly": name.startswith(("Get", "List", "Describe")) if read_only is None else read_only,
        "eventType": "AwsApiCall",
        "managementEvent": True,
        "recipientAccountId": ACCOUNT,
        "eventCategory": "Management",
    }
    if error:
        made |= {"errorCode": error, "errorMessage": "not allowed"}
    return made | more


def assume_role(role: str, session: str, key: str, minutes: float = 0, **more: Any) -> dict[str, Any]:
    """A call of AssumeRole that issued `key`."""
    return record(
        "sts:AssumeRole",
        minutes,
        request={"roleArn": f"arn:aws:iam::{ACCOUNT}:role/{role}", "roleSessionName": session},
        response={
            "credentials": {
                "accessKeyId": key,
                "sessionToken": "x",
                "expiration": "Nov 20, 2026, 11:00:00 AM",
            },
            "assumedRoleUser": {
                "assumedRoleId": f"AROA{role.upper():0<17}:{session}",
                "arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/{role}/{session}",
            },
        },
        read_only=True,
        **more,
    )


def get_object(bucket: str, key: str, size: float, minutes: float = 0, **more: Any) -> dict[str, Any]:
    """An S3 data event of a download."""
    return record(
        "s3:GetObject",
        minutes,
        request={"bucketName": bucket, "key": key, "Host": f"{bucket}.s3.amazonaws.com"},
        additionalEventData={"bytesTransferredIn": 0.0, "bytesTransferredOut": size},
        managementEvent=False,
        eventCategory="Data",
        **more,
    )


def flow(
    src: str,
    dst: str,
    sport: int,
    dport: int,
    size: int,
    minutes: float = 0,
    *,
    seconds: int = 55,
    action: str = "ACCEPT",
    eni: str = "eni-0123456789abcdef0",
) -> str:
    """One version 2 flow record."""
    begin = int(at(minutes).timestamp())
    return f"2 {ACCOUNT} {eni} {src} {dst} {sport} {dport} 6 4 {size} {begin} {begin + seconds} {action} OK"


def write_trail(path: Path, records: Iterable[Any], *, packed: bool | None = None) -> Path:
    """A file of `{"Records": […]}`, gzipped when its name ends so."""
    return write(path, json.dumps({"Records": list(records)}).encode(), packed=packed)


def write_flows(path: Path, lines: Iterable[str], header: str = FLOW_HEADER) -> Path:
    """A flow log file with its header line."""
    return write(path, "\n".join([header, *lines, ""]).encode())


def write(path: Path, content: bytes, *, packed: bool | None = None) -> Path:
    """A file with `content`, gzipped when its name ends so or when told."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pack = path.name.endswith(".gz") if packed is None else packed
    path.write_bytes(gzip.compress(content, mtime=0) if pack else content)
    return path
