"""A short script, run on a managed node through Systems Manager, and its output.

References:
    https://docs.aws.amazon.com/systems-manager/latest/userguide/monitor-commands.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from irkit.aws.refusals import error_code, translating
from irkit.aws.waiting import TimedOut, wait_until
from irkit.errors import AwsError, WrongState

if TYPE_CHECKING:
    from irkit.case import Case

_MOVING = frozenset({"Pending", "InProgress", "Delayed", "Cancelling"})
# How long the script may run, and how long irkit waits for Systems Manager to bring it there and back.
SCRIPT_SECONDS = 30
_PATIENCE = 75.0


def request(instance: str, script: str, *, mark: str) -> dict[str, Any]:
    """The parameters of the SendCommand that runs `script` on a Linux node; `mark` is what its comment says."""
    return {
        "InstanceIds": [instance],
        "DocumentName": "AWS-RunShellScript",
        "Comment": mark[:100],
        "TimeoutSeconds": 60,
        "Parameters": {"commands": [script], "executionTimeout": [str(SCRIPT_SECONDS)]},
    }


def run(case: Case, instance: str, script: str, *, mark: str) -> str:
    """What `script` printed. Raises `WrongState` when Systems Manager does not reach the node or it is no Linux."""
    ssm = case.client("ssm")
    with translating("run a command on", instance, region=case.facts.region):
        held = [{"Key": "InstanceIds", "Values": [instance]}]
        nodes = ssm.describe_instance_information(Filters=held, MaxResults=50)["InstanceInformationList"]
        node: Mapping[str, Any] = next((n for n in nodes if n["InstanceId"] == instance), {})
        if node.get("PingStatus") != "Online":
            raise WrongState(
                f"Systems Manager does not reach {instance}",
                hint="leave it room (stage 1), or choose another way",
            )
        if node.get("PlatformType", "Linux") != "Linux":
            raise WrongState(
                f"{instance} runs {node['PlatformType']}: the script is for Linux",
                hint="choose tracked='nacl' or 'stop'",
            )
        command = ssm.send_command(**request(instance, script, mark=mark))["Command"]["CommandId"]

        def ended() -> dict[str, Any] | None:
            try:
                said: dict[str, Any] = ssm.get_command_invocation(CommandId=command, InstanceId=instance)
            except Exception as error:
                if (
                    error_code(error) == "InvocationDoesNotExist"
                ):  # Systems Manager is consistent within seconds
                    return None
                raise
            return None if said["Status"] in _MOVING else said

        try:
            said = wait_until(ended, what=f"command {command}", timeout=_PATIENCE, most=2.0)
        except TimedOut as late:
            ssm.cancel_command(CommandId=command, InstanceIds=[instance])
            raise AwsError(
                f"command {command} on {instance} did not end in time", hint="apply the plan again"
            ) from late
    if said["Status"] != "Success":
        raise AwsError(
            f"command {command} on {instance}: {said['StatusDetails']}", hint="apply the plan again"
        )
    return str(said.get("StandardOutputContent", ""))
