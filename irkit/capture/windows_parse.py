"""What the rows of `facts.ps1` mean, as `HostFacts`. The shape is that of Linux hosts, so that one hunt reads both.

Where Windows has its own: `cron` are scheduled tasks, `units` services, `logs` the event logs with an event a line,
`histories` what PSReadLine kept, `uid` the last part of a user's SID, and `deleted` a program whose file is gone. A
process has its whole command line as its one argument: Windows hands it over so. The rest is in `texts`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from irkit.capture import host_facts as shapes
from irkit.capture.host_files import Kept, authorized_keys, log
from irkit.capture.windows_output import Output, Record, shown, taken_apart

_STATES = {
    "Established": "ESTAB", "Listen": "LISTEN", "TimeWait": "TIME-WAIT", "CloseWait": "CLOSE-WAIT",
    "SynSent": "SYN-SENT", "SynReceived": "SYN-RECV", "FinWait1": "FIN-WAIT-1", "FinWait2": "FIN-WAIT-2",
    "LastAck": "LAST-ACK", "Closing": "CLOSING",
}  # fmt: skip
_TEXTS = {
    "dns": "dns", "neighbours": "neighbours", "routes": "routes", "addresses": "addresses", "sessions": "logins",
    "pipes": "pipes", "autoruns": "autoruns", "wmi": "wmi", "drivers": "modules", "defender": "defender",
    "shares": "shares", "containers": "containers", "firewall": "firewall",
}  # fmt: skip


def parsed(raw: bytes) -> shapes.HostFacts:
    """The facts in `raw`, with everything that is missing from them named."""
    output = taken_apart(raw)
    histories = [_kept(r) for r in output.records("histories")]
    logs = tuple(_logs(output))
    return shapes.HostFacts(
        host=next((_host(r) for r in output.records("host")), shapes.Host()),
        users=tuple(_user(r) for r in output.records("users")),
        processes=tuple(p for r in output.records("processes") if (p := _process(r))),
        sockets=(*_sockets(output, "tcp"), *_sockets(output, "udp")),
        cron=tuple(_task(r) for r in output.records("tasks")),
        units=tuple(_service(r) for r in output.records("services")),
        keys=tuple(key for r in output.records("keys") for key in authorized_keys(_kept(r))),
        files=tuple(_file(r) for r in output.records("files")),
        logs=logs,
        histories=tuple(log(h) for h in histories),
        texts={text: output.lines(name) for name, text in _TEXTS.items() if name in output.sections},
        missing=(
            *_missing(output),
            *(f"{one.file}: only the last {len(one.lines)} events" for one in logs if one.truncated),
            *(
                f"{h.file}: only the last {len(h.content)} of {h.size} bytes"
                for h in histories
                if h.truncated
            ),
        ),
    )


def _missing(output: Output) -> Iterator[str]:
    yield from output.problems
    for name, section in output.sections.items():
        if section.state != "done":
            yield f"{name}: {section.state}: {' '.join(section.why.split())[:300]}"


def _host(record: Record) -> shapes.Host:
    names = ("version", "build", "domain", "memory", "user", "powershell", "zone", "secure_boot")
    return shapes.Host(
        hostname=record.text("hostname"),
        collected_at=record.time("now"),
        kernel=" ".join(filter(None, (record.text("version"), record.text("build")))),
        machine=record.text("machine"),
        os=record.text("os"),
        os_release={name: record.text(name) for name in names if record.text(name)},
        uptime_seconds=_seconds_between(record.time("booted"), record.time("now")),
        booted_at=record.time("booted"),
    )


def _seconds_between(first: str | None, last: str | None) -> float | None:
    from datetime import datetime

    if first is None or last is None:
        return None
    try:
        return (datetime.fromisoformat(last) - datetime.fromisoformat(first)).total_seconds()
    except ValueError:
        return None


def _user(record: Record) -> shapes.User:
    last = record.text("sid").rpartition("-")[2]
    group = 544 if record.flag("administrator") else None  # the local group of administrators: S-1-5-32-544
    return shapes.User(
        name=record.text("name"), uid=int(last) if re.fullmatch("[0-9]{1,10}", last) else None, gid=group,
        home=record.text("home"), shell="disabled" if record.flag("disabled") else "",
    )  # fmt: skip


def _process(record: Record) -> shapes.Process | None:
    pid = record.number("pid")
    if pid is None:
        return None
    command, sha256 = record.text("command"), record.text("sha256")
    return shapes.Process(
        pid=pid, ppid=record.number("ppid"), uid=None, name=record.text("name"), exe=record.text("exe"),
        deleted=bool(record.text("exe")) and record.raw.get("there") is False,
        cmdline=(command,) if command else (), env_names=(), cwd="", started=record.time("started"),
        sha256=sha256 if re.fullmatch("[0-9a-f]{64}", sha256) else None,
    )  # fmt: skip


def _sockets(output: Output, protocol: str) -> Iterator[shapes.Socket]:
    for record in output.records(protocol):
        local, port = record.text("local"), record.number("local_port")
        if port is None:
            continue
        state = (
            _STATES.get(record.text("state"), record.text("state").upper()) if protocol == "tcp" else "UNCONN"
        )
        yield shapes.Socket(
            protocol=protocol + ("6" if ":" in local else ""), state=state, local=local, local_port=port,
            remote=record.text("remote"), remote_port=record.number("remote_port") or 0, uid=None,
            pid=record.number("pid"),
        )  # fmt: skip


def _task(record: Record) -> shapes.CronEntry:
    return shapes.CronEntry(
        file=record.text("path"), modified=record.text("made") or None, schedule="; ".join(record.texts("when")),
        user=record.text("user"), command="; ".join(record.texts("does")), line=shown(dict(record.raw)),
    )  # fmt: skip


def _service(record: Record) -> shapes.Unit:
    runs = tuple(filter(None, (record.text("path"), record.text("dll"))))
    return shapes.Unit(file=record.text("name"), modified=None, commands=runs, text=shown(dict(record.raw)))


def _file(record: Record) -> shapes.FoundFile:
    sha256 = record.text("sha256")
    return shapes.FoundFile(
        path=record.text("path"), why=record.text("why"), size=record.number("size"), modified=record.time("modified"),
        changed=record.time("created"), mode=record.text("attributes"), owner=record.text("owner"), group="",
        sha256=sha256 if re.fullmatch("[0-9a-f]{64}", sha256) else None, code=record.flag("code"),
    )  # fmt: skip


def _kept(record: Record) -> Kept:
    return Kept(
        file=record.text("file"), modified=record.time("modified"), size=record.number("size"), owner="",
        content=record.bytes("content").removeprefix(b"\xef\xbb\xbf"),
    )  # fmt: skip


def _logs(output: Output) -> Iterator[shapes.Log]:
    """The event logs, an event a line of JSON, oldest first; `truncated` where there are more than were asked for."""
    lines: dict[str, list[str]] = {}
    more: set[str] = set()
    for record in output.records("events"):
        name = f"{record.text('log')}/{record.text('id')}"
        if record.flag("more"):
            more.add(name)
        else:
            lines.setdefault(name, []).append(shown(dict(record.raw)))
    for name, events in lines.items():
        yield shapes.Log(
            file=name, modified=None, size=None, truncated=name in more, lines=tuple(reversed(events))
        )
