from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from irkit.capture.image import plan
from irkit.capture.image.taking import BLOCKS, IMAGE, RECORD
from irkit.case import Case
from irkit.errors import BadInput, InvalidName, InvalidParameter, NotFound, WrongState
from irkit.evidence import verify
from irkit.plan import Report, Status
from irkit.sim.disks import BLOCK, allocated
from irkit.sim.faults import RESET
from irkit.sim.mends.ebs import find
from tests.capture.image.conftest import DELETED, PLANTED, World, sha256, tool

pytestmark = pytest.mark.needs_mke2fs


def taken(case: Case, kind: str = IMAGE) -> Path:
    (item,) = case.evidence.items(kind=kind)
    return case.evidence.path(item)


def record(case: Case) -> dict[str, Any]:
    (item,) = case.evidence.items(kind=RECORD)
    told: dict[str, Any] = json.loads(case.evidence.read(item))
    return told


def blocks_of(image: BinaryIO, indexes: Iterable[int]) -> Iterator[bytes]:
    for index in indexes:
        image.seek(index * BLOCK)
        yield image.read(BLOCK)


def why(report: Report) -> str:
    (step,) = report.steps
    assert step.status is Status.FAILED, report.to_frame().to_string()
    return step.why


@pytest.mark.parametrize("transport", ["boto3", "raw"])
def test_the_image_is_the_volume_byte_for_byte_with_its_holes(
    aws: World, case: Case, snapshot: str, transport: str
) -> None:
    report = plan(case, snapshot, transport=transport).apply()

    assert report.exit_code == 0, report.to_frame().to_string()
    (item,) = case.evidence.items(kind=IMAGE)
    assert item.sha256 == aws.sha256 == report.steps[0].result["sha256"]
    assert item.size == aws.disk.stat().st_size
    assert not item.partial
    # A block that is listed and holds zeros is a hole here, too.
    assert set(allocated(taken(case))) <= set(allocated(aws.disk))
    assert taken(case).stat().st_blocks * 512 < 1.1 * BLOCK * len(aws.blocks(snapshot))
    assert sorted(aws.fetched(snapshot)) == aws.blocks(snapshot)
    assert record(case)["transport"] == transport


def test_the_image_is_a_clean_file_system_with_the_planted_files_and_the_deleted_one(
    case: Case, snapshot: str
) -> None:
    import pytsk3

    plan(case, snapshot).apply()
    image = str(taken(case))
    checked = subprocess.run([tool("e2fsck"), "-n", "-f", image], capture_output=True, text=True, timeout=60)
    assert checked.returncode == 0, checked.stdout
    system = pytsk3.FS_Info(pytsk3.Img_Info(image))
    for name, content in PLANTED.items():
        file = system.open(name)
        assert file.read_random(0, file.info.meta.size) == content
    folder, _, name = DELETED[0].rpartition("/")
    entries = {e.info.name.name.decode(): e.info.name.flags for e in system.open_dir(folder)}
    assert entries[name] == pytsk3.TSK_FS_NAME_FLAG_UNALLOC
    with taken(case).open("rb") as raw:  # what was deleted is recovered by its content, too
        assert any(DELETED[1][:BLOCK] in part for part in blocks_of(raw, allocated(taken(case))))
    case.close()
    assert verify(case.root).problems == ()


def test_the_list_has_the_sha256_of_every_block_and_the_record_says_how_it_was_taken(
    aws: World, case: Case, snapshot: str
) -> None:
    plan(case, snapshot).apply()
    head, *lines = taken(case, BLOCKS).read_text().splitlines()
    assert head.startswith(f"# irkit/image-blocks/1 snapshot={snapshot} size={1 << 30} block_size={BLOCK}")
    listed = {int(number): digest for number, digest in (line.split() for line in lines)}
    assert list(listed) == aws.blocks(snapshot)
    for index, digest in listed.items():
        assert digest == hashlib.sha256(aws.sim.disks.read(snapshot, index)).hexdigest()
    told = record(case)
    assert told["read"] == told["blocks"] == len(listed)
    assert told["blocks"] + told["holes"] == (1 << 30) // BLOCK
    assert told["block_list_sha256"] == sha256(taken(case, BLOCKS))
    assert told["described"]["VolumeId"] == aws.volume


def test_applying_again_reads_nothing_and_nothing_but_evidence_is_left_behind(
    aws: World, case: Case, snapshot: str
) -> None:
    plan(case, snapshot).apply()
    before = len(aws.fetched(snapshot))
    report = plan(case, snapshot).apply()
    assert report.steps[0].earlier
    assert len(aws.fetched(snapshot)) == before
    assert len(case.evidence.items()) == 3
    case.close()
    assert [p for p in (case.active / "artifacts").rglob("*") if not p.is_dir()] == []
    assert list((case.root / "staging").iterdir()) == []


def test_the_plan_says_how_much_it_is_and_reads_no_block(aws: World, case: Case, snapshot: str) -> None:
    planned = plan(case, snapshot)
    blocks = len(aws.blocks(snapshot))
    assert planned.estimate.blocks == blocks  # type: ignore[attr-defined]
    assert planned.to_dict()["estimate"]["usd"] == pytest.approx(blocks * 3e-6, abs=1e-4)
    assert f"{blocks} blocks" in planned.steps[0].title
    assert aws.fetched(snapshot) == []
    assert case.evidence.items() == []


@pytest.mark.parametrize("transport", ["boto3", "raw"])
def test_throttles_server_errors_broken_connections_and_wrong_bytes_cost_time_only(
    aws: World, case: Case, snapshot: str, transport: str
) -> None:
    faults = aws.sim.faults
    faults.inject("ebs", "GetSnapshotBlock", "RequestThrottledException", status=400, times=6)
    faults.inject("ebs", "GetSnapshotBlock", "ThrottlingException", status=400, times=3)
    faults.inject("ebs", "GetSnapshotBlock", "InternalServerException", status=500, times=4)
    faults.inject("ebs", "GetSnapshotBlock", RESET, times=4)
    aws.sim.disks.spoil(snapshot, aws.blocks(snapshot)[3], times=2)
    assert plan(case, snapshot, transport=transport).apply().exit_code == 0
    assert case.evidence.items(kind=IMAGE)[0].sha256 == aws.sha256
    tried = record(case)["tried_again"]
    assert tried == {"throttled": 9, "broken": 8, "corrupt": 2, "expired": 0}


def test_a_block_that_never_arrives_right_is_named_and_all_others_are_kept(
    aws: World, case: Case, snapshot: str
) -> None:
    bad = aws.blocks(snapshot)[5]
    aws.sim.disks.spoil(snapshot, bad, times=10**6)
    assert f"block {bad} of {snapshot}" in why(plan(case, snapshot).apply())
    assert case.evidence.items() == []
    aws.sim.disks.spoil(snapshot, bad, times=0)
    before = len(aws.fetched(snapshot))

    assert plan(case, snapshot).apply().exit_code == 0
    assert aws.fetched(snapshot)[before:] == [bad]
    assert case.evidence.items(kind=IMAGE)[0].sha256 == aws.sha256


def test_tokens_that_expire_on_the_way_are_listed_again(aws: World, case: Case, snapshot: str) -> None:
    seen: list[int] = []

    def expires_at_the_seventh(_response: Any) -> bool:
        seen.append(1)
        if len(seen) == 7:
            aws.sim.disks.expire_tokens(snapshot)
        return False

    aws.sim.faults.inject("ebs", "GetSnapshotBlock", "Never", when=expires_at_the_seventh)
    assert plan(case, snapshot, transport="raw").apply().exit_code == 0
    assert case.evidence.items(kind=IMAGE)[0].sha256 == aws.sha256
    assert record(case)["tried_again"]["expired"] > 0
    assert len(aws.fetched(snapshot)) == len(aws.blocks(snapshot))


def test_a_refusal_in_the_middle_ends_it_at_once_and_it_goes_on_later(
    aws: World, case: Case, snapshot: str
) -> None:
    seen: list[int] = []

    def after_ten(_response: Any) -> bool:
        seen.append(1)
        return len(seen) > 10

    aws.sim.faults.inject(
        "ebs", "GetSnapshotBlock", "AccessDeniedException", status=403, times=10**6, when=after_ten
    )
    assert "not allowed" in why(plan(case, snapshot).apply())
    assert len(seen) < 60
    aws.sim.faults.clear()
    first = set(aws.fetched(snapshot))
    assert len(first) == 10

    assert plan(case, snapshot).apply().exit_code == 0
    assert sorted(aws.fetched(snapshot)) == aws.blocks(snapshot)
    assert record(case)["earlier"] == 10
    assert case.evidence.items(kind=IMAGE)[0].sha256 == aws.sha256


@pytest.mark.parametrize(
    ("state", "says"), [("pending", "is pending"), ("error", "ended in error")], ids=["pending", "error"]
)
def test_a_snapshot_that_is_not_completed_is_refused(
    aws: World, case: Case, snapshot: str, state: str, says: str
) -> None:
    find(snapshot, aws.sim.region, aws.sim.account).status = state
    with pytest.raises(WrongState, match=says):
        plan(case, snapshot)


def test_a_snapshot_that_does_not_exist_or_cannot_is_refused(
    case: Case, snapshot: str, tmp_path: Path
) -> None:
    with pytest.raises(NotFound, match="snap-0123456789abcdef0 does not exist"):
        plan(case, "snap-0123456789abcdef0")
    with pytest.raises(InvalidName, match="is not a snapshot id"):
        plan(case, "snap-$(reboot)\x1b[31m")
    with pytest.raises(InvalidParameter, match="no transport carrier-pigeon"):
        plan(case, snapshot, transport="carrier-pigeon")
    with pytest.raises(InvalidParameter, match="in flight"):
        plan(case, snapshot, workers=0)
    with pytest.raises(BadInput, match="no folder"):
        plan(case, snapshot, to=tmp_path / "absent" / "x.raw")


def test_the_image_can_lie_outside_of_the_case_which_keeps_what_proves_it(
    aws: World, case: Case, snapshot: str, tmp_path: Path
) -> None:
    (tmp_path / "big").mkdir()
    report = plan(case, snapshot, to=tmp_path / "big").apply()
    image = tmp_path / "big" / f"{snapshot}.raw"
    assert report.exit_code == 0
    assert report.steps[0].result["path"] == str(image)
    assert sha256(image) == record(case)["sha256"] == aws.sha256
    assert image.stat().st_mode & 0o777 == 0o400
    assert [i.kind for i in case.evidence.items()] == [BLOCKS, RECORD]
    assert list(image.parent.iterdir()) == [image]
    with pytest.raises(BadInput, match="there already"):
        plan(case, snapshot, to=image)


def test_a_proxy_keeps_the_raw_transport_from_being_used_and_says_so(
    aws: World, case: Case, snapshot: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", aws.sim.endpoint)
    said: list[str] = []
    assert plan(case, snapshot, transport="raw").apply(progress=said.append).exit_code == 0
    assert any("does not go through a proxy" in line for line in said)
    assert record(case)["transport"] == "boto3"


def test_progress_says_how_far_it_is(case: Case, snapshot: str) -> None:
    said: list[str] = []
    plan(case, snapshot, workers=1).apply(progress=said.append)
    assert any(" MiB of " in line and "/s" in line for line in said), said
