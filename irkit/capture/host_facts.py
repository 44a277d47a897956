"""What was seen on a live host, typed: processes, sockets, cron, keys, files, logs.

`HostFacts.to_dict()` is the content of the evidence item `host-facts.json` and what the hunt reads:

    {"schema": "irkit/host-facts/1",
     "host": {"hostname", "collected_at": "2026-11-23T10:00:00Z", "kernel", "machine", "os", "os_release": {…},
              "uptime_seconds", "booted_at"},
     "users": [{"name", "uid", "gid", "home", "shell"}],
     "processes": [{"pid", "ppid", "uid", "name", "exe", "deleted": bool, "cmdline": […], "env_names": […], "cwd",
                    "started": "…Z" | null, "sha256": "…" | null}],
     "sockets": [{"protocol": "tcp|tcp6|udp|udp6", "state", "local", "local_port", "remote", "remote_port", "uid",
                  "pid": int | null}],
     "cron": [{"file", "modified", "schedule", "user", "command", "line"}],
     "units": [{"file", "modified", "commands": […], "text"}],
     "keys": [{"file", "modified", "type", "fingerprint": "SHA256:…", "comment", "options", "line"}],
     "files": [{"path", "why": "web|temporary|etc|home|preload|suspicious", "size", "modified": "…Z", "changed": "…Z",
                "mode": "0644", "owner", "group", "sha256": "…" | null, "code": bool}],
     "requests": [{"file", "address", "at": "…Z" | null, "method", "target", "status", "agent", "line"}],
     "logs": [{"file", "modified", "size", "truncated": bool, "lines": […]}],
     "histories": [{"file", "modified", "size", "truncated": bool, "lines": […]}],
     "texts": {"modules": "…", "mounts": "…", "addresses": "…", "routes": "…", "neighbours": "…", "logins": "…",
               "sudoers": "…", "preload": "…", "sockets": "…", "timers": "…", "containers": "…", "at": "…",
               "ssh": "…", "startup": "…", "deleted_files": "…", "setuid": "…", "packages": "…", "kernel": "…", …},
     "missing": ["one sentence for each thing that was cut or could not be read"]}

Times are ISO 8601 UTC. `exe` is without the kernel's " (deleted)"; `deleted` says it. `code` is true for a script in a
web root that calls what web shells call. `requests` are the web access logs' lines that parse; the lines themselves
are in `logs`. A Windows host is described in the same shape; `windows_parse` says what stands where. Nothing here is
escaped: it is what the host said, and its attacker may have chosen every word of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

SCHEMA = "irkit/host-facts/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """The machine as it described itself. `collected_at` is by its own clock."""

    hostname: str = ""
    collected_at: str | None = None
    kernel: str = ""
    machine: str = ""
    os: str = ""
    os_release: Mapping[str, str] = field(default_factory=dict)
    uptime_seconds: float | None = None
    booted_at: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A line of the password file."""

    name: str
    uid: int | None
    gid: int | None
    home: str
    shell: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A process. `env_names` are the names of its environment's variables; values are never read out."""

    pid: int
    ppid: int | None
    uid: int | None
    name: str
    exe: str
    deleted: bool
    cmdline: tuple[str, ...]
    env_names: tuple[str, ...]
    cwd: str
    started: str | None
    sha256: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Socket:
    """An internet socket, from the kernel's own table. `pid` is None where no process could be named."""

    protocol: str
    state: str
    local: str
    local_port: int
    remote: str
    remote_port: int
    uid: int | None
    pid: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CronEntry:
    """A job; `user` is the crontab's owner where the line names none."""

    file: str
    modified: str | None
    schedule: str
    user: str
    command: str
    line: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """A systemd unit of the machine's own; `commands` are what its Exec lines run."""

    file: str
    modified: str | None
    commands: tuple[str, ...]
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorizedKey:
    """A key that may log in; `fingerprint` as `ssh-keygen -l` prints it, empty when the line is not a key."""

    file: str
    modified: str | None
    type: str
    fingerprint: str
    comment: str
    options: str
    line: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundFile:
    """A file worth a look and `why`; `changed` is the inode's change time, which `touch` cannot set back."""

    path: str
    why: str
    size: int | None
    modified: str | None
    changed: str | None
    mode: str
    owner: str
    group: str
    sha256: str | None
    code: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A line of a web server's access log."""

    file: str
    address: str
    at: str | None
    method: str
    target: str
    status: int | None
    agent: str
    line: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """The last lines of a log or a history; `truncated` when the file is longer than what was read."""

    file: str
    modified: str | None
    size: int | None
    truncated: bool
    lines: tuple[str, ...]


_LISTS: dict[str, type[Any]] = {
    "users": User,
    "processes": Process,
    "sockets": Socket,
    "cron": CronEntry,
    "units": Unit,
    "keys": AuthorizedKey,
    "files": FoundFile,
    "requests": Request,
    "logs": Log,
    "histories": Log,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class HostFacts:
    """Everything that the facts script saw; `missing` is what it could not see or what was cut off."""

    host: Host = field(default_factory=Host)
    users: tuple[User, ...] = ()
    processes: tuple[Process, ...] = ()
    sockets: tuple[Socket, ...] = ()
    cron: tuple[CronEntry, ...] = ()
    units: tuple[Unit, ...] = ()
    keys: tuple[AuthorizedKey, ...] = ()
    files: tuple[FoundFile, ...] = ()
    requests: tuple[Request, ...] = ()
    logs: tuple[Log, ...] = ()
    histories: tuple[Log, ...] = ()
    texts: Mapping[str, str] = field(default_factory=dict)
    missing: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The facts as JSON types, in the shape that this module's docstring shows."""
        shown: dict[str, Any] = {"schema": SCHEMA, "host": asdict(self.host)}
        for name in _LISTS:
            shown[name] = [_plain(record) for record in getattr(self, name)]
        return shown | {"texts": dict(self.texts), "missing": list(self.missing)}

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> HostFacts:
        """The facts that `to_dict` wrote; what a later version added is left out."""
        lists = {name: tuple(_record(kind, r) for r in raw.get(name, ())) for name, kind in _LISTS.items()}
        return cls(
            host=_record(Host, raw.get("host", {})),
            texts=dict(raw.get("texts", {})),
            missing=tuple(raw.get("missing", ())),
            **lists,
        )

    @property
    def deleted(self) -> tuple[Process, ...]:
        """Processes whose program file is gone from the disk."""
        return tuple(p for p in self.processes if p.deleted)

    def __repr__(self) -> str:
        counts = ", ".join(f"{len(getattr(self, name))} {name}" for name in _LISTS if getattr(self, name))
        return f"<HostFacts {self.host.hostname}: {counts}; {len(self.missing)} missing>"


def parse(output: bytes) -> HostFacts:
    """The facts in what the script printed, whole or cut short; never raises for anything that a host can print."""
    from irkit.capture import host_parse, windows_output, windows_parse

    return windows_parse.parsed(output) if windows_output.is_windows(output) else host_parse.parsed(output)


def _plain(record: Any) -> dict[str, Any]:
    return {
        f.name: list(value) if isinstance(value := getattr(record, f.name), tuple) else value
        for f in fields(record)
    }


def _record(kind: type[Any], raw: Mapping[str, Any]) -> Any:
    known = {f.name for f in fields(kind)}
    return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in raw.items() if k in known})
