"""Files that the facts script read or listed: crontabs, keys, units, logs, and what changed lately."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath

from irkit.canonical import timestamp
from irkit.capture import host_facts as shapes
from irkit.capture.host_output import Output, decoded

# Apache and nginx, common and combined: https://httpd.apache.org/docs/2.4/logs.html#accesslog
_REQUEST = re.compile(
    r'^(?P<address>\S+) \S+ .*?\[(?P<at>[^\]]{10,40})\] "(?P<method>[A-Z]{1,20}) (?P<target>\S+)[^"]*" '
    r'(?P<status>\d{3}) \S+(?: "(?:[^"\\]|\\.)*" "(?P<agent>(?:[^"\\]|\\.)*)")?'
)
_KEY = re.compile(
    r"(?:^|\s)(ssh-[a-z0-9-]+(?:@[a-z.]+)?|ecdsa-sha2-\S+|sk-\S+)\s+([A-Za-z0-9+/]+={0,2})(?:\s+(.*))?$"
)
_ASSIGNMENT = re.compile(r"^[A-Za-z_][A-Za-z0-9_]*\s*=")
_RUN_PARTS = re.compile(r"/etc/cron\.(hourly|daily|weekly|monthly)/")
_EXEC = re.compile(r"(?m)^\s*Exec(?:Start|StartPre|StartPost|Reload|Stop)\s*=\s*[@+!:-]*(.+?)\s*$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A file's path, what stat said, and its last bytes."""

    file: str
    modified: str | None
    size: int | None
    owner: str
    content: bytes

    @property
    def truncated(self) -> bool:
        """Whether the file is longer than what was read of it."""
        return self.size is not None and self.size > len(self.content)

    def lines(self) -> list[str]:
        """The lines that are not empty; what is left of one that began before the part that was read is dropped."""
        found = decoded(self.content).split("\n")
        if self.truncated and len(found) > 1:
            found = found[1:]  # the first line began before what was read
        return [line.rstrip("\r") for line in found if line.strip()]


def number(text: str | bytes) -> int | None:
    """A decimal number that a host printed; None for anything else."""
    held = decoded(text) if isinstance(text, bytes) else text
    return int(held) if held.isascii() and held.isdecimal() and len(held) < 19 else None


def when(seconds: float | None) -> str | None:
    """Seconds since 1970 as ISO 8601 UTC; None for what is no time."""
    if seconds is None:
        return None
    try:
        return timestamp(datetime.fromtimestamp(seconds, UTC).replace(microsecond=0))
    except (ValueError, OverflowError, OSError):
        return None


def kept_files(output: Output, section: str) -> Iterator[Kept]:
    """The files that a section holds, each with its last bytes."""
    for record in output.records(section):
        if len(record) < 3:
            continue
        said = decoded(record[1]).split(" ")
        stat = said if len(said) == 4 else ["", "", "", ""]
        yield Kept(
            file=decoded(record[0]), modified=when(number(stat[0])), size=number(stat[1]), owner=stat[3],
            content=b"\0".join(record[2:]),
        )  # fmt: skip


def joined(kept: Iterable[Kept]) -> str:
    """Files as one text, each under its name."""
    return "".join(f"# {k.file}\n{decoded(k.content)}\n" for k in kept)


def log(kept: Kept) -> shapes.Log:
    """A log or a history as its lines."""
    return shapes.Log(
        file=kept.file,
        modified=kept.modified,
        size=kept.size,
        truncated=kept.truncated,
        lines=tuple(kept.lines()),
    )


def cron_jobs(kept: Kept) -> Iterator[shapes.CronEntry]:
    """The jobs of a crontab: crontab(5). A spool file names no user; a folder's script is a job by being there."""

    def job(schedule: str, user: str, command: str, line: str) -> shapes.CronEntry:
        return shapes.CronEntry(
            file=kept.file, modified=kept.modified, schedule=schedule, user=user, command=command, line=line
        )

    folder = _RUN_PARTS.match(kept.file)
    if folder:
        yield job(f"@{folder[1]}", "root", kept.file, kept.file)
        return
    spool = kept.file.startswith("/var/spool/cron")
    anacron = kept.file.endswith("anacrontab")
    for line in kept.lines():
        text = line.strip()
        if text.startswith("#") or _ASSIGNMENT.match(text):
            continue
        times = 1 if text.startswith("@") else 3 if anacron else 5
        named = not (spool or anacron)  # the line names the user itself
        words = text.split(None, times + named)
        if len(words) <= times + named:
            continue
        user = words[times] if named else "root" if anacron else PurePosixPath(kept.file).name
        yield job(" ".join(words[:times]), user, words[-1], line)


def unit(kept: Kept) -> shapes.Unit:
    """A systemd unit, with what it runs."""
    found = re.findall(
        r"(?m)^\s*Exec(?:Start|StartPre|StartPost|Reload|Stop)\s*=\s*[@+!:-]*(.+?)\s*$", decoded(kept.content)
    )
    return shapes.Unit(
        file=kept.file, modified=kept.modified, commands=tuple(found), text=decoded(kept.content)
    )


def authorized_keys(kept: Kept) -> Iterator[shapes.AuthorizedKey]:
    """The keys of an authorized_keys file: sshd(8). A line that is not a key is shown all the same."""
    for line in kept.lines():
        text = line.strip()
        if text.startswith("#"):
            continue
        found = _KEY.search(text)
        yield shapes.AuthorizedKey(
            file=kept.file, modified=kept.modified, type=found[1] if found else "",
            fingerprint=_fingerprint(found[2]) if found else "", comment=(found[3] or "").strip() if found else "",
            options=text[: found.start()].strip() if found else "", line=line,
        )  # fmt: skip


def _fingerprint(blob: str) -> str:
    """As `ssh-keygen -l` shows it: SHA-256 of the key, base64 without padding."""
    try:
        raw = base64.b64decode(blob, validate=True)
    except binascii.Error:
        return ""
    return "SHA256:" + base64.b64encode(hashlib.sha256(raw).digest()).decode("ascii").rstrip("=")


def found_files(output: Output) -> Iterator[shapes.FoundFile]:
    """The files that the script listed because they changed lately or lie where intruders put things."""
    section = output.sections.get("files")
    tokens = section.content.split(b"\0") if section else []
    for n in range(0, len(tokens) - 5, 5):
        path, why, said, sha256, code = (decoded(t) for t in tokens[n : n + 5])
        stat = said.split(" ")
        if len(stat) != 6:
            continue
        yield shapes.FoundFile(
            path=path, why=why, size=number(stat[0]), modified=when(number(stat[1])),
            changed=when(number(stat[2])), mode=stat[3].zfill(4), owner=stat[4], group=stat[5],
            sha256=sha256 if re.fullmatch("[0-9a-f]{64}", sha256) else None, code=code == "1",
        )  # fmt: skip


def preload_file(kept: Kept) -> shapes.FoundFile:
    """A file that the loader reads, as a file worth a look."""
    whole = None if kept.truncated else hashlib.sha256(kept.content).hexdigest()
    return shapes.FoundFile(
        path=kept.file, why="preload", size=kept.size, modified=kept.modified, changed=None, mode="", owner=kept.owner,
        group="", sha256=whole, code=False,
    )  # fmt: skip


def requests(kept: Kept) -> Iterator[shapes.Request]:
    """The requests in a web server's access log."""
    for line in kept.lines():
        found = _REQUEST.match(line[:8192])
        if found is None:
            continue
        yield shapes.Request(
            file=kept.file, address=found["address"], at=_log_time(found["at"]), method=found["method"],
            target=found["target"], status=number(found["status"]), agent=found["agent"] or "", line=line,
        )  # fmt: skip


def _log_time(text: str) -> str | None:
    try:
        return timestamp(datetime.strptime(text, "%d/%b/%Y:%H:%M:%S %z"))
    except (ValueError, OverflowError):
        return None
