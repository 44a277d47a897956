"""Records with holes: real or simulated CloudTrail records whose times, ids, accounts and callers are drawn anew."""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from random import Random
from typing import Any

_HOLE = re.compile("\x00([A-Z]+)(\\d*)\x00")
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_RESOURCE = re.compile(
    r"\b(i|vol|snap|ami|eni|sg|subnet|vpc|rtb|nat|igw|acl|eipalloc|vpce|r)-[0-9a-f]{8,17}\b"
)
_KEPT_OF_A_KIND = 40
# Rare calls come more often than in life, so that questions about them have something to find.
_FLATTENED = 0.6


@dataclass(frozen=True, slots=True)
class Template:
    """The text of a record around its holes; `holes` has one less than `parts`."""

    service: bool
    parts: tuple[str, ...]
    holes: tuple[tuple[str, int], ...]

    @property
    def length(self) -> int:
        """About how long a filled record is."""
        return sum(map(len, self.parts)) + 40 * len(self.holes)


@dataclass(frozen=True, slots=True)
class Choice:
    """Templates by kind, drawn by how often the kind occurs."""

    kinds: tuple[tuple[Template, ...], ...]
    weights: tuple[float, ...]

    def draw(self, rng: Random) -> Template:
        """A template."""
        kind = bisect_left(self.weights, rng.random() * self.weights[-1])
        return rng.choice(self.kinds[min(kind, len(self.kinds) - 1)])


def template(record: dict[str, Any]) -> Template | None:
    """`record` with holes; None for what issues credentials, which the generator makes itself."""
    record = {name: value for name, value in record.items() if not name.startswith("@")}
    record = {"eventVersion": record.get("eventVersion", "1.08"), **record}
    identity = record.get("userIdentity") or {}
    if str(record.get("eventName", "")).startswith("AssumeRole") and not record.get("errorCode"):
        return None
    service = _by_service(record)
    if not service:
        record |= {
            "userIdentity": "\x00WHO\x00",
            "sourceIPAddress": "\x00IP\x00",
            "userAgent": "\x00AGENT\x00",
        }
    record["eventTime"] = "\x00TIME\x00"
    if record.get("requestID") and not _UUID.fullmatch(str(record["requestID"])):
        record["requestID"] = "\x00REQUEST\x00"
    more = record.get("additionalEventData")
    if isinstance(more, dict) and "x-amz-id-2" in more:
        record["additionalEventData"] = {**more, "x-amz-id-2": "\x00HOST\x00"}
    accounts = {str(record.get("recipientAccountId") or ""), str(identity.get("accountId") or "")}
    region, record["awsRegion"] = str(record.get("awsRegion") or ""), "\x00REGION\x00"
    text = json.dumps(record, separators=(",", ":"), ensure_ascii=False).replace("\\u0000", "\x00")
    numbers: dict[str, int] = {}

    def numbered(kind: str, found: re.Match[str]) -> str:
        return f"\x00{kind}{numbers.setdefault(found[0], len(numbers))}\x00"

    text = _UUID.sub(lambda found: numbered("UUID", found), text)
    text = _RESOURCE.sub(lambda found: f"{found[1]}-{numbered('RESOURCE', found)}", text)
    for account in accounts:
        if re.fullmatch(r"\d{12}", account):
            text = text.replace(account, "\x00ACCOUNT\x00")
    if region.count("-") >= 2:
        text = text.replace(region, "\x00REGION\x00")
    text = text.replace('"\x00WHO\x00"', "\x00WHO\x00")  # a value of its own, not a string
    pieces = _HOLE.split(text)
    holes = tuple((kind, int(number or 0)) for kind, number in zip(pieces[1::3], pieces[2::3], strict=True))
    return Template(service, tuple(pieces[::3]), holes)


def _kind(record: dict[str, Any]) -> tuple[bool, str, str, str]:
    return (
        _by_service(record),
        str(record.get("eventSource")),
        str(record.get("eventName")),
        str(record.get("errorCode") or ""),
    )


def _by_service(record: dict[str, Any]) -> bool:
    identity = record.get("userIdentity") or {}
    return identity.get("type") == "AWSService" or not identity.get("arn")


def choices(records: Iterable[dict[str, Any]]) -> tuple[dict[bool, Choice], list[str]]:
    """Templates of services' (True) and of people's (False) records, and the user agents among them."""
    kinds: defaultdict[tuple[bool, str, str, str], list[Template]] = defaultdict(list)
    counts: Counter[tuple[bool, str, str, str]] = Counter()
    agents: set[str] = set()
    for record in records:
        kind = _kind(record)
        counts[kind] += 1
        if len(kinds[kind]) < _KEPT_OF_A_KIND and (made := template(record)) is not None:
            kinds[kind].append(made)
        agent = record.get("userAgent")
        if isinstance(agent, str) and not kind[0] and len(agent) < 300:
            agents.add(agent)
    found: dict[bool, Choice] = {}
    for service in (True, False):
        mine = sorted(kind for kind, made in kinds.items() if made and kind[0] is service)
        if mine:
            weights = tuple(accumulate(counts[kind] ** _FLATTENED for kind in mine))
            found[service] = Choice(tuple(tuple(kinds[kind]) for kind in mine), weights)
    return found, sorted(agents)


def sample_records(folders: Iterable[Path]) -> Iterable[dict[str, Any]]:
    """The records of real log files; without folders, those of the simulator's scenario."""
    folders = list(folders)
    if not folders:
        from datetime import UTC, datetime

        from irkit.sim.scenarios.web_to_role_theft.attack import attack
        from irkit.sim.scenarios.web_to_role_theft.background import background
        from irkit.sim.scenarios.web_to_role_theft.story import tell

        story = tell(seed=7, at=datetime(2026, 11, 20, 12, tzinfo=UTC))
        yield from background(story)
        yield from attack(story).records
    for folder in folders:
        for path in sorted(folder.rglob("*.json")):
            content = json.loads(path.read_text())
            records = content.get("Records", []) if isinstance(content, dict) else content
            yield from (one for one in records if isinstance(one, dict) and "eventName" in one)
