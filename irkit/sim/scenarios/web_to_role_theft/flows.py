"""VPC flow logs, version 2, of the web servers' and the load balancer's interfaces: about 300,000 records.

Numbers are drawn with numpy, columns at a time, and become text once; the totals that an investigation must find are
summed from the very rows that are written.

References: Amazon VPC user guide, "Flow log records" (default format) and "Flow log files" (Amazon S3 layout).
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from irkit.sim.scenarios.web_to_role_theft.story import OFFICE, WEB_PORT, Host, Story

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Column = NDArray[np.int64]

HEADER = (
    "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end "
    "action log-status"
)
FLOW_PREFIX = "vpc"
FILE_SECONDS = 1200
_AWS = tuple(f"198.18.0.{n}" for n in range(10, 30))
_MIRRORS = ("198.18.1.5", "198.18.1.6")
_PAYMENTS = ("198.18.2.20",)
_RESOLVER, _CLOCK, _DATABASE = "10.20.0.2", "169.254.169.123", "10.20.3.30"


@dataclass(frozen=True, slots=True, kw_only=True)
class Flows:
    """The flow log files, and the sums over the rows in them."""

    files: tuple[tuple[str, bytes], ...]
    records: int
    pool_bytes: int
    exfil_bytes: int
    entry_flows: int
    """Accepted flows from the intruder's web address to the web port."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Batch:
    start: Column
    lines: list[str]


class _Book:
    """Collects rows as columns; each call adds one kind of traffic."""

    def __init__(self, story: Story) -> None:
        import numpy as np

        self.story = story
        self.rng = np.random.default_rng(story.rng("flows").getrandbits(63))
        self.begin = int(story.times.begin.timestamp())
        self.until = int(story.times.at.timestamp()) - 600
        self.batches: list[_Batch] = []

    def times(self, count: int, since: int | None = None) -> Column:
        """Start seconds, denser by day than by night."""
        start = self.begin if since is None else since
        picked: Column = self.rng.integers(start, self.until, size=count * 2)
        hour = (picked // 3600) % 24
        kept: Column = picked[self.rng.random(picked.size) < self.likelihood(hour)]
        return kept[:count]

    def likelihood(self, hour: Any) -> Any:
        """The chance to keep a flow at this hour of the day."""
        import numpy as np

        return 0.45 + 0.4 * np.sin((hour - 8) / 24 * 2 * np.pi)

    def add(
        self,
        eni: str,
        starts: Column,
        sources: Sequence[str],
        targets: Sequence[str],
        sports: Any,
        dports: Any,
        packets: Any,
        size: Any,
        *,
        protocol: int = 6,
        action: str = "ACCEPT",
    ) -> int:
        """Add one flow per start second; returns the bytes of all of them."""
        count = int(starts.size)

        def column(value: Any) -> list[int]:
            return [value] * count if isinstance(value, int) else value.tolist()

        def names(value: Sequence[str]) -> list[str]:
            if len(value) == 1:
                return [value[0]] * count
            return [value[i] for i in self.rng.integers(0, len(value), size=count).tolist()]

        octets = column(size)
        ends = (starts + self.rng.integers(1, 58, size=count)).tolist()
        head, tail = f"2 {self.story.estate.account} {eni}", f"{action} OK"
        self.batches.append(
            _Batch(
                start=starts,
                lines=[
                    f"{head} {a} {b} {c} {d} {protocol} {e} {f} {g} {h} {tail}"
                    for a, b, c, d, e, f, g, h in zip(
                        names(sources),
                        names(targets),
                        column(sports),
                        column(dports),
                        column(packets),
                        octets,
                        starts.tolist(),
                        ends,
                        strict=True,
                    )
                ],
            )
        )
        return sum(octets)

    def ports(self, count: int) -> Column:
        """Ephemeral ports."""
        drawn: Column = self.rng.integers(32768, 61000, size=count)
        return drawn

    def sizes(self, count: int, low: int, high: int) -> tuple[Column, Column]:
        """Packets and bytes of flows."""
        size: Column = self.rng.integers(low, high, size=count)
        return size // 700 + 3, size


def flows(story: Story) -> Flows:
    """All flow records of the three days, as files, and what they add up to."""
    book = _Book(story)
    for host in (story.estate.suspect, story.estate.sibling):
        _serving(book, host)
        _housekeeping(book, host)
        _noise(book, host)
    _balancer(book)
    entry = _break_in(book)
    pool = _mining(book)
    exfil = _exfiltration(book)
    records, files = _files(book)
    return Flows(files=files, records=records, pool_bytes=pool, exfil_bytes=exfil, entry_flows=entry)


def _clients(story: Story) -> list[str]:
    """Customers: addresses that never meet the intruder's."""
    rng, taken = story.rng("clients"), {story.intruder.web_ip, story.intruder.api_ip, story.intruder.later_ip}
    pool = [f"{net}.{n}" for net in ("192.0.2", "198.51.100", "203.0.113") for n in range(20, 252)]
    return [ip for ip in rng.sample(pool, 420) if ip not in taken]


def _two_ways(
    book: _Book,
    eni: str,
    starts: Column,
    near: Sequence[str],
    far: Sequence[str],
    port: int,
    asked: tuple[int, int],
    answered: tuple[int, int],
    *,
    outgoing: bool,
) -> None:
    """A request and its answer: `outgoing` when the near side asks."""
    ephemeral = book.ports(starts.size)
    near_port, far_port = (ephemeral, port) if outgoing else (port, ephemeral)
    there, back = book.sizes(starts.size, *asked), book.sizes(starts.size, *answered)
    out, into = (there, back) if outgoing else (back, there)
    # one far address for both rows of a flow: the same draw has to serve twice
    state = book.rng.bit_generator.state
    book.add(eni, starts, near, far, near_port, far_port, *out)
    after = book.rng.bit_generator.state
    book.rng.bit_generator.state = state
    book.add(eni, starts, far, near, far_port, near_port, *into)
    book.rng.bit_generator.state = after


def _serving(book: _Book, host: Host) -> None:
    """Requests from the load balancer, and a few that come straight to the server's public address."""
    estate = book.story.estate
    for balancer in estate.balancer_ips:
        _two_ways(
            book,
            host.eni,
            book.times(11_500),
            (host.private_ip,),
            (balancer,),
            WEB_PORT,
            (400, 4_000),
            (900, 90_000),
            outgoing=False,
        )
    _two_ways(
        book,
        host.eni,
        book.times(1_500),
        (host.private_ip,),
        _clients(book.story)[:60],
        WEB_PORT,
        (300, 2_500),
        (500, 40_000),
        outgoing=False,
    )
    _two_ways(
        book,
        host.second_eni,
        book.times(900),
        (host.second_ip,),
        OFFICE,
        22,
        (2_000, 30_000),
        (3_000, 60_000),
        outgoing=False,
    )


def _housekeeping(book: _Book, host: Host) -> None:
    """What the servers ask for themselves, all three days long: database, AWS, updates, payments, names, time."""
    near = (host.private_ip,)
    _two_ways(
        book,
        host.eni,
        book.times(9_000),
        near,
        (_DATABASE,),
        5432,
        (600, 9_000),
        (700, 60_000),
        outgoing=True,
    )
    _two_ways(book, host.eni, book.times(8_000), near, _AWS, 443, (900, 12_000), (900, 30_000), outgoing=True)
    _two_ways(
        book, host.eni, book.times(1_800), near, _PAYMENTS, 443, (900, 6_000), (900, 9_000), outgoing=True
    )
    _two_ways(
        book, host.eni, book.times(90), near, _MIRRORS, 443, (900, 6_000), (90_000, 9_000_000), outgoing=True
    )
    for target, port, count in ((_RESOLVER, 53, 7_000), (_CLOCK, 123, 1_200)):
        starts = book.times(count)
        book.add(
            host.eni,
            starts,
            near,
            (target,),
            book.ports(starts.size),
            port,
            1,
            book.rng.integers(60, 120, size=starts.size),
            protocol=17,
        )


def _noise(book: _Book, host: Host) -> None:
    """The internet knocking: scans that the security group rejects, from many addresses, at many ports."""
    rng = book.story.rng(f"noise-{host.private_ip}")
    scanners = [f"198.18.{rng.randrange(60, 99)}.{rng.randrange(1, 254)}" for _ in range(900)]
    starts = book.times(12_000)
    book.add(
        host.eni,
        starts,
        scanners,
        (host.private_ip,),
        book.ports(starts.size),
        book.rng.integers(1, 32767, size=starts.size),
        1,
        book.rng.integers(40, 60, size=starts.size),
        action="REJECT",
    )


def _balancer(book: _Book) -> None:
    """Customers at the load balancer's own interfaces."""
    estate, clients = book.story.estate, _clients(book.story)
    for eni, address in zip(estate.balancer_enis, estate.balancer_ips, strict=True):
        _two_ways(
            book,
            eni,
            book.times(24_000),
            (address,),
            clients,
            443,
            (500, 5_000),
            (900, 120_000),
            outgoing=False,
        )


def _stamps(moments: Sequence[datetime]) -> Column:
    import numpy as np

    return np.array([int(moment.timestamp()) for moment in moments], dtype=np.int64)


def _break_in(book: _Book) -> int:
    """The intruder at the web port: probing, the upload, then the shell, up to the end of the exfiltration."""
    from irkit.sim.scenarios.web_to_role_theft.weblog import visits

    story = book.story
    starts = _stamps([visit.when for visit in visits(story)])
    _two_ways(
        book,
        story.estate.suspect.eni,
        starts,
        (story.estate.suspect.private_ip,),
        (story.intruder.web_ip,),
        WEB_PORT,
        (300, 3_000),
        (300, 6_000),
        outgoing=False,
    )
    return int(starts.size)


def _mining(book: _Book) -> int:
    """The pool: a flow each way every minute from the miner's start until now."""
    import numpy as np

    story = book.story
    begin = int(story.times.miner.timestamp()) + 5
    starts = np.arange(begin, book.until, 60, dtype=np.int64)
    starts = starts + book.rng.integers(0, 4, size=starts.size)
    near, far = (story.estate.suspect.private_ip,), (story.intruder.pool_ip,)
    eni, port = story.estate.suspect.eni, story.intruder.pool_port
    # one connection: one local port for hours, which is what sets it apart from requests
    local = 48_312
    sent = book.add(eni, starts, near, far, local, port, *book.sizes(starts.size, 1_800, 4_200))
    book.add(eni, starts, far, near, port, local, *book.sizes(starts.size, 900, 2_600))
    fetched = starts[:1] - 4
    sent_for_file = book.add(eni, fetched, near, far, 51_044, 80, 9, 640)
    book.add(eni, fetched, far, near, 80, 51_044, 3_100, 4_404_019)
    return sent + sent_for_file


def _exfiltration(book: _Book) -> int:
    """One upload of the archive over 443: a few large aggregation intervals."""
    import numpy as np

    story = book.story
    starts = int(story.times.exfil.timestamp()) + np.arange(14, dtype=np.int64) * 60
    near, far = (story.estate.suspect.private_ip,), (story.intruder.exfil_ip,)
    size = book.rng.integers(24_000_000, 58_000_000, size=starts.size)
    sent = book.add(story.estate.suspect.eni, starts, near, far, 55_710, 443, size // 1_400, size)
    back = size // 60
    book.add(story.estate.suspect.eni, starts, far, near, 443, 55_710, back // 60, back)
    return sent


def _files(book: _Book) -> tuple[int, tuple[tuple[str, bytes], ...]]:
    import numpy as np

    starts = np.concatenate([batch.start for batch in book.batches])
    lines = [line for batch in book.batches for line in batch.lines]
    order = np.argsort(starts, kind="stable")
    slots = (starts[order] // FILE_SECONDS).tolist()
    files = []
    for first, last, slot in _runs(slots):
        text = "\n".join([HEADER, *(lines[i] for i in order[first:last].tolist()), ""])
        files.append((_name(book.story, slot), gzip.compress(text.encode(), compresslevel=4, mtime=0)))
    return len(lines), tuple(files)


def _runs(slots: list[int]) -> Iterator[tuple[int, int, int]]:
    first = 0
    for index in range(1, len(slots) + 1):
        if index == len(slots) or slots[index] != slots[first]:
            yield first, index, slots[first]
            first = index


def _name(story: Story, slot: int) -> str:
    end = datetime.fromtimestamp((slot + 1) * FILE_SECONDS, UTC)
    account, region = story.estate.account, story.estate.region
    mark = f"{story.rng(f'flow-{slot}').getrandbits(32):08x}"
    return (
        f"{FLOW_PREFIX}/AWSLogs/{account}/vpcflowlogs/{region}/{end:%Y/%m/%d}/"
        f"{account}_vpcflowlogs_{region}_{story.estate.flow_log}_{end:%Y%m%dT%H%MZ}_{mark}.log.gz"
    )
