"""What tests of memory capture share: a case with a pinned tool, tools that misbehave, and what the bucket holds."""

from __future__ import annotations

import hashlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from irkit import capture
from irkit.case import Case
from irkit.plan import Plan

PART = 5 << 20


def pinned(tool: Path, **more: str) -> dict[str, str]:
    """The names that pin `tool` as it is now."""
    return {
        "memory_tool": str(tool),
        "memory_tool_sha256": hashlib.sha256(tool.read_bytes()).hexdigest(),
    } | more


def tool(folder: Path, body: str) -> Path:
    """An acquisition tool of one's own: a shell script that is called as AVML is; `$out` is where it writes."""
    path = folder / "tool"
    path.write_text(f"#!/bin/sh\nfor out; do :; done\n{body}\n")
    return path


def plan(world: SimpleNamespace, case: Case, **given: Any) -> Plan:
    return capture.plan(case, world.instance_id, only=["memory"], **given)


def commands(world: SimpleNamespace, case: Case) -> list[dict[str, Any]]:
    """The commands that were sent for the case."""
    sent = (
        world.sim.session()
        .client("ssm")
        .list_commands(InstanceId=world.instance_id, MaxResults=50)["Commands"]
    )
    return [c for c in sent if c["Comment"].endswith(f"case {case.id}")]


def keys(world: SimpleNamespace, bucket: str, case: Case) -> list[str]:
    """The keys of the case's objects in the bucket, as they are now."""
    s3 = world.sim.session().client("s3")
    listed = [
        s3.list_objects_v2(Bucket=bucket, Prefix=f"{top}/{case.id}/") for top in ("transfer", "intake/cases")
    ]
    return [o["Key"] for page in listed for o in page.get("Contents", ())]


def uploads(world: SimpleNamespace, bucket: str, case: Case) -> list[str]:
    """The uploads of the case that are neither completed nor aborted."""
    s3 = world.sim.session().client("s3")
    found = s3.list_multipart_uploads(Bucket=bucket, Prefix=f"intake/cases/{case.id}/").get("Uploads", [])
    return [u["UploadId"] for u in found]


def left_on_host(world: SimpleNamespace) -> list[str]:
    """Folders of the memory script that it did not remove."""
    root: Path = world.sim.hosts.find(world.instance_id).root
    return [str(p) for place in ("run", "tmp", "var/tmp") for p in (root / place).glob(".irkit.*")]
