"""The script on its own, by the machine's shells: it must run where coreutils and bash are not."""

from __future__ import annotations

import base64
import gzip
import re
import shutil
import subprocess

import pytest

from irkit.capture import host
from irkit.capture.host_facts import parse

SHELLS = [s for s in ("dash", "bash", "busybox", "ksh", "zsh") if shutil.which(s)]


def run(shell: str, *, only: str, **settings: str) -> bytes:
    command = ["busybox", "sh"] if shell == "busybox" else [shell, "--posix"] if shell == "bash" else [shell]
    environment = {"PATH": "/usr/bin:/bin", "IRKIT_SECTIONS": only} | settings
    return subprocess.run(
        command, input=host.script().encode(), env=environment, capture_output=True, timeout=60, check=True
    ).stdout


@pytest.mark.parametrize("shell", SHELLS)
def test_every_shell_of_this_machine_runs_it(shell: str) -> None:
    seen = parse(run(shell, only="host processes accounts text:mounts"))
    assert seen.missing == ()
    assert seen.host.hostname
    assert seen.host.collected_at
    assert seen.processes
    assert {u.name for u in seen.users} >= {"root"}
    assert seen.texts["mounts"]


def test_a_spent_budget_is_said_for_each_section_that_it_cost() -> None:
    seen = parse(run("sh", only="host cron keys", IRKIT_BUDGET="0"))
    assert [m.split(":")[0] for m in seen.missing] == ["host", "cron", "keys"]


@pytest.mark.parametrize("shell", SHELLS)
def test_a_file_system_that_hangs_costs_what_comes_after_and_not_what_was_read(
    shell: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hangs = host.script().replace("keys() {\n", "keys() {\n  sleep 987654\n")
    assert hangs != host.script()
    monkeypatch.setattr(host, "script", lambda: hangs)
    seen = parse(run(shell, only="host processes keys sudoers", IRKIT_MOST="2"))
    assert seen.host.hostname
    assert seen.processes
    assert any("cut" in m for m in seen.missing)
    left = subprocess.run(["pgrep", "-f", "sleep 987654"], capture_output=True)
    assert left.stdout == b"", "nothing that was started stays"


def test_it_is_plain_posix_and_holds_nothing_that_systems_manager_would_replace() -> None:
    text = host.script()
    assert text.startswith("#!/bin/sh\n")
    assert "{{" not in text
    assert not re.search(r"\[\[ |^\s*(local|function|declare|source) |<\(|=\$'|&>", text, re.MULTILINE)
    assert max(map(len, text.splitlines())) < 200
    assert len(text.encode()) < 32_768


def test_it_neither_writes_to_disk_nor_reaches_the_network() -> None:
    code = "\n".join(line for line in host.script().splitlines() if not line.lstrip().startswith("#"))
    assert not re.findall(
        r"\b(curl|wget|nc|aws|yum|dnf|apt|apt-get|pip|insmod|rm|mv|cp|tee|dd|mkdir|touch)\b\s", code
    )
    assert set(re.findall(r"(?<![0-9&])>{1,2}\s*([^\s&)|]+)", code)) <= {"/dev/null"}


def test_settings_are_set_ahead_of_the_script_and_change_nothing_else() -> None:
    sent = host._with(host.script(), IRKIT_SECTIONS="host cron", IRKIT_BUDGET=5)
    assert sent.splitlines()[:3] == ["#!/bin/sh", "IRKIT_SECTIONS='host cron'", "IRKIT_BUDGET='5'"]
    assert sent.replace("IRKIT_SECTIONS='host cron'\nIRKIT_BUDGET='5'\n", "") == host.script()


def test_the_groups_of_the_parts_name_every_section() -> None:
    named = {name for group in host._LINUX_GROUPS for name in group}
    defined = set(re.findall(r"^  section (\S+) ", host.script(), re.MULTILINE))
    assert defined - named == {"text:journal"}, (
        "the journal repeats the system's logs and is left to the whole output"
    )


def test_the_encoding_is_what_standard_tools_read() -> None:
    first, second = run("sh", only="host").split(b"\n")[:2]
    assert first == b"irkit-facts gzip base64"
    assert gzip.decompress(base64.b64decode(second)).startswith(b"irkit-facts/1 ")
