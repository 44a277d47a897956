from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from irkit.sim import Simulator
from irkit.sim.host import Host, Platform
from tests.sim.builders import code_of, eventually, launch, profile

pytestmark = pytest.mark.needs_user_namespaces
SHELL = "AWS-RunShellScript"


@pytest.fixture(scope="module")
def host(sim: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    root = tmp_path_factory.mktemp("host")
    (root / "etc").mkdir()
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/bash\n")
    live = sim.hosts.add(launch(sim), root=root, hostname="web-1")
    assert live.trouble is None
    yield live
    live.stop()


def send(sim: Simulator, host: Host, *lines: str, **options: Any) -> str:
    parameters = {"commands": list(lines), **options.pop("parameters", {})}
    command = (
        sim.session()
        .client("ssm")
        .send_command(InstanceIds=[host.instance_id], DocumentName=SHELL, Parameters=parameters, **options)
    )
    return str(command["Command"]["CommandId"])


def outcome(sim: Simulator, host: Host, command_id: str) -> dict[str, Any]:
    ssm = sim.session().client("ssm")

    def done() -> dict[str, Any] | None:
        listed = ssm.list_command_invocations(CommandId=command_id, InstanceId=host.instance_id)[
            "CommandInvocations"
        ]
        if listed[0]["Status"] in {"Pending", "InProgress"}:
            return None
        try:
            return dict(ssm.get_command_invocation(CommandId=command_id, InstanceId=host.instance_id))
        except ssm.exceptions.InvocationDoesNotExist:
            return None

    return dict(eventually(done))


def test_a_script_really_runs_as_root_on_the_host(sim: Simulator, host: Host) -> None:
    ran = outcome(sim, host, send(sim, host, "hostname", "id -u", "echo oops >&2", "exit 3"))
    assert (ran["Status"], ran["StatusDetails"], ran["ResponseCode"]) == ("Failed", "Failed", 3)
    assert ran["StandardOutputContent"] == "web-1\n0\n"
    assert ran["StandardErrorContent"] == "oops\n"
    assert ran["ExecutionElapsedTime"].startswith("PT")


def test_success_has_code_zero(sim: Simulator, host: Host) -> None:
    ran = outcome(sim, host, send(sim, host, "true"))
    assert (ran["Status"], ran["ResponseCode"]) == ("Success", 0)


def test_the_invocation_does_not_exist_for_a_first_instant(
    sim: Simulator, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    ssm = sim.session().client("ssm")
    monkeypatch.setattr(sim._world, "pace", replace(sim.pace, ssm_visible_seconds=3.0))
    command_id = send(sim, host, "true")
    code = code_of(ssm.get_command_invocation, CommandId=command_id, InstanceId=host.instance_id)
    assert code == "InvocationDoesNotExist"
    assert outcome(sim, host, command_id)["Status"] == "Success"


def test_output_is_empty_until_the_end_and_cut_at_the_documented_limits(sim: Simulator, host: Host) -> None:
    long = "head -c 30000 /dev/zero | tr '\\0' x"
    ran = outcome(sim, host, send(sim, host, long, f"{long} >&2"))
    assert len(ran["StandardOutputContent"]) == 24_000
    assert ran["StandardOutputContent"].endswith("---Output truncated---")
    assert len(ran["StandardErrorContent"]) == 8_000
    listed = sim.session().client("ssm").list_command_invocations(CommandId=ran["CommandId"], Details=True)
    assert len(listed["CommandInvocations"][0]["CommandPlugins"][0]["Output"]) == 2_500


def test_the_whole_output_goes_to_the_bucket(sim: Simulator, host: Host) -> None:
    s3 = sim.session().client("s3")
    s3.create_bucket(Bucket="command-output")
    command_id = send(
        sim,
        host,
        "head -c 30000 /dev/zero | tr '\\0' x",
        OutputS3BucketName="command-output",
        OutputS3KeyPrefix="case-1",
    )
    outcome(sim, host, command_id)
    key = f"case-1/{command_id}/{host.instance_id}/awsrunShellScript/0.awsrunShellScript/stdout"
    assert len(s3.get_object(Bucket="command-output", Key=key)["Body"].read()) == 30_000


def test_a_command_can_be_cancelled(sim: Simulator, host: Host) -> None:
    ssm = sim.session().client("ssm")
    command_id = send(sim, host, "sleep 60")
    eventually(lambda: ssm.list_commands(CommandId=command_id)["Commands"][0]["Status"] == "InProgress")
    ssm.cancel_command(CommandId=command_id)
    assert outcome(sim, host, command_id)["StatusDetails"] == "Cancelled"


def test_a_command_that_takes_too_long_times_out(sim: Simulator, host: Host) -> None:
    command_id = send(sim, host, "sleep 60", parameters={"executionTimeout": ["1"]})
    ran = outcome(sim, host, command_id)
    assert (ran["Status"], ran["StatusDetails"]) == ("TimedOut", "ExecutionTimedOut")


def test_an_agent_that_is_off_is_connection_lost_and_gets_no_command(sim: Simulator, host: Host) -> None:
    ssm = sim.session().client("ssm")
    sim.hosts.switch_agent(host.instance_id, online=False)
    try:
        node = ssm.describe_instance_information(
            Filters=[{"Key": "InstanceIds", "Values": [host.instance_id]}]
        )
        assert node["InstanceInformationList"][0]["PingStatus"] == "ConnectionLost"
        command_id = send(sim, host, "true")
        eventually(lambda: ssm.list_commands(CommandId=command_id)["Commands"][0]["Status"] == "Pending")
        ssm.cancel_command(CommandId=command_id)
        assert outcome(sim, host, command_id)["Status"] == "Cancelled"
    finally:
        sim.hosts.switch_agent(host.instance_id, online=True)


def test_an_instance_whose_groups_let_nothing_out_is_connection_lost(sim: Simulator, host: Host) -> None:
    ec2, ssm = sim.session().client("ec2"), sim.session().client("ssm")
    instance = ec2.describe_instances(InstanceIds=[host.instance_id])["Reservations"][0]["Instances"][0]
    before = [group["GroupId"] for group in instance["SecurityGroups"]]
    closed = ec2.create_security_group(GroupName="closed", Description="none", VpcId=instance["VpcId"])[
        "GroupId"
    ]
    rules = ec2.describe_security_groups(GroupIds=[closed])["SecurityGroups"][0]["IpPermissionsEgress"]
    ec2.revoke_security_group_egress(GroupId=closed, IpPermissions=rules)
    interface = instance["NetworkInterfaces"][0]["NetworkInterfaceId"]
    ec2.modify_network_interface_attribute(NetworkInterfaceId=interface, Groups=[closed])
    try:
        nodes = ssm.describe_instance_information()["InstanceInformationList"]
        assert [n["PingStatus"] for n in nodes if n["InstanceId"] == host.instance_id] == ["ConnectionLost"]
    finally:
        ec2.modify_network_interface_attribute(NetworkInterfaceId=interface, Groups=before)


def test_an_agent_whose_role_is_denied_its_channel_is_connection_lost(sim: Simulator, host: Host) -> None:
    ssm, iam = sim.session().client("ssm"), sim.session().client("iam")
    profile(sim, "agent-role")
    association = (
        sim.session()
        .client("ec2")
        .associate_iam_instance_profile(
            InstanceId=host.instance_id, IamInstanceProfile={"Name": "agent-role"}
        )["IamInstanceProfileAssociation"]["AssociationId"]
    )

    def ping() -> str:
        nodes = ssm.describe_instance_information()["InstanceInformationList"]
        return next(str(n["PingStatus"]) for n in nodes if n["InstanceId"] == host.instance_id)

    def deny(**scope: Any) -> None:
        statement = {"Effect": "Deny", "Resource": "*", **scope}
        document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        iam.put_role_policy(RoleName="agent-role", PolicyName="cut", PolicyDocument=document)

    assert ping() == "Online"
    only_this_one = {"StringEquals": {"aws:userid": [f"{_role_id(sim)}:{host.instance_id}"]}}
    deny(NotAction=["ssmmessages:*", "ec2messages:*"], Condition=only_this_one)
    assert ping() == "Online"
    deny(Action="*", Condition=only_this_one)
    assert ping() == "ConnectionLost"
    sim.session().client("ec2").disassociate_iam_instance_profile(AssociationId=association)


def _role_id(sim: Simulator) -> str:
    return str(sim.session().client("iam").get_role(RoleName="agent-role")["Role"]["RoleId"])


def test_only_the_named_instances_are_targets(sim: Simulator, host: Host) -> None:
    launch(sim)
    command_id = send(sim, host, "true")
    command = sim.session().client("ssm").list_commands(CommandId=command_id)["Commands"][0]
    assert (command["InstanceIds"], command["TargetCount"]) == ([host.instance_id], 1)
    outcome(sim, host, command_id)


def test_commands_are_listed_by_filter_and_page(sim: Simulator, host: Host) -> None:
    ssm = sim.session().client("ssm")
    outcome(sim, host, send(sim, host, "true"))
    outcome(sim, host, send(sim, host, "false"))
    failed = ssm.list_commands(Filters=[{"key": "Status", "value": "Failed"}])["Commands"]
    assert {c["Status"] for c in failed} == {"Failed"}
    assert (
        ssm.list_commands(Filters=[{"key": "InvokedAfter", "value": "2099-01-01T00:00:00Z"}])["Commands"]
        == []
    )
    pages = list(ssm.get_paginator("list_commands").paginate(PaginationConfig={"PageSize": 1}))
    assert len(pages) == len(ssm.list_commands()["Commands"]) > 1


def test_bad_commands_are_refused_with_the_documented_codes(sim: Simulator, host: Host) -> None:
    ssm = sim.session().client("ssm")
    commands = {"commands": ["true"]}
    unmanaged = launch(sim)
    for instance_id in (unmanaged, "i-0123456789abcdef0", "nonsense"):
        code = code_of(ssm.send_command, InstanceIds=[instance_id], DocumentName=SHELL, Parameters=commands)
        assert code == "InvalidInstanceId"
    named = {"InstanceIds": [host.instance_id]}
    assert (
        code_of(ssm.send_command, **named, DocumentName="No-Such-Document", Parameters=commands)
        == "InvalidDocument"
    )
    assert (
        code_of(ssm.send_command, **named, DocumentName=SHELL, Parameters={"x": ["y"]}) == "InvalidParameters"
    )
    assert (
        code_of(ssm.send_command, **named, DocumentName="AWS-RunPowerShellScript", Parameters=commands)
        == "UnsupportedPlatformType"
    )


def test_no_powershell_runs_a_windows_host_answers_what_was_recorded_or_is_refused(sim: Simulator) -> None:
    ssm = sim.session().client("ssm")
    asked = {"DocumentName": "AWS-RunPowerShellScript", "Parameters": {"commands": ["Get-Date", "exit"]}}
    for recorded, wanted in ((None, "NotSimulated"), (lambda text: text.encode() * 2, None)):
        instance_id = launch(sim)
        root = sim.workdir / "windows" / instance_id
        windows = sim.hosts.add(
            instance_id,
            root=root,
            hostname="W",
            platform=Platform(kind="Windows", name="W"),
            recorded=recorded,
        )
        if wanted:
            windows.stop()
            assert code_of(ssm.send_command, InstanceIds=[instance_id], **asked) == wanted
            continue
        assert (
            code_of(
                ssm.send_command,
                InstanceIds=[instance_id],
                DocumentName=SHELL,
                Parameters={"commands": ["true"]},
            )
            == "UnsupportedPlatformType"
        )
        command = ssm.send_command(InstanceIds=[instance_id], **asked)["Command"]["CommandId"]
        ended = outcome(sim, windows, command)
        assert (ended["Status"], ended["PluginName"]) == ("Success", "aws:runPowerShellScript")
        assert ended["StandardOutputContent"] == "Get-Date\nexit" * 2


def test_the_command_itself_is_hidden_in_the_trail(sim: Simulator, host: Host) -> None:
    outcome(sim, host, send(sim, host, "echo top-secret-token"))
    record = next(r for r in reversed(sim.trail.records()) if r["eventName"] == "SendCommand")
    assert record["requestParameters"]["parameters"] == "HIDDEN_DUE_TO_SECURITY_REASONS"
    assert "top-secret-token" not in json.dumps(record)


def test_a_host_reaches_the_simulator_and_nothing_else(sim: Simulator, host: Host) -> None:
    url = sim.endpoint + "/irkit-sim/health"
    fetch = f"python3 -c \"import urllib.request as u; print(u.urlopen('{url}', timeout=5).status)\""
    ran = outcome(sim, host, send(sim, host, fetch, "ip route 2>/dev/null | wc -l"))
    assert ran["StandardOutputContent"].split() == ["200", "0"], ran["StandardErrorContent"]
