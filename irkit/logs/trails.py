"""The files of a trail, by its name: where it delivers is asked of CloudTrail.

References:
    https://docs.aws.amazon.com/awscloudtrail/latest/APIReference/API_DescribeTrails.html
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from irkit.aws.refusals import translating
from irkit.errors import NotFound
from irkit.logs.buckets import s3_files
from irkit.logs.sources import Clients, LogFile, Window


def describe_trail(name: str, clients: Clients) -> dict[str, Any]:
    """What CloudTrail says of the trail with this name or ARN, as DescribeTrails gives it. Raises `NotFound`."""
    with translating("describe the trail", resource=name):
        trails = clients.client("cloudtrail").describe_trails(includeShadowTrails=True)["trailList"]
    for trail in trails:
        if name in (trail["Name"], trail["TrailARN"]):
            return dict(trail)
    names = ", ".join(sorted(trail["Name"] for trail in trails)) or "none"
    raise NotFound(f"there is no trail {name} in this account and region", hint=f"trails here: {names}")


def trail_folder(trail: dict[str, Any]) -> str:
    """Where a trail delivers, as `s3://bucket/prefix/AWSLogs/`."""
    prefix = str(trail.get("S3KeyPrefix") or "").strip("/")
    return f"s3://{trail['S3BucketName']}/{prefix + '/' if prefix else ''}AWSLogs/"


def trail_files(name: str, window: Window, clients: Clients) -> Iterator[LogFile]:
    """The CloudTrail files of the trail, of all accounts and regions that it covers; digests among them."""
    for file in s3_files(trail_folder(describe_trail(name, clients)), window, clients):
        if "/CloudTrail" in file.uri:
            yield file
