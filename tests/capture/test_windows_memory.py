"""Memory of a Windows host: irkit's side for real; the host's side is played in Python, since no PowerShell runs here.

The player does what memory.ps1 does: it reads the settings, fetches the lists, checks the tool, sends parts by their
links and says what it sent. Whether memory.ps1 does it on Windows has not been tried.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import re
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from irkit import capture
from irkit.capture import memory_host, memory_transfer
from irkit.case import Case
from irkit.errors import InvalidParameter
from irkit.plan import Status
from tests.capture.dumping import PART, pinned
from tests.capture.windows_host import windows

MEMORY = bytes(range(256)) * 4096 * 24  # 24 MiB


def fetched(link: str) -> bytes:
    with urllib.request.urlopen(link, timeout=30) as answer:
        return bytes(answer.read())


def player(dump: bytes, *, packed: bool = False) -> Callable[[str], bytes]:
    """What memory.ps1 would print on a host whose memory is `dump`."""

    def recorded(text: str) -> bytes:
        settings = dict(re.findall(r"^\$(IRKIT_\w+) = '([^']*)'$", text, re.MULTILINE))
        assert text.count("\n# Output: name=value lines") == 1, "the script itself was sent"
        links = fetched(settings["IRKIT_LINKS"]).decode().splitlines()
        tool = fetched(next(line for line in links if line.startswith("tool ")).partition(" ")[2])
        assert hashlib.sha256(tool).hexdigest() == settings["IRKIT_SHA256"]
        assert settings["IRKIT_ARGS"] == "-"
        stream = gzip.compress(dump, 1) if settings["IRKIT_COMPRESS"] == "gzip" else dump
        size, state, sent = int(settings["IRKIT_PART_BYTES"]), "whole", b""
        for number, start in enumerate(range(0, len(stream), size), 1):
            named = [line for line in links if line.startswith(f"part {number} ")]
            if not named:
                links = (
                    fetched(next(line for line in links if line.startswith("next ")).partition(" ")[2])
                    .decode()
                    .splitlines()
                )
                named = [line for line in links if line.startswith(f"part {number} ")]
            part = stream[start : start + size]
            md5 = base64.b64encode(hashlib.md5(part).digest()).decode()
            request = urllib.request.Request(
                named[0].split(" ")[2], data=part, method="PUT", headers={"Content-MD5": md5}
            )
            try:
                urllib.request.urlopen(request, timeout=60).close()
            except urllib.error.HTTPError as error:
                state = f"part {number} was not taken: HTTP {error.code}"
                break
            sent += part
        return (
            (
                f"irkit-memory/1\nkernel=10.0.20348 20348\nlockdown=not known\nparts={number}\nbytes={len(sent)}\n"
                f"stream_sha256={hashlib.sha256(sent).hexdigest()}\ntool_exit=0\nstate={state}\n"
            )
            .replace("\n", "\r\n")
            .encode()
        )

    return recorded


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_host, "_PART", PART)
    monkeypatch.setattr(memory_transfer, "_MOST_LINKS", 4)


@pytest.fixture
def winpmem(tmp_path: Path) -> Path:
    path = tmp_path / "winpmem.exe"
    path.write_bytes(b"MZ not really")
    return path


def test_the_memory_of_a_windows_host_arrives_packed_with_the_same_hash_at_both_ends(
    world: Any, open_case: Callable[..., Case], bucket: str, winpmem: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = open_case(sources=pinned(winpmem, evidence_bucket=bucket))
    with windows(world, player(MEMORY)) as instance_id:
        plan = capture.plan(case, instance_id, only=["memory"])
        assert (plan.steps[0].args["script"], plan.steps[0].args["document"]) == (
            "memory.ps1",
            "AWS-RunPowerShellScript",
        )
        report = plan.apply()
    assert report.exit_code == 0, report.steps
    dump = case.evidence.items(kind="memory")[0]
    assert dump.name.endswith(".memory.gz")
    assert gzip.decompress(case.evidence.read(dump)) == MEMORY
    assert report.steps[0].result["agree"] is True


def test_what_a_windows_host_could_not_send_is_marked(
    world: Any, open_case: Callable[..., Case], bucket: str, winpmem: Path
) -> None:
    case = open_case(sources=pinned(winpmem, evidence_bucket=bucket))
    # What does not compress, in more than one part; S3 refuses the second.
    noise = hashlib.shake_256(b"noise").digest(2 * PART)
    world.sim.faults.inject(
        "s3", "UploadPart", "AccessDenied", status=403, when=lambda response: "partNumber=2" in response.uri
    )
    with windows(world, player(noise)) as instance_id:
        report = capture.plan(case, instance_id, only=["memory"]).apply()
    assert report.exit_code == 3
    assert report.steps[0].missing == (
        f"memory: part 2 was not taken: HTTP 403; {PART} bytes of it are kept",
    )
    assert case.evidence.items(kind="memory")[0].partial


def test_a_windows_tool_writes_to_standard_output(
    world: Any, open_case: Callable[..., Case], winpmem: Path
) -> None:
    case = open_case(sources=pinned(winpmem, memory_tool_args="acquire {output}"))
    with (
        windows(world, player(b"")) as instance_id,
        pytest.raises(InvalidParameter, match="standard output"),
    ):
        capture.plan(case, instance_id, only=["memory"])


def test_a_windows_host_that_says_something_else_is_no_dump(
    world: Any, open_case: Callable[..., Case], bucket: str, winpmem: Path
) -> None:
    case = open_case(sources=pinned(winpmem, evidence_bucket=bucket))
    with windows(world, lambda _: b"The term 'x' is not recognized\r\n") as instance_id:
        report = capture.plan(case, instance_id, only=["memory"]).apply()
    assert report.steps[0].status is Status.FAILED
    assert "the script said nothing" in report.steps[0].why
