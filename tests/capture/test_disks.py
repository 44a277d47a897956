from __future__ import annotations

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from irkit import capture
from irkit.capture import disks, quotas
from irkit.case import Case
from irkit.evidence import verify
from irkit.journal import Kind
from irkit.plan import Plan, Status


def taken(world: SimpleNamespace, case: Case) -> list[dict[str, Any]]:
    """The snapshots in AWS that carry the case's tag."""
    ec2 = world.sim.session().client("ec2")
    found: list[dict[str, Any]] = ec2.describe_snapshots(
        Filters=[{"Name": "tag:irkit:case", "Values": [case.id]}]
    )["Snapshots"]
    return found


def plan(world: SimpleNamespace, case: Case, **more: Any) -> Plan:
    return capture.plan(case, world.instance_id, only=["disks"], **more)


def begun(case: Case, steps: Plan, *, before: Any = None) -> str:
    """Leave the journal as a kill leaves it: the first step intended and nothing after it."""
    step = steps.steps[0]
    ident = step.id(case.id)
    case.journal.append(Kind.INTENDED, step=ident, verb=step.verb, target=step.target, before=before)
    return ident


def test_one_set_of_all_volumes_is_taken_and_completes(world: SimpleNamespace, case: Case) -> None:
    report = plan(world, case).apply()

    assert report.exit_code == 0, report.to_frame()
    made = taken(world, case)
    volumes = {v.id for v in capture.describe(case, world.instance_id).volumes}
    assert {s["VolumeId"] for s in made} == volumes
    assert len(made) == len(volumes)
    assert dict(report.steps[0].result["snapshots"]) == {s["VolumeId"]: s["SnapshotId"] for s in made}
    tags = [{t["Key"]: t["Value"] for t in s["Tags"]} for s in made]
    assert all(
        t["irkit:case"] == case.id and t["irkit:responder"] == "ana" and t["irkit:set"] == "A" for t in tags
    )
    kept = {i.name: json.loads(case.evidence.read(i)) for i in case.evidence.items(kind="disk-snapshots")}
    assert {s["state"] for s in kept["snapshots-complete.json"]["snapshots"]} == {"completed"}
    assert [s["root"] for s in kept["snapshots.json"]["snapshots"]].count(True) == 1
    assert verify(case.root).problems == ()


def test_the_undo_says_that_evidence_is_not_deleted(world: SimpleNamespace, case: Case) -> None:
    plan(world, case).apply()
    done = next(e for e in case.journal.entries if e.kind is Kind.DONE and e.body["verb"] == disks.BEGIN)
    assert done.body["undo"] == {"calls": [], "impossible": disks.KEPT}


def test_applying_again_takes_no_second_set(world: SimpleNamespace, case: Case) -> None:
    plan(world, case).apply()
    items = len(case.evidence.items())
    again = plan(world, case).apply()
    assert [s.earlier for s in again.steps] == [True, True]
    assert len(taken(world, case)) == 2
    assert len(case.evidence.items()) == items


def test_a_second_set_is_taken_when_it_is_asked_for(world: SimpleNamespace, case: Case) -> None:
    plan(world, case).apply()
    assert plan(world, case, disk_set="B").apply().exit_code == 0
    assert len(taken(world, case)) == 4


def test_a_kill_between_the_call_and_the_journal_leads_to_no_second_set(
    world: SimpleNamespace, case: Case
) -> None:
    steps = plan(world, case)
    ident = begun(case, steps)
    tags = [{"Key": k, "Value": v} for k, v in (case.tags() | {"irkit:step": ident}).items()]
    world.sim.session().client("ec2").create_snapshots(
        InstanceSpecification={"InstanceId": world.instance_id},
        TagSpecifications=[{"ResourceType": "snapshot", "Tags": tags}],
    )

    report = steps.apply()

    assert report.exit_code == 0
    assert report.steps[0].result["found"] is True
    assert len(taken(world, case)) == 2


def test_a_kill_before_the_call_leads_to_the_one_set(world: SimpleNamespace, case: Case) -> None:
    steps = plan(world, case)
    begun(case, steps)
    assert steps.apply().exit_code == 0
    assert len(taken(world, case)) == 2


@pytest.mark.parametrize("after", [True, False], ids=["took-effect", "had-no-effect"])
@pytest.mark.parametrize(("code", "status"), [("InternalError", 500), ("Throttling", 400)])
def test_a_lost_answer_or_a_throttle_never_doubles_the_set(
    world: SimpleNamespace, case: Case, code: str, status: int, after: bool
) -> None:
    world.sim.faults.inject("ec2", "CreateSnapshots", code, status=status, after=after)
    assert plan(world, case).apply().exit_code == 0
    assert len(taken(world, case)) == 2


def test_the_limits_of_a_volume_are_waited_out(
    world: SimpleNamespace, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    for code, (_, why) in quotas.PAUSES.items():
        monkeypatch.setitem(quotas.PAUSES, code, (0.01, why))
    world.sim.faults.inject("ec2", "CreateSnapshots", "SnapshotCreationPerVolumeRateExceeded", times=2)
    world.sim.faults.inject("ec2", "CreateSnapshots", "ConcurrentSnapshotLimitExceeded")
    said: list[str] = []
    assert plan(world, case).apply(progress=said.append).exit_code == 0
    assert any("15 s" in line for line in said)
    assert any("pending" in line for line in said)
    assert len(taken(world, case)) == 2


def test_more_tags_than_fit_cost_the_volumes_tags_only(world: SimpleNamespace, case: Case) -> None:
    world.sim.faults.inject("ec2", "CreateSnapshots", "TagLimitExceeded")
    assert plan(world, case).apply().exit_code == 0
    assert len(taken(world, case)) == 2


def test_a_refusal_fails_the_step_and_the_wait_for_it_only(world: SimpleNamespace, case: Case) -> None:
    world.sim.faults.inject("ec2", "CreateSnapshots", "UnauthorizedOperation", status=403, times=9)
    report = capture.plan(case, world.instance_id, only=["disks", "console"]).apply()

    stands = {s.verb: s for s in report.steps}
    assert stands[disks.BEGIN].status is Status.FAILED
    assert "not allowed" in stands[disks.BEGIN].why
    assert stands[disks.COMPLETE].status is Status.SKIPPED
    assert stands["capture.console"].status is Status.DONE
    assert report.exit_code == 3
    assert taken(world, case) == []

    world.sim.faults.clear()
    assert plan(world, case).apply().exit_code == 0
    assert len(taken(world, case)) == 2


def test_a_snapshot_in_error_ends_the_wait_and_is_named(
    world: SimpleNamespace, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = disks._states

    def one_in_error(running: Any, ids: Any) -> dict[str, Any]:
        said = {k: dict(v) for k, v in real(running, ids).items()}
        said[ids[0]] |= {"State": "error", "StateMessage": "Given key ID is not accessible\x1b[31m"}
        return said

    monkeypatch.setattr(disks, "_states", one_in_error)
    report = plan(world, case).apply()
    waited = report.steps[1]
    assert waited.status is Status.DONE
    assert "Given key ID is not accessible" in waited.missing[0]
    assert "\x1b" not in waited.missing[0]
    assert len(waited.result["snapshots"]) == 1
    assert report.exit_code == 3


def test_a_wait_that_is_too_short_can_be_taken_up_again(
    world: SimpleNamespace, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(disks, "patience", lambda _instance: 1.0)
        patched.setattr(disks, "_states", lambda *_: {})
        report = plan(world, case).apply()
    assert (report.steps[0].status, report.steps[1].status) == (Status.DONE, Status.FAILED)
    assert plan(world, case).apply().exit_code == 0
    assert len(taken(world, case)) == 2


def test_an_instance_without_volumes_is_told_so(world: SimpleNamespace, case: Case) -> None:
    from dataclasses import replace

    bare = replace(capture.describe(case, world.instance_id), volumes=())
    report = Plan(case, disks.steps(case, bare), title="disks").apply()
    assert report.steps[0].status is Status.FAILED
    assert "no EBS volumes" in report.steps[0].why


def test_disks_of_the_host_computer_are_named_as_in_no_snapshot() -> None:
    kind = {
        "InstanceStorageSupported": True,
        "InstanceStorageInfo": {"Disks": [{"SizeInGB": 474, "Count": 2, "Type": "ssd"}]},
    }
    assert disks.store_of(kind) == ["instance store, 2 × 474 GB: in no snapshot, lost when it stops"]
    assert disks.store_of({"InstanceStorageSupported": False}) == []


def test_the_patience_grows_with_the_largest_volume(
    world: SimpleNamespace, open_case: Callable[..., Case]
) -> None:
    from dataclasses import replace

    instance = capture.describe(open_case(), world.instance_id)
    large = replace(instance, volumes=(replace(instance.volumes[0], size=1000),))
    assert disks.patience(instance) < disks.patience(large) <= 8 * 3600
