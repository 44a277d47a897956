"""Log files in S3: listed folder by folder in parallel where a window leaves something out, else flat.

References:
    https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from irkit.aws.refusals import translating
from irkit.durable import storage
from irkit.errors import BadInput
from irkit.logs.sources import _DATED, Clients, LogFile, Window

_LISTERS = 8
_CHUNK = 4 * 1024**2


def s3_files(source: str, window: Window, clients: Clients) -> Iterator[LogFile]:
    """The objects below `s3://bucket/prefix` that the window may need, in the order of their keys."""
    bucket, _, prefix = source.removeprefix("s3://").partition("/")
    if not source.startswith("s3://") or not bucket:
        raise BadInput(f"{source} names no bucket", hint="write s3://bucket/prefix")
    s3 = clients.client("s3")
    objects: Iterable[dict[str, Any]]
    with translating("list logs", resource=source):
        if window.narrow:
            with ThreadPoolExecutor(_LISTERS, thread_name_prefix="irkit-list") as pool:
                objects = _walked(s3, bucket, prefix, window, pool)
        else:
            objects = _flat(s3, bucket, prefix)
        for entry in objects:
            key = entry["Key"]
            if not key.endswith("/"):
                yield LogFile(
                    uri=f"s3://{bucket}/{key}",
                    size=entry["Size"],
                    etag=entry["ETag"].strip('"'),
                    read=_reader(s3, bucket, key),
                    save=_saver(s3, bucket, key),
                )


def _reader(s3: Any, bucket: str, key: str) -> Callable[[], bytes]:
    def read() -> bytes:
        with translating("read a log", resource=f"s3://{bucket}/{key}"):
            body: bytes = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        return body

    return read


def _saver(s3: Any, bucket: str, key: str) -> Callable[[Path], None]:
    def save(to: Path) -> None:
        with (
            translating("read a log", resource=f"s3://{bucket}/{key}"),
            storage("write", to),
            to.open("wb") as file,
        ):
            for chunk in s3.get_object(Bucket=bucket, Key=key)["Body"].iter_chunks(_CHUNK):
                file.write(chunk)

    return save


def _flat(s3: Any, bucket: str, prefix: str) -> Iterator[dict[str, Any]]:
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        yield from page.get("Contents", ())


def _folder(s3: Any, bucket: str, prefix: str) -> tuple[list[dict[str, Any]], list[str]]:
    """The objects directly in a folder, and the folders in it."""
    found: list[dict[str, Any]] = []
    below: list[str] = []
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix, Delimiter="/"):
        found += page.get("Contents", ())
        below += [one["Prefix"] for one in page.get("CommonPrefixes", ())]
    return found, below


def _walked(
    s3: Any, bucket: str, prefix: str, window: Window, pool: ThreadPoolExecutor
) -> list[dict[str, Any]]:
    """Level by level, the folders of one level side by side; from a dated folder on, flat."""
    found: list[dict[str, Any]] = []
    level = [prefix]
    while level:
        below: list[str] = []
        for objects, folders in pool.map(lambda one: _folder(s3, bucket, one), level):
            found += objects
            below += [folder for folder in folders if window.may_hold("/" + folder.rstrip("/"))]
        dated = [folder for folder in below if _whole_date("/" + folder.rstrip("/"))]
        for objects in pool.map(lambda one: list(_flat(s3, bucket, one)), dated):
            found += objects
        level = sorted(set(below) - set(dated))
    return sorted(found, key=lambda entry: str(entry["Key"]))


def _whole_date(path: str) -> bool:
    dates = list(_DATED.finditer(path))
    return bool(dates and dates[-1][3])
