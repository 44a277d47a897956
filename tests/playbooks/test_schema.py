from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import pytest

from irkit.errors import InvalidParameter, InvalidPlaybook, NotFound
from irkit.playbooks.schema import Input, When, load, parse, shipped_playbooks

SOUND = """\
schema: irkit/playbook/1
id: look
title: Look
inputs:
  instance_id: {type: instance_id}
  account: {type: account_id, default: "012345678901"}
  days: {type: integer, default: 3}
  loud: {type: boolean, default: false}
  topic: {default: ""}
steps:
  - id: read
    title: Read
    notebook: capture/preflight
    with: {instance_id: {input: instance_id}}
  - id: tell
    title: Tell
    notebook: report/notify
    needs: [read]
    when: {input: topic, is_set: true}
"""
INSTANCE = "i-0123456789abcdef0"


def fault_of(text: str) -> str:
    """What is said of the playbook `text`."""
    with pytest.raises(InvalidPlaybook) as caught:
        parse(text, name="p.yaml")
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("p.yaml")
    return str(caught.value)


def test_a_sound_playbook_is_data() -> None:
    book = parse(SOUND, name="p")
    assert [s.id for s in book.steps] == ["read", "tell"]
    assert book.resolve({"instance_id": INSTANCE}) == {
        "instance_id": INSTANCE, "account": "012345678901", "days": 3, "loud": False, "topic": ""
    }  # fmt: skip


@pytest.mark.parametrize(
    ("wrong", "instead", "says"),
    [
        ("title: Look", "titel: Look", "unknown key titel"),
        ("title: Read", "title: Read\n    retry: 1", "unknown key steps[0].retry"),
        ("title: Read", "title: Read\n    with_: {}", "unknown key steps[0].with_"),
        (
            "days: {type: integer, default: 3}",
            "days: {type: integer, default: three}",
            "input days has a default",
        ),
        (
            "days: {type: integer, default: 3}",
            'days: {type: integer, default: "3"}',
            "write it as an integer",
        ),
        (
            "loud: {type: boolean, default: false}",
            "loud: {type: boolean, default: no}",
            "input loud has a default",
        ),
        ('default: "012345678901"', "default: 012345678901", None),
        ('default: "012345678901"', "default: 12345678901", "input account has a default"),
        ('default: "012345678901"', 'default: "0123"', "is not an account id"),
        ("type: integer", "type: int", "inputs.days.type"),
        ("needs: [read]", "needs: [none]", "step tell needs none, which is no step before it"),
        ("needs: [read]", "needs: [tell]", "step tell needs tell, which is no step before it"),
        ("id: tell", "id: read", "step read is there twice"),
        ("is_set: true", "is_set: 'yes'", "when.is_set"),
        ("is_set: true", "is_set: true, equals: x", "give one of equals, one_of and is_set"),
        (", is_set: true", "", "give one of equals, one_of and is_set"),
        ("input: topic, is_set: true", "input: nope, is_set: true", "refers to input nope"),
        (
            "input: topic, is_set: true",
            "input: loud, equals: 'true'",
            "compared by step tell with what it cannot be",
        ),
        (
            "input: topic, is_set: true",
            "input: days, equals: true",
            "compared by step tell with what it cannot be",
        ),
        ("input: topic, is_set: true", "input: days, equals: 3", None),
        ("input: topic, is_set: true", "input: days, one_of: [3, 4]", None),
        ("is_set: true", "one_of: []", "give one of equals, one_of and is_set"),
        ("input: topic, is_set: true", "input: days, one_of: [3, often]", "is compared by step"),
        ("title: Read", "title: Read\n    timeout: 86401", "steps[0].timeout"),
        ("title: Read", "title: 5", "steps[0].title"),
        ("title: Read", "title: Read\n    mutates: 1", "steps[0].mutates"),
        ("title: Read", "title: Read\n    on_failure: explode", "steps[0].on_failure"),
        ("id: look", "id: ../../x", "id"),
        ("title: Look", "title: Look\nattack: [T1]", "attack"),
        ("title: Look", "title: Look\ntriggers: [{source: email}]", "triggers[0].source"),
        ("schema: irkit/playbook/1", "schema: irkit/playbook/2", "schema"),
    ],
    ids=lambda text: repr(text)[:30],
)
def test_every_fault_is_named_with_its_place(wrong: str, instead: str, says: str | None) -> None:
    assert wrong in SOUND
    text = SOUND.replace(wrong, instead, 1)
    if says is None:
        parse(text, name="p")
    else:
        assert says in fault_of(text)


def test_several_faults_are_told_at_once() -> None:
    said = fault_of(SOUND.replace("title: Look", "titel: x").replace("title: Read", "titel: y"))
    assert "unknown key titel" in said
    assert "unknown key steps[0].titel" in said
    assert "steps[0].title is missing" in said


LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{b}: &{b} [{', '.join(['*' + a] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    "text",
    [
        LAUGHS + SOUND,
        LAUGHS + SOUND + "attack: *i\n",
        LAUGHS + SOUND.replace("{instance_id: {input: instance_id}}", "{instance_id: *i}"),
        "a: &a [*a]\n" + SOUND,
        "inputs: &a {x: *a}\n",
        "schema: &a\n  schema: *a\n",
    ],
    ids=["beside", "as a list", "as a parameter", "in itself", "inputs in themselves", "schema in itself"],
)
def test_anchors_that_grow_without_end_are_refused_at_once(text: str) -> None:
    begun = time.process_time()
    fault_of(text)
    assert time.process_time() - begun < 3


@pytest.mark.parametrize("text", ["", "[]", "5", "text", "1: 2", "null: 1", "? ''\n: 1"])
def test_what_is_no_playbook_is_told(text: str) -> None:
    fault_of(text)


def test_a_file_that_is_no_text_is_told(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_bytes(SOUND.encode("utf-16"))
    with pytest.raises(InvalidPlaybook, match=r"p\.yaml: not UTF-8 text"):
        load(str(tmp_path / "p.yaml"))


def test_a_name_that_is_none_is_not_found_and_shown_harmless() -> None:
    with pytest.raises(NotFound, match=r"no playbook .*there are .*ec2-compromise") as caught:
        load("../../etc/passwd\x1b[2J")
    assert "\x1b" not in str(caught.value)


def test_the_playbooks_that_ship_are_sound() -> None:
    assert "ec2-compromise" in [p.id for p in shipped_playbooks()]


# --- inputs -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "given", "value"),
    [
        ("integer", "7", 7), ("integer", 7, 7), ("integer", "-7", -7), ("boolean", "False", False),
        ("boolean", "true", True), ("boolean", False, False), ("string", "false", "false"), ("string", "", ""),
        ("account_id", "012345678901", "012345678901"), ("region", "us-gov-west-1", "us-gov-west-1"),
        ("instance_id", "i-01234567", "i-01234567"),
    ],
)  # fmt: skip
def test_an_input_becomes_its_type(kind: Any, given: Any, value: Any) -> None:
    found = Input(type=kind).parse("x", given)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        ("integer", "7.5"), ("integer", 7.9), ("integer", ""), ("integer", True), ("integer", None), ("integer", [1]),
        ("integer", "1_000"), ("integer", " 7"), ("integer", "٣"), ("integer", "9" * 5000), ("boolean", "yes"),
        ("boolean", 1), ("boolean", None), ("string", 5), ("string", None), ("account_id", 12345678901),
        ("account_id", "12345678901"), ("region", "us-east-1\n"), ("region", ""),
        ("instance_id", "i-0123456789ABCDEF0"), ("instance_id", ["i-01234567"]),
    ],
    ids=lambda v: repr(v)[:20],
)  # fmt: skip
def test_what_does_not_fit_its_type_is_refused_by_name(kind: Any, given: Any) -> None:
    with pytest.raises(InvalidParameter, match=r"^input x: ") as caught:
        Input(type=kind).parse("x", given)
    assert "\n" not in str(caught.value)


def test_unknown_and_missing_inputs_are_named() -> None:
    book = parse(SOUND, name="p")
    with pytest.raises(
        InvalidParameter, match=re.escape("playbook look needs instance_id: give --set instance_id=…")
    ):
        book.resolve({})
    with pytest.raises(InvalidParameter, match="no input a, z: its inputs are instance_id, account"):
        book.resolve({"z": 1, "a": 2})


@pytest.mark.parametrize(
    ("when", "inputs", "holds"),
    [
        ({"input": "x", "is_set": True}, {"x": "a"}, True), ({"input": "x", "is_set": True}, {"x": ""}, False),
        ({"input": "x", "is_set": True}, {"x": 0}, True), ({"input": "x", "is_set": False}, {}, True),
        ({"input": "x", "equals": "a"}, {"x": "a"}, True), ({"input": "x", "equals": False}, {"x": False}, True),
        ({"input": "x", "equals": 3}, {"x": 4}, False),
        ({"input": "x", "one_of": ("a", "b")}, {"x": "b"}, True), ({"input": "x", "one_of": ("a",)}, {}, False),
    ],
)  # fmt: skip
def test_a_step_is_called_for_when_its_comparison_holds(when: Any, inputs: Any, holds: bool) -> None:
    assert When(**when).holds(inputs) is holds
