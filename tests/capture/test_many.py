"""Several instances with one command: side by side, one summary, and no failure that reaches another instance."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from irkit import capture
from irkit.case import Case
from irkit.cli import cli
from irkit.evidence import seal, verify
from irkit.journal import Kind
from irkit.playbooks import batch, runs

KINDS = ["console", "disks"]


@pytest.fixture(scope="module")
def fleet(planted: SimpleNamespace) -> Iterator[list[str]]:
    """Five machines with one plain volume each."""
    ec2 = planted.sim.session().client("ec2")
    made = ec2.run_instances(
        ImageId="ami-0123456789abcdef0", MinCount=5, MaxCount=5, InstanceType="t3.large",
        TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "fleet", "Value": "many"}]}],
    )  # fmt: skip
    ids = [str(i["InstanceId"]) for i in made["Instances"]]
    yield ids
    ec2.terminate_instances(InstanceIds=ids)


def args(ids: list[str], only: list[str] = KINDS) -> list[dict[str, object]]:
    return [{"instance_id": i, "only": only} for i in ids]


def snapshots(world: SimpleNamespace, case: Case) -> list[str]:
    """The instances whose snapshots the case has in AWS, one for each snapshot."""
    ec2 = world.sim.session().client("ec2")
    found = ec2.describe_snapshots(Filters=[{"Name": "tag:irkit:case", "Values": [case.id]}])["Snapshots"]
    return sorted(t["Value"] for s in found for t in s["Tags"] if t["Key"] == "irkit:instance")


def test_the_captures_run_side_by_side_and_each_has_its_own_evidence(
    world: SimpleNamespace, case: Case, fleet: list[str]
) -> None:
    world.sim.faults.delay(0.15, "ec2", "Get*")
    done = batch.start(case, "capture", args(fleet, ["disks"]), jobs=5)

    assert (done.exit_code, done.complete) == (0, True), done.rows()
    assert [p.instance for p in done.parts] == fleet
    assert snapshots(world, case) == sorted(fleet)
    kinds = [e.kind for e in case.journal.entries]
    before_the_first_end = case.journal.entries[: kinds.index(Kind.ENDED)]
    begun = {e.body["target"] for e in before_the_first_end if e.kind is Kind.INTENDED}
    assert len(begun) > 1, "one after the other"
    assert kinds.count(Kind.RUN) == kinds.count(Kind.ENDED) == 5
    assert verify(case.root).problems == ()


def test_no_more_run_at_a_time_than_was_asked_for(
    world: SimpleNamespace, case: Case, fleet: list[str]
) -> None:
    assert batch.start(case, "capture", args(fleet, ["console"]), jobs=1).exit_code == 0
    targets = [e.body["target"] for e in case.journal.entries if e.kind in (Kind.INTENDED, Kind.DONE)]
    assert targets == [i for i in fleet for _ in range(2)]


def test_what_fails_on_one_instance_reaches_no_other(
    world: SimpleNamespace, case: Case, fleet: list[str]
) -> None:
    ec2 = world.sim.session().client("ec2")
    gone = ec2.run_instances(ImageId="ami-0123456789abcdef0", MinCount=1, MaxCount=1)["Instances"][0][
        "InstanceId"
    ]
    ec2.terminate_instances(InstanceIds=[gone])
    denied = fleet[2]
    world.sim.faults.inject(
        "ec2", "CreateSnapshots", "UnauthorizedOperation", status=403, times=9,
        when=lambda response: denied in str(response.querystring),
    )  # fmt: skip

    done = batch.start(case, "capture", args([*fleet, gone], ["disks"]), jobs=4)

    ended = {p.instance: p for p in done.parts}
    assert done.exit_code == 3
    assert {i for i, p in ended.items() if p.exit_code == 0} == set(fleet) - {denied}
    assert "is terminated" in ended[gone].lacking[0]
    assert any("not allowed" in lack for lack in ended[denied].lacking)
    assert snapshots(world, case) == sorted(set(fleet) - {denied})
    assert runs.unfinished(case) == []


def test_what_was_waiting_for_its_turn_when_the_process_died_is_taken_up(
    world: SimpleNamespace, case: Case, fleet: list[str]
) -> None:
    made = batch.plans(case, "capture", args(fleet, ["disks"]))
    for each in args(fleet, ["disks"]):
        runs.begun(case, "capture", each)
    plan = made[0][1]
    assert not isinstance(plan, str)
    assert plan.apply().exit_code == 0  # and the process dies before it says that the first run has ended

    again = Case.load(str(case.root))
    ended = runs.resume(again)

    assert [r.args["instance_id"] for r, _ in ended] == fleet
    assert all(report.complete for _, report in ended)
    assert snapshots(world, case) == sorted(fleet)


def test_a_storm_of_throttles_slows_all_and_fails_none(
    world: SimpleNamespace, case: Case, fleet: list[str]
) -> None:
    world.sim.faults.inject("ec2", "Describe*", "RequestLimitExceeded", status=503, times=3)
    done = batch.start(case, "capture", args(fleet[:3], ["disks"]), jobs=3)
    assert done.exit_code == 0, done.rows()


def test_many_share_one_client_and_its_rate(case: Case, world: SimpleNamespace) -> None:
    before = case.client("ec2")
    case.aws.share()
    after = case.client("ec2")
    assert after is not before
    assert after is case.client("ec2")
    assert after.meta.config.retries["mode"] == "adaptive"
    role = "arn:aws:iam::444455556666:role/irkit-forensics-role"
    there = case.aws.elsewhere(role, region="eu-west-1")
    assert there is case.aws.elsewhere(role, region="eu-west-1")
    assert there.client("ec2").meta.config.retries["mode"] == "adaptive"


def test_the_command_takes_tags_and_sums_up_in_one_table(
    world: SimpleNamespace, open_case: Callable[..., Case], fleet: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    case = open_case(simulated=world.sim.world_id)
    asked = ["capture", "--case", str(case.root), "--tag", "fleet=many", "--only", "disks", "--jobs", "5"]
    planned = CliRunner().invoke(cli, asked)
    assert planned.exit_code == 0, planned.output
    assert planned.stdout.count("capture disks of") == 5
    assert snapshots(world, case) == []

    done = CliRunner().invoke(cli, [*asked, "--apply"])
    assert done.exit_code == 0, done.output
    assert "5 of 5 complete" in done.stdout
    assert snapshots(world, case) == sorted(fleet)

    told = CliRunner().invoke(cli, [*asked, "--apply", "--json"])
    shown = json.loads(told.stdout)
    assert (shown["schema"], shown["complete"], len(shown["instances"])) == ("irkit/batch/1", True, 5)


def test_the_command_says_which_instance_cannot_be_planned(
    world: SimpleNamespace, open_case: Callable[..., Case], fleet: list[str]
) -> None:
    case = open_case(simulated=world.sim.world_id)
    asked = ["capture", fleet[0], "i-00000000000000000", "--case", str(case.root), "--only", "disks"]
    planned = CliRunner().invoke(cli, [*asked, "--json"])
    assert planned.exit_code == 3
    assert [bool(row["error"]) for row in json.loads(planned.stdout)] == [False, True]
    done = CliRunner().invoke(cli, [*asked, "--apply"])
    assert done.exit_code == 3
    assert "i-00000000000000000" in done.stdout
    assert "does not exist" in done.stdout


def test_a_run_that_was_given_where_to_keep_is_resumed_with_it(
    world: SimpleNamespace, case: Case, fleet: list[str]
) -> None:
    lock = {"snapshot_lock": "governance:7"}
    runs.begun(case, "capture", {"instance_id": fleet[0], "only": ["disks", "keep"], "keep": lock})
    ((_, report),) = runs.resume(Case.load(str(case.root)))
    assert report.complete
    assert any(s.verb == "capture.keep.lock" for s in report.steps)


def test_the_kinds_of_the_command_are_those_that_can_be_captured() -> None:
    for kind in capture.KINDS:
        assert kind in CliRunner().invoke(cli, ["capture", "--help"]).output


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_twenty_instances_take_less_than_a_quarter_of_twenty_single_runs(
    world: SimpleNamespace, open_case: Callable[..., Case]
) -> None:
    """Every answer is late by the same time, so what is measured is how much of the waiting is done side by side."""
    ec2 = world.sim.session().client("ec2")
    made = ec2.run_instances(
        ImageId="ami-0123456789abcdef0", MinCount=20, MaxCount=20, InstanceType="t3.large"
    )
    ids = [str(i["InstanceId"]) for i in made["Instances"]]
    kinds = ["metadata", "console", "disks"]
    try:
        delay = world.sim.faults.delay(0.4)
        begun = time.monotonic()
        for one in ids:
            case = open_case()
            assert runs.start(case, "capture", args([one], kinds)[0]).exit_code == 0
        singly, waited_singly, delay.waited = time.monotonic() - begun, delay.waited, 0.0

        begun = time.monotonic()
        case = open_case()
        done = batch.start(case, "capture", args(ids, kinds), jobs=20)
        together = time.monotonic() - begun
    finally:
        world.sim.faults.clear()
        ec2.terminate_instances(InstanceIds=ids)
    assert done.exit_code == 0, done.rows()
    assert snapshots(world, case) == sorted(ids)
    assert delay.waited >= 0.9 * waited_singly, "the same questions were asked"
    ratio = together / singly
    print(
        f"20 instances: {singly:.0f} s one by one, {together:.0f} s with one command (ratio {ratio:.2f}); injected "
        f"latency 0.4 s a call, {waited_singly:.0f} s and {delay.waited:.0f} s in all"
    )
    assert ratio < 0.25


def test_what_needs_an_approval_waits_and_the_rest_is_captured(
    world: SimpleNamespace, open_case: Callable[..., Case], fleet: list[str], tmp_path: Path
) -> None:
    rules = tmp_path / "approvers.yaml"
    public = seal.make_key(tmp_path / "bea.pem").with_name("bea.pem.pub").read_text()
    people = [{"name": "bea", "roles": ["ir-lead"], "public_key": public}]
    require = {"capture.disks": {"role": "ir-lead", "number": 1, "minutes": 60}}
    rules.write_text(json.dumps({"schema": "irkit/approvers/1", "people": people, "require": require}))
    case = open_case(sources={"approvers": str(rules)})
    done = batch.start(case, "capture", args(fleet[:2]), jobs=2)
    assert {p.exit_code for p in done.parts} == {4}, done.rows()
    assert snapshots(world, case) == []
    assert len(case.evidence.items(kind="console-output")) == 2
    assert len(runs.unfinished(case)) == 2
