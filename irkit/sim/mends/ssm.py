"""Systems Manager: commands that really run, on the instances that were named and no others."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from typing import Any

from moto.core.responses import ActionResult
from moto.ssm.responses import SimpleSystemManagerResponse

from irkit.sim import ssm, world
from irkit.sim.faults import Refusal
from irkit.sim.mends.nodes import find_instance, paged, reachable_in
from irkit.sim.seams import adds, mends

_SHELL_DOCUMENT = "AWS-RunShellScript"
_AWS_DOCUMENTS = {_SHELL_DOCUMENT: "Linux", "AWS-RunPowerShellScript": "Windows"}
_ID = re.compile(r"^m?i-[0-9a-f]{8,17}$")


def _commands(self: Any) -> list[ssm.Command]:
    backend = self.ssm_backend
    if not hasattr(backend, "irkit_commands"):
        backend.irkit_commands = []
    return list(backend.irkit_commands)


def _platform(self: Any, name: str) -> str:
    """The platform that a document runs on; refuses one that does not exist."""
    short = name.rsplit("/", 1)[-1]
    if short in _AWS_DOCUMENTS:
        return _AWS_DOCUMENTS[short]
    if short in self.ssm_backend._documents:
        return "own document"
    raise Refusal("InvalidDocument", f"Document with name {name} does not exist.")


@mends(SimpleSystemManagerResponse, "send_command")
def send_command(_original: Any, self: Any) -> ActionResult:
    """Run a shell script on instances named by id or by tag."""
    name = str(self._get_param("DocumentName") or "")
    platform = _platform(self, name)
    if name.rsplit("/", 1)[-1] not in _AWS_DOCUMENTS:
        raise _unsupported(name, platform)
    targets = self._get_param("Targets") or []
    instance_ids = list(dict.fromkeys(self._get_param("InstanceIds") or _by_targets(self, targets)))
    hosts = world.current().hosts
    for instance_id in self._get_param("InstanceIds") or []:
        instance = (
            find_instance(self.current_account, self.region, instance_id) if _ID.match(instance_id) else None
        )
        if instance is None or instance.state != "running" or hosts.find(instance_id) is None:
            raise Refusal(
                "InvalidInstanceId",
                f"Instances [[{instance_id}]] not in a valid state for account {self.current_account}",
            )
        host: Any = hosts.find(instance_id)
        if host.platform.kind != platform:
            raise Refusal("UnsupportedPlatformType", f"{name} does not run on {host.platform.kind}.")
        if platform != "Linux" and host.recorded is None:
            raise _unsupported(name, platform)
    parameters = self._get_param("Parameters") or {}
    commands = parameters.get("commands")
    if not commands:
        raise Refusal("InvalidParameters", 'Parameter "commands" requires a value.')
    unknown = set(parameters) - {"commands", "executionTimeout", "workingDirectory"}
    if unknown:
        raise Refusal(
            "InvalidParameters", f"Parameters not defined in the document: {', '.join(sorted(unknown))}"
        )
    command = ssm.new_command(
        account=self.current_account,
        region=self.region,
        document=name,
        comment=self._get_param("Comment") or "",
        commands=_with_directory([str(line) for line in commands], parameters),
        parameters=parameters,
        instance_ids=instance_ids,
        targets=targets,
        delivery_timeout=_seconds(self._get_param("TimeoutSeconds"), "TimeoutSeconds", 30, 2_592_000, 3600),
        execution_timeout=_seconds(
            (parameters.get("executionTimeout") or [None])[0], "executionTimeout", 1, 172_800, 3600
        ),
        bucket=self._get_param("OutputS3BucketName") or "",
        prefix=self._get_param("OutputS3KeyPrefix") or "",
    )
    _commands(self)
    self.ssm_backend.irkit_commands.append(command)
    ssm.launch(command, reachable_in(self.current_account, self.region))
    return ActionResult({"Command": _shown(command)})


def _with_directory(commands: list[str], parameters: dict[str, list[str]]) -> list[str]:
    directory = (parameters.get("workingDirectory") or [""])[0]
    if not directory:
        return commands
    quoted = directory.replace("'", "'\\''")
    return [f"cd '{quoted}' || exit 1", *commands]


def _unsupported(name: str, platform: str) -> Refusal:
    from irkit.sim.choke import not_simulated

    return not_simulated(
        "ssm", "SendCommand", f"Document {name} ({platform}) cannot be run here; AWS-RunShellScript can."
    )


def _seconds(value: Any, name: str, low: int, high: int, default: int) -> int:
    if value in (None, ""):
        return default
    try:
        seconds = int(value)
    except ValueError:
        seconds = -1
    if not low <= seconds <= high:
        raise Refusal("InvalidParameters", f"{name} must be between {low} and {high} seconds, not {value}.")
    return seconds


def _by_targets(self: Any, targets: list[dict[str, Any]]) -> list[str]:
    from moto.ec2.models import ec2_backends

    found = []
    hosts = world.current().hosts
    for reservation in list(ec2_backends[self.current_account][self.region].reservations.values()):
        for instance in reservation.instances:
            tags = {tag["key"]: tag["value"] for tag in instance.get_tags()}
            if hosts.find(instance.id) is not None and all(_targeted(instance.id, tags, t) for t in targets):
                found.append(instance.id)
    return found if targets else []


def _targeted(instance_id: str, tags: dict[str, str], target: dict[str, Any]) -> bool:
    key, values = str(target.get("Key", "")), target.get("Values") or []
    if key.lower() == "instanceids":
        return instance_id in values
    return key.startswith("tag:") and tags.get(key[4:]) in values


def _shown(command: ssm.Command) -> dict[str, Any]:
    status, details = command.status
    ended = [i for i in command.invocations if i.done]
    return {
        "CommandId": command.command_id,
        "DocumentName": command.document,
        "DocumentVersion": "$DEFAULT",
        "Comment": command.comment,
        "ExpiresAfter": datetime.fromtimestamp(command.requested.timestamp() + command.delivery_timeout, UTC),
        "Parameters": command.parameters,
        "InstanceIds": command.instance_ids if not command.targets else [],
        "Targets": command.targets,
        "RequestedDateTime": command.requested,
        "Status": status,
        "StatusDetails": details,
        "OutputS3Region": command.region if command.bucket else "",
        "OutputS3BucketName": command.bucket,
        "OutputS3KeyPrefix": command.prefix,
        "MaxConcurrency": "50",
        "MaxErrors": "0",
        "TargetCount": len(command.invocations),
        "CompletedCount": len(ended),
        "ErrorCount": sum(
            i.status in {"Failed", "TimedOut"} and i.details != "DeliveryTimedOut" for i in ended
        ),
        "DeliveryTimedOutCount": sum(i.details == "DeliveryTimedOut" for i in ended),
        "TimeoutSeconds": command.delivery_timeout,
    }


@mends(SimpleSystemManagerResponse, "list_commands")
def list_commands(_original: Any, self: Any) -> ActionResult:
    """Commands, newest first, of one id or one instance."""
    wanted, instance_id = self._get_param("CommandId"), self._get_param("InstanceId")
    found = [
        command
        for command in reversed(_commands(self))
        if (not wanted or command.command_id == wanted)
        and (not instance_id or instance_id in command.instance_ids)
        and all(_command_matches(command, f["key"], f["value"]) for f in self._get_param("Filters") or [])
    ]
    page, token = paged(found, self._get_param("MaxResults"), self._get_param("NextToken"), 50)
    return ActionResult({"Commands": [_shown(command) for command in page], "NextToken": token})


def _command_matches(command: ssm.Command, key: str, value: str) -> bool:
    if key in {"InvokedAfter", "InvokedBefore"}:
        moment = datetime.fromisoformat(value)
        return command.requested > moment if key == "InvokedAfter" else command.requested < moment
    if key == "Status":
        return command.status[0] == value
    if key == "DocumentName":
        return command.document == value
    raise Refusal("InvalidFilterKey", f"The filter key {key} is not valid.")


@mends(SimpleSystemManagerResponse, "get_command_invocation")
def get_command_invocation(_original: Any, self: Any) -> ActionResult:
    """One invocation; it does not exist for a first instant, as in AWS."""
    invocation = _invocation(self, self._get_param("CommandId"), self._get_param("InstanceId"))
    plugin = self._get_param("PluginName")
    own = ssm.PLUGINS.get(invocation.document, ssm.SHELL_PLUGIN)
    if plugin and plugin != own:
        raise Refusal("InvalidPluginName", "The plugin name is not valid.")
    return ActionResult(
        {
            "CommandId": invocation.command_id,
            "InstanceId": invocation.instance_id,
            "Comment": invocation.comment,
            "DocumentName": invocation.document,
            "DocumentVersion": "$DEFAULT",
            "PluginName": own,
            "ResponseCode": invocation.code,
            "ExecutionStartDateTime": invocation.started.isoformat() if invocation.started else "",
            "ExecutionElapsedTime": ssm.elapsed(invocation),
            "ExecutionEndDateTime": invocation.ended.isoformat() if invocation.ended else "",
            "Status": invocation.status,
            "StatusDetails": invocation.details,
            "StandardOutputContent": invocation.stdout if invocation.done else "",
            "StandardOutputUrl": invocation.stdout_url if invocation.done else "",
            "StandardErrorContent": invocation.stderr if invocation.done else "",
            "StandardErrorUrl": invocation.stderr_url if invocation.done else "",
        }
    )


def _invocation(self: Any, command_id: str, instance_id: str) -> ssm.Invocation:
    visible = time.time() - world.current().pace.ssm_visible_seconds
    for command in _commands(self):
        for invocation in command.invocations:
            named = (invocation.command_id, invocation.instance_id) == (command_id, instance_id)
            if named and invocation.requested.timestamp() <= visible:
                return invocation
    raise Refusal("InvocationDoesNotExist", "")


@adds(SimpleSystemManagerResponse)
def list_command_invocations(self: Any) -> ActionResult:
    """Invocations, newest command first; output only with Details, cut at 2,500 characters."""
    wanted, instance_id = self._get_param("CommandId"), self._get_param("InstanceId")
    details = str(self._get_param("Details")).lower() == "true"
    found = [
        invocation
        for command in reversed(_commands(self))
        for invocation in command.invocations
        if (not wanted or invocation.command_id == wanted)
        and (not instance_id or invocation.instance_id == instance_id)
    ]
    page, token = paged(found, self._get_param("MaxResults"), self._get_param("NextToken"), 50)
    return ActionResult({"CommandInvocations": [_listed(i, details) for i in page], "NextToken": token})


def _listed(invocation: ssm.Invocation, details: bool) -> dict[str, Any]:
    plugin = {
        "Name": ssm.PLUGINS.get(invocation.document, ssm.SHELL_PLUGIN),
        "Status": invocation.status,
        "StatusDetails": invocation.details,
        "ResponseCode": invocation.code,
        "ResponseStartDateTime": invocation.started,
        "ResponseFinishDateTime": invocation.ended,
        "Output": invocation.stdout[: ssm.LISTED_LIMIT] if invocation.done else "",
        "StandardOutputUrl": invocation.stdout_url,
        "StandardErrorUrl": invocation.stderr_url,
    }
    return {
        "CommandId": invocation.command_id,
        "InstanceId": invocation.instance_id,
        "Comment": invocation.comment,
        "DocumentName": invocation.document,
        "DocumentVersion": "$DEFAULT",
        "RequestedDateTime": invocation.requested,
        "Status": invocation.status,
        "StatusDetails": invocation.details,
        "StandardOutputUrl": invocation.stdout_url,
        "StandardErrorUrl": invocation.stderr_url,
        "CommandPlugins": [{k: v for k, v in plugin.items() if v is not None}] if details else [],
    }


@adds(SimpleSystemManagerResponse)
def cancel_command(self: Any) -> ActionResult:
    """Ask a command to stop, on all its instances or the named ones."""
    command = next((c for c in _commands(self) if c.command_id == self._get_param("CommandId")), None)
    if command is None:
        raise Refusal("InvalidCommandId", "")
    named = self._get_param("InstanceIds") or command.instance_ids
    for invocation in command.invocations:
        if invocation.instance_id in named:
            ssm.cancel(invocation)
    return ActionResult({})
