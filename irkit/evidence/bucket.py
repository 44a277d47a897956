"""The evidence bucket as it stands: whose it is, where, and whether what is put into it can be changed or deleted.

Nothing is written to find out. https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-lock.html and, for whose it
is, https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucket-owner-condition.html
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import botocore.exceptions as aws

from irkit.aws.refusals import error_code, explained
from irkit.errors import BadInput, IrkitError, NotFound, Refused
from irkit.escape import for_terminal

if TYPE_CHECKING:
    from irkit.case import Case

_RETENTION = re.compile(r"(governance|compliance):([0-9]{1,5})", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How long an object can be neither overwritten nor deleted: `mode` as S3 writes it, for `days`."""

    mode: str
    days: int

    @classmethod
    def parsed(cls, text: str) -> Retention:
        """The retention that `text` describes, such as `governance:90`; else `BadInput`."""
        found = _RETENTION.fullmatch(text)
        if not found or not 1 <= int(found[2]) <= 36_500:
            raise BadInput(
                f"{for_terminal(text)!r} is not a retention",
                hint="such as governance:90 or compliance:365, in days",
            )
        return cls(mode=found[1].upper(), days=int(found[2]))

    def until(self, now: datetime) -> datetime:
        """The moment at which it ends when it begins `now`."""
        return now.astimezone(UTC) + timedelta(days=self.days)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """What S3 says of a bucket. `owner` is the account that it was held against, None when none was known."""

    name: str
    region: str
    owner: str | None
    versioned: bool
    lockable: bool
    default_retention: str | None


def owner_of(case: Case) -> str | None:
    """The account that the case's evidence bucket must belong to, where the case says: the forensics account's."""
    sources = case.facts.sources
    role = sources.get("forensics_role", "")
    return (
        sources.get("evidence_owner")
        or sources.get("forensics_account")
        or (role.split(":")[4] if role else None)
    )


def look(case: Case, name: str, *, owner: str | None) -> Bucket:
    """The bucket `name` as it stands.

    Raises `NotFound` when there is none, `Refused` when it is not `owner`'s or we may not use it.
    """
    client = case.client("s3")
    ours: dict[str, Any] = {"ExpectedBucketOwner": owner} if owner else {}
    try:
        region = str(client.head_bucket(Bucket=name, **ours).get("BucketRegion") or case.facts.region)
    except (aws.ClientError, aws.BotoCoreError, aws.ParamValidationError) as error:
        raise _no_way_in(error, name, owner) from error
    there = case.client("s3", region=region)
    try:
        versioning = there.get_bucket_versioning(Bucket=name, **ours).get("Status") == "Enabled"
        lock = _lock(there, name, ours)
    except (aws.ClientError, aws.BotoCoreError) as error:
        raise explained(error, doing="look at the bucket", resource=name, region=region) from error
    rule = (lock or {}).get("Rule", {}).get("DefaultRetention", {})
    return Bucket(
        name=name, region=region, owner=owner, versioned=versioning, lockable=lock is not None,
        default_retention=f"{rule['Mode']} {rule.get('Days') or rule.get('Years')}" if rule else None,
    )  # fmt: skip


def _lock(client: Any, name: str, ours: dict[str, Any]) -> dict[str, Any] | None:
    try:
        held = client.get_object_lock_configuration(Bucket=name, **ours).get("ObjectLockConfiguration") or {}
    except aws.ClientError as error:
        if error_code(error) == "ObjectLockConfigurationNotFoundError":
            return None
        raise
    return dict(held) if held.get("ObjectLockEnabled") == "Enabled" else None


def _no_way_in(error: Exception, name: str, owner: str | None) -> IrkitError:
    code = error_code(error)
    if code in {"404", "NoSuchBucket"}:
        return NotFound(
            f"cannot use {for_terminal(name)}: the bucket does not exist",
            hint="check its name and the account",
        )
    if code in {"403", "AccessDenied"}:
        whose = f", or it is not account {owner}'s" if owner else ""
        return Refused(
            f"the bucket {for_terminal(name)} is not for us to use{whose}",
            hint="nothing was sent; see whose it is before evidence goes there",
        )
    return explained(error, doing="look at the bucket", resource=name)
