"""What the flow logs tell of an intruder on a machine: a pool or a controller that it talks to, data that left.

A destination counts as *new* when no machine in the logs had talked to it in the hours before, and no other machine of
the account talks to it at all: agents, mirrors and time servers are old, or shared by the fleet.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from irkit.findings import Finding
from irkit.findings.wording import counted
from irkit.hunt.ask import ask
from irkit.hunt.intruder import Subject
from irkit.tables import Tables

_QUIET = timedelta(hours=1)
_BULK = 10_000_000
_LOPSIDED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class HostHints:
    """What the host itself said about its network, to compare with: addresses it names, conversations it holds open."""

    addresses: frozenset[str] = frozenset()
    conversations: frozenset[tuple[str, int]] = frozenset()


def flow_findings(tables: Tables, subject: Subject, hints: HostHints) -> Iterator[Finding]:
    """Findings from the flow records of the subject's own addresses."""
    began = tables.extent.flow_first
    if began is None or not subject.addresses:
        return
    outbound = ask(tables, "outbound_by_destination", addresses=subject.addresses).rows()
    fresh = {
        address
        for address in {row["external_ip"] for row in outbound}
        if _is_new(tables, address, began + _QUIET) or address in hints.addresses
    }
    pools = [
        row
        for row in ask(tables, "beacons", addresses=subject.addresses).rows()
        if row["external_ip"] in fresh
    ]
    for number, row in enumerate(pools, start=1):
        yield _pool(row, outbound, hints, number)
    beating = {row["external_ip"] for row in pools}
    bulk = [address for address in sorted(fresh - beating) if _left(outbound, address)]
    for number, address in enumerate(bulk, start=1):
        yield _exfiltration(address, outbound, hints, number)


def _is_new(tables: Tables, address: str, after: datetime) -> bool:
    """Whether only one machine talks to `address`, and began to after `after`."""
    rows = tables.rows(
        """select min(start_ts), count(distinct case when direction = 'out' then srcaddr else dstaddr end)
        from flow where external_ip = $address and action = 'ACCEPT'""",
        {"address": address},
    )
    first: datetime | None = rows[0][0]
    alone: bool = rows[0][1] == 1
    return first is not None and first.replace(tzinfo=UTC) > after and alone


def _left(outbound: list[dict[str, Any]], address: str) -> bool:
    """Whether much more went to `address` than came back."""
    sent: int = sum(row["bytes_out"] for row in outbound if row["external_ip"] == address)
    received: int = sum(row["bytes_in"] for row in outbound if row["external_ip"] == address)
    return sent >= _BULK and sent >= _LOPSIDED * received


def _pool(row: dict[str, Any], outbound: list[dict[str, Any]], hints: HostHints, number: int) -> Finding:
    address, port = row["external_ip"], row["port"]
    seen = [r for r in outbound if r["external_ip"] == address]
    sent = sum(r["bytes_out"] for r in seen)
    told = (address, port) in hints.conversations or address in hints.addresses
    return Finding(
        id="pool" if number == 1 else f"pool-{number}",
        title="A conversation that beats like a clock",
        statement=f"{row['own']} sent {counted(row['flows'], 'flow record')} to {address}:{port}, one about every"
        f" {row['period_seconds']:.0f} s since {row['first_seen']}, {sent:,} bytes to that address in all; no other"
        " machine talks to it" + (", and the host has it in hand too." if told else "."),
        severity="high",
        confidence="high" if told else "medium",
        first_seen=_moment(min(r["first_seen"] for r in seen)),
        last_seen=_moment(max(r["last_seen"] for r in seen)),
        attack=("T1496", "T1071"),
        facts={"pool": (f"{address}:{port}",), "address": (address,), "bytes_out": (str(sent),)},
        basis=("beacons", "outbound_by_destination"),
    )


def _exfiltration(address: str, outbound: list[dict[str, Any]], hints: HostHints, number: int) -> Finding:
    seen = [r for r in outbound if r["external_ip"] == address]
    sent, received = sum(r["bytes_out"] for r in seen), sum(r["bytes_in"] for r in seen)
    first, last = min(r["first_seen"] for r in seen), max(r["last_seen"] for r in seen)
    told = address in hints.addresses
    return Finding(
        id="exfiltration" if number == 1 else f"exfiltration-{number}",
        title="Data left for an address that is new",
        statement=f"{sent:,} bytes went to {address} between {first} and {last}, {received:,} came back; no machine"
        " had talked to it before" + (", and commands on the host name it." if told else "."),
        severity="critical",
        confidence="high" if told else "medium",
        first_seen=_moment(first),
        last_seen=_moment(last),
        attack=("T1048", "T1041"),
        facts={"address": (address,), "bytes_out": (str(sent),)},
        basis=("outbound_by_destination",),
    )


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)
