"""Live hosts: a sandbox over a scenario's file tree, in which commands really run.

Each host is a set of Linux namespaces (user, mount, pid, net, uts, ipc) with the scenario's tree as its root and the
machine's own /usr beneath the tree's, read-only. The sandbox is for realism, not a security boundary: the scripts that
run in it are irkit's and the user's. Where user namespaces are off, nothing falls back to the machine's own shell: the
node is `ConnectionLost`, and `Host.trouble` says why.
"""

from __future__ import annotations

import contextlib
import os
import select
import shlex
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from irkit.sim.doorway import Doorway

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_START_SECONDS = 20.0
_INIT = "/usr/lib/systemd/systemd --switched-root --system --deserialize=32"
_ENTER = ["--user", "--preserve-credentials", "--mount", "--pid", "--net", "--uts", "--ipc", "--root", "--wd"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """What Systems Manager says about a node's system."""

    kind: str = "Linux"
    name: str = "Amazon Linux"
    version: str = "2023"


@dataclass(slots=True, kw_only=True, eq=False)
class Host:
    """One instance's live system. `agent` is the SSM agent's switch; the system runs on without it.

    `recorded` gives a host that nothing runs on, such as one with Windows: it is called with each script that is sent,
    and what it returns is taken for what the script printed.
    """

    instance_id: str
    root: Path
    hostname: str
    init: tuple[str, ...] = ()
    console: str | None = None
    platform: Platform = field(default_factory=Platform)
    agent: bool = True
    trouble: str | None = None
    recorded: Callable[[str], bytes] | None = None
    last_ping: datetime = field(default_factory=lambda: datetime.now(UTC))
    _up: bool = field(default=False, repr=False)
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    _pid: int | None = field(default=None, repr=False)
    _doorway: Doorway | None = field(default=None, repr=False)

    @property
    def running(self) -> bool:
        """Whether the sandbox is up; a host with recorded answers is, once it was started."""
        return self._up or (self._process is not None and self._process.poll() is None)

    def start(self, *, port: int | None = None) -> bool:
        """Bring the sandbox up; False, with `trouble` set, where this machine does not allow it.

        `port` is the simulator's: connections to it on the host's own loopback reach the simulator, as a VPC endpoint
        would, and nothing else leaves the sandbox.
        """
        if self.running:
            return True
        self.trouble = None
        if self.recorded is not None:
            self._up = True
            return True
        _complete_tree(self.root)
        command = ["unshare", "--user", "--map-root-user", "--mount", "--pid", "--net", "--uts", "--ipc"]
        command += ["--fork", "--kill-child", "bash", "-c", _boot_script(self.root, self.hostname, self.init)]
        try:
            process = subprocess.Popen(  # noqa: S603 - our own text
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            self.trouble = f"the sandbox cannot start: {error}"
            return False
        self._process = process
        if not _ready(process):
            process.kill()
            said = process.stderr.read().decode(errors="replace").strip() if process.stderr else ""
            self.stop()
            self.trouble = f"the sandbox did not start (user namespaces may be off): {said or 'no answer'}"
            return False
        self._pid = _only_child(process.pid)
        if process.stdin is not None:
            process.stdin.write(b"printf systemd > /proc/self/comm\n")
            process.stdin.flush()
        if port is not None and self._pid is not None:
            self._doorway = Doorway.open(self._pid, port)
        return True

    def run(
        self, script: Path, *, timeout: float, stdout: IO[bytes], stderr: IO[bytes]
    ) -> subprocess.Popen[bytes]:
        """Start `script` (a path inside the host's tree) with sh as root; exit code 124 means that time ran out."""
        inside = "/" + str(script.relative_to(self.root))
        command = ["nsenter", "--target", str(self._pid), *_ENTER, "env", "-i", f"PATH={_PATH}", "HOME=/root"]
        command += ["LANG=C.UTF-8", "timeout", "--foreground", "--kill-after=2", str(timeout), "sh", inside]
        return subprocess.Popen(  # noqa: S603 - a script of the case, run in the sandbox
            command, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, start_new_session=True
        )

    def stop(self) -> None:
        """Take the sandbox and everything in it down."""
        if self._doorway is not None:
            self._doorway.close()
            self._doorway = None
        self._up = False
        process, self._process, self._pid = self._process, None, None
        if process is None:
            return
        process.kill()
        process.wait(timeout=10)
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()


class Hosts:
    """The live hosts of the world, by instance id."""

    def __init__(self, *, port: int | None = None) -> None:
        self._hosts: dict[str, Host] = {}
        self._lock = threading.Lock()
        self.port = port

    def add(
        self,
        instance_id: str,
        *,
        root: Path,
        hostname: str,
        init: Sequence[str] = (),
        console: str | None = None,
        platform: Platform | None = None,
        agent: bool = True,
        recorded: Callable[[str], bytes] | None = None,
    ) -> Host:
        """Give an instance a live system over the tree `root` and start it; with `recorded`, nothing runs on it.

        `init` are shell commands that run inside, in order, before anything else: what should go on running ends in
        `&`. `console` is the text of its console, for the screenshot and the console output alike.
        """
        host = Host(
            instance_id=instance_id,
            root=Path(root).resolve(),
            hostname=hostname,
            init=tuple(init),
            console=console,
            platform=platform or Platform(),
            agent=agent,
            recorded=recorded,
        )
        host.start(port=self.port)
        with self._lock:
            self._hosts[instance_id] = host
        return host

    def find(self, instance_id: str) -> Host | None:
        """The instance's host, or None."""
        return self._hosts.get(instance_id)

    def switch_agent(self, instance_id: str, *, online: bool) -> None:
        """Turn the SSM agent of one host on or off."""
        self._hosts[instance_id].agent = online

    def power(self, instance_id: str, *, on: bool) -> None:
        """Switch one instance's host off or on; what ran in memory is gone after that, the files stay."""
        host = self._hosts.get(instance_id)
        if host is not None and on:
            host.start(port=self.port)
        elif host is not None:
            host.stop()

    def stop_all(self) -> None:
        """Take all hosts down."""
        with self._lock:
            hosts, self._hosts = list(self._hosts.values()), {}
        for host in hosts:
            host.stop()

    def __iter__(self) -> Iterator[Host]:
        return iter(list(self._hosts.values()))


def _complete_tree(root: Path) -> None:
    for name in ("usr", "proc", "sys", "dev", "tmp", "etc/alternatives", "var/log", "root", "home", "run"):
        (root / name).mkdir(parents=True, exist_ok=True)
    for name in ("bin", "sbin", "lib", "lib64"):
        link = root / name
        if not link.exists() and not link.is_symlink():
            link.symlink_to(f"usr/{name}")


def _boot_script(root: Path, hostname: str, init: Sequence[str]) -> str:
    here = shlex.quote(str(root))
    inside = "cd /\n" + "\n".join(f"( {command}\n) </dev/null >/dev/null 2>&1" for command in init)
    inside += f"\necho ready\nexec -a {shlex.quote(_INIT)} /bin/bash --noprofile --norc >/dev/null 2>&1"
    return f"""set -e
R={here}
mount --make-rprivate / 2>/dev/null || true
mount -t overlay overlay -o "lowerdir=$R/usr:/usr" "$R/usr" 2>/dev/null || {{
  mount --bind /usr "$R/usr"; mount -o remount,ro,bind "$R/usr"; }}
if [ -d /etc/alternatives ]; then mount --bind /etc/alternatives "$R/etc/alternatives"; fi
mount -t tmpfs -o mode=755 tmpfs "$R/dev"
for n in null zero full random urandom tty; do
  if [ -e /dev/$n ]; then touch "$R/dev/$n"; mount --bind /dev/$n "$R/dev/$n"; fi; done
ln -s /proc/self/fd "$R/dev/fd"; ln -s fd/0 "$R/dev/stdin"; ln -s fd/1 "$R/dev/stdout"; ln -s fd/2 "$R/dev/stderr"
mount -t proc proc "$R/proc"
hostname {shlex.quote(hostname)} 2>/dev/null || true
ip link set lo up 2>/dev/null || true
cd "$R"
exec chroot "$R" /usr/bin/env -i PATH={_PATH} HOME=/root /bin/bash -c {shlex.quote(inside)}
"""


def _ready(process: subprocess.Popen[bytes]) -> bool:
    if process.stdout is None:
        return False
    deadline = time.monotonic() + _START_SECONDS
    while (left := deadline - time.monotonic()) > 0:
        readable, _, _ = select.select([process.stdout], [], [], left)
        if readable:
            return os.read(process.stdout.fileno(), 64).strip().endswith(b"ready")
    return False


def _only_child(pid: int) -> int | None:
    children = Path(f"/proc/{pid}/task/{pid}/children")
    with contextlib.suppress(OSError, IndexError):
        return int(children.read_text().split()[0])
    for stat in Path("/proc").glob("[0-9]*/stat"):  # kernels without CONFIG_PROC_CHILDREN
        with contextlib.suppress(OSError, IndexError, ValueError):
            fields = stat.read_text().rsplit(")", 1)[1].split()
            if int(fields[1]) == pid:
                return int(stat.parent.name)
    return None
