from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import irkit.notebook as nb
from irkit.case import Case
from irkit.errors import IntegrityError, NotFound

INSTANCE = "i-0123456789abcdef0"


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case.open("T-1", region="us-east-1", cases=tmp_path, account="111122223333")


def taken(case: Case, name: str, value: Any, *, source: str = INSTANCE) -> None:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    case.evidence.add(data, kind="instance", name=name, source=source)


def test_the_subject_is_what_was_captured_of_it_last(case: Case) -> None:
    taken(case, "instance.json", {"instance": {"private_address": "10.0.0.1"}})
    taken(case, "instance.json", {"instance": {"private_address": "10.9.9.9"}}, source="i-00000000000000000")
    latest = {
        "account": "999988887777", "region": "eu-west-1", "private_address": "10.0.0.5",
        "public_address": "203.0.113.7", "addresses": ["10.0.0.5"],
        "interfaces": [{"addresses": ["10.0.1.6"], "ipv6": ["2001:db8::1"], "public": []}],
    }  # fmt: skip
    taken(case, "instance.json", {"instance": latest})
    found = nb.subject(case, INSTANCE)
    assert (found.account, found.region) == ("999988887777", "eu-west-1")
    assert found.addresses == ("10.0.0.5", "203.0.113.7", "10.0.1.6", "2001:db8::1")


@pytest.mark.parametrize("document", [{}, {"instance": None}, {"instance": []}], ids=repr)
def test_a_document_without_the_instance_in_it_is_none(case: Case, document: Any) -> None:
    taken(case, "instance.json", document)
    with pytest.raises(NotFound):
        nb.subject(case, INSTANCE)


def test_what_was_not_captured_is_asked_of_nobody(case: Case) -> None:
    with pytest.raises(
        NotFound, match=f"case T-1 holds no metadata of {INSTANCE}: run the notebook capture/instance"
    ):
        nb.subject(case, INSTANCE)
    assert nb.host_facts(case, INSTANCE) is None


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", b"[]", b"null", b"5"], ids=repr)
def test_an_item_that_is_not_what_irkit_writes_is_named(case: Case, data: bytes) -> None:
    taken(case, "host-facts.json", data)
    with pytest.raises(IntegrityError, match=r"evidence item E0001 is .*: run `irkit case verify`"):
        nb.host_facts(case, INSTANCE)
