"""A Windows host for tests: an instance that EC2 says runs Windows, and what its scripts are taken to have printed."""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

from irkit.sim.host import Platform

IMAGE = "ami-0a1b2c3d4e5f60718"


def done(*rows: Any) -> dict[str, Any]:
    """A section that ended well."""
    return {"state": "done", "error": "", "rows": list(rows)}


def printed(sections: dict[str, Any]) -> bytes:
    """What facts.ps1 prints of these sections."""
    plain = json.dumps({"schema": "irkit/windows-facts/1", "seconds": 3.2, "sections": sections}).encode(
        "ascii"
    )
    return b"irkit-windows-facts gzip base64\r\n" + base64.b64encode(gzip.compress(plain)) + b"\r\n"


def answering(sections: dict[str, Any]) -> Callable[[str], bytes]:
    """A recording that answers with the sections that the settings ahead of the script ask for."""

    def recorded(text: str) -> bytes:
        asked = re.search(r"^\$IRKIT_SECTIONS = '([^']*)'$", text, re.MULTILINE)
        wanted = asked[1].split() if asked else list(sections)
        return printed({name: rows for name, rows in sections.items() if name in wanted})

    return recorded


@contextmanager
def windows(world: SimpleNamespace, recorded: Callable[[str], bytes]) -> Iterator[str]:
    """The id of a running instance with Windows whose agent is online."""
    from irkit.sim.mends.nodes import find_instance

    ec2 = world.sim.session().client("ec2")
    subnet = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    made = ec2.run_instances(ImageId=IMAGE, MinCount=1, MaxCount=1, InstanceType="t3.micro", SubnetId=subnet)
    instance_id = str(made["Instances"][0]["InstanceId"])
    find_instance(world.sim.account, world.sim.region, instance_id).platform = "windows"
    world.sim.hosts.add(
        instance_id, root=world.sim.workdir / "windows" / instance_id, hostname="EC2AMAZ-1",
        platform=Platform(kind="Windows", name="Microsoft Windows Server 2022 Datacenter", version="10.0.20348"),
        recorded=recorded,
    )  # fmt: skip
    try:
        yield instance_id
    finally:
        world.sim.hosts.find(instance_id).stop()
        ec2.terminate_instances(InstanceIds=[instance_id])


_KEY = b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEJPXk5n7Zq0bQpZ0nJ7l8W1m0k3u6VQ9hYx0Zk1r2aF intruder\r\n"
SECTIONS: dict[str, Any] = {
    "host": done({"hostname": "EC2AMAZ-1", "os": "Microsoft Windows Server 2022 Datacenter", "version": "10.0.20348",
                  "build": "20348", "machine": "AMD64", "booted": "2026-11-19T08:00:00Z",
                  "now": "2026-11-20T09:00:00Z",
                  "domain": "WORKGROUP", "memory": "8589934592", "powershell": "5.1.20348.2227"}),
    "processes": done(
        {"pid": 4, "ppid": 0, "name": "System", "exe": None, "there": None, "command": None, "started": None},
        {"pid": 4242, "ppid": 612, "name": "svch0st.exe", "exe": "C:\\Users\\Public\\svch0st.exe", "there": False,
         "command": "\"C:\\Users\\Public\\svch0st.exe\" -o pool:3333 \u001b[31m\ud83d",
         "started": "2026-11-20T08:10:00Z",
         "user": "EC2AMAZ-1\\Administrator", "sha256": "a" * 64},
    ),
    "tcp": done({"state": "Established", "local": "10.0.0.5", "local_port": 50123, "remote": "203.0.113.9",
                 "remote_port": 3333, "pid": 4242},
                {"state": "Listen", "local": "::", "local_port": 445, "remote": "::", "remote_port": 0, "pid": 4}),
    "udp": done({"local": "0.0.0.0", "local_port": 3389, "pid": 900}),
    "dns": done({"entry": "pool.example.net", "type": "1", "data": "203.0.113.9", "ttl": 60}),
    "sessions": done(" USERNAME  SESSIONNAME  ID  STATE", ">administrator  rdp-tcp#3  2  Active"),
    "pipes": done("\\\\.\\pipe\\msagent_7f"),
    "tasks": done({"path": "\\Update", "state": "Ready", "author": "x", "made": "2026-11-20T08:11:00", "user": "SYSTEM",
                   "does": ["powershell.exe -enc SQBFAFgA"], "when": {"value": ["MSFT_TaskBootTrigger"], "Count": 1},
                   "hidden": True, "level": "Highest"}),
    "services": done({"name": "WinHelpSvc", "display": "x", "path": "C:\\ProgramData\\h.exe", "mode": "Auto",
                      "state": "Running", "user": "LocalSystem", "pid": 4100, "dll": "C:\\ProgramData\\h.dll"}),
    "autoruns": done({"place": "HKEY_LOCAL_MACHINE\\SOFTWARE\\Microsoft\\Windows\\CurrentVersion\\Run", "name": "h",
                      "value": "C:\\ProgramData\\h.exe"}),
    "wmi": done({"class": "CommandLineEventConsumer", "name": "c", "command": "cmd /c h.exe"}),
    "users": done({"name": "support", "sid": "S-1-5-21-1-2-3-1005", "disabled": False, "administrator": True,
                   "home": "C:\\Users\\support"}),
    "keys": done({"file": "C:\\ProgramData\\ssh\\administrators_authorized_keys", "size": 90,
                  "modified": "2026-11-20T08:12:00Z", "content": base64.b64encode(_KEY).decode()}),
    "histories": done({"file": "C:\\Users\\support\\ConsoleHost_history.txt", "size": 1_000_000,
                       "modified": "2026-11-20T08:13:00Z",
                       "content": base64.b64encode(b"cut\r\nwhoami /all\r\n").decode()}),
    "drivers": done({"name": "evil", "path": "C:\\Windows\\evil.sys", "mode": "Boot", "state": "Running"}),
    "defender": done({"what": "status", "enabled": True, "real_time": False, "excluded": ["C:\\ProgramData"]}),
    "events": done(
        {"log": "System", "id": 7045, "at": "2026-11-20T08:12:30Z", "record": 91, "user": "S-1-5-18",
         "data": {"ServiceName": "WinHelpSvc", "ImagePath": "C:\\ProgramData\\h.exe"}},
        {"log": "Security", "id": 4624, "at": "2026-11-20T08:09:00Z", "record": 9, "user": "",
         "data": {"TargetUserName": "Administrator", "LogonType": "10", "IpAddress": "198.51.100.7"}},
        {"log": "Security", "id": 4624, "more": True},
    ),
    "files": {"state": "cut", "error": "stopped after 40 seconds", "rows": [
        {"path": "C:\\inetpub\\wwwroot\\s.aspx", "why": "web", "size": 120, "modified": "2026-11-20T08:08:00Z",
         "created": "2026-11-20T08:08:00Z", "attributes": "Archive", "code": True, "owner": "IIS APPPOOL\\web",
         "sha256": "b" * 64}]},
}  # fmt: skip
