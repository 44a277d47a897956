"""The playbooks that come with irkit, against what they are made from."""

from __future__ import annotations

from typing import Any

import pytest

from irkit.errors import InvalidParameter
from irkit.notebook.models import ContainInstance, model_of
from irkit.playbooks import postures
from irkit.playbooks.schema import Playbook, load, shipped_playbooks

INSTANCE = "i-0123456789abcdef0"
NAMES = [playbook.id for playbook in shipped_playbooks()]


def called(playbook: Playbook, **given: Any) -> list[tuple[str, dict[str, Any]]]:
    """Notebook and parameters of every step that these inputs call for, in order."""
    inputs = playbook.resolve(given)
    return [
        (step.notebook, step.parameters(inputs))
        for step in playbook.steps
        if step.when is None or step.when.holds(inputs)
    ]


def of_stage(stage: postures.Stage) -> tuple[str, tuple[str, ...], dict[str, Any]]:
    options = {k: v for k, v in stage.options.items() if v not in (False, "A")}
    return stage.room, tuple(stage.only), options


@pytest.mark.parametrize("posture", postures.NAMES)
def test_a_posture_of_the_playbook_is_the_posture_of_the_command_line(posture: str) -> None:
    steps = called(load("ec2-compromise"), instance_id=INSTANCE, posture=posture, keep=True)
    taken = []
    for notebook, given in steps:
        room, _, what = notebook.partition("/")
        if what == "instance" and room in {"capture", "contain"}:
            options = {k: v for k, v in given.items() if k not in {"instance_id", "only"} and v}
            taken.append((room, tuple(given["only"]), options))
    wanted = [
        of_stage(stage) if stage.only else (stage.room, stage.optional, {})
        for stage in postures.stages(posture)
    ]
    assert taken == wanted


@pytest.mark.parametrize("posture", postures.NAMES)
def test_memory_is_taken_after_the_facts_and_before_the_network_closes(posture: str) -> None:
    steps = called(load("ec2-compromise"), instance_id=INSTANCE, posture=posture, memory_tool="/opt/avml")
    names = [notebook for notebook, _ in steps]
    at = names.index("capture/memory")
    assert steps[at - 1][1]["only"] == ["host"]
    closing = [n for n, (_, given) in enumerate(steps) if given.get("replace_profile")]
    assert all(at < n for n in closing)
    assert bool(closing) == (posture != "stealth")


def test_an_unknown_posture_is_refused_rather_than_half_of_the_steps_left_out() -> None:
    with pytest.raises(
        InvalidParameter,
        match="input posture: 'balancd': not one of balanced, contain-first, stealth",
    ):
        load("ec2-compromise").resolve({"instance_id": INSTANCE, "posture": "balancd"})


@pytest.mark.parametrize("name", NAMES)
def test_every_step_gives_its_notebook_parameters_that_it_has(name: str) -> None:
    for step in load(name).steps:
        assert set(step.with_) <= set(model_of(step.notebook).model_fields), step.id


@pytest.mark.parametrize("name", NAMES)
def test_a_step_that_contains_or_sends_says_that_it_changes_aws(name: str) -> None:
    for step in load(name).steps:
        if step.notebook.startswith("contain/") or step.notebook in {"report/notify", "report/deposit"}:
            assert step.mutates, step.id


def test_a_notebook_of_containment_gives_each_kind_the_options_that_it_takes() -> None:
    chosen = ContainInstance(
        case_id="C", instance_id=INSTANCE, only=("guard", "network"), addresses=True, replace_profile=True
    )
    assert chosen.options() == {"addresses": True}
