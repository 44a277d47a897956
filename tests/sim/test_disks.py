from __future__ import annotations

import base64
import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from irkit.sim import Simulator
from irkit.sim.disks import BLOCK, Disks, allocated, clone
from tests.sim.builders import code_of, described, eventually, launch


def sparse(path: Path, *, size: int, holds: dict[int, bytes]) -> Path:
    with path.open("wb") as image:
        image.truncate(size)
        for index, data in holds.items():
            image.seek(index * BLOCK)
            image.write(data)
    return path


def volume_of(sim: Simulator, instance_id: str) -> str:
    return str(described(sim, instance_id)["BlockDeviceMappings"][0]["Ebs"]["VolumeId"])


def snapshot(sim: Simulator, volume_id: str) -> str:
    ec2 = sim.session().client("ec2")
    snapshot_id = str(ec2.create_snapshot(VolumeId=volume_id)["SnapshotId"])
    eventually(
        lambda: ec2.describe_snapshots(SnapshotIds=[snapshot_id])["Snapshots"][0]["State"] == "completed"
    )
    return snapshot_id


def download(ebs: Any, snapshot_id: str, target: Path) -> None:
    listed = ebs.list_snapshot_blocks(SnapshotId=snapshot_id)["Blocks"]
    with target.open("wb") as image:
        image.truncate(ebs.list_snapshot_blocks(SnapshotId=snapshot_id)["VolumeSize"] << 30)
        for block in listed:
            got = ebs.get_snapshot_block(SnapshotId=snapshot_id, **block)
            data = got["BlockData"].read()
            assert base64.b64decode(got["Checksum"]) == hashlib.sha256(data).digest()
            image.seek(block["BlockIndex"] * BLOCK)
            image.write(data)


@pytest.fixture
def backed(sim: Simulator, tmp_path: Path) -> tuple[str, Path]:
    volume_id = volume_of(sim, launch(sim))
    image = sparse(
        tmp_path / "disk.img", size=8 << 30, holds={0: os.urandom(BLOCK), 9000: b"evidence", 16383: b"end"}
    )
    sim.disks.back(volume_id, image)
    return volume_id, image


def test_a_snapshot_is_pending_with_progress_and_then_complete(
    sim: Simulator, backed: tuple[str, Path]
) -> None:
    ec2 = sim.session().client("ec2")
    made = ec2.create_snapshot(VolumeId=backed[0])
    assert made["State"] == "pending"
    ebs = sim.session().client("ebs")
    assert code_of(ebs.list_snapshot_blocks, SnapshotId=made["SnapshotId"]) == "ValidationException"
    seen = []

    def complete() -> bool:
        shown = ec2.describe_snapshots(SnapshotIds=[made["SnapshotId"]])["Snapshots"][0]
        seen.append((shown["State"], shown["Progress"]))
        return bool(shown["State"] == "completed")

    eventually(complete)
    assert seen[0][0] == "pending"
    assert seen[-1] == ("completed", "100%")


def test_the_image_comes_back_byte_for_byte_and_as_it_was_at_the_call(
    sim: Simulator, backed: tuple[str, Path], tmp_path: Path
) -> None:
    volume_id, image = backed
    clone(image, tmp_path / "then.img")
    snapshot_id = str(sim.session().client("ec2").create_snapshot(VolumeId=volume_id)["SnapshotId"])
    with image.open("r+b") as live:
        live.write(b"changed after the call")
    ec2, ebs = sim.session().client("ec2"), sim.session().client("ebs")
    eventually(
        lambda: ec2.describe_snapshots(SnapshotIds=[snapshot_id])["Snapshots"][0]["State"] == "completed"
    )
    listed = ebs.list_snapshot_blocks(SnapshotId=snapshot_id)
    assert listed["BlockSize"] == BLOCK
    assert [b["BlockIndex"] for b in listed["Blocks"]] == [0, 9000, 16383]
    download(ebs, snapshot_id, tmp_path / "back.img")
    for index in (0, 1, 9000, 16383):
        with (tmp_path / "then.img").open("rb") as then, (tmp_path / "back.img").open("rb") as back:
            then.seek(index * BLOCK)
            back.seek(index * BLOCK)
            assert then.read(BLOCK) == back.read(BLOCK)


def test_blocks_come_in_pages(sim: Simulator, tmp_path: Path) -> None:
    volume_id = volume_of(sim, launch(sim))
    sim.disks.back(
        volume_id, sparse(tmp_path / "many.img", size=8 << 30, holds=dict.fromkeys(range(0, 500, 2), b"x"))
    )
    ebs, snapshot_id = sim.session().client("ebs"), snapshot(sim, volume_id)
    sizes, following = [], {}
    while following is not None:
        page = ebs.list_snapshot_blocks(SnapshotId=snapshot_id, MaxResults=100, **following)
        sizes.append(len(page["Blocks"]))
        following = {"NextToken": page["NextToken"]} if page.get("NextToken") else None
    assert sizes == [100, 100, 50]
    later = ebs.list_snapshot_blocks(SnapshotId=snapshot_id, StartingBlockIndex=490)
    assert [b["BlockIndex"] for b in later["Blocks"]] == [490, 492, 494, 496, 498]


def test_a_wrong_token_or_snapshot_is_refused(sim: Simulator, backed: tuple[str, Path]) -> None:
    ebs, snapshot_id = sim.session().client("ebs"), snapshot(sim, backed[0])
    wrong = {"SnapshotId": snapshot_id, "BlockIndex": 0, "BlockToken": "bm90IHRoZSB0b2tlbg=="}
    assert code_of(ebs.get_snapshot_block, **wrong) == "ValidationException"
    assert (
        code_of(ebs.list_snapshot_blocks, SnapshotId="snap-0123456789abcdef0") == "ResourceNotFoundException"
    )


def all_changed(ebs: Any, first: str, second: str) -> list[list[dict[str, Any]]]:
    """Every page of the blocks that differ."""
    pages, following = [], {}
    while True:
        said = ebs.list_changed_blocks(FirstSnapshotId=first, SecondSnapshotId=second, **following)
        pages.append(said["ChangedBlocks"])
        if "NextToken" not in said:
            return pages
        following = {"NextToken": said["NextToken"]}


def test_where_changes_are_rare_a_page_may_be_empty_and_others_follow(
    sim: Simulator, backed: tuple[str, Path]
) -> None:
    volume_id, image = backed
    first = snapshot(sim, volume_id)
    with image.open("r+b") as live:
        live.seek(16000 * BLOCK)
        live.write(b"far away")
    pages = all_changed(sim.session().client("ebs"), first, snapshot(sim, volume_id))
    assert pages[0] == []
    assert [b["BlockIndex"] for page in pages for b in page] == [16000]


def test_snapshots_of_two_volumes_are_not_compared(sim: Simulator, backed: tuple[str, Path]) -> None:
    other = sim.session().client("ec2").create_volume(Size=1, AvailabilityZone="us-east-1a")["VolumeId"]
    both = {"FirstSnapshotId": snapshot(sim, other), "SecondSnapshotId": snapshot(sim, backed[0])}
    ebs = sim.session().client("ebs")
    assert code_of(ebs.list_changed_blocks, **both) == "ValidationException"


def test_a_spoiled_block_arrives_with_other_bytes_than_its_checksum_says(
    sim: Simulator, backed: tuple[str, Path]
) -> None:
    snapshot_id, ebs = snapshot(sim, backed[0]), sim.session().client("ebs")
    sim.disks.spoil(snapshot_id, 0)
    block = ebs.list_snapshot_blocks(SnapshotId=snapshot_id)["Blocks"][0]

    def agrees() -> bool:
        got = ebs.get_snapshot_block(SnapshotId=snapshot_id, **block)
        return base64.b64decode(got["Checksum"]) == hashlib.sha256(got["BlockData"].read()).digest()

    assert [agrees(), agrees()] == [False, True]


def test_tokens_expire_and_new_ones_serve(sim: Simulator, backed: tuple[str, Path]) -> None:
    snapshot_id, ebs = snapshot(sim, backed[0]), sim.session().client("ebs")
    old = ebs.list_snapshot_blocks(SnapshotId=snapshot_id)["Blocks"][0]
    sim.disks.expire_tokens(snapshot_id)
    assert code_of(ebs.get_snapshot_block, SnapshotId=snapshot_id, **old) == "ValidationException"
    new = ebs.list_snapshot_blocks(SnapshotId=snapshot_id)["Blocks"][0]
    assert ebs.get_snapshot_block(SnapshotId=snapshot_id, **new)["DataLength"] == BLOCK


def test_changed_blocks_are_those_that_differ(sim: Simulator, backed: tuple[str, Path]) -> None:
    volume_id, image = backed
    first = snapshot(sim, volume_id)
    with image.open("r+b") as live:
        live.seek(9000 * BLOCK)
        live.write(b"tampered")
        live.seek(77 * BLOCK)
        live.write(b"new")
    second = snapshot(sim, volume_id)
    pages = all_changed(sim.session().client("ebs"), first, second)
    blocks = {b["BlockIndex"]: b for page in pages for b in page}
    assert sorted(blocks) == [77, 9000]
    assert "FirstBlockToken" not in blocks[77]
    assert {"FirstBlockToken", "SecondBlockToken"} <= set(blocks[9000])


def test_another_account_copies_a_snapshot_only_when_it_is_shared(
    sim: Simulator, backed: tuple[str, Path]
) -> None:
    snapshot_id = snapshot(sim, backed[0])
    ec2, theirs = sim.session().client("ec2"), sim.session(sim.forensics_account).client("ec2")
    copy = {"SourceRegion": sim.region, "SourceSnapshotId": snapshot_id}
    assert code_of(theirs.copy_snapshot, **copy) == "InvalidSnapshot.NotFound"
    assert code_of(theirs.describe_snapshots, SnapshotIds=[snapshot_id]) == "InvalidSnapshot.NotFound"
    ec2.modify_snapshot_attribute(
        SnapshotId=snapshot_id,
        Attribute="createVolumePermission",
        OperationType="add",
        UserIds=[sim.forensics_account],
    )
    assert theirs.describe_snapshots(SnapshotIds=[snapshot_id])["Snapshots"][0]["OwnerId"] == sim.account
    assert theirs.describe_snapshots(OwnerIds=["self"])["Snapshots"] == []
    copied = theirs.copy_snapshot(**copy)["SnapshotId"]
    eventually(
        lambda: theirs.describe_snapshots(SnapshotIds=[copied])["Snapshots"][0]["State"] == "completed"
    )
    blocks = (
        sim.session(sim.forensics_account).client("ebs").list_snapshot_blocks(SnapshotId=copied)["Blocks"]
    )
    assert [b["BlockIndex"] for b in blocks] == [0, 9000, 16383]
    volume = theirs.create_volume(SnapshotId=copied, AvailabilityZone=f"{sim.region}a")["VolumeId"]
    image = sim.disks.volume_image(volume)
    assert image is not None
    assert allocated(image) == [0, 9000, 16383]


def test_a_copy_under_a_key_that_does_not_exist_ends_in_error(
    sim: Simulator, backed: tuple[str, Path]
) -> None:
    ec2 = sim.session().client("ec2")
    made = ec2.copy_snapshot(
        SourceRegion=sim.region,
        SourceSnapshotId=snapshot(sim, backed[0]),
        Encrypted=True,
        KmsKeyId="alias/no-such-key",
    )
    shown = ec2.describe_snapshots(SnapshotIds=[made["SnapshotId"]])["Snapshots"][0]
    assert (shown["State"], shown["StateMessage"]) == ("error", "Given key ID is not accessible")


def test_a_snapshot_is_put_together_block_by_block_with_the_right_checksums(sim: Simulator) -> None:
    ebs = sim.session().client("ebs")
    snapshot_id = ebs.start_snapshot(VolumeSize=1)["SnapshotId"]
    data = os.urandom(BLOCK)
    right = base64.b64encode(hashlib.sha256(data).digest()).decode()
    put = {
        "SnapshotId": snapshot_id,
        "BlockIndex": 5,
        "BlockData": data,
        "DataLength": BLOCK,
        "ChecksumAlgorithm": "SHA256",
    }
    assert (
        code_of(ebs.put_snapshot_block, **put, Checksum=base64.b64encode(bytes(32)).decode())
        == "ValidationException"
    )
    ebs.put_snapshot_block(**put, Checksum=right)
    assert (
        code_of(ebs.complete_snapshot, SnapshotId=snapshot_id, ChangedBlocksCount=9) == "ValidationException"
    )
    ebs.complete_snapshot(SnapshotId=snapshot_id, ChangedBlocksCount=1)
    eventually(
        lambda: (
            sim.session().client("ec2").describe_snapshots(SnapshotIds=[snapshot_id])["Snapshots"][0]["State"]
            == "completed"
        )
    )
    block = ebs.list_snapshot_blocks(SnapshotId=snapshot_id)["Blocks"][0]
    assert ebs.get_snapshot_block(SnapshotId=snapshot_id, **block)["BlockData"].read() == data


def test_a_blank_volume_has_no_blocks(sim: Simulator) -> None:
    snapshot_id = snapshot(sim, volume_of(sim, launch(sim)))
    assert sim.session().client("ebs").list_snapshot_blocks(SnapshotId=snapshot_id)["Blocks"] == []


def test_a_deleted_snapshots_file_stays_while_a_copy_reads_it(tmp_path: Path) -> None:
    disks = Disks(tmp_path / "disks")
    disks.back("vol-1", sparse(tmp_path / "d.img", size=1 << 20, holds={1: b"x"}))
    disks.snapshot("snap-1", "vol-1")
    disks.copy("snap-1", "snap-2")
    disks.forget("snap-1")
    assert disks.blocks("snap-2") == [1]
    disks.forget("snap-2")
    assert list((tmp_path / "disks").iterdir()) == []
