"""What changed between two snapshots: only that is fetched, and the new image is proved as if all of it had been."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from irkit.capture.image import plan
from irkit.capture.image.taking import BLOCKS, IMAGE, PARTIAL, RANGES
from irkit.case import Case
from irkit.errors import BadInput, IrkitError
from irkit.plan import Status
from irkit.sim.disks import BLOCK, allocated
from tests.capture.image.conftest import World, sha256

pytestmark = pytest.mark.needs_mke2fs
# Far apart, so that AWS's listing has empty pages in between.
CHANGED = (40, 41, 42, 900, 1999)


@pytest.fixture
def pair(aws: World, tmp_path: Path) -> tuple[str, str, Path]:
    """Two snapshots of a volume, with five blocks changed in between and one freed; and the disk as it is then."""
    disk = tmp_path / "disk.img"
    with disk.open("wb") as image:
        image.truncate(1 << 30)
        for index in (0, 5, 41, 42, 500, 900):
            image.seek(index * BLOCK)
            image.write(os.urandom(BLOCK))
    volume = aws.sim.session().client("ec2").create_volume(Size=1, AvailabilityZone="us-east-1a")["VolumeId"]
    aws.sim.disks.back(volume, disk)
    ec2 = aws.sim.session().client("ec2")
    first = str(ec2.create_snapshot(VolumeId=volume)["SnapshotId"])
    with disk.open("r+b") as image:
        for index in CHANGED:
            image.seek(index * BLOCK)
            image.write(os.urandom(BLOCK))
    punched = tmp_path / "punched.img"
    _without(disk, punched, 500)
    aws.sim.disks.back(volume, punched)
    return first, str(ec2.create_snapshot(VolumeId=volume)["SnapshotId"]), punched


def _without(disk: Path, target: Path, index: int) -> None:
    """Copy the disk with a hole in the place of one block."""
    with disk.open("rb") as source, target.open("wb") as image:
        image.truncate(1 << 30)
        for number in allocated(disk):
            if number != index:
                source.seek(number * BLOCK)
                image.seek(number * BLOCK)
                image.write(source.read(BLOCK))


def test_only_what_changed_is_fetched_onto_the_earlier_image(
    aws: World, case: Case, pair: tuple[str, str, Path]
) -> None:
    first, second, disk = pair
    assert plan(case, first).apply().exit_code == 0
    planned = plan(case, second, since=first)
    assert f"{len(CHANGED)} blocks" in planned.steps[0].title

    report = planned.apply()

    assert report.exit_code == 0, report.to_frame().to_string()
    assert sorted(aws.fetched(second)) == list(CHANGED)
    image = case.evidence.items(kind=IMAGE)[1]
    assert image.sha256 == sha256(disk)
    assert not image.partial
    listed = case.evidence.read(case.evidence.items(kind=BLOCKS)[1]).decode().splitlines()[1:]
    assert [int(line.split()[0]) for line in listed] == aws.blocks(second)
    (ranges,) = case.evidence.items(kind=RANGES)
    told = [json.loads(line) for line in case.evidence.read(ranges).splitlines()]
    assert [(r["first_block"], r["blocks"], r["now"]) for r in told] == [
        (40, 3, "data"),
        (500, 1, "zeros"),
        (900, 1, "data"),
        (1999, 1, "data"),
    ]
    assert told[0]["offset"] == 40 * BLOCK


def test_a_refusal_after_the_copy_costs_no_block_and_a_rotten_block_of_the_copy_is_fetched_again(
    aws: World, case: Case, pair: tuple[str, str, Path]
) -> None:
    first, second, _ = pair
    whole = plan(case, first).apply().steps[0].result["sha256"]
    held = case.evidence.path(case.evidence.items(kind=IMAGE)[0])
    held.chmod(0o600)
    with held.open("r+b") as image:
        image.seek(5 * BLOCK + 77)
        image.write(b"rot")
    seen: list[int] = []
    aws.sim.faults.inject(
        "ebs", "GetSnapshotBlock", "AccessDeniedException", status=403, times=100,
        when=lambda _: seen.append(1) or len(seen) > 2,
    )  # fmt: skip
    assert plan(case, second, since=first).apply().steps[0].status is Status.FAILED
    aws.sim.faults.clear()
    said: list[str] = []

    assert plan(case, second, since=first).apply(progress=said.append).exit_code == 0
    assert sorted(aws.fetched(second)) == sorted((*CHANGED, 5))
    assert any("block 5 on disk is not what was written" in line for line in said)
    image_now = case.evidence.items(kind=IMAGE)[1]
    with case.evidence.path(image_now).open("rb") as image:
        for index in aws.blocks(second):
            image.seek(index * BLOCK)
            assert image.read(BLOCK) == aws.sim.disks.read(second, index)
    assert image_now.sha256 != whole


def test_without_the_earlier_image_the_changed_blocks_are_kept_and_marked_partial(
    aws: World, case: Case, pair: tuple[str, str, Path]
) -> None:
    first, second, disk = pair
    report = plan(case, second, since=first).apply()
    assert report.exit_code == 3
    assert "the case has no image of that" in report.steps[0].missing[0]
    (part,) = case.evidence.items(kind=PARTIAL)
    assert part.partial
    assert case.evidence.items(kind=IMAGE) == []
    with disk.open("rb") as whole, case.evidence.path(part).open("rb") as kept:
        for index in CHANGED:
            whole.seek(index * BLOCK)
            kept.seek(index * BLOCK)
            assert kept.read(BLOCK) == whole.read(BLOCK)
    assert allocated(case.evidence.path(part)) == list(CHANGED)
    assert sorted(aws.fetched(second)) == list(CHANGED)


def test_snapshots_of_two_volumes_are_not_compared(
    case: Case, snapshot: str, pair: tuple[str, str, Path]
) -> None:
    with pytest.raises(BadInput, match="are not of one volume"):
        plan(case, snapshot, since=pair[0])


def test_an_earlier_snapshot_that_is_gone_is_named(case: Case, snapshot: str) -> None:
    with pytest.raises(IrkitError, match="snap-0123456789abcdef0 does not exist"):
        plan(case, snapshot, since="snap-0123456789abcdef0")
