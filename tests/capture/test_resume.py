"""A kill at every entry of the journal: whatever was reached, applying again ends in the same evidence."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from irkit import capture
from irkit.capture import host
from irkit.case import Case
from irkit.evidence import verify
from irkit.journal import Kind

pytestmark = pytest.mark.needs_user_namespaces
KINDS = ("console", "disks", "host")


def killed_after(whole: Case, entries: int, folder: Path) -> Case:
    """The case as a kill right after that many journal entries leaves it; AWS stays as it is."""
    root = folder / f"after-{entries}" / whole.id
    shutil.copytree(whole.root, root)
    lines = (whole.root / "journal.jsonl").read_bytes().splitlines(keepends=True)[:entries]
    (root / "journal.jsonl").write_bytes(b"".join(lines))
    for manifest in root.glob("manifest*"):
        manifest.unlink()  # rendered at the end, which a kill never reaches
    committed = {i["path"] for line in lines for i in json.loads(line)["body"].get("items", ())}
    for item in whole.evidence.items():
        if item.path not in committed:
            (root / item.path).unlink()
    return Case.load(str(root))


def inventory(case: Case) -> list[tuple[str, str]]:
    return sorted((i.kind, i.name) for i in case.evidence.items())


def in_aws(world: SimpleNamespace, case: Case) -> tuple[int, int]:
    """How many snapshots and how many commands the case has made."""
    session = world.sim.session()
    made = session.client("ec2").describe_snapshots(Filters=[{"Name": "tag:irkit:case", "Values": [case.id]}])
    sent: list[dict[str, Any]] = session.client("ssm").list_commands(
        InstanceId=world.instance_id, MaxResults=50
    )["Commands"]
    return len(made["Snapshots"]), sum(c["Comment"].endswith(f"case {case.id}") for c in sent)


def test_a_kill_at_every_journal_entry_ends_in_the_same_evidence_and_no_duplicate_in_aws(
    world: SimpleNamespace, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole_script = host.script()
    # One section of the script is enough here, and the host is asked a dozen times.
    monkeypatch.setattr(
        host, "script", lambda: whole_script.replace("IRKIT_SECTIONS:-all", "IRKIT_SECTIONS:-host")
    )
    whole = Case.open(
        "R-1",
        region="us-east-1",
        cases=tmp_path / "whole",
        responder="ana",
        sources={"evidence_bucket": bucket},
    )
    assert capture.plan(whole, world.instance_id, only=KINDS).apply(workers=1).exit_code == 0
    whole.close()
    expected, made = inventory(whole), in_aws(world, whole)
    entries = whole.journal.entries
    resumed = 0
    for count in range(1, len(entries) + 1):
        case = killed_after(whole, count, tmp_path)
        begun = {e.body["verb"] for e in entries[:count] if e.kind is Kind.INTENDED}
        report = capture.plan(case, world.instance_id, only=KINDS).apply()
        assert report.exit_code == 0, (count, report.to_frame().to_string())
        assert inventory(case) == expected, count
        assert verify(case.root).problems == (), count
        snapshots, commands = in_aws(world, case)
        # What the journal never meant to do is not looked for: there this copy's run rightly does it itself.
        made = (made[0] + 2 * ("capture.disks" not in begun), made[1] + ("capture.host" not in begun))
        assert (snapshots, commands) == made, count
        resumed += 1
    print(f"resumed {resumed} of {len(entries)} kills")
    assert resumed == len(entries)
