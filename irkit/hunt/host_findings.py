"""What a live host's facts tell: a web shell and who used it, programs without a file, jobs and keys that were planted.

The facts are the evidence item `host-facts.json` (schema `irkit/host-facts/1`), read as plain JSON: every word in it
may have been chosen by the intruder, so nothing here is run, matched as a pattern, or trusted to be of the right type.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote, urlsplit

from irkit.findings import Finding
from irkit.findings.wording import counted
from irkit.hunt.flow_findings import HostHints
from irkit.tables import iso

_ADDRESS = re.compile(r"(?<![\d.])(\d{1,3}(?:\.\d{1,3}){3})(?![\d.])")
_SYSTEM = ("/usr/", "/bin/", "/sbin/", "/lib", "/opt/", "/snap/")
_SCRATCH = re.compile(r"(?:^|[\s'\"=])(?:/tmp/|/var/tmp/|/dev/shm/|/run/user/)")
_FETCH = re.compile(r"\b(?:curl|wget|nc|ncat|python[23]?|perl|bash\s+-i|/dev/tcp/)")
_ORDINARY_DELETED = ("/memfd:runc", "/memfd:magic")

_INSIDE = tuple(
    ipaddress.IPv4Network(network)
    for network in (
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "100.64.0.0/10",
        "169.254.0.0/16",
        "127.0.0.0/8",
        "0.0.0.0/8",
    )
)

Record = Mapping[str, Any]


def host_findings(facts: Mapping[str, Any]) -> list[Finding]:
    """Findings from host facts alone, in the order of the story: entry, then what was left behind."""
    shells = _shells(facts)
    entry = min(
        (at for _, requests in shells for r in requests if (at := _moment(r.get("at")))), default=None
    )
    found = [_entry(path, requests) for path, requests in shells]
    found += _deleted_programs(facts)
    found += _planted_jobs(facts)
    found += _planted_keys(facts, entry)
    return _distinct_ids(found)


def hints(facts: Mapping[str, Any]) -> HostHints:
    """Outside addresses that commands on the host name, and conversations that programs without a file hold."""
    suspicious = {p.get("pid") for p in _records(facts, "processes") if _is_odd(p)}
    held = {
        (_text(s, "remote"), s["remote_port"])
        for s in _records(facts, "sockets")
        if s.get("pid") in suspicious
        and isinstance(s.get("remote_port"), int)
        and _outside(_text(s, "remote"))
    }
    texts = [unquote(_text(r, "target")) for _, requests in _shells(facts) for r in requests]
    texts += [_text(c, "command") for c in _records(facts, "cron")]
    texts += [
        line for h in _records(facts, "histories") for line in h.get("lines", ()) if isinstance(line, str)
    ]
    texts += [" ".join(map(str, p.get("cmdline", ()))) for p in _records(facts, "processes") if _is_odd(p)]
    named = {match for text in texts for match in _ADDRESS.findall(text) if _outside(match)}
    return HostHints(addresses=frozenset(named), conversations=frozenset(held))


def _shells(facts: Mapping[str, Any]) -> list[tuple[str, list[Record]]]:
    """Scripts in a web root that call what web shells call, with the requests to them that were answered."""
    found: list[tuple[str, list[Record]]] = []
    requests = [r for r in _records(facts, "requests") if r.get("status") == 200]
    for file in _records(facts, "files"):
        path = _text(file, "path")
        if file.get("code") is not True or not path:
            continue
        asked = [r for r in requests if _serves(path, _text(r, "target"))]
        found.append((path, asked))
    return found


def _serves(path: str, target: str) -> bool:
    """Whether a request for `target` ran the script at `path` with something to do."""
    try:
        parts = urlsplit(target)
    except ValueError:
        return False
    return len(parts.path) > 1 and path.endswith(unquote(parts.path))


def _entry(path: str, requests: Sequence[Record]) -> Finding:
    if not requests:
        return Finding(
            id=f"web-shell{_slug(path)}",
            title="A script like a web shell lies in the web root",
            statement=f"{path} calls what web shells call; no request to it is in the access logs that were read.",
            severity="high",
            confidence="medium",
            attack=("T1505.003",),
            facts={"file": (path,)},
            basis=("host-facts.json",),
        )
    times = sorted(at for r in requests if (at := _moment(r.get("at"))))
    addresses = tuple(dict.fromkeys(a for r in requests if _outside(a := _text(r, "address"))))
    facts: dict[str, tuple[str, ...]] = {"file": (path,)}
    if addresses:
        facts["address"] = addresses
    if times:
        facts["time_entry"] = (iso(times[0]),)
    return Finding(
        id=f"web-shell{_slug(path)}",
        title="A web shell was used",
        statement=f"{path} calls what web shells call and answered {counted(len(requests), 'request')} from"
        f" {', '.join(addresses) or 'inside'}" + (f", the first at {iso(times[0])}." if times else "."),
        severity="critical",
        confidence="high",
        first_seen=times[0] if times else None,
        last_seen=times[-1] if times else None,
        attack=("T1190", "T1505.003"),
        facts=facts,
        basis=("host-facts.json",),
    )


def _is_odd(process: Record) -> bool:
    """Whether a program runs from a file that is gone and that no package update replaces."""
    exe = _text(process, "exe")
    return process.get("deleted") is True and bool(exe) and not exe.startswith((*_SYSTEM, *_ORDINARY_DELETED))


def _deleted_programs(facts: Mapping[str, Any]) -> Iterator[Finding]:
    for process in _records(facts, "processes"):
        if not _is_odd(process):
            continue
        exe, started = _text(process, "exe"), _moment(process.get("started"))
        yield Finding(
            id=f"deleted-program{_slug(exe)}",
            title="A program runs whose file was deleted",
            statement=f"Process {process.get('pid')} runs from {exe}, which is no longer on the disk.",
            severity="critical",
            confidence="high",
            first_seen=started,
            attack=("T1070.004", "T1496"),
            facts={"process": (exe,)},
            basis=("host-facts.json",),
        )


def _planted_jobs(facts: Mapping[str, Any]) -> Iterator[Finding]:
    odd = {_text(p, "exe") for p in _records(facts, "processes") if _is_odd(p)}
    for job in _records(facts, "cron"):
        command, file = _text(job, "command"), _text(job, "file")
        runs_odd = any(exe in command for exe in odd)
        fetches = bool(_FETCH.search(command)) and any(_outside(a) for a in _ADDRESS.findall(command))
        if not command or not (runs_odd or fetches or _SCRATCH.search(command)):
            continue
        yield Finding(
            id=f"cron{_slug(file)}",
            title="A scheduled job keeps the intruder's program alive",
            statement=f"{file} runs as {_text(job, 'user') or 'its owner'} on the schedule"
            f" {_text(job, 'schedule')}: {command}",
            severity="critical" if runs_odd or fetches else "high",
            confidence="high" if runs_odd or fetches else "medium",
            first_seen=_moment(job.get("modified")),
            attack=("T1053.003",),
            facts={"file": (file,), "cron": (command,)},
            basis=("host-facts.json",),
        )


def _planted_keys(facts: Mapping[str, Any], entry: datetime | None) -> Iterator[Finding]:
    """Keys in files that changed after the entry, other than keys that lie in an older file too."""
    if entry is None:
        return
    keys = [k for k in _records(facts, "keys") if _text(k, "fingerprint")]
    old = {k["fingerprint"] for k in keys if (m := _moment(k.get("modified"))) is not None and m < entry}
    for key in keys:
        modified = _moment(key.get("modified"))
        if modified is None or modified < entry or key["fingerprint"] in old:
            continue
        file, fingerprint = _text(key, "file"), _text(key, "fingerprint")
        yield Finding(
            id=f"ssh-key{_slug(file)}",
            title="A key that may log in was added",
            statement=f"{file} was changed at {iso(modified)}, after the entry, and holds {fingerprint}"
            f" ({_text(key, 'comment') or 'no comment'}), which is in no older file.",
            severity="critical",
            confidence="high" if len([k for k in keys if k.get("file") == file]) > 1 else "medium",
            first_seen=modified,
            attack=("T1098.004",),
            facts={"file": (file,), "ssh_key": (fingerprint,)},
            basis=("host-facts.json",),
        )


def _records(facts: Mapping[str, Any], name: str) -> list[Record]:
    listed = facts.get(name, ())
    return [r for r in listed if isinstance(r, Mapping)] if isinstance(listed, list | tuple) else []


def _text(record: Record, name: str) -> str:
    value = record.get(name)
    return value if isinstance(value, str) else ""


def _moment(value: object) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _outside(text: str) -> bool:
    """Whether `text` is an address that is not inside a network; documentation and benchmark ranges are outside."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address):
        return not (
            address.is_private or address.is_link_local or address.is_loopback or address.is_unspecified
        )
    return not any(address in network for network in _INSIDE)


def _slug(path: str) -> str:
    kept = re.sub(r"[^a-z0-9]+", "-", path.lower())[-60:].strip("-")
    return f"-{kept}" if kept else ""


def _distinct_ids(found: list[Finding]) -> list[Finding]:
    """The findings with a number behind ids that occur again."""
    from dataclasses import replace

    seen: dict[str, int] = {}
    numbered: list[Finding] = []
    for finding in found:
        count = seen[finding.id] = seen.get(finding.id, 0) + 1
        numbered.append(finding if count == 1 else replace(finding, id=f"{finding.id}-{count}"))
    return numbered
