"""Event History: the last 90 days of management events of an account without a trail, by LookupEvents.

The API gives two answers a second and 50 events an answer, newest first, so a busy account takes hours. Each day is a
file of its own (`history:<account>/<region>/2026/11/20`) that the ledger knows when it is complete: an interrupted run
goes on with the days that are missing. The current day has another name each time, as it is not over.

References:
    https://docs.aws.amazon.com/awscloudtrail/latest/APIReference/API_LookupEvents.html (two requests a second, 90 days)
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from irkit.aws import Sessions
from irkit.aws.refusals import translating
from irkit.logs.sources import Clients, LogFile, Window

HISTORY_DAYS = 90
PAUSE = 0.5
_PAGE = 50
# The size of a day is not known before it is asked; what a listing shows is a guess.
_GUESS = 1


class Pace:
    """Lets calls through no faster than one every `pause` seconds, from all threads together."""

    def __init__(self, pause: float = PAUSE) -> None:
        self._pause = pause
        self._next = 0.0
        self._lock = threading.Lock()

    def wait(self) -> None:
        """Wait for the turn of one call."""
        with self._lock:
            now = time.monotonic()
            at = max(self._next, now)
            self._next = at + self._pause
        time.sleep(max(at - now, 0))


def history_files(
    region: str, window: Window, clients: Clients, *, pace: Pace | None = None
) -> Iterator[LogFile]:
    """The days of Event History within the window, oldest first, in `region` (or the session's own)."""
    client = _client(clients, region)
    with translating("ask who is calling", resource="sts"):
        account = clients.client("sts").get_caller_identity()["Account"]
    region = region or client.meta.region_name
    steady = pace or Pace()
    now = datetime.now(UTC).replace(microsecond=0)
    oldest = now - timedelta(days=HISTORY_DAYS)
    begin = max(oldest, window.since) if window.since else oldest
    # Ranges here end before their last second, and this second has calls in it already.
    end = min(now + timedelta(seconds=1), window.until or datetime.max.replace(tzinfo=UTC))
    while begin < end:
        stop = min(begin.replace(hour=0, minute=0, second=0) + timedelta(days=1), end)
        name = f"history:{account}/{region}/{begin:%Y/%m/%d}/{begin:%H%M%S}-{stop:%H%M%S}"
        # What was asked before it was over may have grown since.
        over = stop < now - timedelta(hours=1)
        yield LogFile(
            uri=name,
            size=_GUESS,
            etag="over" if over else "",
            read=_reader(client, steady, begin, stop, name),
        )
        begin = stop


def _client(clients: Clients, region: str) -> Any:
    if not region:
        return clients.client("cloudtrail")
    if isinstance(clients, Sessions):
        return clients.client("cloudtrail", region=region)
    plain: Any = clients
    return plain.client("cloudtrail", region_name=region)


def _reader(client: Any, pace: Pace, begin: datetime, stop: datetime, name: str) -> Callable[[], bytes]:
    def read() -> bytes:
        """The events as LookupEvents gives their records, oldest first, one a line."""
        records: list[str] = []
        token: dict[str, str] = {}
        with translating("look up events", resource=name):
            while True:
                pace.wait()
                # The end is part of the range that the API takes; the next day begins a second later.
                page = client.lookup_events(
                    StartTime=begin, EndTime=stop - timedelta(seconds=1), MaxResults=_PAGE, **token
                )
                records += [
                    event["CloudTrailEvent"] for event in page["Events"] if "CloudTrailEvent" in event
                ]
                if not page.get("NextToken"):
                    break
                token = {"NextToken": page["NextToken"]}
        lines = [json.dumps({"CloudTrailEvent": record}) for record in reversed(records)]
        return ("\n".join(lines) + "\n").encode()

    return read
