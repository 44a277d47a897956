from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from irkit.errors import IrkitError
from irkit.sim import daemon
from tests.sim.builders import eventually


def ask(up: daemon.Up, path: str, body: dict[str, Any] | None = None) -> Any:
    data = json.dumps(body).encode() if body is not None else None
    with urllib.request.urlopen(f"{up.endpoint}/irkit-sim/{path}", data=data, timeout=10) as answer:
        return json.load(answer)


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("daemon")
    daemon.up(folder, scenario="empty", idle_minutes=5)
    yield folder
    daemon.down(folder)


def client(up: daemon.Up, service: str) -> Any:
    return boto3.client(
        service,
        endpoint_url=up.endpoint,
        region_name=up.env["AWS_REGION"],
        aws_access_key_id=up.env["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=up.env["AWS_SECRET_ACCESS_KEY"],
    )


def test_it_answers_when_up_returns_and_up_again_finds_the_same(state: Path) -> None:
    up = daemon.status(state)
    assert up is not None
    assert client(up, "sts").get_caller_identity()["Account"] == "111122223333"
    assert daemon.up(state, scenario="empty").pid == up.pid
    assert (state / daemon.STATE_FILE).stat().st_mode & 0o077 == 0


def test_another_process_injects_faults_and_reads_calls(state: Path) -> None:
    up = daemon.status(state)
    assert up is not None
    ask(up, "faults", {"service": "iam", "operation": "List*", "code": "AccessDenied", "status": 403})
    with pytest.raises(ClientError, match="AccessDenied"):
        client(up, "iam").list_users()
    assert ask(up, "calls")[-1]["error"] == "AccessDenied"
    assert ask(up, "deliver", {}) == {"keys": []}
    assert ask(up, "world")["world"] == up.world


def test_it_goes_by_itself_when_nobody_calls(tmp_path: Path) -> None:
    up = daemon.up(tmp_path, scenario="empty", idle_minutes=0.5 / 60)
    eventually(lambda: daemon.status(tmp_path) is None, seconds=20)
    eventually(lambda: not (tmp_path / daemon.STATE_FILE).exists())
    daemon._started.pop(up.pid).wait(timeout=10)


def test_it_outlives_a_parent_that_is_killed_and_goes_down_when_told(tmp_path: Path) -> None:
    script = "import sys, time; from pathlib import Path; from irkit.sim import daemon\n"
    script += "daemon.up(Path(sys.argv[1]), scenario='empty', idle_minutes=5); print('up', flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"up\n"
        os.kill(parent.pid, signal.SIGKILL)
    assert daemon.status(tmp_path) is not None
    assert daemon.down(tmp_path) is True
    assert daemon.status(tmp_path) is None
    assert daemon.down(tmp_path) is False


_HOST = """
import sys, time
from pathlib import Path
from irkit.sim.host import Hosts
root = Path(sys.argv[1])
start = "cp /usr/bin/sleep /tmp/orphan-check; /tmp/orphan-check 600 &"
host = Hosts().add("i-1", root=root, hostname="web-1", init=[start])
print(host.trouble or "running", flush=True)
time.sleep(60)
"""


@pytest.mark.needs_user_namespaces
def test_hosts_die_with_the_process_that_keeps_them_however_it_ends(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _HOST, str(tmp_path)]

    def alive() -> bool:
        marker = b"/tmp/orphan-check\x00600"
        return any(marker in _command_line(entry) for entry in Path("/proc").glob("[0-9]*/cmdline"))

    with subprocess.Popen(command, stdout=subprocess.PIPE) as keeper:
        assert keeper.stdout is not None
        assert keeper.stdout.readline().strip() == b"running"
        eventually(alive)
        os.kill(keeper.pid, signal.SIGKILL)
    eventually(lambda: not alive())


def _command_line(entry: Path) -> bytes:
    try:
        return entry.read_bytes()
    except OSError:
        return b""


def test_a_scenario_that_does_not_exist_is_told_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(IrkitError, match="no-such-scenario"):
        daemon.up(tmp_path, scenario="no-such-scenario")
