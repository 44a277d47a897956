from __future__ import annotations

import ipaddress
from collections import defaultdict
from typing import TYPE_CHECKING

from irkit.sim.scenarios.web_to_role_theft.flows import HEADER

if TYPE_CHECKING:
    from tests.sim.scenarios.conftest import Paper

SRC, DST, SPORT, DPORT, BYTES, START, ACTION = 3, 4, 5, 6, 9, 10, 12


def test_every_row_has_the_fourteen_fields_of_version_two(paper: Paper) -> None:
    rows = paper.flow_rows()
    assert len(HEADER.split()) == 14
    assert 250_000 <= len(rows) == paper.flows.records
    assert all(len(row) == 14 for row in rows)
    assert all(row[0] == "2" and row[13] == "OK" for row in rows)


def test_rows_end_after_they_start_and_before_now(paper: Paper) -> None:
    now = int(paper.story.times.at.timestamp())
    assert all(int(row[10]) < int(row[11]) <= now for row in paper.flow_rows())


def test_files_lie_in_the_layout_of_aws(paper: Paper) -> None:
    estate = paper.story.estate
    start = f"vpc/AWSLogs/{estate.account}/vpcflowlogs/{estate.region}/"
    names = [name for name, _ in paper.flows.files]
    assert len(set(names)) == len(names)
    assert all(
        name.startswith(start) and name.endswith(".log.gz") and estate.flow_log in name for name in names
    )


def asked_by_the_server(paper: Paper) -> dict[str, tuple[int, int, str]]:
    """Outside addresses that the suspect opened connections to: first start, bytes sent, destination port."""
    server = paper.story.estate.suspect.private_ip
    found: dict[str, list[tuple[int, int, str]]] = defaultdict(list)
    for row in paper.flow_rows():
        outside = not row[DST].startswith(("10.", "169.254."))
        if row[SRC] == server and outside and int(row[SPORT]) >= 32768 > int(row[DPORT]):
            found[row[DST]].append((int(row[START]), int(row[BYTES]), row[DPORT]))
    return {
        address: (min(r[0] for r in rows), sum(r[1] for r in rows), max(rows)[2])
        for address, rows in found.items()
    }


def test_only_the_pool_and_the_exfiltration_are_new_after_the_entry(paper: Paper) -> None:
    entry = paper.story.times.entry.timestamp()
    new = {address for address, (first, _, _) in asked_by_the_server(paper).items() if first >= entry}
    assert new == {paper.story.intruder.pool_ip, paper.value("exfil-address")}


def test_the_bytes_of_pool_and_exfiltration_add_up(paper: Paper) -> None:
    asked = asked_by_the_server(paper)
    assert asked[paper.story.intruder.pool_ip][1] == int(paper.value("bytes-pool"))
    assert asked[paper.value("exfil-address")][1] == int(paper.value("bytes-exfil"))
    assert paper.value("pool") == f"{paper.story.intruder.pool_ip}:{asked[paper.story.intruder.pool_ip][2]}"


def test_the_intruder_came_through_the_web_port(paper: Paper) -> None:
    came = [row for row in paper.flow_rows() if row[SRC] == paper.value("web-address")]
    assert {row[DPORT] for row in came} == {"80"}
    assert len(came) == paper.flows.entry_flows
    assert {row[ACTION] for row in came} == {"ACCEPT"}


def test_no_customer_has_an_address_of_the_intruder(paper: Paper) -> None:
    assert not [row for row in paper.flow_rows() if paper.value("api-address") in row]


def test_addresses_are_private_or_for_documentation(paper: Paper) -> None:
    outside = [
        ipaddress.ip_network(n)
        for n in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "198.18.0.0/15")
    ]
    inside = [ipaddress.ip_network(n) for n in ("10.0.0.0/8", "169.254.0.0/16")]
    for address in {row[i] for row in paper.flow_rows() for i in (SRC, DST)}:
        assert any(ipaddress.ip_address(address) in network for network in outside + inside)
