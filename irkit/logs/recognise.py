"""Which kind of log a file is, told from its content; names lie and differ between tools."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from enum import Enum

_BOM = b"\xef\xbb\xbf"
_HEAD = 4096
_FLOW_RECORD = re.compile(rb"(?:\d{4}-\d\d-\d\dT[\d:.]+Z )?\d{1,2} (?:\d{12}|unknown) \S+ \S+ \S+ ")
_FLOW_HEADER = re.compile(rb"[a-z][a-z-]*(?: [a-z][a-z0-9-]*){2,}")
_FLOW_WORDS = frozenset(
    (b"srcaddr", b"dstaddr", b"interface-id", b"log-status", b"pkt-srcaddr", b"pkt-dstaddr")
)


class Shape(Enum):
    """How records lie in a file."""

    OBJECT = "one object with Records"
    ARRAY = "an array of records"
    LINES = "one JSON value a line"
    WRAPPED = "records as JSON text inside other JSON"
    FLOW = "VPC flow records"
    DIGEST = "a CloudTrail digest"
    UNKNOWN = "not a log that irkit reads"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recognised:
    """The shape of a file and its bytes without a byte order mark."""

    shape: Shape
    data: bytes


def recognise(data: bytes) -> Recognised:
    """The shape of `data`. Broken files keep the shape that their beginning has."""
    data = data.removeprefix(_BOM)
    head = data[:_HEAD].lstrip()
    return Recognised(shape=_shape(head, data), data=data)


def _shape(head: bytes, data: bytes) -> Shape:
    if head.startswith(b"["):
        return Shape.ARRAY if head[1:].lstrip()[:1] in (b"{", b"]", b"") else Shape.UNKNOWN
    if head.startswith(b"{"):
        return _object_shape(head, data)
    first, _, _ = head.partition(b"\n")
    words = first.split()
    if _FLOW_HEADER.fullmatch(first.strip()) and _FLOW_WORDS.intersection(words):
        return Shape.FLOW
    return Shape.FLOW if _FLOW_RECORD.match(first) else Shape.UNKNOWN


def _object_shape(head: bytes, data: bytes) -> Shape:
    key = re.match(rb'\{\s*"((?:[^"\\]|\\.)*)"', head)
    name = key[1] if key else b""
    if name == b"Records":
        return Shape.OBJECT
    if b'"digestS3Bucket"' in head or b'"digestEndTime"' in head:
        return Shape.DIGEST
    if (
        name in (b"Events", b"logEvents", b"NextToken")
        or b'"CloudTrailEvent"' in head
        or b'"logEvents"' in head
    ):
        return Shape.WRAPPED
    if b'"Records"' in head and b'"eventName"' not in head.partition(b'"Records"')[0]:
        return Shape.OBJECT
    if b'"eventName"' in data and (b'"eventTime"' in data or b'"eventSource"' in data):
        return Shape.LINES
    return Shape.WRAPPED if b'"message"' in head or b'"eventJson"' in head else Shape.UNKNOWN


def unwrapped(data: bytes) -> list[str]:
    """The records that lie as JSON text inside `data`: a LookupEvents answer, a CloudWatch Logs export or its lines.

    Raises `ValueError` where `data` is not JSON.
    """
    text = data.decode("utf-8", "surrogateescape")
    try:
        documents = [json.loads(text)]
    except ValueError:
        documents = [json.loads(line) for line in text.splitlines() if line.strip()]
    return [record for document in documents for record in _inside(document)]


def _inside(document: object) -> list[str]:
    if isinstance(document, list):
        return [record for item in document for record in _inside(item)]
    if not isinstance(document, dict):
        return []
    for key in ("CloudTrailEvent", "message", "eventJson"):
        value = document.get(key)
        if isinstance(value, str):
            return [value]
        if isinstance(value, dict):
            return [json.dumps(value)]
    for key in ("Events", "logEvents", "events"):
        if isinstance(document.get(key), list):
            return _inside(document[key])
    return [json.dumps(document)] if "eventName" in document else []
