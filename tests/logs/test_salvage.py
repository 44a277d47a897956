from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from irkit.logs.salvage import salvage
from tests.logs.builders import record


def _records(count: int) -> list[dict[str, Any]]:
    return [
        record("ec2:RunInstances", n, request={"tags": [{"n": {"k": n}}, {"n": 2}]}) for n in range(count)
    ]


def _ids(data: bytes) -> list[str]:
    return [json.loads(p.text)["eventID"] for p in salvage(data) if p.fault is None]


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("wrap", [True, False])
def test_sound_records_come_back_in_order(indent: int | None, wrap: bool) -> None:
    records = _records(5)
    text = json.dumps({"Records": records} if wrap else records, indent=indent)
    assert _ids(text.encode()) == [r["eventID"] for r in records]


def test_json_lines_come_back_too() -> None:
    records = _records(4)
    assert _ids("\n".join(map(json.dumps, records)).encode()) == [r["eventID"] for r in records]


def test_a_record_cut_in_half_is_the_only_one_lost() -> None:
    records = _records(4)
    text = json.dumps({"Records": records}).encode()
    pieces = list(salvage(text[: text.rindex(b"eventName")]))
    assert [p.fault is None for p in pieces] == [True, True, True, False]
    assert "JSON" in (pieces[-1].fault or "")


def test_a_damaged_record_in_the_middle_is_the_only_one_lost() -> None:
    records = _records(5)
    texts = [json.dumps(r) for r in records]
    texts[2] = texts[2].replace('"eventName"', "eventName", 1)
    data = ('{"Records":[' + ",".join(texts) + "]}").encode()
    assert _ids(data) == [r["eventID"] for n, r in enumerate(records) if n != 2]


def test_a_record_that_is_not_utf8_is_lost_alone() -> None:
    records = _records(3)
    data = json.dumps({"Records": records}).encode()
    at = data.index(records[1]["eventID"].encode())
    broken = data[:at] + b"\xff\xfe" + data[at:]
    faults = [p.fault for p in salvage(broken)]
    assert faults == [None, "not UTF-8", None]


def test_half_a_surrogate_pair_is_no_text() -> None:
    data = b'{"Records":[{"eventName":"\\ud800","eventTime":"x"},{"eventName":"ok","eventTime":"x"}]}'
    assert [p.fault for p in salvage(data)] == ["half a surrogate pair", None]


def test_deep_nesting_is_lost_without_taking_the_rest_along() -> None:
    deep = '{"eventTime":"x","eventName":' + '{"a":' * 10_000 + "1" + "}" * 10_000 + "}"
    good = json.dumps(record())
    pieces = list(salvage(f'{{"Records":[{deep},{good}]}}'.encode()))
    assert pieces[-1].fault is None
    assert "deep" in (pieces[0].fault or "")


def test_values_that_are_no_objects_are_no_records() -> None:
    faults = [p.fault for p in salvage(b'[1, "two", null, [3]]')]
    assert faults == ["not an object"] * 4


def test_documents_behind_one_another_are_all_read() -> None:
    records = _records(4)
    data = json.dumps({"Records": records[:2]}) + json.dumps({"Records": records[2:]})
    assert _ids(data.encode()) == [r["eventID"] for r in records]


@given(st.binary(max_size=600))
def test_any_bytes_end_in_pieces_never_in_an_error(data: bytes) -> None:
    list(salvage(data))


@given(st.integers(0, 2**32))
def test_a_flipped_byte_costs_at_most_two_records(seed: int) -> None:
    rng = random.Random(seed)
    records = _records(6)
    data = bytearray(json.dumps({"Records": records}).encode())
    data[rng.randrange(12, len(data))] = rng.randrange(256)
    read = [p.text for p in salvage(bytes(data)) if p.fault is None]
    assert sum(any(r["eventID"] in text for text in read) for r in records) >= 4
