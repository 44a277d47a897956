"""AWS as irkit meets it: names, sessions, errors in words, and waits. boto3 clients are made here and nowhere else."""

from __future__ import annotations

from irkit.aws.names import account_id, arn_parts, instance_id, region_name
from irkit.aws.refusals import error_code, translating
from irkit.aws.sessions import Identity, Sessions
from irkit.aws.waiting import wait_until

__all__ = [
    "Identity",
    "Sessions",
    "account_id",
    "arn_parts",
    "error_code",
    "instance_id",
    "region_name",
    "translating",
    "wait_until",
]
