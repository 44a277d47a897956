from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from irkit.logs.peel import unwrapped
from irkit.logs.recognise import Shape, recognise
from tests.logs.builders import FLOW_HEADER, flow, record

_LINE = json.dumps(record())


@pytest.mark.parametrize(
    ("content", "shape"),
    [
        ('{"Records": [' + _LINE + "]}", Shape.OBJECT),
        ('\ufeff{"Records":[]}', Shape.OBJECT),
        ('{"about": "an export", "Records": [' + _LINE + "]}", Shape.OBJECT),
        ("[" + _LINE + "]", Shape.ARRAY),
        ("[]", Shape.ARRAY),
        (_LINE, Shape.LINES),
        (_LINE + "\n" + _LINE + "\n", Shape.LINES),
        (json.dumps({"Events": [{"CloudTrailEvent": _LINE}]}), Shape.WRAPPED),
        (json.dumps({"logEvents": [{"message": _LINE}]}), Shape.WRAPPED),
        (json.dumps({"awsAccountId": "1", "digestS3Bucket": "b", "logFiles": []}), Shape.DIGEST),
        (FLOW_HEADER + "\n" + flow("10.0.0.1", "10.0.0.2", 1, 2, 3), Shape.FLOW),
        ("pkt-srcaddr pkt-dstaddr bytes\n10.0.0.1 10.0.0.2 7\n", Shape.FLOW),
        (flow("10.0.0.1", "10.0.0.2", 1, 2, 3), Shape.FLOW),
        ("2026-11-20T10:00:00.000Z " + flow("10.0.0.1", "10.0.0.2", 1, 2, 3), Shape.FLOW),
        ("MIT License\n\nCopyright", Shape.UNKNOWN),
        ('{"name": "package.json"}', Shape.UNKNOWN),
        ("[1, 2]", Shape.UNKNOWN),
        ("", Shape.UNKNOWN),
    ],
)
def test_the_kind_of_a_log_is_told_from_its_content(content: str, shape: Shape) -> None:
    assert recognise(content.encode()) is shape


def test_records_inside_other_json_are_found() -> None:
    export = json.dumps({"Events": [{"EventId": "1", "CloudTrailEvent": _LINE}], "NextToken": None})
    assert unwrapped(export.encode()) == [_LINE]
    stream = "\n".join(json.dumps({"timestamp": 1, "message": _LINE}) for _ in range(3))
    assert unwrapped(stream.encode()) == [_LINE] * 3


@given(st.binary(max_size=400))
def test_any_bytes_are_recognised_as_something(data: bytes) -> None:
    assert recognise(data) in Shape
