"""Bad input gets one clear line and the right exit code, and leaves nothing half-made."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from tests.cli.running import (
    Ran,
    SimulatedWorld,
    assert_refused,
    irkit,
    nothing_is_left_behind,
)

ON_ONE_INSTANCE = (["preflight"], ["capture"], ["capture", "--apply"], ["contain"], ["contain", "--apply"])
ABSENT = "i-0123456789abcdef0"


def on(instance: str, command: list[str], case: str) -> Ran:
    return irkit(command[0], instance, "--case", case, *command[1:])


def run_playbook(instance: str, case: str, *more: str) -> Ran:
    return irkit(
        "playbooks", "run", "ec2-compromise", "--case", case, "--set", f"instance_id={instance}", *more
    )


@pytest.fixture
def terminated(world: SimulatedWorld) -> str:
    """The id of an instance that was terminated."""
    ec2 = boto3.client("ec2")
    image = ec2.describe_instances(InstanceIds=[world.instance_id])["Reservations"][0]["Instances"][0][
        "ImageId"
    ]
    ident: str = ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1)["Instances"][0]["InstanceId"]
    ec2.terminate_instances(InstanceIds=[ident])
    ec2.get_waiter("instance_terminated").wait(InstanceIds=[ident], WaiterConfig={"Delay": 1})
    return ident


@pytest.fixture
def without_credentials(world: SimulatedWorld) -> Iterator[None]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        os.environ.pop(name, None)
    return None


# --- the instance -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ON_ONE_INSTANCE, ids=" ".join)
def test_an_instance_that_does_not_exist_is_bad_input(
    command: list[str], case: str, cases: Path, world: SimulatedWorld
) -> None:
    with nothing_is_left_behind(cases, world):
        assert_refused(on(ABSENT, command, case), 2, ABSENT, "does not exist", "us-east-1", "check the id")


@pytest.mark.parametrize("command", ON_ONE_INSTANCE, ids=" ".join)
@pytest.mark.parametrize(
    "instance", ["i-12", "web-1", "i-0123456789ABCDEF0", "i-0123456789abcdef0\n", "../i-01234567"]
)
def test_a_malformed_instance_id_is_bad_input_and_aws_is_not_asked(
    instance: str, command: list[str], case: str, cases: Path, world: SimulatedWorld
) -> None:
    asked = len([c for c in world.calls() if c["operation"] != "GetCallerIdentity"])
    with nothing_is_left_behind(cases, world):
        assert_refused(
            on(instance, command, case), 2, "is not an instance id", "looks like i-0123456789abcdef0"
        )
    assert len([c for c in world.calls() if c["operation"] != "GetCallerIdentity"]) == asked


@pytest.mark.parametrize("command", ON_ONE_INSTANCE, ids=" ".join)
def test_a_terminated_instance_is_refused_with_what_is_left_to_do(
    command: list[str], terminated: str, case: str, cases: Path, world: SimulatedWorld
) -> None:
    with nothing_is_left_behind(cases, world):
        assert_refused(on(terminated, command, case), 4, terminated, "terminated")


def test_a_playbook_is_not_begun_on_an_instance_that_does_not_exist(
    case: str, cases: Path, world: SimulatedWorld
) -> None:
    with nothing_is_left_behind(cases, world):
        assert_refused(run_playbook(ABSENT, case, "--apply"), 2, ABSENT, "does not exist")
        assert_refused(run_playbook("web-1", case, "--apply"), 2, "'web-1' is not an instance id")


# --- the region and the credentials -------------------------------------------------------------------------


@pytest.mark.parametrize("command", ON_ONE_INSTANCE, ids=" ".join)
def test_a_region_that_is_off_is_refused(command: list[str], cases: Path, world: SimulatedWorld) -> None:
    assert irkit("case", "open", "off", "--region", "ap-east-1").code == 0
    with nothing_is_left_behind(cases, world):
        assert_refused(on(world.instance_id, command, "off"), 4, "ap-east-1", "not enabled", "enable it")


@pytest.mark.parametrize("region", ["nowhere", "us-east-99", "US-EAST-1", "us-east-1a", "", "us-east-1\n"])
def test_what_is_no_region_is_bad_input(region: str, cases: Path, world: SimulatedWorld) -> None:
    with nothing_is_left_behind(cases, world):
        assert_refused(irkit("case", "open", "c", "--region", region), 2, "region", "us-east-1")


@pytest.mark.parametrize("command", ON_ONE_INSTANCE, ids=" ".join)
def test_without_credentials_nothing_is_begun(
    command: list[str], case: str, cases: Path, world: SimulatedWorld, without_credentials: None
) -> None:
    with nothing_is_left_behind(cases, world):
        assert_refused(on(world.instance_id, command, case), 4, "no usable AWS credentials", "sign in")


@pytest.mark.parametrize("command", ON_ONE_INSTANCE, ids=" ".join)
def test_keys_that_aws_does_not_know_are_not_mistaken_for_a_region_that_is_off(
    command: list[str], case: str, cases: Path, world: SimulatedWorld
) -> None:
    os.environ["AWS_ACCESS_KEY_ID"] = "AKIAIOSFODNN7EXAMPLE"
    with nothing_is_left_behind(cases, world):
        assert_refused(
            on(world.instance_id, command, case), 4, "AWS does not know the credentials", "sign in"
        )


@pytest.mark.parametrize("command", [["capture", "--apply"], ["contain", "--apply"]], ids=" ".join)
def test_expired_credentials_are_told_as_such(
    command: list[str], case: str, cases: Path, world: SimulatedWorld
) -> None:
    with (
        nothing_is_left_behind(cases, world),
        world.fault("ec2", "DescribeInstances", "RequestExpired"),
    ):
        assert_refused(on(world.instance_id, command, case), 4, "have expired", "sign in")


def test_a_profile_that_does_not_exist_is_named(case: str, cases: Path, without_credentials: None) -> None:
    os.environ["AWS_PROFILE"] = "night-shift"
    with nothing_is_left_behind(cases):
        assert_refused(on(ABSENT, ["capture"], case), 4, "night-shift", "sign in")


def test_a_permission_that_is_missing_is_refused_with_the_operation(
    case: str, cases: Path, world: SimulatedWorld
) -> None:
    with (
        nothing_is_left_behind(cases, world),
        world.fault("ec2", "DescribeInstances", "UnauthorizedOperation", status=403),
    ):
        assert_refused(on(world.instance_id, ["capture"], case), 4, "not allowed", "permission")


def test_an_endpoint_that_cannot_be_reached_is_a_failure(
    case: str, cases: Path, world: SimulatedWorld
) -> None:
    os.environ |= {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_MAX_ATTEMPTS": "1"}
    with nothing_is_left_behind(cases):
        assert_refused(on(world.instance_id, ["capture"], case), 1, "cannot reach AWS", "AWS_ENDPOINT_URL")


def test_a_case_about_real_aws_does_not_act_in_a_simulated_account(
    cases: Path, world: SimulatedWorld
) -> None:
    del os.environ["IRKIT_SIMULATED"]
    assert irkit("case", "open", "real", "--region", "us-east-1").code == 0
    os.environ["IRKIT_SIMULATED"] = "sim-1"
    with nothing_is_left_behind(cases, world):
        assert_refused(on(world.instance_id, ["capture"], "real"), 4, "real AWS", "unset")


def test_a_case_about_a_simulated_account_does_not_act_in_real_aws(
    case: str, cases: Path, world: SimulatedWorld
) -> None:
    del os.environ["IRKIT_SIMULATED"]
    with nothing_is_left_behind(cases, world):
        assert_refused(on(world.instance_id, ["contain", "--apply"], case), 4, "simulated", "irkit sim up")


# --- the case -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "case_id",
    [
        "../outside",
        "a/../../b",
        "/etc/x",
        "..",
        ".hidden",
        "a\x00b",
        "a\nb",
        "-rf",
        "x" * 200,
        "",
        "a b",
        "é",
        "c..1",
    ],
)
def test_a_case_id_that_could_leave_the_folder_of_cases_is_refused(
    case_id: str, cases: Path, tmp_path: Path
) -> None:
    with nothing_is_left_behind(tmp_path):
        assert_refused(
            irkit("case", "open", "--region", "us-east-1", "--", case_id), 2, "cannot name a case", "letters"
        )
        for command in (["show"], ["undo"], ["custody"], ["verify"]):
            ran = irkit("case", *command, "--", case_id)
            assert ran.code == 2, (command, ran)
            assert ran.err.count("\n") == 1
        assert irkit("capture", ABSENT, "--case", case_id).code == 2


@pytest.mark.parametrize(
    "command",
    [
        ["capture", ABSENT, "--case", "nope"],
        ["case", "show", "nope"],
        ["case", "resume", "nope"],
        ["case", "undo", "nope", "--apply"],
        ["case", "verify", "nope"],
        ["case", "custody", "nope"],
        ["logs", "ask", "coverage", "--case", "nope"],
        ["report", "build", "--case", "nope"],
        ["notebooks", "run", "report/final-report", "--case", "nope"],
        ["playbooks", "run", "ec2-compromise", "--case", "nope", "--set", f"instance_id={ABSENT}", "--apply"],
    ],
    ids=lambda c: " ".join(c[:2]),
)
def test_a_case_that_does_not_exist_is_bad_input(command: list[str], cases: Path) -> None:
    with nothing_is_left_behind(cases):
        assert_refused(irkit(*command), 2, "no case", "nope")


def test_evidence_is_not_deposited_where_no_bucket_is(case: str, cases: Path, world: SimulatedWorld) -> None:
    with nothing_is_left_behind(cases, world):
        assert_refused(irkit("case", "deposit", case, "--apply"), 2, "no bucket", "--bucket")
        assert_refused(
            irkit("case", "deposit", case, "--bucket", "../x", "--apply"), 2, "cannot name a bucket"
        )
    ran = irkit("case", "deposit", case, "--bucket", "no-such-bucket", "--apply")
    assert ran.code == 1
    assert "the bucket does not exist" in ran.out


def test_opening_a_case_again_does_not_change_what_it_is_about(case: str, cases: Path) -> None:
    with nothing_is_left_behind(cases):
        assert irkit("case", "open", case, "--region", "us-east-1").code == 0
        assert_refused(
            irkit("case", "open", case, "--region", "eu-west-1"), 2, case, "us-east-1", "eu-west-1"
        )


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("--account", "12345", "is not an account id"),
        ("--account", "\uff11" * 12, "is not an account id"),
        ("--role", "Responder", "is not the ARN of a role"),
        ("--source", "s3://bucket", "is not NAME=VALUE"),
        ("--source", "clodtrail=s3://bucket", "--source knows no clodtrail"),
        ("--source", "topic=alarms", "'alarms' is not the ARN of a topic"),
        ("--source", "evidence_bucket=s3://bucket", "cannot name a bucket"),
        ("--posture", "reckless", "reckless"),
    ],
)
def test_facts_of_a_case_are_checked_before_it_is_opened(
    option: str, value: str, says: str, cases: Path
) -> None:
    with nothing_is_left_behind(cases):
        assert_refused(irkit("case", "open", "c", "--region", "us-east-1", option, value), 2, says)


# --- logs, reports, simulator -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (["logs", "ingest", "OUT/none", "--into", "OUT/tables"], "there is no file or folder"),
        (["logs", "ingest", "OUT"], "either --case or --into"),
        (["logs", "ask", "coverage"], "either --case or --from"),
        (["logs", "ask", "no_such_question", "--from", "OUT"], "no question"),
        (["logs", "ask", "coverage", "--from", "OUT", "--set", "x"], "NAME=VALUE"),
        (["logs", "ask", "coverage", "--from", "OUT", "--set", "x=1"], "x"),
        (["notebooks", "show", "no/such"], "no notebook no/such"),
        (["notebooks", "path", "../../etc/passwd"], "no notebook"),
        (["notebooks", "copy", "no/such", "OUT"], "no notebook"),
        (["playbooks", "show", "no-such"], "no playbook no-such"),
        (["playbooks", "plan", "ec2-compromise", "--case", "nope"], "no case"),
        (["demo", "--scenario", "no-such", "--out", "OUT/demo"], "no scenario"),
        (["sim", "up", "--scenario", "no-such", "--state", "OUT/sim"], "no scenario"),
        (["sim", "up", "--idle-minutes", "0", "--state", "OUT/sim"], "--idle-minutes"),
        (["case", "list", "--cases", "OUT/file"], "is not a folder"),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, list) else "",
)
def test_what_does_not_exist_is_named(command: list[str], says: str, tmp_path: Path, cases: Path) -> None:
    (tmp_path / "file").touch()
    with nothing_is_left_behind(tmp_path):
        assert_refused(irkit(*[c.replace("OUT", str(tmp_path)) for c in command]), 2, says)


def test_a_damaged_case_is_named_and_hides_no_other(world: SimulatedWorld, cases: Path) -> None:
    for name in ("a", "b", "c"):
        assert irkit("case", "open", name, "--region", "us-east-1").code == 0
    (cases / "b" / "case.json").write_text("{}")
    (cases / "c" / "journal.jsonl").write_text("x\n")
    (cases / "not a case").mkdir()
    (cases / "not a case" / "case.json").touch()
    ran = irkit("case", "list")
    assert ran.code == 1
    assert ran.out.splitlines()[1].startswith("a ")
    assert [Path(line.split(" ")[1]).parent.name for line in sorted(ran.err.splitlines())] == ["b", "c"]
    for name in ("b", "c"):
        assert_refused(irkit("case", "show", name), 1, str(cases / name), "restore")


def test_a_folder_without_tables_is_told_and_the_environments_case_does_not_stand_in_its_way(
    case: str, cases: Path, tmp_path: Path
) -> None:
    assert_refused(
        irkit("logs", "ask", "coverage", "--from", tmp_path / "none"), 2, "no tables", "irkit logs ingest"
    )
    os.environ["IRKIT_CASE"] = case
    assert irkit("logs", "ask", "coverage", "--from", tmp_path).code == 0


def test_a_log_that_is_not_there_begins_nothing_in_the_case(case: str, cases: Path) -> None:
    with nothing_is_left_behind(cases):
        assert_refused(irkit("logs", "ingest", "/no/such", "--case", case), 2, "/no/such", "check the path")
