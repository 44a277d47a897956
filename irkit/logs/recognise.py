"""Which kind of log a file is, told from its beginning; names lie and differ between tools.

References:
    https://docs.aws.amazon.com/vpc/latest/userguide/flow-logs-records-examples.html
    https://docs.aws.amazon.com/AmazonS3/latest/userguide/LogFormat.html
    https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-access-logs.html
"""

from __future__ import annotations

import re
from enum import Enum

BOM = b"\xef\xbb\xbf"
PARQUET = b"PAR1"
_STAMP = rb"\d{4}-\d\d-\d\dT[\d:.]+Z"
_FLOW_RECORD = re.compile(rb"(?:" + _STAMP + rb" )?\d{1,2} (?:\d{12}|unknown) \S+ \S+ \S+ ")
_FLOW_HEADER = re.compile(rb"[a-z][a-z-]*(?: [a-z][a-z0-9-]*){2,}")
_FLOW_WORDS = frozenset(
    (b"srcaddr", b"dstaddr", b"interface-id", b"log-status", b"pkt-srcaddr", b"pkt-dstaddr")
)
_EXPORTED = re.compile(_STAMP + rb"\s+[{\"]")
_S3_ACCESS = re.compile(rb"\S+ \S+ \[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\] \S+ ")
_ELB = re.compile(
    rb"(?:https?|h2|grpcs|wss?) "
    + _STAMP
    + rb" \S+/\S+ |tls \d\.\d \d{4}-\d\d-\d\dT[\d:]+ \S+/\S+ "
    + rb"|"
    + _STAMP
    + rb" \S+ \S+:\d+ (?:\S+:\d+|-) -?[\d.]+ -?[\d.]+ -?[\d.]+ "
)
_CSV_NAMES = {b"eventid", b"eventname", b"eventtime", b"eventsource", b"eventjson", b"cloudtrailevent"}
_LINES_LOOKED_AT = 20
_SHORT = 400


class Shape(Enum):
    """How records lie in a file."""

    OBJECT = "one object with Records"
    ARRAY = "an array of records"
    LINES = "one JSON value a line"
    WRAPPED = "records as text inside JSON"
    EXPORTED = "lines behind the time of their delivery"
    CSV = "a table of CloudTrail events"
    FLOW = "VPC flow records"
    FLOW_PARQUET = "VPC flow records as Parquet"
    S3_ACCESS = "S3 server access lines"
    ELB = "load balancer access lines"
    DNS = "Route 53 Resolver queries"
    DIGEST = "a CloudTrail digest"
    UNKNOWN = "not a log that irkit reads"


def recognise(head: bytes) -> Shape:
    """The shape of a file that begins with `head`. A broken file keeps the shape that the rest of its head has."""
    if head.startswith(PARQUET):
        return Shape.FLOW_PARQUET
    text = head.removeprefix(BOM).lstrip()
    shape = _shape(text)
    if shape is Shape.UNKNOWN and b'"eventName"' in text and b'"eventSource"' in text:
        return Shape.ARRAY  # its beginning is damaged; there are records in it all the same
    return shape


def _shape(head: bytes) -> Shape:
    if head.startswith(b"["):
        return _array_shape(head)
    if head.startswith(b"{"):
        return _object_shape(head)
    lines = head.split(b"\n", _LINES_LOOKED_AT)
    first = lines[0].strip()
    if _FLOW_HEADER.fullmatch(first) and _FLOW_WORDS.intersection(first.split()):
        return Shape.FLOW
    if _is_csv(first):
        return Shape.CSV
    # One line may be damaged, or be a header that nobody knows.
    for line in lines[:_LINES_LOOKED_AT]:
        for pattern, shape in (
            (_FLOW_RECORD, Shape.FLOW),
            (_EXPORTED, Shape.EXPORTED),
            (_ELB, Shape.ELB),
            (_S3_ACCESS, Shape.S3_ACCESS),
        ):
            if pattern.match(line):
                return shape
    return Shape.UNKNOWN


def _array_shape(head: bytes) -> Shape:
    if head[1:].lstrip()[:1] not in (b"{", b"]", b""):
        return Shape.UNKNOWN
    if b'"CloudTrailEvent"' in head or b'"@message"' in head:
        return Shape.WRAPPED
    if _has_query(head):
        return Shape.DNS
    return Shape.ARRAY if b'"event' in head or len(head) < _SHORT else Shape.UNKNOWN


def _object_shape(head: bytes) -> Shape:
    key = re.match(rb'\{\s*"((?:[^"\\]|\\.)*)"', head)
    name = key[1] if key else b""
    if name == b"Records":
        return Shape.OBJECT
    if b'"digestS3Bucket"' in head or b'"digestEndTime"' in head:
        return Shape.DIGEST
    if (
        name in (b"Events", b"logEvents", b"NextToken", b"events")
        or b'"CloudTrailEvent"' in head
        or b'"logEvents"' in head
        or b'"@message"' in head
    ):
        return Shape.WRAPPED
    if b'"Records"' in head and b'"eventName"' not in head.partition(b'"Records"')[0]:
        return Shape.OBJECT
    if b'"eventName"' in head or b'"eventVersion"' in head:
        return Shape.LINES
    if _has_query(head):
        return Shape.DNS
    return Shape.WRAPPED if b'"message"' in head or b'"eventJson"' in head else Shape.UNKNOWN


def _has_query(head: bytes) -> bool:
    return b'"query_name"' in head and (b'"query_timestamp"' in head or b'"rcode"' in head)


def _is_csv(first: bytes) -> bool:
    names = {re.sub(rb"[^a-z]", b"", name.lower()) for name in first.split(b",")}
    return (len(names) > 1 and len(names & _CSV_NAMES) > 1) or bool(
        names & {b"eventjson", b"cloudtrailevent"}
    )
