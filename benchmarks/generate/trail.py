"""CloudTrail in AWS's own layout: `AWSLogs/<account>/CloudTrail/<region>/yyyy/mm/dd/….json.gz`.

Sessions are modelled: every temporary key that is used was issued by an AssumeRole record in the same data.
"""

from __future__ import annotations

import gzip
import json
from bisect import bisect_left
from collections import deque
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from random import Random

from benchmarks.generate.actors import Actor, assumed, session, user
from benchmarks.generate.incident import Planted, incident
from benchmarks.generate.letters import (
    ALNUM,
    BASE64,
    REGION_WEIGHTS,
    REGIONS,
    stamp,
    steady,
    token,
    uuid,
)
from benchmarks.generate.templates import Choice, Template, choices, sample_records

_BEGIN = datetime(2026, 10, 1, tzinfo=UTC).timestamp()
_DAYS = 30
_USERS = 30
_ROLES = 40
_SERVICE_SHARE = 0.25
_RESOURCES = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """How much of what."""

    into: Path
    megabytes: float
    files: int
    seed: int = 7
    accounts: int = 6
    samples: tuple[Path, ...] = ()


@dataclass(slots=True)
class _File:
    time: float
    account: str
    region: str
    count: int
    born: list[tuple[Actor | None, Actor]]
    callers: list[Actor]
    planted: list[Planted] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Plan:
    """Everything that spans files, which follows from the seed alone."""

    choices: dict[bool, Choice]
    files: list[_File]
    truth: dict[str, object]


def generate(spec: Spec, *, jobs: int = 2) -> dict[str, object]:
    """Write the files and `truth.json`; returns what the latter holds."""
    plan = _planned(spec)
    with ProcessPoolExecutor(jobs, initializer=_prepare, initargs=(spec, plan)) as pool:
        sizes = list(pool.map(_written, range(spec.files), chunksize=8))
    truth = plan.truth | {
        "files": spec.files,
        "total_events": sum(count for count, _, _ in sizes),
        "bytes_json": sum(size for _, size, _ in sizes),
        "bytes_gz": sum(size for _, _, size in sizes),
    }
    (spec.into / "truth.json").write_text(json.dumps(truth, indent=1))
    return truth


_prepared: list[tuple[Spec, _Plan]] = []


def _prepare(spec: Spec, plan: _Plan) -> None:
    _prepared.append((spec, plan))


def _planned(spec: Spec) -> _Plan:
    templates, agents = choices(sample_records(spec.samples))
    rng = Random(f"{spec.seed}:plan")
    accounts = [str(rng.randrange(10**11, 10**12)) for _ in range(spec.accounts)]
    users = {
        account: [
            user(
                rng,
                account,
                f"user{number:03d}",
                address=f"198.18.{rng.randrange(256)}.{rng.randrange(1, 255)}",
                agent=rng.choice(agents),
            )
            for number in range(_USERS)
        ]
        for account in accounts
    }
    places = sorted(
        (
            _BEGIN + int(rng.random() * _DAYS * 288) * 300,
            rng.choices(accounts, weights=[1 / (rank + 1) for rank in range(len(accounts))])[0],
            rng.choices(REGIONS, REGION_WEIGHTS)[0],
        )
        for _ in range(spec.files)
    )
    weights = [rng.lognormvariate(0, 0.9) for _ in places]
    scale = spec.megabytes * 1e6 / _average(templates) / sum(weights)
    recent: dict[str, deque[Actor]] = {account: deque(maxlen=120) for account in accounts}
    files = [
        _file(rng, place, max(1, int(weight * scale)), users[place[1]], recent[place[1]], agents)
        for place, weight in zip(places, weights, strict=True)
    ]
    planted, truth = incident(spec.seed, accounts, users[accounts[0]][0], _BEGIN + _DAYS * 86400 * 0.6)
    for one in planted:
        mine = [file for file in files if file.account == one.account] or files
        at = min(bisect_left([file.time for file in mine], one.time), len(mine) - 1)
        mine[at].planted.append(one)
    return _Plan(templates, files, truth | {"seed": spec.seed, "accounts": accounts})


def _average(templates: dict[bool, Choice]) -> float:
    """About how many bytes a record has."""
    lengths = {
        service: sum(sum(t.length for t in kind) / len(kind) for kind in choice.kinds) / len(choice.kinds)
        for service, choice in templates.items()
    }
    people = lengths[False] + 420
    return _SERVICE_SHARE * lengths.get(True, people) + (1 - _SERVICE_SHARE) * people


def _file(
    rng: Random,
    place: tuple[float, str, str],
    count: int,
    users: list[Actor],
    recent: deque[Actor],
    agents: list[str],
) -> _File:
    time, account, region = place
    born: list[tuple[Actor | None, Actor]] = []
    for _ in range(1 + count // 90):
        chance = rng.random()
        parent = (
            rng.choice(recent) if chance < 0.25 and recent else rng.choice(users) if chance < 0.7 else None
        )
        role = f"app-{min(int(rng.expovariate(6 / _ROLES)), _ROLES - 1):02d}"
        child = session(
            rng,
            account,
            role,
            parent.name if parent else f"i-{rng.getrandbits(68):017x}",
            address=parent.address
            if parent
            else f"10.{rng.randrange(256)}.{rng.randrange(256)}.{rng.randrange(1, 255)}",
            agent=parent.agent if parent else rng.choice(agents),
            issued=time + rng.random() * 60,
        )
        born.append((parent, child))
    callers = [child for _, child in born]
    callers += rng.sample(list(recent), min(30, len(recent))) + rng.sample(users, 12)
    recent.extend(child for _, child in born)
    return _File(time, account, region, count, born, callers)


def _written(number: int) -> tuple[int, int, int]:
    """Write one file; records, bytes of JSON and bytes of gzip."""
    spec, plan = _prepared[-1]
    file = plan.files[number]
    rng = Random(f"{spec.seed}:{number}")
    events = [(child.issued, assumed(rng, parent, child, region=file.region)) for parent, child in file.born]
    events += [(one.time, one.text) for one in file.planted]
    for _ in range(max(0, file.count - len(file.born))):
        service = rng.random() < _SERVICE_SHARE and True in plan.choices
        # Few callers make most calls.
        who = file.callers[int(len(file.callers) * rng.random() ** 2.5)]
        time = max(file.time + rng.random() * 300, who.issued + 1)
        events.append((time, _filled(rng, plan.choices[service].draw(rng), time, who, file)))
    events.sort(key=lambda event: event[0])
    body = ('{"Records":[' + ",".join(text for _, text in events) + "]}").encode()
    packed = gzip.compress(body, 6, mtime=0)
    moment = datetime.fromtimestamp(file.time + 300, UTC)
    folder = spec.into / f"AWSLogs/{file.account}/CloudTrail/{file.region}/{moment:%Y/%m/%d}"
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{file.account}_CloudTrail_{file.region}_{moment:%Y%m%dT%H%M}Z_{token(rng, ALNUM, 16)}.json.gz"
    (folder / name).write_bytes(packed)
    return len(events), len(body), len(packed)


def _filled(rng: Random, template: Template, time: float, who: Actor, file: _File) -> str:
    """A record: the template's text with its holes filled."""
    values: dict[tuple[str, int], str] = {
        ("TIME", 0): stamp(time),
        ("WHO", 0): who.identity,
        ("IP", 0): who.address,
        ("AGENT", 0): json.dumps(who.agent)[1:-1],
        ("ACCOUNT", 0): file.account,
        ("REGION", 0): file.region,
    }
    made = [template.parts[0]]
    for hole, part in zip(template.holes, template.parts[1:], strict=True):
        if hole not in values:
            values[hole] = _drawn(rng, hole[0], file.account)
        made += (values[hole], part)
    return "".join(made)


def _drawn(rng: Random, kind: str, account: str) -> str:
    match kind:
        case "REQUEST":
            return token(rng, "ABCDEFGHJKMNPQRSTVWXYZ0123456789", 16)
        case "HOST":
            return token(rng, BASE64, 75) + "="
        case "RESOURCE":  # a bounded number an account: resources are used again
            return f"{steady(account + str(rng.randrange(_RESOURCES))):017x}"[:17]
    return uuid(rng)
