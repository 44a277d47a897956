"""`irkit image`, as a person types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from irkit.case import Case
from irkit.sim.mends.ebs import find
from tests.capture.image.conftest import World, sha256
from tests.cli.running import irkit

pytestmark = pytest.mark.needs_mke2fs


def test_without_apply_it_says_what_it_would_take_and_takes_nothing(
    aws: World, case: Case, snapshot: str
) -> None:
    ran = irkit("image", snapshot, "--case", case.root)
    assert ran.code == 0
    assert f"{len(aws.blocks(snapshot))} blocks" in ran.out
    assert "of a disk of 1.0 GiB" in ran.out
    assert "USD 0.00" in ran.out
    assert "reads" in ran.out
    assert "Add --apply to do it." in ran.out
    told = irkit("image", snapshot, "--case", case.root, "--json").json()
    assert told["estimate"]["blocks"] == len(aws.blocks(snapshot))
    assert told["estimate"]["exact"] is True
    assert aws.fetched(snapshot) == []


def test_with_apply_it_prints_what_proves_the_image(
    aws: World, case: Case, snapshot: str, tmp_path: Path
) -> None:
    ran = irkit(
        "image", snapshot, "--case", case.root, "--to", tmp_path / "d.raw", "--transport", "raw", "--apply"
    )
    assert ran.code == 0, ran.err
    assert f"sha256  {aws.sha256}  (whole disk, {1 << 30} bytes" in ran.out
    assert str(tmp_path / "d.raw") in ran.out
    assert sha256(tmp_path / "d.raw") == aws.sha256
    again = irkit("image", snapshot, "--case", case.root, "--to", tmp_path / "e" / ".." / "e.raw", "--json")
    assert again.code == 2
    assert "no folder" in again.err
    custody = irkit("case", "verify", str(case.root), "--json")
    assert custody.code == 0, custody.out
    assert json.loads(custody.out)["problems"] == []


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["snap-0123456789abcdef0"], 2, "snap-0123456789abcdef0 does not exist"),
        (["snap-XYZ"], 2, "is not a snapshot id"),
        (["snap-\n\x1b[31m$(id)<b>"], 2, "is not a snapshot id"),
        (["snap-0123456789abcdef0", "--transport", "pigeon"], 2, "'pigeon' is not one of"),
        (["snap-0123456789abcdef0", "--workers", "0"], 2, "from 1 to 256"),
    ],
)
def test_bad_input_is_one_clear_line(case: Case, arguments: list[str], code: int, says: str) -> None:
    ran = irkit("image", *arguments, "--case", case.root)
    assert ran.code == code
    assert says in ran.err
    assert len(ran.err.strip().splitlines()) == 1
    assert "\x1b" not in ran.err


@pytest.mark.parametrize("state", ["pending", "error"])
def test_a_snapshot_that_cannot_be_read_is_refused(aws: World, case: Case, snapshot: str, state: str) -> None:
    find(snapshot, aws.sim.region, aws.sim.account).status = state
    ran = irkit("image", snapshot, "--case", case.root, "--apply")
    assert ran.code == 4
    assert snapshot in ran.err


def test_a_refusal_of_aws_is_said_and_the_exit_code_is_that_of_a_failure(
    aws: World, case: Case, snapshot: str
) -> None:
    aws.sim.faults.inject("ebs", "GetSnapshotBlock", "AccessDeniedException", status=403, times=1000)
    ran = irkit("image", snapshot, "--case", case.root, "--apply")
    assert ran.code == 1
    assert "not allowed to read block" in ran.out
    aws.sim.faults.clear()
    aws.sim.faults.inject("ebs", "ListSnapshotBlocks", "AccessDeniedException", status=403, times=1000)
    ran = irkit("image", snapshot, "--case", case.root, "--apply")
    assert ran.code == 4
    assert f"not allowed to list the blocks of {snapshot}" in ran.err


def test_the_notebook_reads_the_image_and_says_what_it_wrote(
    aws: World, case: Case, snapshot: str, tmp_path: Path
) -> None:
    pytest.importorskip("papermill")
    from irkit.notebook.runner import execute

    named = {"case_id": case.id, "cases": str(case.root.parent), "snapshot_id": snapshot}
    planned = execute("capture/disk-image", named, tmp_path / "plan.ipynb", timeout=120)
    assert planned.status == "planned"
    assert aws.fetched(snapshot) == []
    ran = execute("capture/disk-image", named | {"mode": "apply"}, tmp_path / "out.ipynb", timeout=120)
    assert (ran.status, ran.missing) == ("done", ())
    assert "disk-image" in {i.kind for i in Case.load(str(case.root)).evidence.items()}
