from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from irkit.errors import InvalidPlaybook
from irkit.playbooks.yaml12 import load


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"), ("yes", "yes"), ("on", "on"), ("NO", "NO"), ("y", "y"),
        ("012345670123", "012345670123"), ("0o17", "0o17"), ("0x1f", "0x1f"), ("12:30:45", "12:30:45"),
        ("2026-11-23", "2026-11-23"), ("1_000", "1_000"), ("+1", "+1"), ("1e3", "1e3"), (".5", ".5"), ("=", "="),
        ("true", True), ("False", False), ("tRue", "tRue"), ("null", None), ("~", None), ("", None),
        ("0", 0), ("-7", -7), ("123456789012", 123456789012), ("1.50", 1.5), ("'5'", "5"),
    ],
)  # fmt: skip
def test_plain_words_mean_what_a_reader_takes_them_for(text: str, value: Any) -> None:
    found = load(f"x: {text}", name="p")["x"]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: 1\nb: 2\na: 3", "p line 3, column 1: key 'a' is given twice"),
        ("a: {b: 1, b: 2}", "key 'b' is given twice"),
        ("a: [", "p line"),
        ("a: b: c", "p line 1"),
        ("\ta: 1", "p line 1"),
        ("a\n---\nb", "p line"),
        ("!!python/object/apply:os.system [id]", "p line 1"),
        ("!!int x", "does not fit its tag"),
        ("!!float x", "does not fit its tag"),
        ("!!bool x", "does not fit its tag"),
        ("!!timestamp x", "does not fit its tag"),
        ("!!int " + "9" * 5000, "does not fit its tag"),
        ("9" * 5000, "does not fit its tag"),
        ("!!binary é", "p line 1"),
        ("? [a]\n: b", "a key must be text"),
        ("{{a: 1}: 2}", "a key must be text"),
        ("*x", "p line 1"),
        ("a: \x07", "not YAML"),
        ("[" * 20_000, "nested too deeply"),
        ("x" * 1_000_001, "longer than 1000000 characters"),
    ],
    ids=lambda text: repr(text[:25]),
)
def test_what_is_wrong_is_told_in_one_line(text: str, says: str) -> None:
    with pytest.raises(InvalidPlaybook) as caught:
        load(text, name="p")
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_merge_keys_are_ordinary_keys() -> None:
    assert load("a: &x {b: 1}\nc: {<<: *x}", name="p") == {"a": {"b": 1}, "c": {"<<": {"b": 1}}}


@given(st.text(st.characters(), max_size=60))
def test_any_text_is_a_value_or_an_invalid_playbook(text: str) -> None:
    with contextlib.suppress(InvalidPlaybook):
        load(text, name="p")


@given(st.text(st.sampled_from("ab:-[]{}&*!?|>'\"%@` \n#,~01"), max_size=30))
def test_any_punctuation_is_a_value_or_an_invalid_playbook(text: str) -> None:
    with contextlib.suppress(InvalidPlaybook):
        load(text, name="p")
