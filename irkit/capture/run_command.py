"""Run a script on a managed node through Systems Manager and get its output back, whole where that can be had.

Nothing is put on the node but the script itself, which the agent keeps in its own folder. A command carries who sent
it in its comment, so that an interrupted run attaches to it again. Standard output in Systems Manager ends after
24,000 characters; with a bucket the agent writes all of it to S3, with the instance's own role.

References:
    https://docs.aws.amazon.com/systems-manager/latest/userguide/monitor-commands.html
    https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_GetCommandInvocation.html
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from irkit.aws import error_code, translating
from irkit.capture.once import once
from irkit.errors import AwsError, IrkitError, Refused, WrongState
from irkit.escape import for_terminal
from irkit.plan import reason

if TYPE_CHECKING:
    from irkit.case import Case
    from irkit.plan import Running

STDOUT_LIMIT = 24_000
SHELL = "AWS-RunShellScript"
POWERSHELL = "AWS-RunPowerShellScript"
# The folder that the agent writes a document's output to.
_PLUGINS = {SHELL: "awsrunShellScript", POWERSHELL: "awsrunPowerShellScript"}
# How long a command may be unknown after it was sent: Systems Manager becomes consistent within seconds.
UNKNOWN_SECONDS = 30.0
_UNMANAGED = "it is not registered with Systems Manager (no agent, no role for it, no way to its endpoints, or stopped)"
_MOVING = frozenset({"Pending", "InProgress", "Delayed", "Cancelling"})
_WHY = {
    "Undeliverable": "the agent could not be reached; is the instance still registered with Systems Manager?",
    "DeliveryTimedOut": "the agent did not fetch the command in time; is the node online?",
    "ExecutionTimedOut": "the script did not end in the time it was given",
    "Cancelled": "the command was cancelled",
    "Terminated": "the node went away while the script ran",
    "AccessDenied": "the node's role or the responder's does not allow the command",
    "InvalidPlatform": "the document is not for this platform",
}


class NotRun(WrongState):
    """A command did not run to its end: the agent, the node or the time that it was given was the matter."""


class Unfinished(IrkitError):
    """The step's time was up before the command ended; it was cancelled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """How a command ended. `stdout` is all that could be had, `cut` says why it is not all there was."""

    command_id: str
    status: str
    exit_code: int
    stdout: bytes
    stderr: str
    source: str
    cut: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """What Systems Manager knows of an instance. `why` says why it cannot be sent a command; None when it can."""

    online: bool
    why: str | None
    platform: str
    details: Mapping[str, Any]


def node(case: Case, instance_id: str) -> Node:
    """Whether commands reach the instance; raises as `translating` does when Systems Manager cannot be asked."""
    with translating("ask Systems Manager about", instance_id, region=case.facts.region):
        answer = case.client("ssm").describe_instance_information(
            Filters=[{"Key": "InstanceIds", "Values": [instance_id]}], MaxResults=50
        )
    found = [n for n in answer.get("InstanceInformationList", ()) if n.get("InstanceId") == instance_id]
    if not found:
        return Node(online=False, why=_UNMANAGED, platform="", details={})
    said = found[0]
    status = str(said.get("PingStatus", "unknown"))
    why = (
        None
        if status == "Online"
        else f"its agent is {status}, last heard of at {said.get('LastPingDateTime')}"
    )
    return Node(online=status == "Online", why=why, platform=str(said.get("PlatformType", "")), details=said)


def run(
    running: Running,
    instance_id: str,
    script: str,
    *,
    mark: str,
    seconds: float,
    bucket: str | None,
    attach: bool,
    document: str = SHELL,
) -> Ran:
    """Send `script`, or attach to the command that carries `mark` when `attach`; wait; bring the output back.

    Raises `WrongState` when the command did not run to its end, and cancels it when nobody waits any more.
    """
    command = sent_before(running, instance_id, mark) if attach else None
    if command is None:
        command = send(
            running, instance_id, script, mark=mark, seconds=seconds, bucket=bucket, document=document
        )
    return outcome(running, instance_id, command, bucket=bucket)


def send(
    running: Running,
    instance_id: str,
    script: str,
    *,
    mark: str,
    seconds: float,
    bucket: str | None,
    document: str = SHELL,
) -> str:
    """The id of a new command that runs `script` and carries `mark`; sent once, also when the answer is lost."""
    with translating("run a command on", instance_id, region=running.case.facts.region):
        return _send(
            running.case.client("ssm"), instance_id, script, mark=mark, seconds=seconds, bucket=bucket,
            prefix=_prefix(running), document=document,
        )  # fmt: skip


def sent_before(running: Running, instance_id: str, mark: str, *, failed: bool = False) -> str | None:
    """The newest command with this mark that is under way or has succeeded, or None; `failed`: however it ended."""
    with translating("list the commands of", instance_id, region=running.case.facts.region):
        return _earlier(running.case.client("ssm"), instance_id, mark, failed=failed)


def outcome(
    running: Running,
    instance_id: str,
    command: str,
    *,
    bucket: str | None,
    meanwhile: Callable[[], None] = lambda: None,
    reserve: float = 3,
) -> Ran:
    """How `command` ended, waited for; `meanwhile` is called now and then while it runs.

    Raises `NotRun` when it did not run to its end, and `Unfinished` when only `reserve` seconds of the step are left.
    """
    ssm = running.case.client("ssm")
    running.progress(f"command {command}")
    with translating("run a command on", instance_id, region=running.case.facts.region):
        ended = _wait(running, ssm, command, instance_id, meanwhile, reserve)
    status = str(ended.get("StatusDetails") or ended.get("Status"))
    if ended.get("Status") not in {"Success", "Failed"} or status in _WHY:
        raise NotRun(f"command {command} on {instance_id}: {status}: {_WHY.get(status, 'it did not run')}",
                     hint="see `irkit preflight`, then apply the plan again")  # fmt: skip
    stdout, source, cut = _output(running.case, ended, bucket, _prefix(running))
    return Ran(
        command_id=command, status=status, exit_code=int(ended.get("ResponseCode", -1)), stdout=stdout, source=source,
        cut=cut, stderr=str(ended.get("StandardErrorContent", "")),
    )  # fmt: skip


def _prefix(running: Running) -> str:
    return f"ssm/{running.case.id}/{running.step_id}"


def _send(
    ssm: Any, instance_id: str, script: str, *, mark: str, seconds: float, bucket: str | None, prefix: str,
    document: str,
) -> str:  # fmt: skip
    asked: dict[str, Any] = {
        "InstanceIds": [instance_id],
        "DocumentName": document,
        "Comment": mark,
        "TimeoutSeconds": 60,
        "Parameters": {"commands": [script], "executionTimeout": [str(int(seconds))]},
    }
    if bucket:
        asked |= {"OutputS3BucketName": bucket, "OutputS3KeyPrefix": prefix}
    try:
        return once(ssm, "SendCommand", lambda: str(ssm.send_command(**asked)["Command"]["CommandId"]),
                    lambda: _earlier(ssm, instance_id, mark), stop=lambda: False)  # fmt: skip
    except ClientError as error:
        if error_code(error) == "InvalidInstanceId":
            raise WrongState(f"{instance_id} cannot be sent a command (not managed or not running)",
                             hint="`irkit preflight` says why; disks and metadata need none") from error  # fmt: skip
        raise


def _earlier(ssm: Any, instance_id: str, mark: str, *, failed: bool = False) -> str | None:
    for page in ssm.get_paginator("list_commands").paginate(InstanceId=instance_id):
        for command in page.get("Commands", ()):
            if command.get("Comment") == mark and (failed or command.get("Status") in _MOVING | {"Success"}):
                return str(command["CommandId"])
    return None


def _wait(
    running: Running, ssm: Any, command: str, instance_id: str, meanwhile: Callable[[], None], reserve: float
) -> Mapping[str, Any]:
    pause, begun, shown = 0.2, time.monotonic(), ""
    while True:
        ended: Mapping[str, Any] = {}
        try:
            ended = ssm.get_command_invocation(CommandId=command, InstanceId=instance_id)
        except ClientError as error:
            if error_code(error) != "InvocationDoesNotExist" or time.monotonic() - begun > UNKNOWN_SECONDS:
                raise
        status = str(ended.get("Status", ""))
        if status and status not in _MOVING:
            return ended
        if status != shown:
            running.progress(f"command {command} is {status}")
            shown = status
        if running.stopped or running.seconds_left < reserve:
            _cancel(ssm, command, instance_id)
            raise Unfinished(f"command {command} on {instance_id} did not end in time and was cancelled",
                             hint="apply the plan again to retry")  # fmt: skip
        meanwhile()
        time.sleep(pause)
        pause = min(pause * 1.5, 3.0)


def _cancel(ssm: Any, command: str, instance_id: str) -> None:
    try:
        ssm.cancel_command(CommandId=command, InstanceIds=[instance_id])
    except (BotoCoreError, ClientError):
        return  # the script ends by its own limit; that it was not cancelled changes nothing that is kept


def _output(
    case: Case, ended: Mapping[str, Any], bucket: str | None, prefix: str
) -> tuple[bytes, str, str | None]:
    """Standard output, where it came from, and why it is cut if it is."""
    shown = str(ended.get("StandardOutputContent", "")).encode("utf-8", "surrogateescape")
    why = None
    if bucket:
        plugin = _PLUGINS.get(str(ended.get("DocumentName")), _PLUGINS[SHELL])
        place = f"{prefix}/{ended['CommandId']}/{ended['InstanceId']}/{plugin}/0.{plugin}/stdout"
        try:
            return _object(case, bucket, place), f"s3://{bucket}/{place}", None
        except (AwsError, Refused, IrkitError) as error:
            why = f"the whole output is not to be had from s3://{bucket} ({error})"
    if len(shown) < STDOUT_LIMIT:
        return shown, "ssm", None
    return (
        shown,
        "ssm",
        f"output cut after {STDOUT_LIMIT} characters by Systems Manager; {why or 'no bucket was given for it'}",
    )


def _object(case: Case, bucket: str, key: str) -> bytes:
    for pause in (0.5, 1.0, 2.0, None):
        try:
            body: bytes = case.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
        except (BotoCoreError, ClientError) as error:
            # The agent uploads as the command ends; the object may be a moment late.
            if pause is None or error_code(error) not in {"NoSuchKey", "404"}:
                raise AwsError(
                    for_terminal(reason(error, doing="read", resource=f"s3://{bucket}/{key}"))
                ) from error
            time.sleep(pause)
        else:
            return body
    raise AwsError(f"s3://{bucket}/{key} did not appear")
