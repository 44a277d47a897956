from __future__ import annotations

import ipaddress
import json
import struct
from pathlib import Path
from typing import Any

import pytest

from irkit.errors import BadInput, NotFound
from irkit.hunt import Places, ask
from irkit.tables import Tables
from tests.hunt import world as w

_METADATA = dict.fromkeys(
    ("record_size", "ip_version", "binary_format_major_version", "binary_format_minor_version"), "uint16"
) | {"build_epoch": "uint64"}


def _encoded(value: Any, kind: str = "uint32") -> bytes:
    """A value in MaxMind's data section: a control byte with type and size, then the value."""
    if isinstance(value, str):
        data = value.encode()
        assert len(data) < 29 + 256
        head = bytes([2 << 5 | len(data)]) if len(data) < 29 else bytes([2 << 5 | 29, len(data) - 29])
        return head + data
    if isinstance(value, dict):
        return bytes([7 << 5 | len(value)]) + b"".join(
            _encoded(k) + _encoded(v, _METADATA.get(k, "uint32")) for k, v in value.items()
        )
    if isinstance(value, list):
        return bytes([len(value), 11 - 7]) + b"".join(_encoded(v) for v in value)
    data = struct.pack(">Q", value).lstrip(b"\0")
    if kind == "uint64":
        return bytes([len(data), 9 - 7]) + data
    return bytes([(5 if kind == "uint16" else 6) << 5 | len(data)]) + data


def write_mmdb(path: Path, known: dict[str, dict[str, Any]]) -> Path:
    """A database of IPv4 networks, written by hand from the specification: search tree, data, metadata."""
    nodes: list[list[Any]] = [[None, None]]
    data, offsets = b"", []
    for text, value in known.items():
        network = ipaddress.IPv4Network(text)
        at = 0
        for bit in range(network.prefixlen):
            side = int(network.network_address) >> (31 - bit) & 1
            if bit == network.prefixlen - 1:
                nodes[at][side] = ("data", len(offsets))
            else:
                if nodes[at][side] is None:
                    nodes.append([None, None])
                    nodes[at][side] = ("node", len(nodes) - 1)
                at = nodes[at][side][1]
        offsets.append(len(data))
        data += _encoded(value)

    def record(side: Any) -> bytes:
        kind, number = side or ("none", 0)
        below = offsets[number] if kind == "data" else 0
        value = {"none": len(nodes), "node": number, "data": len(nodes) + 16 + below}
        return struct.pack(">I", value[kind])[1:]

    tree = b"".join(record(left) + record(right) for left, right in nodes)
    about = {
        "node_count": len(nodes), "record_size": 24, "ip_version": 4, "database_type": "Test", "languages": ["en"],
        "binary_format_major_version": 2, "binary_format_minor_version": 0, "build_epoch": 1,
        "description": {"en": "x"},
    }  # fmt: skip
    path.write_bytes(tree + b"\0" * 16 + data + b"\xab\xcd\xefMaxMind.com" + _encoded(about))
    return path


@pytest.fixture
def city(tmp_path: Path) -> Path:
    known = {
        "203.0.113.0/24": {"country": {"iso_code": "NL"}, "city": {"names": {"en": "Amsterdam"}}},
        "198.18.0.0/15": {"country": {"iso_code": "US"}},
    }
    return write_mmdb(tmp_path / "city.mmdb", known)


@pytest.fixture
def asn(tmp_path: Path) -> Path:
    told = {"autonomous_system_number": 64500, "autonomous_system_organization": "Example <b>Hosting</b>"}
    return write_mmdb(tmp_path / "asn.mmdb", {"203.0.113.0/25": told})


@pytest.fixture
def ranges(tmp_path: Path) -> Path:
    path = tmp_path / "ip-ranges.json"
    told = {
        "prefixes": [
            {"ip_prefix": "192.0.2.0/24", "region": "us-east-1", "service": "EC2"},
            {"ip_prefix": "192.0.2.0/24", "region": "us-east-1", "service": "AMAZON"},
            {"ip_prefix": "192.0.2.64/26", "region": "eu-west-1", "service": "S3"},
        ],
        "ipv6_prefixes": [{"ipv6_prefix": "2001:db8::/32", "region": "eu-west-1", "service": "AMAZON"}],
    }
    path.write_text(json.dumps(told))
    return path


def test_an_address_is_found_in_each_file(city: Path, asn: Path, ranges: Path) -> None:
    with Places.open([city, asn], aws_ranges=ranges) as places:
        found = places.find("203.0.113.50")
        assert (found.country, found.city, found.network) == (
            "NL",
            "Amsterdam",
            "AS64500 Example <b>Hosting</b>",
        )
        assert places.find("203.0.113.200").network == ""
        assert places.find("192.0.2.1").aws == "EC2 us-east-1"
        assert places.find("192.0.2.70").aws == "S3 eu-west-1"
        assert places.find("2001:db8::5").aws == "AMAZON eu-west-1"
        assert places.find("ec2.amazonaws.com") == places.find("8.8.8.8") == type(found)()
        assert repr(places) == "Places(2 databases, 3 AWS ranges)"


def test_an_answer_gains_columns_after_each_of_addresses(tables: Tables, city: Path, ranges: Path) -> None:
    answer = ask(tables, "calls_of_access_key", access_key_id=w.SECOND_KEY)
    with Places.open([city], aws_ranges=ranges) as places:
        located = places.added_to(answer)
    assert located.values("source_ip_country") == ("NL",)
    names = [column.name for column in located.question.columns]
    assert names[names.index("source_ip") + 1] == "source_ip_country"
    assert "source_ip_aws" in names
    assert [column.name for column in answer.question.columns] == list(answer.frame.columns)


def test_without_a_file_nothing_is_added(tables: Tables) -> None:
    with Places.open() as places:
        assert "source_ip_country" not in places.added_to(ask(tables, "keys_summary")).frame


@pytest.mark.parametrize("content", [b"", b"x" * 1000, b"\xab\xcd\xefMaxMind.com", b"\0" * 5000])
def test_a_file_that_is_no_database_is_told(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.mmdb").write_bytes(content)
    with pytest.raises(BadInput, match="no MaxMind database"):
        Places.open([tmp_path / "a.mmdb"])


@pytest.mark.parametrize(
    "content",
    ["", "[]", '{"prefixes": 5}', '{"prefixes": [{"ip_prefix": "x"}], "ipv6_prefixes": []}', "[" * 9000],
)
def test_a_file_that_is_no_list_of_ranges_is_told(tmp_path: Path, content: str) -> None:
    (tmp_path / "r.json").write_text(content)
    with pytest.raises(BadInput, match="not AWS's list"):
        Places.open(aws_ranges=tmp_path / "r.json")


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        Places.open([tmp_path / "none.mmdb"])
    with pytest.raises(NotFound):
        Places.open(aws_ranges=tmp_path / "none.json")
