"""Planted CloudTrail records as the gzip files that AWS delivers to a trail's bucket."""

from __future__ import annotations

import gzip
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from irkit.sim.scenarios.web_to_role_theft import ids
from irkit.sim.scenarios.web_to_role_theft.cloudtrail import Record
from irkit.sim.scenarios.web_to_role_theft.story import Story

HOME_MINUTES = 15
ELSEWHERE_MINUTES = 120
TRAIL_PREFIX = "audit"


def trail_files(story: Story, records: Iterable[Record]) -> Iterator[tuple[str, bytes]]:
    """Object key and gzip bytes of each file, in AWS's folder layout; the same records give the same bytes."""
    slots: dict[tuple[str, datetime], list[Record]] = defaultdict(list)
    for record in records:
        region = record["awsRegion"]
        minutes = HOME_MINUTES if region == story.estate.region else ELSEWHERE_MINUTES
        when = datetime.fromisoformat(record["eventTime"])
        start = when.replace(minute=0, second=0)
        if minutes < 60:
            start = when.replace(minute=when.minute - when.minute % minutes, second=0)
        else:
            start -= timedelta(hours=start.hour % (minutes // 60))
        slots[region, start + timedelta(minutes=minutes)].append(record)
    rng, account = story.rng("delivery"), story.estate.account
    for (region, end), batch in sorted(slots.items(), key=lambda item: item[0]):
        # AWS does not sort the records within a file
        rng.shuffle(batch)
        delivered = min(end, story.times.at)
        name = f"{account}_CloudTrail_{region}_{delivered:%Y%m%dT%H%MZ}_{ids.token(rng, 16)}.json.gz"
        key = f"{TRAIL_PREFIX}/AWSLogs/{account}/CloudTrail/{region}/{delivered:%Y/%m/%d}/{name}"
        text = json.dumps({"Records": batch}, separators=(",", ":"), ensure_ascii=False)
        yield key, gzip.compress(text.encode(), compresslevel=4, mtime=0)
