"""papermill's traps, one by one; a notebook stops at them before it does anything."""

from __future__ import annotations

import types
from pathlib import Path
from typing import Any

import pytest

import irkit.notebook as nb
from irkit.errors import InvalidParameter
from irkit.notebook.models import BY_NOTEBOOK, AnalyzeCloudTrail, CaptureInstance, ContainInstance, Notify
from irkit.notebook.parameters import Parameters, checked
from irkit.shipped import folder

INSTANCE = "i-0123456789abcdef0"
SOUND = {"case_id": "2026-11-0042", "instance_id": INSTANCE}


def refused(model: type[Parameters], **given: Any) -> str:
    """What is said of `given`."""
    with pytest.raises(InvalidParameter) as caught:
        checked(model, SOUND | given)
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("given", "meant"), [("false", False), ("False", False), ("true", True), (True, True)]
)
def test_the_word_false_is_false(given: Any, meant: bool) -> None:
    assert checked(ContainInstance, SOUND | {"ssm_room": given}).ssm_room is meant


@pytest.mark.parametrize("given", ["perhaps", "", 2, None, [True]])
def test_what_is_neither_true_nor_false_is_refused(given: Any) -> None:
    assert "parameter ssm_room" in refused(ContainInstance, ssm_room=given)


def test_a_number_where_text_belongs_is_refused_for_its_leading_zeros_may_be_gone() -> None:
    said = refused(Notify, topic=12345678901)
    assert "parameter topic" in said
    assert "pass it with -r so that it stays text" in said


def test_a_case_id_that_became_a_number_is_refused() -> None:
    assert "parameter case_id" in refused(Notify, case_id=2026)


def test_a_number_as_text_is_a_number() -> None:
    assert checked(AnalyzeCloudTrail, SOUND | {"days": "7"}).days == 7


@pytest.mark.parametrize("days", [0, -1, 3651, "x", 1.5, float("inf"), None])
def test_a_number_out_of_its_range_is_refused(days: Any) -> None:
    assert "parameter days" in refused(AnalyzeCloudTrail, days=days)


@pytest.mark.parametrize("only", ["disks", '["disks"]', ["disk"], {"disks": 1}, [["disks"]]], ids=repr)
def test_a_list_that_is_none_is_refused(only: Any) -> None:
    assert "parameter only" in refused(CaptureInstance, only=only)


@pytest.mark.parametrize("mode", ["Apply", "aply", "", True, None])
def test_a_mode_is_plan_or_apply(mode: Any) -> None:
    assert "parameter mode" in refused(CaptureInstance, mode=mode)


def test_unknown_names_are_refused_with_those_that_are_known() -> None:
    said = refused(CaptureInstance, aply=True)
    assert (
        "unknown parameter aply (known are case_id, cases, instance_id, only, disk_set, wait, mode)" in said
    )


def test_a_missing_parameter_is_named() -> None:
    with pytest.raises(InvalidParameter, match="parameter instance_id is missing"):
        checked(CaptureInstance, {"case_id": "c"})


def test_every_fault_is_told_at_once() -> None:
    said = refused(CaptureInstance, case_id="../x", instance_id="web-1", mode="x", extra=1)
    for name in ("case_id", "instance_id", "mode", "extra"):
        assert f"parameter {name}" in said


def test_a_hostile_value_is_shown_harmless_and_short() -> None:
    said = refused(CaptureInstance, instance_id="\x1b[2J\n" + "x" * 500)
    assert "\x1b" not in said
    assert len(said) < 900


@pytest.mark.parametrize(
    "secret",
    [
        "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        "key=wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY;",
        "-----BEGIN RSA PRIVATE KEY-----\nx",
        "ghp_" + "a1B2" * 9,
        "xoxb-123",
        ["harmless", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"],
        {"key": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"},
    ],
    ids=range(7),
)
def test_a_secret_is_refused_and_not_repeated(secret: Any) -> None:
    said = refused(Notify, topic=secret)
    assert "parameter topic looks like a secret" in said
    assert "wJalr" not in said
    assert "ghp_" not in said


@pytest.mark.parametrize(
    "harmless",
    ["arn:aws:sns:us-east-1:111122223333:alerts", "s3://bucket/AWSLogs/o-abc123/111122223333/CloudTrail/us-east-1/2026",
     "/home/Ana/irkit/cases/2026-11-0042/active/Cases", "0" * 40, "a" * 64, INSTANCE],
)  # fmt: skip
def test_what_only_looks_long_is_no_secret(harmless: str) -> None:
    assert checked(AnalyzeCloudTrail, SOUND | {"source": harmless}).source == harmless


def in_notebook(**names: Any) -> Any:
    """`params(Notify)` called in a namespace that holds `names`, as a notebook's second cell would."""
    namespace: dict[str, Any] = {"__name__": "__main__", "nb": nb, "types": types} | names
    exec("p = nb.params(nb.Notify)", namespace)
    return namespace["p"]


def test_the_notebooks_own_namespace_is_read_without_what_ipython_puts_there() -> None:
    found = in_notebook(
        **SOUND, topic="arn:aws:sns:us-east-1:111122223333:x",
        In=[""], Out={}, _i1="", exit=object(), quit=object(), display=print,
        get_ipython=lambda: None, Path=Path, annotations=__import__("__future__").annotations,
    )  # fmt: skip
    assert (found.case_id, found.topic, found.mode) == (
        "2026-11-0042",
        "arn:aws:sns:us-east-1:111122223333:x",
        "plan",
    )


def test_a_name_that_papermill_injected_and_nobody_declared_stops_the_notebook() -> None:
    with pytest.raises(InvalidParameter, match="unknown parameter tpoic"):
        in_notebook(**SOUND, tpoic="arn:x")


def test_parameters_are_shown_escaped() -> None:
    shown = checked(AnalyzeCloudTrail, SOUND | {"source": "<script>alert(1)</script>"})._repr_html_()
    assert "<script" not in shown


def test_every_notebook_that_ships_has_a_model_and_the_other_way_round() -> None:
    root = folder("notebooks")
    assert {p.relative_to(root).with_suffix("").as_posix() for p in root.glob("*/*.ipynb")} == set(
        BY_NOTEBOOK
    )


@pytest.mark.parametrize("name", sorted(BY_NOTEBOOK))
def test_a_notebook_changes_nothing_by_default(name: str) -> None:
    fields = BY_NOTEBOOK[name].model_fields
    assert "mode" not in fields or fields["mode"].default == "plan"
