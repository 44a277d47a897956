"""What the facts script's sections mean, as `HostFacts`. Every line of it may be the attacker's: nothing raises."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from typing import Any

from irkit.capture import host_facts as shapes
from irkit.capture.host_files import (
    authorized_keys,
    cron_jobs,
    found_files,
    joined,
    kept_files,
    log,
    number,
    preload_file,
    requests,
    unit,
    when,
)
from irkit.capture.host_output import Output, decoded, taken_apart

_TCP_STATES = {
    "01": "ESTAB", "02": "SYN-SENT", "03": "SYN-RECV", "04": "FIN-WAIT-1", "05": "FIN-WAIT-2", "06": "TIME-WAIT",
    "07": "CLOSE", "08": "CLOSE-WAIT", "09": "LAST-ACK", "0A": "LISTEN", "0B": "CLOSING", "0C": "NEW-SYN-RECV",
}  # fmt: skip
_NOT_A_NAME = re.compile(r"[^A-Za-z0-9_.%()]")


def parsed(raw: bytes) -> shapes.HostFacts:
    """The facts in `raw`, with everything that is missing from them named."""
    output = taken_apart(raw)
    host = _host(output)
    web, system = list(kept_files(output, "web_logs")), list(kept_files(output, "system_logs"))
    sudoers, preload = list(kept_files(output, "sudoers")), list(kept_files(output, "preload"))
    texts = {
        name.removeprefix("text:"): output.text(name) for name in output.sections if name.startswith("text:")
    }
    texts |= {"sudoers": joined(sudoers), "preload": joined(preload)}
    texts |= {
        name: joined(kept_files(output, name)) for name in ("at", "ssh", "startup") if name in output.sections
    }
    histories = list(kept_files(output, "histories"))
    cut = [k for k in (*web, *system, *histories) if k.truncated]
    return shapes.HostFacts(
        host=host,
        users=tuple(_users(output)),
        processes=tuple(_processes(output)),
        sockets=tuple(_sockets(output)),
        cron=tuple(job for file in kept_files(output, "cron") for job in cron_jobs(file)),
        units=tuple(unit(file) for file in kept_files(output, "units")),
        keys=tuple(key for file in kept_files(output, "keys") for key in authorized_keys(file)),
        files=(*found_files(output), *(preload_file(k) for k in preload if k.file.endswith("ld.so.preload"))),
        requests=tuple(
            dict.fromkeys(r for file in (*web, *kept_files(output, "web_shells")) for r in requests(file))
        ),
        logs=tuple(log(file) for file in (*web, *system)),
        histories=tuple(log(file) for file in histories),
        texts=texts,
        missing=(
            *_missing(output),
            *(f"{k.file}: only the last {len(k.content)} of {k.size} bytes" for k in cut),
        ),
    )


def _missing(output: Output) -> Iterator[str]:
    yield from output.problems
    if not output.complete and not output.problems:
        yield "the output was cut short; sections after the last one shown are missing"
    for name in output.late:
        yield f"{name}: the script's time was up before it"
    for section in output.sections.values():
        if section.exit_code is None:
            yield f"{section.name}: cut off after {len(section.content)} bytes"
        elif section.exit_code in {124, 137, 143}:
            yield f"{section.name}: stopped because it took too long; what it had found is kept"


def _host(output: Output) -> shapes.Host:
    said = output.pairs("host")
    release: dict[str, str] = {}
    for line in said.get("release", "").splitlines():
        name, equals, value = line.partition("=")
        if equals:
            release[name.strip()] = value.strip().strip("\"'")
    uptime = said.get("uptime", "").split(" ")[0]
    return shapes.Host(
        hostname=said.get("hostname", ""),
        collected_at=when(number(said.get("now", ""))),
        kernel=" ".join(filter(None, (said.get("kernel", ""), said.get("version", "")))),
        machine=said.get("machine", ""),
        os=release.get("PRETTY_NAME", ""),
        os_release=release,
        uptime_seconds=float(uptime) if re.fullmatch(r"[0-9]{1,12}(\.[0-9]+)?", uptime) else None,
        booted_at=when(number(said.get("boot", ""))),
    )


def _users(output: Output) -> Iterator[shapes.User]:
    for kept in kept_files(output, "accounts"):
        if not kept.file.endswith("/passwd"):
            continue
        for line in kept.lines():
            fields = line.split(":")
            if len(fields) == 7:
                name, _, uid, gid, _, home, runs = fields
                record: dict[str, Any] = {"name": name, "uid": number(uid), "gid": number(gid), "home": home}
                yield shapes.User(**record | {"shell": runs})


def _processes(output: Output) -> Iterator[shapes.Process]:
    said = output.pairs("host")
    boot, ticks = number(said.get("boot", "")), number(said.get("ticks", "")) or 100
    records = output.records("processes")
    for record in records:
        if len(record) < 7 or (pid := number(record[0])) is None:
            continue
        exe, links, cwd, stat, uid, sha256 = (decoded(field).rstrip("\n") for field in record[1:7])
        arguments = record[7:]
        while arguments and not arguments[-1]:
            arguments = arguments[:-1]
        names = next(records, [])
        deleted = links == "0" or (not links and exe.endswith(" (deleted)"))
        # https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html: fields after the name, which may hold anything
        fields = stat.rpartition(")")[2].split()
        began = number(fields[19]) if len(fields) > 19 else None
        yield shapes.Process(
            pid=pid,
            ppid=number(fields[1]) if len(fields) > 1 else None,
            uid=number(uid),
            name=stat.partition("(")[2].rpartition(")")[0],
            exe=exe.removesuffix(" (deleted)") if deleted else exe,
            deleted=deleted,
            cmdline=tuple(decoded(a) for a in arguments),
            env_names=tuple(sorted({decoded(n) for n in names if n and not _NOT_A_NAME.search(decoded(n))})),
            cwd=cwd,
            started=when(boot + began / ticks) if boot is not None and began is not None else None,
            sha256=sha256 if re.fullmatch("[0-9a-f]{64}", sha256) else None,
        )


def _sockets(output: Output) -> Iterator[shapes.Socket]:
    tables: list[tuple[str, str]] = []
    owners: dict[str, int | None] = {}
    for record in output.records("sockets"):
        if not record:
            continue
        name, text = decoded(record[0]), decoded(b"\0".join(record[1:]))
        if name == "owners":
            for line in text.splitlines():
                pid, _, inode = line.partition(" ")
                owners.setdefault(inode, number(pid))
        else:
            tables.append((name, text))
    for protocol, text in tables:
        for line in text.splitlines()[1:]:
            fields = line.split()
            near, far = (_endpoint(f) for f in fields[1:3]) if len(fields) > 9 else (None, None)
            if near is None or far is None:
                continue
            state = _TCP_STATES.get(fields[3], fields[3]) if protocol.startswith("tcp") else "UNCONN"
            if protocol.startswith("udp") and fields[3] == "01":
                state = "ESTAB"
            yield shapes.Socket(
                protocol=protocol, state=state, local=near[0], local_port=near[1], remote=far[0], remote_port=far[1],
                uid=number(fields[7]), pid=owners.get(fields[9]),
            )  # fmt: skip


def _endpoint(text: str) -> tuple[str, int] | None:
    """An address of /proc/net/tcp: 32-bit words in the machine's order, which is little-endian on all that EC2 has."""
    address, _, port = text.partition(":")
    try:
        words = bytes.fromhex(address)
        number = int(port, 16)
        packed = b"".join(words[n : n + 4][::-1] for n in range(0, len(words), 4))
        shown = ipaddress.ip_address(packed)
    except ValueError:
        return None
    if isinstance(shown, ipaddress.IPv6Address) and shown.ipv4_mapped:
        return str(shown.ipv4_mapped), number
    return str(shown), number
