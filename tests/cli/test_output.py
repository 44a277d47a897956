"""What is printed: one JSON document for machines, progress apart from it, and nothing hostile for a terminal."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import boto3
import pytest

from tests.cli.running import IRKIT, Ran, SimulatedWorld, irkit, irkit_program

HOSTILE = "\x1b[2J\x1b]0;owned\x07 \u202egnp.exe\u2066 \r\nirkit: all is well"
# What fits into XML, and so into EC2's answers: a C1 control sequence, and text that reads backwards.
HOSTILE_NAME = "\u202egnp.exe\u2066 \x9b2Jx"


@pytest.fixture
def hostile(world: SimulatedWorld) -> str:
    """The id of an instance whose name would take over a terminal."""
    ec2 = boto3.client("ec2")
    image = ec2.describe_instances(InstanceIds=[world.instance_id])["Reservations"][0]["Instances"][0][
        "ImageId"
    ]
    tags = [{"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": HOSTILE_NAME}]}]
    ident: str = ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1, TagSpecifications=tags)[
        "Instances"
    ][0]["InstanceId"]
    return ident


def assert_harmless(ran: Ran) -> None:
    for text in (ran.out, ran.err):
        assert not set(text) & set("\x1b\x9b\x07\r\u202e\u2066")
        assert "\nirkit: all is well" not in text


def test_names_from_aws_are_escaped_for_the_terminal(case: str, hostile: str) -> None:
    for command in (["preflight", hostile], ["capture", hostile], ["contain", hostile]):
        ran = irkit(*command, "--case", case)
        assert ran.code == 0, ran.err
        assert_harmless(ran)
    assert "\\u202egnp.exe\\u2066 \\x9b2Jx" in irkit("preflight", hostile, "--case", case).out


def test_what_a_person_typed_is_escaped_for_the_terminal(cases: Path) -> None:
    for command in (
        ["case", "open", HOSTILE, "--region", "us-east-1"],
        ["case", "open", "c", "--region", HOSTILE],
        ["case", "open", "c", "--region", "us-east-1", "--source", HOSTILE],
        ["case", "show", HOSTILE],
        ["case", "list", "--cases", f"/{HOSTILE}"],
        ["capture", HOSTILE, "--case", "c"],
        ["notebooks", "show", HOSTILE],
        ["playbooks", "show", HOSTILE],
        ["logs", "ask", HOSTILE, "--from", "/"],
        ["logs", "ingest", f"/{HOSTILE}", "--into", "/nowhere"],
        [HOSTILE],
    ):
        ran = irkit(*command)
        assert_harmless(ran)
        assert ran.err.count("\n") <= 1, ran.err


def test_a_title_that_is_hostile_is_shown_as_text(world: SimulatedWorld, cases: Path) -> None:
    assert (
        irkit("case", "open", "c", "--region", "us-east-1", "--title", HOSTILE, "--responder", HOSTILE).code
        == 0
    )
    for command in (["case", "list"], ["case", "show", "c"], ["case", "custody", "c"]):
        ran = irkit(*command)
        assert ran.code == 0
        assert "\\x1b" in ran.out
        assert_harmless(ran)


@pytest.mark.parametrize(
    "command",
    [
        ["preflight", "INSTANCE", "--case", "CASE"],
        ["capture", "INSTANCE", "--case", "CASE"],
        ["capture", "INSTANCE", "--case", "CASE", "--only", "metadata", "--apply"],
        ["contain", "INSTANCE", "--case", "CASE"],
        ["case", "open", "another", "--region", "us-east-1"],
        ["case", "list"],
        ["case", "show", "CASE"],
        ["case", "custody", "CASE"],
        ["case", "verify", "CASE"],
        ["case", "resume", "CASE"],
        ["case", "undo", "CASE"],
        ["notebooks", "list"],
        ["notebooks", "show", "capture/instance"],
        ["playbooks", "list"],
        ["playbooks", "show", "ec2-compromise"],
        ["playbooks", "plan", "ec2-compromise", "--case", "CASE", "--set", "instance_id=INSTANCE"],
        ["logs", "questions"],
        ["report", "build", "--case", "CASE"],
    ],
    ids=lambda c: " ".join(c[:2]) + (" apply" if "--apply" in c else ""),
)
def test_json_is_one_document_on_standard_output_and_progress_is_not_in_it(
    command: list[str], case: str, world: SimulatedWorld
) -> None:
    given = [c.replace("INSTANCE", world.instance_id).replace("CASE", case) for c in command]
    ran = irkit(*given, "--json")
    assert ran.code == 0, ran.err
    assert ran.json() is not None
    assert ("--apply" in command) == bool(ran.err), ran.err


def test_json_goes_with_the_exit_code_of_what_was_done_in_part(case: str, world: SimulatedWorld) -> None:
    with world.fault("ec2", "GetConsoleScreenshot", "UnauthorizedOperation", status=403):
        ran = irkit("capture", world.instance_id, "--case", case, "--only", "console", "--apply", "--json")
    assert ran.code == 3, ran.err
    assert ran.json()["complete"] is False


@pytest.mark.parametrize("command", [["logs", "questions"], ["notebooks", "list"], ["--help"]], ids=" ".join)
def test_a_reader_that_goes_away_is_no_error(command: list[str]) -> None:
    shell = f"'{IRKIT}' {' '.join(command)} | true; echo ${{PIPESTATUS[0]}}"
    ran = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, timeout=60)
    assert ran.stdout.strip() == "0"
    assert ran.stderr == ""


def test_a_closed_standard_output_is_no_traceback() -> None:
    ran = subprocess.run(
        ["bash", "-c", f"'{IRKIT}' logs questions > /dev/full"], capture_output=True, text=True, timeout=60
    )
    assert ran.returncode == 1
    assert ran.stderr.count("\n") == 1, ran.stderr
    assert ran.stderr.startswith("irkit: ")


def test_ctrl_c_ends_a_capture_at_once_and_the_next_run_completes_it(
    cases: Path, world: SimulatedWorld
) -> None:
    case, bucket = "c-2", world.up.public["evidence_bucket"]
    opening = ["case", "open", case, "--region", "us-east-1", "--source", f"evidence_bucket={bucket}"]
    assert irkit(*opening).code == 0
    command = [IRKIT, "capture", world.instance_id, "--case", case, "--only", "host", "--apply"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert "capture.host" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        begun = time.monotonic()
        out, err = process.communicate(timeout=60)
    assert time.monotonic() - begun < 10
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert err.strip().splitlines()[-1].startswith("irkit: stopped")
    assert "irkit case resume" in err
    assert out == ""

    ran = irkit_program("case", "resume", case)
    assert ran.code == 0, ran.err
    assert irkit("case", "verify", case).code == 0


def test_a_case_verifies_right_after_a_notebook_was_run_for_it(cases: Path) -> None:
    assert irkit("case", "open", "c", "--region", "us-east-1").code == 0
    ran = irkit("notebooks", "run", "report/timeline", "--case", "c")
    assert ran.code == 0, ran.err
    verified = irkit("case", "verify", "c")
    assert verified.code == 0, verified.out + verified.err
    assert "newer" not in verified.out
