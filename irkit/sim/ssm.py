"""Run Command as a state machine: a real script in the host's sandbox, with Systems Manager's states and limits.

References:
    https://docs.aws.amazon.com/systems-manager/latest/userguide/monitor-commands.html
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any

from irkit.sim import world
from irkit.sim.host import Host

STDOUT_LIMIT = 24_000
STDERR_LIMIT = 8_000
LISTED_LIMIT = 2_500
TRUNCATED = "\n---Output truncated---"
DONE = frozenset({"Success", "Failed", "Cancelled", "TimedOut"})
PLUGINS = {"AWS-RunShellScript": "aws:runShellScript", "AWS-RunPowerShellScript": "aws:runPowerShellScript"}
SHELL_PLUGIN = PLUGINS["AWS-RunShellScript"]
_ORCHESTRATION = (
    "var/lib/amazon/ssm/{instance}/document/orchestration/{command}/awsrunShellScript/0.awsrunShellScript"
)


@dataclass(slots=True, kw_only=True, eq=False)
class Invocation:
    """One command on one instance."""

    command_id: str
    instance_id: str
    document: str
    comment: str
    requested: datetime
    status: str = "Pending"
    details: str = "Pending"
    code: int = -1
    stdout: str = ""
    stderr: str = ""
    stdout_url: str = ""
    stderr_url: str = ""
    started: datetime | None = None
    ended: datetime | None = None
    cancelled: threading.Event = field(default_factory=threading.Event)
    process: subprocess.Popen[bytes] | None = None

    @property
    def done(self) -> bool:
        """Whether the invocation has reached a terminal state."""
        return self.status in DONE

    def finish(self, status: str, details: str, code: int = -1) -> None:
        """Reach a terminal state."""
        self.code, self.ended = code, datetime.now(UTC)
        self.details = details
        self.status = status


@dataclass(slots=True, kw_only=True, eq=False)
class Command:
    """One SendCommand: what was asked, and its invocations."""

    command_id: str
    account: str
    region: str
    document: str
    comment: str
    commands: list[str]
    parameters: dict[str, list[str]]
    instance_ids: list[str]
    targets: list[dict[str, Any]]
    delivery_timeout: int
    execution_timeout: int
    bucket: str
    prefix: str
    requested: datetime
    invocations: list[Invocation] = field(default_factory=list)

    @property
    def status(self) -> tuple[str, str]:
        """The command's own status and details, from those of its invocations."""
        states = [i.status for i in self.invocations]
        if all(state == "Success" for state in states):
            return "Success", "Success"
        if any(state not in DONE for state in states):
            moving = "InProgress" if any(s != "Pending" for s in states) else "Pending"
            return moving, moving
        for worst in ("TimedOut", "Failed", "Cancelled"):
            hit = next((i for i in self.invocations if i.status == worst), None)
            if hit is not None:
                return worst, hit.details
        return "Success", "Success"


def new_command(**asked: Any) -> Command:
    """A command with one pending invocation an instance."""
    command = Command(command_id=str(uuid.uuid4()), requested=datetime.now(UTC), **asked)
    command.invocations = [
        Invocation(
            command_id=command.command_id,
            instance_id=instance_id,
            document=command.document,
            comment=command.comment,
            requested=command.requested,
        )
        for instance_id in command.instance_ids
    ]
    return command


def launch(command: Command, reachable: Any) -> None:
    """Run the command on every instance in the background; `reachable(instance_id)` is the host, or None."""
    for invocation in command.invocations:
        threading.Thread(
            target=_carry_out,
            args=(world.current(), command, invocation, reachable),
            name="irkit-sim-ssm",
            daemon=True,
        ).start()


def cancel(invocation: Invocation) -> None:
    """Ask an invocation to stop; one that has ended stays as it is."""
    if invocation.done:
        return
    invocation.cancelled.set()
    process = invocation.process
    if process is not None and process.poll() is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGTERM)


def _carry_out(here: world.World, command: Command, invocation: Invocation, reachable: Any) -> None:
    host = _delivered(here, command, invocation, reachable)
    if host is None:
        return
    invocation.started = datetime.now(UTC)
    invocation.status = invocation.details = "InProgress"
    if host.recorded is not None:
        _replay(host.recorded, command, invocation)
        return
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        script = _place(host, command, invocation)
        process = host.run(script, timeout=command.execution_timeout, stdout=out, stderr=err)
        invocation.process = process
        if invocation.cancelled.is_set():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
        code = process.wait()
        _keep_output(command, invocation, out, err)
    if invocation.cancelled.is_set():
        invocation.finish("Cancelled", "Cancelled", code if code > 0 else -1)
    elif code in {124, 137} and _ran(invocation) >= command.execution_timeout:
        invocation.finish("TimedOut", "ExecutionTimedOut", -1)
    elif not host.running:
        invocation.finish("Failed", "Terminated", -1)
    elif code == 0:
        invocation.finish("Success", "Success", 0)
    else:
        invocation.finish("Failed", "Failed", code)


def _replay(recorded: Callable[[str], bytes], command: Command, invocation: Invocation) -> None:
    """What a host on which nothing runs answers: what was recorded for the script."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        try:
            out.write(recorded("\n".join(command.commands)))
        except Exception as error:  # noqa: BLE001 - a recording that fails is a script that fails
            err.write(str(error).encode())
            _keep_output(command, invocation, out, err)
            invocation.finish("Failed", "Failed", 1)
            return
        _keep_output(command, invocation, out, err)
    invocation.finish("Success", "Success", 0)


def _ran(invocation: Invocation) -> float:
    return (datetime.now(UTC) - (invocation.started or invocation.requested)).total_seconds()


def _delivered(here: world.World, command: Command, invocation: Invocation, reachable: Any) -> Host | None:
    """The host once its agent has picked the command up; None when that never happened (the state says why)."""
    deadline = command.requested + timedelta(seconds=command.delivery_timeout)
    time.sleep(here.pace.ssm_latency)
    while True:
        if invocation.cancelled.is_set():
            invocation.finish("Cancelled", "Cancelled")
            return None
        host: Host | None = reachable(invocation.instance_id)
        if host is not None:
            return host
        if here.hosts.find(invocation.instance_id) is None:
            invocation.finish("Failed", "Undeliverable")
            return None
        if datetime.now(UTC) >= deadline or world.active() is not here:
            invocation.finish("TimedOut", "DeliveryTimedOut")
            return None
        time.sleep(0.1)


def _place(host: Host, command: Command, invocation: Invocation) -> Path:
    """Where the agent keeps the script that it runs, inside the host's tree."""
    folder = host.root / _ORCHESTRATION.format(instance=invocation.instance_id, command=command.command_id)
    folder.mkdir(parents=True, exist_ok=True)
    script = folder / "_script.sh"
    script.write_text("\n".join(command.commands) + "\n")
    script.chmod(0o700)
    return script


def _keep_output(command: Command, invocation: Invocation, out: IO[bytes], err: IO[bytes]) -> None:
    texts: dict[str, bytes] = {}
    for name, stream in (("stdout", out), ("stderr", err)):
        stream.seek(0)
        texts[name] = stream.read()
    stdout = texts["stdout"].decode(errors="replace")
    stderr = texts["stderr"].decode(errors="replace")
    invocation.stdout = _cut(stdout, STDOUT_LIMIT)
    invocation.stderr = _cut(stderr, STDERR_LIMIT)
    if not command.bucket:
        return
    plugin = PLUGINS.get(command.document, SHELL_PLUGIN).replace(":", "")
    parts = (
        command.prefix,
        command.command_id,
        invocation.instance_id,
        f"{plugin}/0.{plugin}",
    )
    folder = "/".join(part.strip("/") for part in parts if part)
    for name, data in texts.items():
        url = f"https://s3.{command.region}.amazonaws.com/{command.bucket}/{folder}/{name}"
        setattr(invocation, f"{name}_url", url)
        if data:
            _put(command, f"{folder}/{name}", data)


def _put(command: Command, key: str, data: bytes) -> None:
    from moto.s3.models import s3_backends

    for account in [command.account, *list(s3_backends)]:
        backend = s3_backends[account]["aws"]
        if command.bucket in backend.buckets:
            backend.put_object(command.bucket, key, data)
            return


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - len(TRUNCATED)] + TRUNCATED


def elapsed(invocation: Invocation) -> str:
    """The execution time as an ISO 8601 duration, as Systems Manager writes it."""
    if invocation.started is None or invocation.ended is None:
        return ""
    return f"PT{max((invocation.ended - invocation.started).total_seconds(), 0.001):.3f}S"
