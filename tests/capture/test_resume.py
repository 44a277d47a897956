"""A kill at every entry of the journal: whatever was reached, applying again ends in the same evidence."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from irkit import capture
from irkit.capture import host
from irkit.case import Case
from irkit.evidence import verify
from irkit.journal import Kind
from irkit.playbooks import runs

pytestmark = pytest.mark.needs_user_namespaces
# The kinds, and how many entries lie between two kills; the soak kills at every entry of all kinds.
SETS = [(("console", "disks", "host"), 1), (("disks", "keep"), 4)]
EVERY = ("metadata", "console", "disks", "host", "keep")
DIES = """
import os, signal, sys
from irkit.case import Case
from irkit.journal import Journal
from irkit.playbooks import runs

root, instance, kinds, number, after = sys.argv[1], sys.argv[2], sys.argv[3].split(","), int(sys.argv[4]), sys.argv[5]
case, written, append = Case.load(root), 0, Journal.append


def dying(self, *args, **more):
    global written
    with self.lock:
        written += 1
        if written == number and after == "no":
            os.kill(os.getpid(), signal.SIGKILL)
        entry = append(self, *args, **more)
        if written == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return entry


Journal.append = dying
runs.start(case, "capture", {"instance_id": instance, "only": kinds})
"""


def keeping(world: SimpleNamespace, bucket: str) -> dict[str, str]:
    return {
        "evidence_bucket": bucket,
        "forensics_role": world.public["forensics_role_arn"],
        "snapshot_lock": "governance:30",
    }


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
    """How many snapshots, copies among them, and how many commands the case has made."""
    session, there = world.sim.session(), world.sim.session(world.sim.forensics_account)
    mine = [{"Name": "tag:irkit:case", "Values": [case.id]}]
    made = [
        snapshot
        for one in (session, there)
        for snapshot in one.client("ec2").describe_snapshots(OwnerIds=["self"], Filters=mine)["Snapshots"]
    ]
    sent: list[dict[str, Any]] = session.client("ssm").list_commands(
        InstanceId=world.instance_id, MaxResults=50
    )["Commands"]
    return len(made), sum(c["Comment"].endswith(f"case {case.id}") for c in sent)


@pytest.mark.parametrize(("kinds", "apart"), SETS, ids=["with-host", "with-keep"])
def test_a_kill_at_every_journal_entry_ends_in_the_same_evidence_and_no_duplicate_in_aws(
    world: SimpleNamespace,
    bucket: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kinds: tuple[str, ...],
    apart: int,
) -> None:
    whole_script = host.script()
    # One section of the script is enough here, and the host is asked a dozen times.
    monkeypatch.setattr(
        host, "script", lambda: whole_script.replace("IRKIT_SECTIONS:-all", "IRKIT_SECTIONS:-host")
    )
    whole = Case.open(
        f"R-{len(kinds)}",
        region="us-east-1",
        cases=tmp_path / "whole",
        responder="ana",
        sources=keeping(world, bucket),
    )
    assert capture.plan(whole, world.instance_id, only=kinds).apply(workers=1).exit_code == 0
    whole.close()
    expected, made = inventory(whole), in_aws(world, whole)
    entries = whole.journal.entries
    resumed = 0
    moments = range(1, len(entries) + 1, apart)
    for count in moments:
        case = killed_after(whole, count, tmp_path)
        begun = {e.body["verb"] for e in entries[:count] if e.kind is Kind.INTENDED}
        report = capture.plan(case, world.instance_id, only=kinds).apply()
        assert report.exit_code == 0, (count, report.to_frame().to_string())
        assert inventory(case) == expected, count
        assert verify(case.root).problems == (), count
        snapshots, commands = in_aws(world, case)
        # What the journal never meant to do is not looked for: there this copy's run rightly does it itself.
        command = "host" in kinds and "capture.host" not in begun
        made = (made[0] + 2 * ("capture.disks" not in begun), made[1] + command)
        assert (snapshots, commands) == made, count
        resumed += 1
    print(f"resumed {resumed} of {len(moments)} kills at the {len(entries)} entries")
    assert resumed == len(moments)


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_a_process_that_dies_at_any_journal_entry_is_resumed_to_the_same_evidence(
    world: SimpleNamespace, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Really killed, in the middle of a full capture: right before an entry is written, or right after it."""
    whole_script = host.script()
    monkeypatch.setattr(
        host, "script", lambda: whole_script.replace("IRKIT_SECTIONS:-all", "IRKIT_SECTIONS:-host")
    )
    one_section = (
        "from irkit.capture import host\nwhole = host.script()\n"
        'host.script = lambda: whole.replace("IRKIT_SECTIONS:-all", "IRKIT_SECTIONS:-host")\n'
    )

    def opened(name: str) -> Case:
        sources = keeping(world, bucket)
        return Case.open(name, region="us-east-1", cases=tmp_path, responder="ana", sources=sources)

    asked = {"instance_id": world.instance_id, "only": list(EVERY)}
    whole = opened("K-whole")
    before = len(whole.journal.entries)
    assert runs.start(whole, "capture", asked).exit_code == 0
    expected, made = inventory(whole), in_aws(world, whole)
    entries = len(whole.journal.entries) - before
    resumed = 0
    for number in range(1, entries + 1):
        case = opened(f"K-{number}")
        after = "yes" if number % 2 else "no"
        command = [
            sys.executable,
            "-c",
            one_section + DIES,
            str(case.root),
            world.instance_id,
            ",".join(EVERY),
        ]
        died = subprocess.run([*command, str(number), after], capture_output=True, text=True)
        assert died.returncode == -signal.SIGKILL, (number, died.stderr)
        case = Case.load(str(case.root))
        if number == 1 and after == "no":
            assert runs.start(case, "capture", asked).exit_code == 0  # nothing had been written yet
        else:
            assert [r.exit_code for _, r in runs.resume(case)] in ([0], []), number
        case = Case.load(str(case.root))
        # What was cut short is kept as a part, beside what the next run takes whole.
        held, partial = (
            Counter(inventory(case)),
            Counter((i.kind, i.name) for i in case.evidence.items() if i.partial),
        )
        assert Counter(expected) - held == Counter(), number
        assert held - Counter(expected) - partial == Counter(), number
        assert in_aws(world, case) == made, number
        assert verify(case.root).problems == (), number
        resumed += 1
    print(f"resumed {resumed} of {entries} kills of the process")
    assert resumed == entries
