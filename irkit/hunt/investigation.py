"""From one suspected instance, or one leaked key, to what happened: each question asked of what the last one found.

The walk knows nothing beforehand but the instance (its id, account and addresses) or the key. What it states, it states
of the intruder's keys, addresses and calls only, and names the questions that show it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from irkit.findings import Finding
from irkit.findings.wording import counted
from irkit.hunt.ask import ask
from irkit.hunt.flow_findings import HostHints, flow_findings
from irkit.hunt.host_findings import hints, host_findings
from irkit.hunt.intruder import Subject, follow, follow_key
from irkit.hunt.trail_findings import misuse, theft, trail_findings
from irkit.tables import HasTables, Tables

_LAST = datetime(9999, 1, 1, tzinfo=UTC)


def investigate_instance(
    where: Tables | HasTables | Path | str, subject: Subject, host_facts: Mapping[str, Any] | None = None
) -> list[Finding]:
    """What happened to and through the instance, oldest first.

    `host_facts` is the content of the evidence item `host-facts.json`; without it the host's own side (web shell,
    deleted programs, jobs, keys) is missing and network findings are less sure.
    """
    said = host_facts or {}
    hinted = hints(said) if said else HostHints()
    on_host = host_findings(said)
    with nullcontext(where) if isinstance(where, Tables) else Tables.open(where) as tables:
        intruder = follow(tables, subject)
        found = [
            *on_host,
            *_entries(tables, subject, on_host),
            *flow_findings(tables, subject, hinted),
            *theft(subject, intruder),
            *trail_findings(tables, intruder),
        ]
    return sorted(found, key=_when)


def investigate_key(
    where: Tables | HasTables | Path | str, access_key_id: str, *, addresses: Iterable[str] = ()
) -> list[Finding]:
    """What was done with a leaked key and with all that was got by it, oldest first; empty when it was not used.

    `addresses` are the intruder's, where its owner goes on using the key from others; without them every use counts.
    """
    with nullcontext(where) if isinstance(where, Tables) else Tables.open(where) as tables:
        intruder = follow_key(tables, access_key_id, tuple(dict.fromkeys(addresses)))
        found = [*misuse(access_key_id, intruder), *trail_findings(tables, intruder)]
    return sorted(found, key=_when)


def _when(finding: Finding) -> tuple[datetime, str]:
    return (finding.first_seen or _LAST, finding.id)


def _entries(tables: Tables, subject: Subject, on_host: list[Finding]) -> Iterator[Finding]:
    """What the flow records say of the addresses that used a web shell."""
    addresses = {a for f in on_host if "time_entry" in f.facts for a in f.facts.get("address", ())}
    if not addresses:
        return
    rows = [
        row
        for row in ask(tables, "inbound_to_instance", addresses=subject.addresses).rows()
        if row["external_ip"] in addresses and row["accepted"]
    ]
    for number, row in enumerate(rows, start=1):
        yield Finding(
            id="entry-traffic" if number == 1 else f"entry-traffic-{number}",
            title="The web shell's user came in over the network",
            statement=f"{row['external_ip']} talked to {row['own']}:{row['port']} between {row['first_seen']} and"
            f" {row['last_seen']} ({counted(row['flows'], 'flow record')}): {row['bytes_in']:,} bytes in,"
            f" {row['bytes_out']:,} out.",
            severity="high",
            confidence="high",
            first_seen=datetime.fromisoformat(row["first_seen"]),
            last_seen=datetime.fromisoformat(row["last_seen"]),
            attack=("T1190",),
            facts={"address": (row["external_ip"],)},
            basis=("inbound_to_instance", "host-facts.json"),
        )
