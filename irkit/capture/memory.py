"""The live host's memory: the operator's acquisition tool, run over Systems Manager, streamed into the evidence bucket.

The tool is pinned by SHA-256 and checked here, before anything is sent, and again on the host. The host holds no
credential: it gets links to single objects (`irkit.aws.courier`). What it sends is hashed there as it goes, and here
as S3 gives it back; both hashes are kept and compared. A dump that ends early is kept and marked.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from irkit.capture import memory_host as host
from irkit.capture.instance import Instance
from irkit.capture.memory_dump import Dump
from irkit.capture.memory_tool import Tool
from irkit.capture.memory_transfer import Arrived, Transfer
from irkit.capture.run_command import POWERSHELL, SHELL
from irkit.errors import WrongState
from irkit.escape import for_terminal
from irkit.journal import Kind
from irkit.plan import Outcome, Running, Step, Undo

if TYPE_CHECKING:
    from irkit.case import Case

VERB = "capture.memory"
DUMP, RECORD, RECORD_NAME = "memory", "memory-record", "memory.json"
# What an interface of a small instance and one connection to S3 sustain; slower hosts end in part, and say so.
BYTES_A_SECOND = 20 * host.MIB
_READ_BACK_A_SECOND = 40 * host.MIB
_UNKNOWN_MEMORY = 64 << 30
_LEAST_SECONDS, _MOST_SECONDS = 600, 172_000
_ROOM_TO_LEAVE = 1 << 30


def steps(case: Case, instance: Instance, *, given: Mapping[str, str] | None = None) -> list[Step]:
    """One step, when `given` or the case's sources name an acquisition tool; none without."""
    tool = Tool.of(case.facts.sources, given, windows=instance.windows)
    if tool is None:
        return []
    name = host.WINDOWS if instance.windows else host.LINUX
    memory = _memory(case, instance)
    limit = min(_MOST_SECONDS, _LEAST_SECONDS + (memory or _UNKNOWN_MEMORY) // BYTES_A_SECOND)
    after = 120 + (memory or _UNKNOWN_MEMORY) // _READ_BACK_A_SECOND
    args = {
        "script": name,
        "sha256": hashlib.sha256(host.script(name).encode()).hexdigest(),
        "document": POWERSHELL if instance.windows else SHELL,
        "tool_sha256": tool.sha256,
        "tool_args": tool.arguments,
        "bucket": case.facts.sources.get("evidence_bucket", ""),
    }
    size = f"{memory / (1 << 30):.1f} GiB" if memory else "of a size that is not known"
    return [
        Step(
            verb=VERB, target=instance.id, args=args, stage=35, deadline=limit + after,
            title=f"dump the memory ({size}) with {for_terminal(tool.path.name)}, streamed to the evidence bucket; "
            f"given {limit // 60} minutes",
            reversible="leaves traces on the host: the tool ran there, the agent's copy of the script, page cache",
            act=lambda running: _act(running, instance, tool, memory or _UNKNOWN_MEMORY, limit, after),
        )
    ]  # fmt: skip


def _memory(case: Case, instance: Instance) -> int | None:
    """The instance's memory in bytes, as its type has it; None when EC2 does not say."""
    try:
        said = case.client("ec2").describe_instance_types(InstanceTypes=[instance.type])["InstanceTypes"]
        return int(said[0]["MemoryInfo"]["SizeInMiB"]) * host.MIB
    except (BotoCoreError, ClientError, LookupError, ValueError):
        return None  # the plan stands all the same; the time that is given is then that of a large one


def _act(running: Running, instance: Instance, tool: Tool, memory: int, limit: int, after: int) -> Outcome:
    case = running.case
    bucket = case.facts.sources.get("evidence_bucket")
    if not bucket:
        raise WrongState("no bucket to stream the memory to",
                         hint="open the case with --source evidence_bucket=NAME")  # fmt: skip
    data = tool.read(windows=instance.windows, architecture=instance.architecture)
    transfer = Transfer(
        case=case, bucket=bucket, part_bytes=host.part_bytes(memory),
        key=f"intake/cases/{case.id}/memory-{running.step_id}/{instance.id}.memory{tool.suffix}",
        prefix=f"transfer/{case.id}/{running.step_id}/", role=case.facts.sources.get("courier_role"),
    )  # fmt: skip
    transfer.reach()
    dump = Dump(running, instance, tool, transfer, limit, after)
    earlier = dump.earlier() if _again(running) else None
    found = transfer.arrived() if _again(running) else None
    if found is None:
        if _again(running):
            transfer.take_up()
        command, said, gap = dump.taken(earlier, data)
        found = transfer.complete()
    else:
        said, gap = dump.heard(earlier) if earlier else (host.Said(values={}), None)
        command = earlier or ""
    return _kept(running, instance, transfer, found, said, gap, command, tool)


def _again(running: Running) -> bool:
    entries = running.case.journal.of_step(running.step_id)
    return sum(e.kind is Kind.INTENDED for e in entries) > 1


def _kept(
    running: Running, instance: Instance, transfer: Transfer, found: Arrived, said: host.Said, gap: str | None,
    command: str, tool: Tool,
) -> Outcome:  # fmt: skip
    """Hash the dump as S3 gives it back, keep it where there is room for it, and keep the record of both hashes."""
    where = f"s3://{transfer.bucket}/{found.key}"
    name = f"{instance.id}.memory{tool.suffix}"
    item = running.kept(DUMP, name)
    if item is not None:
        sha256 = item.sha256
    elif shutil.disk_usage(running.case.root).free > found.size + _ROOM_TO_LEAVE:
        running.progress(f"{found.size} bytes have arrived; reading them back")
        notes = {
            "object": where,
            "version": found.version,
            "host_sha256": said.sha256,
            "tool_sha256": tool.sha256,
        }
        item = running.keep(transfer.read(found), kind=DUMP, name=name, partial=gap is not None, notes=notes)
        sha256 = item.sha256
    else:
        running.progress(f"{found.size} bytes have arrived, too many for this disk; hashing them")
        counted = hashlib.sha256()
        for chunk in transfer.read(found):
            counted.update(chunk)
        sha256 = counted.hexdigest()
    missing = [f"memory: {for_terminal(gap)}; {found.size} bytes of it are kept"] if gap else []
    if said.sha256 is None:
        missing.append(
            "memory: the host's own hash of what it sent is not known, so that it cannot be compared"
        )
    elif said.sha256 != sha256:
        missing.append(
            f"memory: what lies in S3 (SHA-256 {sha256}) is not what the host says that it sent ({said.sha256})"
        )
    result: dict[str, Any] = {
        "object": where, "version": found.version, "etag": found.etag, "size": found.size, "sha256": sha256,
        "host_sha256": said.sha256, "agree": said.sha256 == sha256, "item": item.id if item else None,
        "command": command, "tool": tool.path.name, "tool_sha256": tool.sha256, "tool_args": tool.arguments,
        "signed_by": transfer.signed_by, "links_removed": transfer.clean_up(),
        "kept": transfer.kept,
    }  # fmt: skip
    record = json.dumps(
        result | {"host_said": dict(said.values), "missing": missing}, indent=1, sort_keys=True
    )
    kept = running.keep(record.encode("ascii"), kind=RECORD, name=RECORD_NAME, media_type="application/json",
                        partial=bool(missing))  # fmt: skip
    return Outcome(
        result=result | {"record": kept.id},
        missing=tuple(missing),
        undo=Undo(impossible="evidence is not deleted, and what ran on the host has run"),
    )
