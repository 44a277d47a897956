"""A disk that is too small is said so before a block is read; memory does not grow with the snapshot."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from irkit.capture.image import plan
from irkit.case import Case
from tests.capture.image.answering import answering, block_answer
from tests.capture.image.conftest import World

BLOCK = 512 * 1024
# In namespaces of its own the test may mount a small disk; the simulator is reached as before.
SMALL_DISK = """
set -e
mount -t tmpfs -o size={size} tmpfs {folder}
{python} -c 'from irkit.cli import main; main()' image {snapshot} --case {case} --to {folder} --apply
"""


@pytest.mark.needs_mke2fs
@pytest.mark.needs_user_namespaces
def test_too_little_space_is_said_before_a_block_is_read(
    aws: World, case: Case, snapshot: str, tmp_path: Path
) -> None:
    small = tmp_path / "small"
    small.mkdir()
    case.close()
    script = SMALL_DISK.format(
        size="8m", folder=small, python=sys.executable, snapshot=snapshot, case=case.root
    )
    ran = subprocess.run(
        [str(shutil.which("unshare")), "--user", "--map-root-user", "--mount", "sh", "-c", script],
        capture_output=True, text=True, timeout=100,
    )  # fmt: skip
    assert ran.returncode == 1, ran.stderr
    assert "are to be read and 8.0 MiB are free" in ran.stdout + ran.stderr
    assert "choose another disk with --to" in ran.stdout + ran.stderr
    assert aws.fetched(snapshot) == []
    assert plan(Case.load(str(case.root)), snapshot).apply().exit_code == 0


@pytest.mark.needs_mke2fs
@pytest.mark.needs_user_namespaces
def test_a_disk_that_others_fill_meanwhile_ends_it_in_words(
    aws: World, case: Case, snapshot: str, tmp_path: Path
) -> None:
    small = tmp_path / "small"
    small.mkdir()
    case.close()
    program = "from irkit.capture.image import taking; taking._MARGIN = -(1 << 40); from irkit.cli import main; main()"
    script = SMALL_DISK.replace("from irkit.cli import main; main()", program).format(
        size="4m", folder=small, python=sys.executable, snapshot=snapshot, case=case.root
    )
    ran = subprocess.run(
        [str(shutil.which("unshare")), "--user", "--map-root-user", "--mount", "sh", "-c", script],
        capture_output=True, text=True, timeout=100,
    )  # fmt: skip
    assert ran.returncode == 1, ran.stderr
    assert "the disk is full; free some space" in ran.stdout + ran.stderr
    assert case.evidence.items() == []


# A snapshot of which 384 MiB were written, read by a process that says how much memory it took at most.
READING = """
import json, re, sys
from pathlib import Path
from botocore.credentials import Credentials
import boto3
from irkit.capture.image.blocks import Listing
from irkit.capture.image.download import Download
from irkit.capture.image.transport import Endpoint, chosen
from irkit.capture.image.working import Shape, Working
def memory(what):
    # Not ru_maxrss: that of a process that was started remembers the memory of the one that started it.
    return int(re.search(what + r":\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
url, folder, way = sys.argv[1:4]
client = boto3.client("ebs", endpoint_url=url)
listing = Listing(client, "snap-0123456789abcdef0")
page = next(listing.pages())
end = Endpoint(url=url, region="us-east-1", credentials=Credentials("AKIAIOSFODNN7EXAMPLE", "s"), user_agent="t",
               ca_bundle=None, proxies={})
working = Working(Path(folder), Shape(snapshot="snap-0123456789abcdef0", since=None, size=page.volume_bytes,
                                      block_size=page.block_size))
before = memory("VmRSS")
transport, _ = chosen(way, end, block_size=page.block_size, workers=16)
download = Download(listing, working, transport, workers=16, progress=lambda _: None)
assert download.remaining() == 768
taken = download.run()
after = memory("VmHWM")
print(json.dumps({"sha256": taken.sha256, "read": taken.read, "before": before, "after": after}))
"""


@pytest.mark.parametrize("transport", [pytest.param("boto3", marks=pytest.mark.soak), "raw"])
def test_memory_is_bounded_by_the_blocks_in_flight(transport: str, tmp_path: Path) -> None:
    zeros = bytes(BLOCK)
    body = block_answer(zeros)
    listed = json.dumps(
        {
            "Blocks": [
                {"BlockIndex": n, "BlockToken": base64.b64encode(b"%d" % n).decode()} for n in range(768)
            ],
            "VolumeSize": 1,
            "BlockSize": BLOCK,
            "ExpiryTime": 2e9,
        }
    ).encode()
    page = (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(listed)
        + listed
    )

    def answers(first: str) -> bytes:
        return body if re.search(r"/blocks/\d", first) else page

    with answering(answers) as to:
        ran = subprocess.run(
            [sys.executable, "-c", READING, to.url, str(tmp_path / "w"), transport],
            capture_output=True, text=True, timeout=150, env=dict(os.environ),
        )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout)
    assert told["read"] == 768
    whole = hashlib.sha256()
    for _ in range(2048):
        whole.update(zeros)
    assert told["sha256"] == whole.hexdigest()
    grown = (told["after"] - told["before"]) / 1024
    print(f"{transport}: 384 MiB were read with {grown:.0f} MiB more than before")
    # 16 blocks in flight of half a MiB, 8 MiB of the hash's buffers, and what the allocator keeps.
    assert grown < 64
