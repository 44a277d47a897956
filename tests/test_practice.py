"""A simulated account to practise on: the real `aws`, papermill and irkit against it, as the how-to page says."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.processes import below, mentioning, running

BIN = Path(sys.executable).parent
pytestmark = [pytest.mark.slow, pytest.mark.needs_user_namespaces, pytest.mark.needs_mke2fs]


@dataclass(frozen=True, slots=True, kw_only=True)
class Practice:
    """A shell that `eval "$(irkit sim up)"` has been typed into."""

    state: Path
    cases: Path
    env: dict[str, str]
    instance_id: str

    def run(self, *command: object, code: int = 0) -> str:
        """Standard output of a command, which must end with `code`."""
        program = BIN / str(command[0])
        ran = subprocess.run(
            [program, *map(str, command[1:])], capture_output=True, text=True, timeout=150, env=self.env
        )
        assert ran.returncode == code, f"{ran.stdout}\n{ran.stderr}"
        assert "Traceback" not in ran.stderr
        return ran.stdout

    def aws(self, *arguments: object) -> Any:
        """What the real `aws` command answers."""
        return json.loads(self.run("aws", *arguments, "--output", "json") or "null")


@pytest.fixture(scope="module")
def practice(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Practice]:
    if not (BIN / "aws").exists():
        pytest.skip("no aws command: pip install awscli")
    folder = tmp_path_factory.mktemp("practice")
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "IRKIT_"))}
    clean |= {"HOME": str(folder), "PATH": f"{BIN}:{clean['PATH']}", "IRKIT_CASES": str(folder / "cases")}
    script = f'eval "$(irkit sim up --state {shlex.quote(str(folder / "sim"))})" && env -0'
    shell = subprocess.run(["bash", "-euc", script], capture_output=True, text=True, timeout=120, env=clean)
    assert shell.returncode == 0, shell.stderr
    env = dict(line.partition("=")[::2] for line in shell.stdout.split("\0") if line)
    up = json.loads((folder / "sim" / "sim.json").read_text())
    practice = Practice(
        state=folder / "sim", cases=folder / "cases", env=env, instance_id=up["public"]["instance_id"]
    )
    yield practice
    started = {up["pid"], *below(up["pid"])}
    assert "ended" in practice.run("irkit", "sim", "down", "--state", practice.state)
    deadline = time.monotonic() + 10
    while any(map(running, started)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not [pid for pid in started if running(pid)]
    assert not mentioning(str(practice.state))


def test_the_real_aws_command_lists_the_instance(practice: Practice) -> None:
    answer = practice.aws("ec2", "describe-instances", "--instance-ids", practice.instance_id)
    (instance,) = answer["Reservations"][0]["Instances"]
    assert instance["State"]["Name"] == "running"
    assert practice.aws("sts", "get-caller-identity")["Arn"].endswith("user/irkit-responder")


def test_the_real_aws_command_runs_a_script_on_the_host_and_gets_its_real_output(practice: Practice) -> None:
    script = "cat /etc/os-release; echo $((6*7)); ls /no-such-file"
    sent = practice.aws(
        "ssm", "send-command", "--instance-ids", practice.instance_id, "--document-name", "AWS-RunShellScript",
        "--parameters", json.dumps({"commands": [script]}),
    )  # fmt: skip
    asked = ["--command-id", sent["Command"]["CommandId"], "--instance-id", practice.instance_id]
    ran = subprocess.run(
        [BIN / "aws", "ssm", "wait", "command-executed", *asked],
        timeout=60,
        env=practice.env,
        capture_output=True,
    )
    assert ran.returncode != 0, "the script's last command fails, and so the waiter does"
    answer = practice.aws("ssm", "get-command-invocation", *asked)
    assert answer["Status"] == "Failed"
    assert "Amazon Linux" in answer["StandardOutputContent"]
    assert "\n42\n" in answer["StandardOutputContent"]
    assert "/no-such-file" in answer["StandardErrorContent"]


def test_plain_papermill_runs_a_notebook_from_where_irkit_says_it_lies(
    practice: Practice, tmp_path: Path
) -> None:
    practice.run("irkit", "case", "open", "by-papermill")
    notebook = practice.run("irkit", "notebooks", "path", "capture/preflight").strip()
    out = tmp_path / "out.ipynb"
    given = ["-r", "case_id", "by-papermill", "-r", "instance_id", practice.instance_id]
    practice.run("papermill", notebook, out, *given, "--no-progress-bar")
    executed = json.loads(out.read_text())
    outputs = [o for cell in executed["cells"] for o in cell.get("outputs", ())]
    assert not [o for o in outputs if o["output_type"] == "error"]
    assert practice.instance_id in json.dumps(outputs)


def test_an_instance_is_captured_contained_and_put_back(practice: Practice) -> None:
    case = ["--case", "2026-11-0042"]
    bucket = json.loads((practice.state / "sim.json").read_text())["public"]["evidence_bucket"]
    practice.run("irkit", "case", "open", "2026-11-0042", "--source", f"evidence_bucket={bucket}")
    before = practice.aws("ec2", "describe-network-interfaces")["NetworkInterfaces"]

    captured = json.loads(practice.run("irkit", "capture", practice.instance_id, *case, "--apply", "--json"))
    assert captured["complete"] is True
    snapshots = practice.aws(
        "ec2", "describe-snapshots", "--filters", "Name=tag:irkit:case,Values=2026-11-0042"
    )
    assert len(snapshots["Snapshots"]) == 2

    contained = json.loads(practice.run("irkit", "contain", practice.instance_id, *case, "--apply", "--json"))
    assert contained["complete"] is True
    groups = interfaces(
        practice.aws("ec2", "describe-network-interfaces")["NetworkInterfaces"], practice.instance_id
    )
    assert groups != interfaces(before, practice.instance_id)
    protected = ["--instance-id", practice.instance_id, "--attribute", "disableApiTermination"]
    assert (
        practice.aws("ec2", "describe-instance-attribute", *protected)["DisableApiTermination"]["Value"]
        is True
    )

    plan = json.loads(practice.run("irkit", "case", "undo", "2026-11-0042", "--json"))
    assert len(plan["steps"]) >= 10
    still = practice.aws("ec2", "describe-network-interfaces")["NetworkInterfaces"]
    assert interfaces(still, practice.instance_id) == groups, "showing the plan changed something"

    undone = json.loads(practice.run("irkit", "case", "undo", "2026-11-0042", "--apply", "--json"))
    assert undone["complete"] is True
    after = practice.aws("ec2", "describe-network-interfaces")["NetworkInterfaces"]
    assert interfaces(after, practice.instance_id) == interfaces(before, practice.instance_id)
    assert (
        practice.aws("ec2", "describe-instance-attribute", *protected)["DisableApiTermination"]["Value"]
        is False
    )
    again = json.loads(practice.run("irkit", "case", "undo", "2026-11-0042", "--json"))
    assert not [step for step in again["steps"] if step["changes"]]

    verdict = json.loads(practice.run("irkit", "case", "verify", "2026-11-0042", "--json"))
    assert verdict["sound"] is True
    assert verdict["items"] >= 8


def interfaces(found: list[dict[str, Any]], instance: str) -> dict[str, list[str]]:
    """The security groups of each interface of the instance."""
    return {
        i["NetworkInterfaceId"]: sorted(g["GroupId"] for g in i["Groups"])
        for i in found
        if i.get("Attachment", {}).get("InstanceId") == instance
    }


def test_status_says_whether_it_is_up_and_up_again_is_the_same_one(practice: Practice) -> None:
    state = ["--state", practice.state]
    status = json.loads(practice.run("irkit", "sim", "status", *state, "--json"))
    assert status["endpoint"] == practice.env["AWS_ENDPOINT_URL"]
    assert practice.instance_id in practice.run("irkit", "sim", "status", *state)
    assert json.loads(practice.run("irkit", "sim", "up", *state, "--json"))["pid"] == status["pid"]


def test_where_nothing_is_up_status_says_so_and_down_does_nothing(practice: Practice, tmp_path: Path) -> None:
    state = ["--state", tmp_path / "none"]
    assert "down" in practice.run("irkit", "sim", "status", *state, code=1)
    assert json.loads(practice.run("irkit", "sim", "status", *state, "--json", code=1)) == {"up": False}
    assert "not running" in practice.run("irkit", "sim", "down", *state)


def test_several_that_start_one_at_once_get_the_same_and_a_killed_start_leaves_one(
    practice: Practice, tmp_path: Path
) -> None:
    command = [BIN / "irkit", "sim", "up", "--scenario", "empty", "--state", tmp_path / "sim", "--json"]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) for _ in range(3)]
    deadline = time.monotonic() + 30
    while (
        not (daemons := mentioning(str(tmp_path / "sim")) - {p.pid for p in started})
        and time.monotonic() < deadline
    ):
        time.sleep(0.01)
    assert len(daemons) == 1
    for process in started:
        process.kill()
        process.communicate()
    up = json.loads(practice.run("irkit", *command[1:]))
    try:
        assert {up["pid"]} == daemons
    finally:
        practice.run("irkit", "sim", "down", "--state", tmp_path / "sim")
    assert not mentioning(str(tmp_path / "sim"))
