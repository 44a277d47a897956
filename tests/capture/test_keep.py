"""Snapshots on their way to the forensics account: shared with it alone, copied, locked, and read back."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from irkit import capture
from irkit.capture import quotas
from irkit.capture.destination import Destination, Lock
from irkit.case import Case
from irkit.cli import cli
from irkit.errors import BadInput, InvalidName, InvalidParameter, NotFound
from irkit.evidence import verify
from irkit.plan import Plan, Report, Status

REGION = "eu-west-1"


@pytest.fixture(scope="module")
def keys(planted: SimpleNamespace) -> Iterator[SimpleNamespace]:
    """A machine with a plain volume, one under AWS's key and one under the account's own; and keys to copy under."""
    session, there = planted.sim.session(), planted.sim.session(planted.sim.forensics_account)
    kms = session.client("kms")
    own, transfer = (kms.create_key()["KeyMetadata"]["Arn"] for _ in range(2))
    far = there.client("kms", region_name=REGION)
    made = session.client("ec2").run_instances(
        ImageId="ami-0123456789abcdef0", MinCount=1, MaxCount=1, InstanceType="t3.large",
        BlockDeviceMappings=[
            {"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": 8}},
            {"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 4, "Encrypted": True}},
            {"DeviceName": "/dev/sdg", "Ebs": {"VolumeSize": 2, "Encrypted": True, "KmsKeyId": own}},
        ],
    )["Instances"][0]["InstanceId"]  # fmt: skip
    yield SimpleNamespace(
        instance=made, own=own, transfer=transfer, far=far, copies=far.create_key()["KeyMetadata"]["Arn"]
    )
    # the fleet of the package's world is counted by other tests
    session.client("ec2").terminate_instances(InstanceIds=[made])


@pytest.fixture
def to(world: SimpleNamespace, keys: SimpleNamespace) -> dict[str, str]:
    return {
        "forensics_role": world.public["forensics_role_arn"],
        "forensics_region": REGION,
        "forensics_key": keys.copies,
        "transfer_key": keys.transfer,
        "snapshot_lock": "governance:30",
    }


def plan(case: Case, instance: str, to: dict[str, str], **more: Any) -> Plan:
    return capture.plan(case, instance, **({"only": ["disks", "keep"], "keep": to} | more))


def by_verb(report: Report) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for step in report.steps:
        found.setdefault(step.verb.removeprefix("capture.keep."), []).append(step)
    return found


def tagged(world: SimpleNamespace, case: Case, *, far: bool) -> list[dict[str, Any]]:
    """The case's snapshots in the suspect's account, or in the forensics account."""
    session = world.sim.session(world.sim.forensics_account) if far else world.sim.session()
    ec2 = session.client("ec2", region_name=REGION if far else None)
    mine = [{"Name": "tag:irkit:case", "Values": [case.id]}]
    found: list[dict[str, Any]] = ec2.describe_snapshots(OwnerIds=["self"], Filters=mine)["Snapshots"]
    return found


def seen_by(world: SimpleNamespace, snapshot: str) -> list[str]:
    said = (
        world.sim.session()
        .client("ec2")
        .describe_snapshot_attribute(SnapshotId=snapshot, Attribute="createVolumePermission")
    )
    return sorted(p["UserId"] for p in said["CreateVolumePermissions"])


def custody(case: Case) -> list[dict[str, Any]]:
    item = next(i for i in case.evidence.items() if i.name == "snapshot-custody.json")
    rows: list[dict[str, Any]] = json.loads(case.evidence.read(item))["volumes"]
    return rows


def test_every_volume_ends_as_a_locked_private_copy_under_the_forensics_key_in_its_region(
    world: SimpleNamespace, case: Case, keys: SimpleNamespace, to: dict[str, str]
) -> None:
    report = plan(case, keys.instance, to).apply()

    assert report.exit_code == 0, report.to_frame().to_string()
    copies = tagged(world, case, far=True)
    assert len(copies) == 3
    assert {c["KmsKeyId"] for c in copies} == {keys.copies}
    assert {c["OwnerId"] for c in copies} == {world.sim.forensics_account}
    rows = custody(case)
    assert {r["volume"] for r in rows} == {
        t["Value"] for c in copies for t in c["Tags"] if t["Key"] == "irkit:volume"
    }
    for row in rows:
        assert (row["copy"]["visible_to"], row["copy"]["public"]) == ([], False)
        assert row["copy"]["lock"]["mode"] == row["source"]["lock"]["mode"] == "governance"
        assert row["copy"]["state"] == "completed"
    assert verify(case.root).problems == ()


def test_only_what_is_under_the_key_that_aws_manages_is_copied_before_it_is_shared(
    world: SimpleNamespace, case: Case, keys: SimpleNamespace, to: dict[str, str]
) -> None:
    plan(case, keys.instance, to).apply()
    moved = [r for r in custody(case) if r["transfer"]]
    assert len(moved) == 1
    assert moved[0]["transfer"]["key"] == keys.transfer
    assert moved[0]["source"]["visible_to"] == []
    assert all(seen_by(world, r["shared"]) == [world.sim.forensics_account] for r in custody(case))


def test_keeping_again_makes_nothing_new(
    world: SimpleNamespace, case: Case, keys: SimpleNamespace, to: dict[str, str]
) -> None:
    plan(case, keys.instance, to).apply()
    again = plan(case, keys.instance, to, only=["keep"]).apply()
    assert again.exit_code == 0
    assert all(s.earlier for s in again.steps)
    assert (len(tagged(world, case, far=False)), len(tagged(world, case, far=True))) == (4, 3)


def test_without_a_key_to_pass_it_on_under_only_that_volume_is_left_and_named(
    world: SimpleNamespace, case: Case, keys: SimpleNamespace, to: dict[str, str]
) -> None:
    del to["transfer_key"]
    report = plan(case, keys.instance, to).apply()
    assert report.exit_code == 3
    (failed,) = [s for s in by_verb(report)["transfer"] if s.status is Status.FAILED]
    assert "which AWS manages and lets nobody share" in failed.why
    assert "transfer_key=" in failed.why
    assert len(tagged(world, case, far=True)) == 2
    told = by_verb(report)["custody"][0]
    assert told.status is Status.FAILED
    assert failed.target in told.why


def test_a_disabled_key_ends_the_copy_in_error_which_is_not_waited_on_and_is_made_good_later(
    world: SimpleNamespace, case: Case, keys: SimpleNamespace, to: dict[str, str]
) -> None:
    keys.far.disable_key(KeyId=keys.copies)
    try:
        report = plan(case, keys.instance, to).apply()
    finally:
        keys.far.enable_key(KeyId=keys.copies)
    failed = by_verb(report)["copy"]
    assert {s.status for s in failed} == {Status.FAILED}
    assert "Given key ID is not accessible" in failed[0].why
    assert max(s.seconds for s in failed) < 30
    assert report.exit_code == 3

    assert plan(case, keys.instance, to, only=["keep"]).apply().exit_code == 0
    assert sorted(s["State"] for s in tagged(world, case, far=True)) == ["completed"] * 3 + ["error"] * 3


def test_a_disabled_key_of_the_suspects_account_is_told_before_anything_is_copied(
    world: SimpleNamespace, case: Case, keys: SimpleNamespace, to: dict[str, str]
) -> None:
    kms = world.sim.session().client("kms")
    kms.disable_key(KeyId=keys.own)
    try:
        report = plan(case, keys.instance, to).apply()
    finally:
        kms.enable_key(KeyId=keys.own)
    (failed,) = [s for s in by_verb(report)["transfer"] if s.status is Status.FAILED]
    assert f"the KMS key {keys.own} is Disabled" in failed.why
    assert len(tagged(world, case, far=True)) == 2


def test_a_stranger_who_sees_the_snapshot_is_named(
    world: SimpleNamespace, case: Case, keys: SimpleNamespace, to: dict[str, str]
) -> None:
    plan(case, keys.instance, {}, only=["disks"]).apply()
    plain = next(s for s in tagged(world, case, far=False) if not s["Encrypted"])
    world.sim.session().client("ec2").modify_snapshot_attribute(
        SnapshotId=plain["SnapshotId"], Attribute="createVolumePermission", OperationType="add",
        UserIds=["999988887777"],
    )  # fmt: skip
    report = plan(case, keys.instance, to, only=["keep"]).apply()
    assert report.exit_code == 3
    told = [m for s in by_verb(report)["share"] for m in s.missing]
    assert len(told) == 1
    assert f"{plain['SnapshotId']} is also shared with 999988887777" in told[0]


@pytest.mark.parametrize("after", [True, False], ids=["took-effect", "had-no-effect"])
def test_a_lost_answer_never_doubles_a_copy(
    world: SimpleNamespace, case: Case, keys: SimpleNamespace, to: dict[str, str], after: bool
) -> None:
    world.sim.faults.inject("ec2", "CopySnapshot", "InternalError", status=500, after=after, times=2)
    assert plan(case, keys.instance, to).apply().exit_code == 0
    assert (len(tagged(world, case, far=False)), len(tagged(world, case, far=True))) == (4, 3)


def test_too_many_copies_at_once_are_waited_for(
    world: SimpleNamespace,
    case: Case,
    keys: SimpleNamespace,
    to: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for code, (_, why) in quotas.PAUSES.items():
        monkeypatch.setitem(quotas.PAUSES, code, (0.02, why))
    world.sim.faults.inject("ec2", "CopySnapshot", "ResourceLimitExceeded", times=3)
    said: list[str] = []
    assert plan(case, keys.instance, to).apply(progress=said.append).exit_code == 0
    assert any("being copied" in line for line in said)


def test_a_refused_grant_leaves_the_copies_that_need_it_in_error(
    world: SimpleNamespace, case: Case, keys: SimpleNamespace, to: dict[str, str]
) -> None:
    kms = world.sim.session().client("kms")
    for key in (keys.own, keys.transfer):
        for grant in kms.list_grants(KeyId=key)["Grants"]:  # other cases' grants admit the account too
            kms.revoke_grant(KeyId=key, GrantId=grant["GrantId"])
    world.sim.faults.inject("kms", "CreateGrant", "AccessDeniedException", times=9)
    report = plan(case, keys.instance, to).apply()
    assert by_verb(report)["grant"][0].status is Status.FAILED
    assert [s.status for s in by_verb(report)["copy"]].count(Status.DONE) == 1  # the one that is under no key
    world.sim.faults.clear()
    assert plan(case, keys.instance, to, only=["keep"]).apply().exit_code == 0


def test_what_was_granted_and_shared_can_be_taken_back_and_locks_and_copies_stay(
    world: SimpleNamespace, case: Case, keys: SimpleNamespace, to: dict[str, str]
) -> None:
    from irkit.contain.undo import undo_plan

    plan(case, keys.instance, to).apply()
    offered = [r["shared"] for r in custody(case)]
    kms = world.sim.session().client("kms")
    mine = [g for g in kms.list_grants(KeyId=keys.own)["Grants"] if case.id in g["Name"]]
    assert len(mine) == 1

    back = undo_plan(case, only=["capture"]).apply()

    assert back.failed == ()
    assert [seen_by(world, s) for s in offered] == [[], [], []]
    assert [g for g in kms.list_grants(KeyId=keys.own)["Grants"] if case.id in g["Name"]] == []
    locked = world.sim.session().client("ec2").describe_locked_snapshots()["Snapshots"]
    assert {r["source"]["snapshot"] for r in custody(case)} <= {s["SnapshotId"] for s in locked}
    assert len(tagged(world, case, far=True)) == 3


def test_a_compliance_lock_says_that_it_cannot_be_taken_back() -> None:
    from irkit.capture.locking import outcome

    done = outcome("snap-1", None, Lock.parsed("compliance:90"))
    assert done.undo is not None
    assert "ends by itself after 90 days" in str(done.undo.impossible)
    assert done.missing == ("snap-1: AWS shows no compliance lock on it",)


def test_without_a_role_there_the_snapshots_are_shared_and_nothing_is_copied(
    world: SimpleNamespace, case: Case, keys: SimpleNamespace
) -> None:
    account = world.sim.forensics_account
    report = plan(case, keys.instance, {"forensics_account": account, "transfer_key": keys.transfer}).apply()
    assert report.exit_code == 0, report.to_frame().to_string()
    assert "copy" not in by_verb(report)
    assert all(seen_by(world, r["shared"]) == [account] and r["copy"] is None for r in custody(case))


def test_within_the_account_the_copies_go_to_another_region(
    world: SimpleNamespace, case: Case, keys: SimpleNamespace
) -> None:
    report = plan(case, keys.instance, {"forensics_region": REGION}).apply()
    assert report.exit_code == 0, report.to_frame().to_string()
    assert {r["copy"]["owner"] for r in custody(case)} == {world.sim.account}
    assert all(r["copy"]["encrypted"] and r["copy"]["region"] == REGION for r in custody(case))


def test_the_snapshots_of_an_instance_that_is_gone_are_kept_all_the_same(
    world: SimpleNamespace, case: Case, to: dict[str, str]
) -> None:
    ec2 = world.sim.session().client("ec2")
    gone = ec2.run_instances(
        ImageId="ami-0123456789abcdef0", MinCount=1, MaxCount=1, InstanceType="t3.large"
    )["Instances"][0]["InstanceId"]
    assert plan(case, gone, {}, only=["disks"]).apply().exit_code == 0
    ec2.terminate_instances(InstanceIds=[gone])
    assert plan(case, gone, to, only=["keep"]).apply().exit_code == 0
    assert len(tagged(world, case, far=True)) == 1


def test_without_a_destination_all_kinds_leave_keep_out_and_keep_alone_is_refused(
    world: SimpleNamespace, case: Case, keys: SimpleNamespace
) -> None:
    assert not [s for s in capture.plan(case, keys.instance).steps if "keep" in s.verb]
    with pytest.raises(InvalidParameter, match="nothing says where snapshots are kept"):
        capture.plan(case, keys.instance, only=["keep"])


def test_without_snapshots_there_is_nothing_to_keep(
    case: Case, keys: SimpleNamespace, to: dict[str, str]
) -> None:
    with pytest.raises(NotFound, match="no completed snapshots"):
        capture.plan(case, keys.instance, only=["keep"], keep=to)


def test_the_destination_can_stand_among_the_cases_sources(
    world: SimpleNamespace, open_case: Callable[..., Case], keys: SimpleNamespace, to: dict[str, str]
) -> None:
    case = open_case(sources=to)
    verbs = {s.verb for s in capture.plan(case, keys.instance).steps}
    assert {"capture.metadata", "capture.keep.copy", "capture.keep.lock", "capture.keep.custody"} <= verbs


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ({"snapshot_lock": "governance"}, InvalidParameter),
        ({"snapshot_lock": "governance:0"}, InvalidParameter),
        ({"snapshot_lock": "governance:30:24"}, InvalidParameter),
        ({"snapshot_lock": "compliance:30:73"}, InvalidParameter),
        ({"snapshot_lock": "$(reboot)"}, InvalidParameter),
        ({"forensics_key": "alias/x\x1b[31m"}, InvalidParameter),
        ({"forensics_key": "alias/a b"}, InvalidParameter),
        ({"forensics_account": "12"}, InvalidName),
        ({"forensics_role": "arn:aws:iam::444455556666:user/x"}, InvalidName),
        ({"forensics_region": "eu west 1"}, InvalidName),
        (
            {"forensics_role": "arn:aws:iam::444455556666:role/x", "forensics_account": "111122223333"},
            InvalidParameter,
        ),
        ({"bucket": "x"}, InvalidParameter),
    ],
)
def test_a_destination_that_makes_no_sense_is_refused_before_anything_is_done(
    case: Case, given: dict[str, str], kind: type[BadInput]
) -> None:
    with pytest.raises(kind) as refused:
        Destination.of(case, given=given)
    assert "\x1b" not in str(refused.value)
    assert refused.value.hint


def test_the_command_keeps_what_it_is_told_to_and_refuses_what_makes_no_sense(
    world: SimpleNamespace, open_case: Callable[..., Case], keys: SimpleNamespace
) -> None:
    case = open_case(simulated=world.sim.world_id)
    asked = ["capture", keys.instance, "--case", str(case.root), "--only", "disks", "--only", "keep"]
    planned = CliRunner().invoke(cli, [*asked, "--keep", "snapshot_lock=governance:7", "--json"])
    verbs = [s["verb"] for s in json.loads(planned.stdout)["steps"]]
    assert verbs.count("capture.keep.lock") == 3
    assert tagged(world, case, far=False) == []
    done = CliRunner().invoke(cli, [*asked, "--keep", "snapshot_lock=governance:7", "--apply", "--json"])
    assert done.exit_code == 0, done.output
    for wrong in ("snapshot_lock=for-ever", "bucket=x", "snapshot_lock"):
        refused = CliRunner().invoke(cli, [*asked, "--keep", wrong])
        assert isinstance(refused.exception, BadInput), wrong
