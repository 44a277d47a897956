"""What a responder meets at night: no agent on the host, and names that somebody chose to do harm."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from irkit import capture
from irkit.case import Case
from irkit.cli import cli
from irkit.evidence import verify

# What XML can carry; control characters cannot come out of EC2's answers.
HOSTILE = ['$(reboot) `id`; rm -rf / it\'s "quoted"', "a\nb\tc\u202etxt.exe", "=1+1<script>alert(1)</script>"]


@pytest.fixture
def agent_off(world: SimpleNamespace) -> Iterator[None]:
    """Systems Manager does not reach the suspect, switched off as another process would."""

    def switch(online: bool) -> None:
        body = json.dumps({"instance_id": world.instance_id, "online": online}).encode()
        asked = urllib.request.Request(f"{world.sim.endpoint}/irkit-sim/agents", data=body, method="POST")
        with urllib.request.urlopen(asked, timeout=10) as answer:
            assert answer.status == 200

    switch(False)
    yield
    switch(True)


@pytest.mark.usefixtures("agent_off")
def test_without_an_agent_all_but_the_host_is_captured_and_the_exit_code_says_in_part(
    world: SimpleNamespace, open_case: Callable[..., Case]
) -> None:
    sources = {"forensics_role": world.public["forensics_role_arn"], "snapshot_lock": "governance:30"}
    case = open_case(sources=sources, simulated=world.sim.world_id)
    done = CliRunner().invoke(
        cli, ["capture", world.instance_id, "--case", str(case.root), "--apply", "--json"]
    )

    assert done.exit_code == 3, done.output
    steps = {s["verb"]: s for s in json.loads(done.stdout)["steps"]}
    failed = {verb for verb, s in steps.items() if s["status"] == "failed"}
    assert failed == {"capture.host"}
    assert "no command reaches" in steps["capture.host"]["why"]
    for verb in ("capture.metadata", "capture.console", "capture.disks.complete", "capture.keep.custody"):
        assert (steps[verb]["status"], steps[verb]["missing"]) == ("done", []), verb
    assert verify(case.root).problems == ()


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_is_captured_as_it_is_and_shown_harmlessly(
    world: SimpleNamespace, open_case: Callable[..., Case], name: str
) -> None:
    ec2 = world.sim.session().client("ec2")
    tags = [{"Key": "Name", "Value": name}, {"Key": name, "Value": name}]
    made = ec2.run_instances(
        ImageId="ami-0123456789abcdef0", MinCount=1, MaxCount=1, InstanceType="t3.large",
        TagSpecifications=[{"ResourceType": kind, "Tags": tags} for kind in ("instance", "volume")],
    )["Instances"][0]["InstanceId"]  # fmt: skip
    case = open_case(simulated=world.sim.world_id)
    try:
        asked = ["capture", made, "--case", str(case.root), "--only", "metadata", "--only", "disks"]
        planned, card = CliRunner().invoke(cli, asked), capture.preflight(case, made)
        done = CliRunner().invoke(cli, [*asked, "--apply"])
    finally:
        ec2.terminate_instances(InstanceIds=[made])
    assert (planned.exit_code, done.exit_code) == (0, 0), planned.output + done.output
    shown = planned.output + done.output + repr(card)
    assert "\u202e" not in shown
    assert "a\nb" not in shown
    assert "<script" not in card._repr_html_()
    view = json.loads(case.evidence.read(case.evidence.items(kind="instance")[0]))
    assert view["instance"]["tags"] == {"Name": name, name: name}
    snapshots = ec2.describe_snapshots(Filters=[{"Name": "tag:irkit:case", "Values": [case.id]}])["Snapshots"]
    assert [t["Value"] for t in snapshots[0]["Tags"] if t["Key"] == name] == [name], (
        "the volume's tags go along"
    )
    assert verify(case.root).problems == ()
