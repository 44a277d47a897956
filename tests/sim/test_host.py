from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from irkit.sim.host import Hosts

LISTENER = 'import socket,time; s=socket.socket(); s.bind(("0.0.0.0",4444)); s.listen(); time.sleep(999)'
PROBE = """hostname
ps -eo args
ls -l /proc/[0-9]*/exe 2>/dev/null
sleep 0.5
ss -ltn
cat /usr/local/bin/planted
"""


def run(hosts: Hosts, script: str) -> str:
    host = hosts.find("i-1")
    assert host is not None
    path = host.root / "probe.sh"
    path.write_text(script)
    done = host.run(path, timeout=20, stdout=subprocess.PIPE, stderr=subprocess.PIPE)  # type: ignore[arg-type]
    out, err = done.communicate(timeout=30)
    return (out + err).decode()


@pytest.mark.needs_user_namespaces
def test_a_script_sees_the_scenarios_processes_sockets_and_deleted_binaries(tree: Path) -> None:
    (tree / "tmp/.x").mkdir(parents=True)
    (tree / "usr/local/bin").mkdir(parents=True)
    (tree / "usr/local/bin/planted").write_text("planted")
    hosts = Hosts()
    host = hosts.add(
        "i-1",
        root=tree,
        hostname="web-1",
        init=[
            "cp /usr/bin/sleep /tmp/.x/kworkerds; /tmp/.x/kworkerds 9999 & sleep 0.2; rm /tmp/.x/kworkerds",
            f"python3 -c '{LISTENER}' &",
        ],
    )
    assert host.trouble is None
    try:
        seen = run(hosts, PROBE)
        assert seen.startswith("web-1\n")
        assert "/tmp/.x/kworkerds 9999" in seen
        assert "/tmp/.x/kworkerds (deleted)" in seen
        assert "0.0.0.0:4444" in seen
        assert "planted" in seen
        assert str(tree) not in seen
        assert "Read-only" in run(hosts, "touch /usr/bin/x")
    finally:
        hosts.stop_all()
    assert not host.running


def test_without_namespaces_the_host_says_so_and_runs_nothing(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = tree / "nothing-here"
    empty.mkdir()
    monkeypatch.setenv("PATH", str(empty))
    hosts = Hosts()
    host = hosts.add("i-1", root=tree, hostname="web-1")
    assert not host.running
    assert host.trouble is not None
    assert "sandbox" in host.trouble
