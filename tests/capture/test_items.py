"""What stands beside every item that a capture takes: enough to answer for it later (ISO/IEC 27037)."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from types import SimpleNamespace

from irkit import __version__, capture
from irkit.case import Case


def test_every_item_says_what_it_is_where_it_is_from_how_it_was_taken_by_whom_and_when(
    world: SimpleNamespace, case: Case
) -> None:
    begun = datetime.now(UTC)
    assert capture.plan(case, world.instance_id, only=["metadata", "console", "disks"]).apply().exit_code == 0
    taken_by = {str(e.step): e.actor for e in case.journal.entries}
    items = case.evidence.items()
    assert {i.kind for i in items} >= {
        "aws-metadata",
        "instance",
        "user-data",
        "console-output",
        "disk-snapshots",
    }
    for item in items:
        content = case.evidence.read(item)
        assert (len(content), hashlib.sha256(content).hexdigest()) == (item.size, item.sha256), item
        assert begun <= datetime.fromisoformat(item.acquired_at) <= datetime.now(UTC), item
        assert item.tool == f"irkit/{__version__}", item
        assert item.source == world.instance_id, item
        assert "ana" in taken_by[str(item.step)], item
        assert (item.notes["account"], item.notes["region"]) == (world.sim.account, "us-east-1"), item
        if item.kind != "instance":  # the tidy view is drawn from all answers
            assert {"service", "operation"} <= set(item.notes), item
        assert item.media_type
        assert not item.partial
