"""CloudTrail: what was recorded, what Event History answers, and what is delivered to the trail's bucket."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from irkit.sim.callers import session_name
from irkit.sim.faults import Refusal

HISTORY_DAYS = 90
PAGE = 50
_ATTRIBUTES = {
    "EventId",
    "EventName",
    "ReadOnly",
    "Username",
    "ResourceType",
    "ResourceName",
    "EventSource",
    "AccessKeyId",
}
_RESOURCES = {
    "userName": "AWS::IAM::User",
    "roleName": "AWS::IAM::Role",
    "roleArn": "AWS::IAM::Role",
    "accessKeyId": "AWS::IAM::AccessKey",
    "policyArn": "AWS::IAM::Policy",
    "instanceProfileName": "AWS::IAM::InstanceProfile",
    "instanceId": "AWS::EC2::Instance",
    "volumeId": "AWS::EC2::Volume",
    "snapshotId": "AWS::EC2::Snapshot",
    "groupId": "AWS::EC2::SecurityGroup",
    "networkInterfaceId": "AWS::EC2::NetworkInterface",
    "bucketName": "AWS::S3::Bucket",
    "trailARN": "AWS::CloudTrail::Trail",
    "keyId": "AWS::KMS::Key",
}


class Trail:
    """All CloudTrail records of the world: planted history and every live call."""

    def __init__(self) -> None:
        self._records: list[dict[str, Any]] = []
        self._undelivered: list[dict[str, Any]] = []
        self._cursors: dict[str, tuple[list[dict[str, Any]], int]] = {}
        self._lock = threading.RLock()
        self.deliverer: Callable[[], list[str]] | None = None

    def plant(self, records: Iterable[Mapping[str, Any]], *, deliver: bool = False) -> int:
        """Take history into Event History; returns how many. With `deliver` it also goes to the bucket later."""
        planted = [record if isinstance(record, dict) else dict(record) for record in records]
        with self._lock:
            self._records.extend(planted)
            if deliver:
                self._undelivered.extend(planted)
        return len(planted)

    def record(self, record: dict[str, Any]) -> None:
        """Take one live call."""
        with self._lock:
            self._records.append(record)
            self._undelivered.append(record)

    def records(self) -> list[dict[str, Any]]:
        """Everything recorded so far, planted first."""
        with self._lock:
            return list(self._records)

    def take_undelivered(self) -> list[dict[str, Any]]:
        """Records that no file holds yet; the caller owes their delivery."""
        with self._lock:
            waiting, self._undelivered = self._undelivered, []
            return waiting

    def deliver(self) -> list[str]:
        """Write what waits to the buckets of the trails that log, now; returns the keys written."""
        return self.deliverer() if self.deliverer is not None else []

    def history(
        self,
        *,
        account: str,
        region: str,
        attributes: list[dict[str, str]],
        start: datetime | None,
        end: datetime | None,
        category: str | None = None,
    ) -> list[dict[str, Any]]:
        """Management events of one account and region, newest first."""
        if category:  # only `insight` exists, and the simulator has no insight events
            return []
        oldest = _stamp(max(start, _days_ago()) if start else _days_ago())
        newest = _stamp(end) if end else "9999"
        with self._lock:
            candidates = list(self._records)
        found = [
            record
            for record in candidates
            if record.get("recipientAccountId") == account
            and record.get("managementEvent", True)
            and record.get("awsRegion") == region
            and oldest <= str(record.get("eventTime", "")) <= newest
            and all(_has(record, a["AttributeKey"], a["AttributeValue"]) for a in attributes)
        ]
        found.reverse()  # live calls of one second keep their order, newest first
        found.sort(key=lambda record: str(record.get("eventTime", "")), reverse=True)
        return found

    def page(self, found: list[dict[str, Any]], size: int) -> tuple[list[dict[str, Any]], str | None]:
        """The first page, and the token of the next."""
        return self._page(found, 0, size)

    def next_page(self, token: str, size: int) -> tuple[list[dict[str, Any]], str | None]:
        """The page that `token` stands for."""
        with self._lock:
            cursor = self._cursors.get(token)
        if cursor is None:
            raise Refusal("InvalidNextTokenException", "The next token is not valid.")
        return self._page(*cursor, size)

    def _page(
        self, found: list[dict[str, Any]], start: int, size: int
    ) -> tuple[list[dict[str, Any]], str | None]:
        stop = start + size
        token = None
        if stop < len(found):
            token = uuid.uuid4().hex
            with self._lock:
                self._cursors[token] = (found, stop)
                while len(self._cursors) > 256:
                    self._cursors.pop(next(iter(self._cursors)))
        return found[start:stop], token


def _days_ago() -> datetime:
    return datetime.now(UTC) - timedelta(days=HISTORY_DAYS)


def _stamp(moment: datetime) -> str:
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def resources_of(record: dict[str, Any]) -> list[dict[str, str]]:
    """The resources that Event History lists for a record: named in its parameters or its answer."""
    found: dict[tuple[str, str], None] = {}

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            for name, inner in value.items():
                if isinstance(inner, str) and name in _RESOURCES:
                    found[_RESOURCES[name], inner] = None
                else:
                    walk(inner)
        elif isinstance(value, list):
            for item in value:
                walk(item)

    walk(record.get("requestParameters"))
    walk(record.get("responseElements"))
    for resource in record.get("resources") or []:
        if isinstance(resource, dict) and resource.get("ARN"):
            found[str(resource.get("type", "")), str(resource["ARN"])] = None
    return [{"ResourceType": kind, "ResourceName": name} for kind, name in found]


def _has(record: dict[str, Any], key: str, value: str) -> bool:
    identity = record.get("userIdentity") or {}
    if key == "EventName":
        return record.get("eventName") == value
    if key == "EventSource":
        return record.get("eventSource") == value
    if key == "EventId":
        return record.get("eventID") == value
    if key == "ReadOnly":
        return str(bool(record.get("readOnly"))).lower() == value.lower()
    if key == "AccessKeyId":
        return identity.get("accessKeyId") == value
    if key == "Username":
        return session_name(identity) == value
    which = "ResourceName" if key == "ResourceName" else "ResourceType"
    return any(resource[which] == value for resource in resources_of(record))


def event(record: dict[str, Any]) -> dict[str, Any]:
    """One record as LookupEvents returns it."""
    identity = record.get("userIdentity") or {}
    shown: dict[str, Any] = {
        "EventId": record.get("eventID"),
        "EventName": record.get("eventName"),
        "ReadOnly": str(bool(record.get("readOnly"))).lower(),
        "EventTime": datetime.fromisoformat(str(record["eventTime"])).timestamp(),
        "EventSource": record.get("eventSource"),
        "Resources": resources_of(record),
        "CloudTrailEvent": json.dumps(record),
    }
    if key := identity.get("accessKeyId"):
        shown["AccessKeyId"] = key
    if name := session_name(identity):
        shown["Username"] = name
    return shown


def check_attributes(attributes: list[dict[str, str]]) -> None:
    """Refuse lookup attributes as CloudTrail does: at most one, of a known key."""
    if len(attributes) > 1 or any(a.get("AttributeKey") not in _ATTRIBUTES for a in attributes):
        raise Refusal(
            "InvalidLookupAttributesException", "You have specified an invalid lookup attribute or too many."
        )
