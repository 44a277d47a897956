"""The memory script by other shells and other programs than the sandbox has: busybox's own, and wget for curl."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from irkit.capture import memory_host
from irkit.capture.memory_tool import Tool
from irkit.case import Case
from irkit.errors import BadInput, InvalidParameter
from irkit.sim.tools import memory_tool
from tests.capture.dumping import PART, pinned, plan, tool

SCRIPT = memory_host.script("memory.sh")
PATH_LINE = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_host, "_PART", PART)


def run(shell: list[str], text: str) -> subprocess.CompletedProcess[bytes]:
    """The script by a shell of this machine, without links: it gets as far as asking for them."""
    settings = {
        "IRKIT_LINKS": "http://127.0.0.1:9/", "IRKIT_SHA256": "0" * 64, "IRKIT_ARGS": "x", "IRKIT_COMPRESS": "none",
        "IRKIT_PART_BYTES": str(PART), "IRKIT_SECONDS": "5",
    }  # fmt: skip
    text = text.replace('more "$IRKIT_LINKS" 15', 'more "$IRKIT_LINKS" 0').replace('"$(id -u)" = 0', "0 = 0")
    return subprocess.run(shell, input=text.encode(), env={**settings}, capture_output=True, timeout=60)


@pytest.mark.parametrize("shell", ["dash", "bash --posix", "busybox sh", "ksh", "zsh"])
def test_every_shell_of_this_machine_runs_it(shell: str) -> None:
    if not shutil.which(shell.split(maxsplit=1)[0]):
        pytest.skip(f"no {shell.split(maxsplit=1)[0]}")
    done = run(shell.split(), SCRIPT)
    said = memory_host.Said.heard(done.stdout)
    assert said.gap == "the links are not to be had: HTTP 000", done
    assert done.returncode == 24
    assert said.values["kernel"]
    assert int(said.values["memory_kb"]) > 1000
    assert done.stderr == b""


@pytest.mark.skipif(not shutil.which("busybox"), reason="no busybox: apt-get install busybox")
def test_a_host_that_can_send_nothing_says_so(tmp_path: Path) -> None:
    subprocess.run(["busybox", "--install", "-s", tmp_path], check=True)
    done = run(["busybox", "sh"], SCRIPT.replace(PATH_LINE, f"PATH={tmp_path}\n"))
    assert memory_host.Said.heard(done.stdout).gap == (
        "neither curl nor GNU wget is installed, so that nothing can be sent"
    )
    assert done.returncode == 23


@pytest.mark.needs_user_namespaces
@pytest.mark.parametrize("with_only", ["busybox", "wget", "dd", "md5sum"])
def test_a_dump_is_whole_by_other_programs_too(
    world: SimpleNamespace, open_case: Callable[..., Case], bucket: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, with_only: str,
) -> None:  # fmt: skip
    if not shutil.which("wget" if with_only == "wget" else "busybox"):
        pytest.skip(f"no {with_only}: apt-get install busybox wget")
    text = {
        # busybox first, then what it has not: curl; its applets replace coreutils in everything the script does
        "busybox": SCRIPT.replace(
            PATH_LINE, "mkdir -p /tmp/bb; busybox --install -s /tmp/bb; PATH=/tmp/bb:/usr/bin:/bin\n"
        ),
        "wget": SCRIPT.replace("if have curl; then", "if false; then"),
        "dd": SCRIPT.replace("head -c 3 >/dev/null", "cat >/dev/null"),
        "md5sum": SCRIPT.replace("if have openssl && have base64", "if false"),
    }[with_only]
    assert text != SCRIPT
    monkeypatch.setattr(memory_host, "script", lambda _: text)
    two_parts = tool(
        tmp_path, f'{{ head -c {PART} /dev/urandom; sleep 0.2; head -c 70000 /dev/urandom; }} >"$out"'
    )
    case = open_case(sources=pinned(two_parts, evidence_bucket=bucket))
    report = plan(world, case).apply()
    assert report.exit_code == 0, report.steps
    assert report.steps[0].result["size"] == PART + 70000
    assert report.steps[0].result["agree"] is True


def test_it_is_plain_posix_and_holds_nothing_that_systems_manager_would_replace() -> None:
    assert SCRIPT.startswith("#!/bin/sh\n")
    assert "{{" not in SCRIPT
    assert not re.search(r"\[\[ |^\s*(local|function|declare|source) |<\(|=\$'|&>", SCRIPT, re.MULTILINE)
    assert max(map(len, SCRIPT.splitlines())) <= 120
    assert len(SCRIPT.encode()) < 32_768
    code = "\n".join(line for line in SCRIPT.splitlines() if not line.lstrip().startswith("#"))
    assert not re.findall(r"\b(aws|yum|dnf|apt|apt-get|pip|insmod|modprobe|gcc|make|git)\b\s", code)


def test_settings_cannot_break_out_of_their_quotes() -> None:
    sent = memory_host.with_settings("memory.sh", {"IRKIT_ARGS": "acquire {output}", "IRKIT_SECONDS": 5})
    assert sent.splitlines()[:3] == ["#!/bin/sh", "IRKIT_ARGS='acquire {output}'", "IRKIT_SECONDS='5'"]
    for bad in ("a'b", "a\nb", "{{ssm:x}}"):
        with pytest.raises(InvalidParameter):
            memory_host.with_settings("memory.sh", {"IRKIT_ARGS": bad})


@pytest.mark.parametrize(
    ("output", "gap"),
    [
        (b"", "the script did not say how it ended"),
        (b"\xff\xfe not ours", "the script did not say how it ended"),
        (b"irkit-memory/1\nstate=whole\nstream_sha256=" + b"a" * 64 + b"\nbytes=12\n", None),
        (b"irkit-memory/1\nfailed=no room\n", "no room"),
        (
            b"irkit-memory/1\nstate=part 2 was not taken\nstream_sha256=nonsense\nbytes=-1\n",
            "part 2 was not taken",
        ),
    ],
)
def test_what_a_host_says_is_read_without_trust(output: bytes, gap: str | None) -> None:
    said = memory_host.Said.heard(output)
    assert said.gap == gap
    assert said.sha256 == ("a" * 64 if gap is None else None)
    assert said.bytes == (12 if gap is None else None)


@pytest.mark.parametrize(
    ("begins", "windows", "architecture", "why"),
    [
        (b"MZ", False, "x86_64", "a program for Windows, and the host runs Linux"),
        (b"\x7fELF", True, "x86_64", "no program for Windows"),
        (
            b"\x7fELF" + bytes(14) + (183).to_bytes(2, "little"),
            False,
            "x86_64",
            "built for arm64, and the host has x86_64",
        ),
        (
            b"\x7fELF" + bytes(14) + (62).to_bytes(2, "little"),
            False,
            "arm64",
            "built for x86_64, and the host has arm64",
        ),
        (b"\x7fELF" + bytes(14) + (62).to_bytes(2, "little"), False, "x86_64", None),
        (b"\x7fELF" + bytes(14) + (183).to_bytes(2, "little"), False, "", None),
        (b"\x7fELF" + bytes(14) + (40).to_bytes(2, "little"), False, "arm64", "built for another processor"),
        (b"#!/bin/sh\n", False, "arm64", None),
        (b"", False, "arm64", None),
        (b"MZ", True, "x86_64", None),
    ],
)
def test_a_tool_for_another_platform_or_processor_is_refused_before_it_is_sent(
    tmp_path: Path, begins: bytes, windows: bool, architecture: str, why: str | None
) -> None:
    path = tmp_path / "tool"
    path.write_bytes(begins)
    held = Tool.of(pinned(path), windows=windows)
    assert held is not None
    if why is None:
        assert held.read(windows=windows, architecture=architecture) == begins
    else:
        with pytest.raises(BadInput, match=why):
            held.read(windows=windows, architecture=architecture)


def test_a_tool_that_is_not_there_is_named(tmp_path: Path) -> None:
    held = Tool.of({"memory_tool": str(tmp_path / "gone"), "memory_tool_sha256": "0" * 64}, windows=False)
    assert held is not None
    with pytest.raises(BadInput, match="cannot be read"):
        held.read(windows=False, architecture="x86_64")


def test_the_stand_in_is_called_as_avml_is() -> None:
    done = subprocess.run([memory_tool(), "acquire"], capture_output=True)
    assert done.returncode == 2
    assert b"usage: acquire [--compress] [--source SOURCE] FILE" in done.stderr
