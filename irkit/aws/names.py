"""Names that AWS gives to things, checked before they are used."""

from __future__ import annotations

import re
from dataclasses import dataclass

from irkit.errors import InvalidName
from irkit.escape import for_terminal

_INSTANCE = re.compile(r"i-(?:[0-9a-f]{8}|[0-9a-f]{17})")
_SNAPSHOT = re.compile(r"snap-(?:[0-9a-f]{8}|[0-9a-f]{17})")
_ACCOUNT = re.compile(r"[0-9]{12}")
_REGION = re.compile(r"[a-z]{2}(?:-[a-z]+)+-[0-9]{1,2}")
_ROLE_ARN = re.compile(r"arn:aws[a-z-]*:iam::[0-9]{12}:role/[\w+=,.@/-]+", re.ASCII)
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html#identifiers-unique-ids
_ACCESS_KEY = re.compile(r"A(?:KIA|SIA)[A-Z0-9]{12,124}")
_PRINCIPAL_ARN = re.compile(
    r"arn:aws[a-z-]*:(?:iam::[0-9]{12}:(?:user|role)/|iam::[0-9]{12}:root$|sts::[0-9]{12}:(?:assumed-role|federated-user)/)"
    r"[\w+=,.@/-]*",
    re.ASCII,
)
_TOPIC_ARN = re.compile(r"arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]{1,256}(?:\.fifo)?")
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


def instance_id(text: str) -> str:
    """`text` if it is an EC2 instance id, else `InvalidName`."""
    if not _INSTANCE.fullmatch(text):
        raise InvalidName(
            f"{for_terminal(text)!r} is not an instance id",
            hint="it looks like i-0123456789abcdef0 (8 or 17 hexadecimal digits)",
        )
    return text


def account_id(text: str) -> str:
    """`text` if it is an AWS account id, leading zeros kept, else `InvalidName`."""
    if not _ACCOUNT.fullmatch(text):
        raise InvalidName(
            f"{for_terminal(text)!r} is not an account id",
            hint="it has 12 digits; with papermill pass it with -r so that leading zeros survive",
        )
    return text


def snapshot_id(text: str) -> str:
    """`text` if it is the id of an EBS snapshot, else `InvalidName`."""
    if not _SNAPSHOT.fullmatch(text):
        raise InvalidName(
            f"{for_terminal(text)} is not a snapshot id", hint="it looks like snap-0123456789abcdef0"
        )
    return text


def access_key_id(text: str) -> str:
    """`text` if it is an access key id, of a user (AKIA…) or of a session (ASIA…), else `InvalidName`."""
    if not _ACCESS_KEY.fullmatch(text):
        raise InvalidName(
            f"{for_terminal(text)!r} is not an access key id",
            hint="it looks like AKIAIOSFODNN7EXAMPLE; never give the secret that belongs to it",
        )
    return text


def principal_arn(text: str) -> str:
    """`text` if it is the ARN of a user, role or session, else `InvalidName`."""
    if not _PRINCIPAL_ARN.fullmatch(text):
        raise InvalidName(
            f"{for_terminal(text)!r} is not the ARN of a principal",
            hint="it looks like arn:aws:iam::111122223333:user/name, or of a role or an assumed-role session",
        )
    return text


def region_name(text: str) -> str:
    """`text` if it is shaped like a region, else `InvalidName`; whether it exists AWS says."""
    if not _REGION.fullmatch(text):
        raise InvalidName(f"{for_terminal(text)!r} is not a region", hint="it looks like us-east-1")
    return text


def role_arn(text: str) -> str:
    """`text` if it is the ARN of an IAM role, else `InvalidName`."""
    if not _ROLE_ARN.fullmatch(text):
        raise InvalidName(
            f"{for_terminal(text)!r} is not the ARN of a role",
            hint="it looks like arn:aws:iam::111122223333:role/Name",
        )
    return text


def topic_arn(text: str) -> str:
    """`text` if it is the ARN of an SNS topic, else `InvalidName`."""
    if not _TOPIC_ARN.fullmatch(text):
        raise InvalidName(
            f"{for_terminal(text)!r} is not the ARN of a topic",
            hint="it looks like arn:aws:sns:us-east-1:111122223333:name",
        )
    return text


def bucket_name(text: str) -> str:
    """`text` if it can name an S3 bucket, else `InvalidName`."""
    if not _BUCKET.fullmatch(text):
        raise InvalidName(
            f"{for_terminal(text)!r} cannot name a bucket",
            hint="3 to 63 lower-case letters, digits, dots and hyphens; without s3://",
        )
    return text


@dataclass(frozen=True, slots=True, kw_only=True)
class Arn:
    """The parts of an Amazon Resource Name.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference-arns.html
    """

    partition: str
    service: str
    region: str
    account: str
    resource: str

    @property
    def name(self) -> str:
        """The last part of the resource's path: a role's name without its path, a session's name."""
        return self.resource.rsplit("/", 1)[-1]


def arn_parts(text: str) -> Arn:
    """The parts of the ARN `text`, else `InvalidName`."""
    parts = text.split(":", 5)
    if len(parts) != 6 or parts[0] != "arn":
        raise InvalidName(
            f"{for_terminal(text)!r} is not an ARN", hint="it looks like arn:aws:service:region:account:name"
        )
    return Arn(partition=parts[1], service=parts[2], region=parts[3], account=parts[4], resource=parts[5])
