from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import pytest

from irkit import capture
from irkit.case import Case
from irkit.errors import InvalidParameter, NotFound


def test_a_plan_of_all_kinds_changes_nothing_until_it_is_applied(world: SimpleNamespace, case: Case) -> None:
    snapshots = len(world.sim.session().client("ec2").describe_snapshots(OwnerIds=["self"])["Snapshots"])
    plan = capture.plan(case, world.instance_id)

    assert {s.verb for s in plan.steps} == {
        "capture.metadata", "capture.console", "capture.disks", "capture.disks.complete", "capture.host",
    }  # fmt: skip
    assert [s.verb for s in plan.steps if s.changes] == ["capture.disks", "capture.host"]
    assert (
        len(world.sim.session().client("ec2").describe_snapshots(OwnerIds=["self"])["Snapshots"]) == snapshots
    )
    assert case.evidence.items() == []
    assert "tundra" not in plan.title or "\n" not in plan.title


def test_disks_are_begun_before_anything_runs_on_the_host_and_awaited_last(
    world: SimpleNamespace, case: Case
) -> None:
    verbs = [s.verb for s in capture.plan(case, world.instance_id).steps]
    assert verbs.index("capture.disks") < verbs.index("capture.host") < verbs.index("capture.disks.complete")


def test_the_same_plan_has_the_same_step_ids_and_another_set_has_others(
    world: SimpleNamespace, case: Case
) -> None:
    first, again, second = (
        {s.verb: s.id(case.id) for s in capture.plan(case, world.instance_id, disk_set=label).steps}
        for label in "AAB"
    )
    assert first == again
    assert first["capture.disks"] != second["capture.disks"]


@pytest.mark.parametrize("only", [["disk"], ["disks", "\x1b[31mmemory"], []])
def test_an_unknown_kind_is_refused_with_the_known_ones(
    world: SimpleNamespace, case: Case, only: list[str]
) -> None:
    with pytest.raises(InvalidParameter, match="metadata, console, disks, host") as refused:
        capture.plan(case, world.instance_id, only=only)
    assert "\x1b" not in str(refused.value)


def test_planning_for_an_unknown_instance_fails_at_once(world: SimpleNamespace, case: Case) -> None:
    with pytest.raises(NotFound):
        capture.plan(case, "i-0123456789abcdef0")


def test_importing_the_package_loads_neither_boto3_nor_pandas() -> None:
    code = (
        "import sys, irkit.capture; print([m for m in ('boto3', 'botocore', 'pandas') if m in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"
