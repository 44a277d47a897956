from __future__ import annotations

import enum
import hashlib
import json
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import PurePosixPath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from irkit.canonical import digest, dumps, plain, timestamp

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(st.characters()), inner, max_size=5),
    max_leaves=20,
)


@given(json_values)
def test_the_same_value_gives_the_same_ascii_bytes_after_any_round_trip(value: Any) -> None:
    text = dumps(value)
    assert text.isascii()
    assert "\n" not in text
    assert dumps(json.loads(text)) == text


def test_the_order_of_keys_does_not_matter() -> None:
    assert dumps({"b": 1, "a": {"d": 2, "c": 3}}) == dumps({"a": {"c": 3, "d": 2}, "b": 1})


def test_a_surrogate_pair_is_the_character_that_it_means() -> None:
    assert dumps({"\ud83d\ude00": 1, "\uffff": 2}) == dumps({"\uffff": 2, "😀": 1})


class Colour(enum.StrEnum):
    RED = "red"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (datetime(2026, 11, 23, 16, 45, tzinfo=timezone(timedelta(hours=2))), "2026-11-23T14:45:00Z"),
        (date(2026, 11, 23), "2026-11-23"),
        (PurePosixPath("/a/b"), "/a/b"),
        ((1, [2]), [1, [2]]),
        ({3, 1, 2}, [1, 2, 3]),
        (b"abc", {"bytes": 3, "sha256": hashlib.sha256(b"abc").hexdigest()}),
        ({1: None}, {"1": None}),
        (Colour.RED, "red"),
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
        (1.5, 1.5),
        (True, True),
    ],
    ids=repr,
)
def test_everything_becomes_json(value: Any, shown: Any) -> None:
    assert plain(value) == shown
    json.dumps(plain(value), allow_nan=False)


def test_a_digest_tells_values_apart() -> None:
    assert digest(["1"]) != digest([1])
    assert len(digest(None)) == 64


@given(st.datetimes(timezones=st.just(UTC)))
def test_times_are_written_so_that_they_read_back(when: datetime) -> None:
    assert timestamp(when).endswith("Z")
    assert datetime.fromisoformat(timestamp(when)) == when
