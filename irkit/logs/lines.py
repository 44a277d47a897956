"""Logs of one line a record: S3 server access and load balancer access logs, and Route 53 Resolver queries.

They are smaller than CloudTrail and flow logs by far, so they are read line by line. The line stays in `raw`; a field
that a newer log has and no column knows is there.

References:
    https://docs.aws.amazon.com/AmazonS3/latest/userguide/LogFormat.html
    https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-access-logs.html
    https://docs.aws.amazon.com/elasticloadbalancing/latest/network/load-balancer-access-logs.html
    https://docs.aws.amazon.com/elasticloadbalancing/latest/classic/access-log-collection.html
    https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/resolver-query-logs-format.html
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from irkit.logs import elb, s3_access
from irkit.logs.fields import moment, port, text
from irkit.logs.lost import LostRecord
from irkit.logs.recognise import BOM, Shape
from irkit.tables import SCHEMAS, TableName

if TYPE_CHECKING:
    import pyarrow as pa

FRAGMENT = 8 * 1024**2
_LONGEST = 1024**2
_ARROW = {
    "VARCHAR": "string",
    "TIMESTAMP": "timestamp[us]",
    "BOOLEAN": "bool",
    "INTEGER": "int32",
    "BIGINT": "int64",
    "DOUBLE": "double",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Lines:
    """Rows of a table, and the lines that are none."""

    rows: pa.Table
    lost: list[LostRecord]


def read_lines(name: str, shape: Shape, pieces: Iterator[bytes | bytearray]) -> Iterator[Lines]:
    """The records of the file `name`, some thousand at a time. Raises `ValueError` where no line ends."""
    table, parse = _READERS[shape]
    number = 1
    for block in _blocks(pieces):
        found: dict[str, list[Any]] = {column.name: [] for column in SCHEMAS[table]}
        lost: list[LostRecord] = []
        for line in block.split(b"\n"):
            if line.strip():
                values = _parsed(parse, line)
                if isinstance(values, str):
                    shown = line.decode("utf-8", "replace")
                    lost.append(LostRecord(file=name, number=number, fault=values, text=shown))
                else:
                    values |= {"raw": line.decode().strip(), "src_file": name, "rec_no": number}
                    for column, into in found.items():
                        into.append(values.get(column))
            number += 1
        yield Lines(rows=_table(table, found), lost=lost)


def _parsed(parse: Callable[[str], dict[str, Any] | str], line: bytes) -> dict[str, Any] | str:
    """The values of a line, or what is wrong with it."""
    try:
        decoded = line.decode().strip()
    except UnicodeDecodeError:
        return "not UTF-8"
    if "\0" in decoded:
        return "zero bytes in the line"
    return parse(decoded) if len(line) <= _LONGEST else f"longer than {_LONGEST:,} bytes"


def _blocks(pieces: Iterator[bytes | bytearray]) -> Iterator[bytes]:
    rest = b""
    for piece in pieces:
        rest = rest + bytes(piece) if rest else bytes(piece).removeprefix(BOM)
        cut = rest.rfind(b"\n") + 1
        while len(rest) >= FRAGMENT and cut:
            end = rest.rfind(b"\n", 0, FRAGMENT) + 1 or cut
            yield rest[: end - 1]
            rest = rest[end:]
            cut = rest.rfind(b"\n") + 1
        if len(rest) > 4 * FRAGMENT:
            raise ValueError(f"no line ends within {4 * FRAGMENT:,} bytes")
    if rest.strip():
        yield rest.removesuffix(b"\n")


def _table(table: TableName, found: dict[str, list[Any]]) -> pa.Table:
    import pyarrow as pa

    types = {column.name: pa.type_for_alias(_ARROW[column.type]) for column in SCHEMAS[table]}
    return pa.table({name: pa.array(values, types[name]) for name, values in found.items()})


def _query(line: str) -> dict[str, Any] | str:
    """A Resolver query; `answers` stays JSON."""
    try:
        record = json.loads(line.strip("[], "))
    except (ValueError, RecursionError):
        return "not JSON"
    if not isinstance(record, dict):
        return "not an object"
    when = moment(record.get("query_timestamp"), "%Y-%m-%dT%H:%M:%SZ")
    if when is None:
        return "query_timestamp is no time"
    if not isinstance(record.get("query_name"), str):
        return "no query_name"
    answers = record.get("answers")
    first = answers[0] if isinstance(answers, list) and answers and isinstance(answers[0], dict) else {}
    sources = record.get("srcids") if isinstance(record.get("srcids"), dict) else {}
    return {
        "event_time": when,
        "account_id": text(record.get("account_id")),
        "aws_region": text(record.get("region")),
        "vpc_id": text(record.get("vpc_id")),
        "instance_id": text((sources or {}).get("instance")),
        "source_ip": text(record.get("srcaddr")),
        "source_port": port(record.get("srcport")),
        "query_name": text(record.get("query_name")),
        "query_type": text(record.get("query_type")),
        "query_class": text(record.get("query_class")),
        "rcode": text(record.get("rcode")),
        "answers": None if answers is None else text(json.dumps(answers)),
        "first_answer": text(first.get("Rdata")),
        "transport": text(record.get("transport")),
        "resolver_endpoint_id": text((sources or {}).get("resolver_endpoint")),
        "firewall_rule_action": text(record.get("firewall_rule_action")),
        "firewall_rule_group_id": text(record.get("firewall_rule_group_id")),
        "firewall_domain_list_id": text(record.get("firewall_domain_list_id")),
    }


_READERS: dict[Shape, tuple[TableName, Callable[[str], dict[str, Any] | str]]] = {
    Shape.S3_ACCESS: ("s3_access", s3_access.parse),
    Shape.ELB: ("elb", elb.parse),
    Shape.DNS: ("dns", _query),
}
