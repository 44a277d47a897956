"""Playbooks and parameters that are wrong are told before anything is done, whoever runs them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.running import SimulatedWorld, assert_refused, irkit, nothing_is_left_behind

PAPERMILL = Path(sys.executable).with_name("papermill")
SOUND = """\
schema: irkit/playbook/1
id: look
title: Look
inputs:
  instance_id: {type: instance_id}
  days: {type: integer, default: 3}
  loud: {type: boolean, default: false}
steps:
  - id: read
    title: Read
    notebook: capture/preflight
    with: {instance_id: {input: instance_id}}
"""


@pytest.fixture
def playbook(tmp_path: Path) -> Path:
    path = tmp_path / "look.yaml"
    path.write_text(SOUND)
    return path


def test_a_sound_playbook_is_valid(playbook: Path) -> None:
    ran = irkit("playbooks", "validate", playbook)
    assert ran.code == 0, ran.err
    assert "valid, 1 steps" in ran.out


@pytest.mark.parametrize(
    ("wrong", "instead", "says"),
    [
        ("title: Look\n", "title: Look\nseverity: high\n", "unknown key severity"),
        ("    title: Read\n", "    title: Read\n    retries: 3\n", "unknown key steps[0].retries"),
        ("title: Look\n", "title: Look\ntitle: Again\n", "'title' is given twice"),
        ("title: Look\n", "", "key title is missing"),
        ("    title: Read\n", "    title: Read\n    mutates: 'yes'\n", "steps[0].mutates"),
        ("    title: Read\n", "    title: Read\n    timeout: soon\n", "steps[0].timeout"),
        ("    title: Read\n", "    title: Read\n    timeout: 0\n", "steps[0].timeout"),
        (
            "    title: Read\n",
            "    title: Read\n    needs: [later]\n",
            "needs later, which is no step before it",
        ),
        ("capture/preflight", "capture/no-such", "no notebook capture/no-such"),
        ("capture/preflight", "../../etc/passwd", "no notebook"),
        ("{input: instance_id}", "{input: other}", "refers to input other"),
        ("schema: irkit/playbook/1", "schema: irkit/playbook/9", "schema"),
        ("id: look", "id: Look At This", "id"),
        (SOUND, "- a\n- b\n", "a playbook is a mapping"),
        (SOUND, "", "a playbook is a mapping"),
        (SOUND, "schema: [", "line"),
        (SOUND, "a: &x [*x]\n", "look.yaml"),
        (SOUND, "!!python/object/apply:os.system ['true']\n", "look.yaml"),
        (SOUND, "[" * 5000, "look.yaml"),
        (SOUND, "1: 2\n", "look.yaml"),
        (SOUND, "? [a]\n: b\n", "look.yaml"),
        (SOUND, "\x00\x01", "look.yaml"),
    ],
    ids=lambda text: " ".join(text.split())[:30],
)
def test_a_fault_in_a_playbook_is_named_with_its_place(
    wrong: str, instead: str, says: str, playbook: Path, case: str, cases: Path, world: SimulatedWorld
) -> None:
    playbook.write_text(SOUND.replace(wrong, instead))
    given = ["--case", case, "--set", f"instance_id={world.instance_id}"]
    with nothing_is_left_behind(cases, world):
        for command in (["validate"], ["plan", *given], ["run", *given, "--apply"]):
            assert_refused(irkit("playbooks", command[0], playbook, *command[1:]), 2, says)


def test_a_playbook_that_is_no_text_is_told(playbook: Path) -> None:
    playbook.write_bytes(b"\xff\xfe\x00x")
    assert_refused(irkit("playbooks", "validate", playbook), 2, "not UTF-8 text")


def test_a_playbook_that_is_not_there_is_told(tmp_path: Path) -> None:
    assert_refused(irkit("playbooks", "validate", tmp_path / "none.yaml"), 2, "no playbook", "none.yaml")
    (tmp_path / "folder.yaml").mkdir()
    assert_refused(irkit("playbooks", "validate", tmp_path / "folder.yaml"), 2, "folder.yaml")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ([], "needs instance_id"),
        (["instance_id"], "is not NAME=VALUE"),
        (["instance_id=web-1"], "input instance_id: 'web-1'"),
        (["instance_id=INSTANCE", "days=three"], "input days: 'three': not an integer"),
        (["instance_id=INSTANCE", "days=3.5"], "input days: '3.5': not an integer"),
        (["instance_id=INSTANCE", "loud=maybe"], "input loud: 'maybe': not a boolean"),
        (["instance_id=INSTANCE", "dayz=3"], "no input dayz"),
    ],
    ids=lambda v: " ".join(v) if isinstance(v, list) else "",
)
def test_an_input_of_the_wrong_type_begins_nothing(
    given: list[str], says: str, playbook: Path, case: str, cases: Path, world: SimulatedWorld
) -> None:
    values = [part for v in given for part in ("--set", v.replace("INSTANCE", world.instance_id))]
    with nothing_is_left_behind(cases, world):
        for command in (["plan"], ["run", "--apply"]):
            ran = irkit("playbooks", command[0], playbook, "--case", case, *values, *command[1:])
            assert_refused(ran, 2, says)


@pytest.mark.parametrize(
    ("notebook", "given", "says"),
    [
        ("capture/preflight", ["instance_id=web-1"], "is not an instance id"),
        ("capture/preflight", [], "instance_id"),
        ("capture/instance", ["instance_id=INSTANCE", "mode=aply"], "--apply and --set mode=aply"),
        ("capture/instance", ["instance_id=INSTANCE", "only=disks,foo"], "parameter only"),
        ("contain/instance", ["instance_id=INSTANCE", "ssm_room=perhaps"], "parameter ssm_room"),
        ("contain/instance", ["instance_id=INSTANCE", "sm_room=true"], "unknown parameter sm_room"),
        ("analyze/cloudtrail-overview", ["instance_id=INSTANCE", "days=x"], "parameter days"),
        ("analyze/cloudtrail-overview", ["instance_id=INSTANCE", "days=0"], "parameter days"),
        ("capture/instance", ["days"], "is not NAME=VALUE"),
        ("report/notify", ["instance_id=INSTANCE", "topic=alarms"], "is not the ARN of a topic"),
        ("report/deposit", ["bucket=s3://bucket"], "cannot name a bucket"),
        ("no/such", ["instance_id=INSTANCE"], "no notebook no/such"),
        (
            "report/notify",
            ["instance_id=INSTANCE", "topic=wJalrXUtnFEMI0K7MDENG1bPxRfiCYEXAMPLEKEY"],
            "secret",
        ),
    ],
    ids=lambda v: " ".join(v) if isinstance(v, list) else "",
)
def test_a_notebook_is_not_started_with_a_wrong_parameter(
    notebook: str, given: list[str], says: str, case: str, cases: Path, world: SimulatedWorld
) -> None:
    values = [part for v in given for part in ("--set", v.replace("INSTANCE", world.instance_id))]
    with nothing_is_left_behind(cases, world):
        assert_refused(irkit("notebooks", "run", notebook, "--case", case, "--apply", *values), 2, says)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        (["-r", "mode", "aply"], "parameter mode"),
        (["-r", "only", "disks"], "parameter only"),
        (["-p", "case_id", "20261142"], "parameter case_id"),
        (["-r", "instnce_id", "i-0123456789abcdef0"], "unknown parameter instnce_id"),
    ],
    ids=lambda v: " ".join(v) if isinstance(v, list) else "",
)
def test_plain_papermill_fails_before_anything_is_done(
    parameters: list[str], says: str, case: str, cases: Path, world: SimulatedWorld, tmp_path: Path
) -> None:
    source = irkit("notebooks", "path", "capture/instance").out.strip()
    command = [str(PAPERMILL), source, str(tmp_path / "out.ipynb"), "--no-progress-bar"]
    sound = {"case_id": case, "instance_id": world.instance_id, "mode": "apply"}
    command += [part for name, v in sound.items() if name not in parameters for part in ("-r", name, v)]
    command += parameters
    with nothing_is_left_behind(cases, world):
        ran = subprocess.run(command, capture_output=True, text=True, timeout=120, env=dict(os.environ))
    assert ran.returncode != 0
    assert "InvalidParameter" in ran.stderr
    assert says in ran.stderr
