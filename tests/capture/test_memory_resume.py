"""Memory after a kill or a fault: the dump is taken up where it stands, and no host is dumped twice."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from irkit.capture import memory_host, memory_transfer
from irkit.case import Case
from irkit.evidence import verify
from irkit.journal import Kind
from irkit.plan import Status
from irkit.sim.tools import memory_tool
from tests.capture.dumping import PART, commands, keys, left_on_host, pinned, plan, tool, uploads

pytestmark = pytest.mark.needs_user_namespaces


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_host, "_PART", PART)


@pytest.fixture
def with_tool(open_case: Callable[..., Case], bucket: str) -> Callable[..., Case]:
    def opened(path: Path | None = None) -> Case:
        return open_case(sources=pinned(path or memory_tool(), evidence_bucket=bucket))

    return opened


def versions(world: SimpleNamespace, bucket: str, case: Case) -> int:
    """How many dumps of the case the bucket holds, versions that were overwritten included."""
    s3 = world.sim.session().client("s3")
    return len(s3.list_object_versions(Bucket=bucket, Prefix=f"intake/cases/{case.id}/").get("Versions", []))


def killed_after(whole: Case, entries: int, folder: Path) -> Case:
    """The case as a kill right after that many journal entries leaves it; AWS stays as it is."""
    root = folder / f"after-{entries}" / whole.id
    shutil.copytree(whole.root, root)
    lines = (whole.root / "journal.jsonl").read_bytes().splitlines(keepends=True)[:entries]
    (root / "journal.jsonl").write_bytes(b"".join(lines))
    for manifest in root.glob("manifest*"):
        manifest.unlink()
    committed = {i["path"] for line in lines for i in json.loads(line)["body"].get("items", ())}
    for item in whole.evidence.items():
        if item.path not in committed:
            (root / item.path).unlink()
    return Case.load(str(root))


def test_a_kill_at_every_journal_entry_ends_in_the_same_evidence_and_one_dump(
    world: SimpleNamespace, with_tool: Callable[..., Case], bucket: str, tmp_path: Path
) -> None:
    whole = with_tool()
    assert plan(world, whole).apply().exit_code == 0
    whole.close()
    expected = [(i.name, i.sha256) for i in whole.evidence.items(kind="memory")]
    entries, resumed = whole.journal.entries, 0
    for count in range(1, len(entries) + 1):
        case = killed_after(whole, count, tmp_path)
        begun = any(e.kind is Kind.INTENDED for e in entries[:count])
        if not begun:
            continue  # nothing was meant yet: that run is the first one, and dumps
        report = plan(world, case).apply()
        assert report.exit_code == 0, (count, report.to_frame().to_string())
        assert [(i.name, i.sha256) for i in case.evidence.items(kind="memory")] == expected, count
        assert len(case.evidence.items(kind="memory-record")) == 1, count
        assert verify(case.root).problems == (), count
        assert len(commands(world, case)) == 1, count
        assert versions(world, bucket, case) == 1, count
        resumed += 1
    print(f"resumed {resumed} of {len(entries) - 1} kills after the first entry, one dump")
    assert resumed == len(entries) - 1


def test_a_run_that_dies_while_the_host_dumps_is_followed_by_one_that_waits_for_the_same_dump(
    world: SimpleNamespace,
    with_tool: Callable[..., Case],
    bucket: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slow = tool(
        tmp_path, f'{{ head -c {3 * PART} /dev/urandom; sleep 3; head -c {3 * PART} /dev/urandom; }} >"$out"'
    )
    case = with_tool(slow)
    keep_ahead, seen = memory_transfer.Transfer.keep_ahead, threading.Event()
    monkeypatch.setattr(memory_transfer, "_MOST_LINKS", 4)

    def dies(self: Any) -> None:
        keep_ahead(self)
        if len(self.parts()) >= 2:
            seen.set()
            raise RuntimeError("killed here")

    with monkeypatch.context() as dying:
        dying.setattr(memory_transfer.Transfer, "keep_ahead", dies)
        report = plan(world, case).apply()
    assert report.steps[0].status is Status.FAILED
    assert seen.is_set()
    assert commands(world, case)[0]["Status"] == "InProgress"

    again = plan(world, case).apply()
    assert again.exit_code == 0, again.steps
    assert again.steps[0].result["size"] == 6 * PART
    assert len(commands(world, case)) == 1
    assert versions(world, bucket, case) == 1
    assert left_on_host(world) == []


def test_a_partial_dump_whose_end_nobody_saw_is_kept_and_not_begun_again(
    world: SimpleNamespace, with_tool: Callable[..., Case], bucket: str, tmp_path: Path
) -> None:
    case = with_tool(tool(tmp_path, f'head -c {PART + 5} /dev/urandom >"$out"; exit 5'))
    world.sim.faults.inject("s3", "CompleteMultipartUpload", "AccessDenied", status=403, times=1)
    first = plan(world, case).apply()
    assert first.steps[0].status is Status.FAILED
    assert len(uploads(world, bucket, case)) == 1

    report = plan(world, case).apply()
    assert report.exit_code == 3
    assert report.steps[0].missing == (
        f"memory: the tool ended with exit code 5; {PART + 5} bytes of it are kept",
    )
    assert report.steps[0].result["agree"] is True
    assert len(commands(world, case)) == 1
    assert uploads(world, bucket, case) == []


def test_a_completion_whose_answer_is_lost_is_not_a_second_dump(
    world: SimpleNamespace, with_tool: Callable[..., Case], bucket: str
) -> None:
    case = with_tool()
    world.sim.faults.inject("s3", "CompleteMultipartUpload", "InternalError", status=500, after=True)
    report = plan(world, case).apply()
    assert report.exit_code == 0, report.steps
    assert versions(world, bucket, case) == 1


def sites(world: SimpleNamespace, with_tool: Callable[..., Case]) -> list[tuple[str, str]]:
    """The operations that a capture of memory calls from here, in the order of their first call."""
    before = len(world.sim.calls())
    assert plan(world, with_tool()).apply().exit_code == 0
    ours = [c for c in world.sim.calls()[before:] if "irkit/" in c.user_agent]
    return list(dict.fromkeys((c.service, c.operation) for c in ours))


def check_refused_once(
    world: SimpleNamespace, with_tool: Callable[..., Case], bucket: str, site: tuple[str, str]
) -> None:
    """Refused once at `site`, the capture is whole at once or when it is applied again, by one dump."""
    world.sim.faults.clear()
    case = with_tool()
    steps = plan(world, case)
    world.sim.faults.inject(*site, "AccessDenied", status=403)
    if steps.apply().exit_code != 0:
        assert steps.apply().exit_code == 0, site
    assert len(commands(world, case)) == 1, site
    assert versions(world, bucket, case) == 1, site
    assert uploads(world, bucket, case) == [], site
    assert left_on_host(world) == [], site
    # What could not be removed is said; it is not worth another run.
    record = json.loads(case.evidence.read(case.evidence.items(kind="memory-record")[0]))
    left = not record["links_removed"]
    assert left is (site[1] in {"DeleteObjects", "ListObjectsV2"}), site
    assert keys(world, bucket, case)[0].startswith("transfer/" if left else "intake/"), site
    assert verify(case.root).problems == (), site


@pytest.mark.parametrize("site", [("s3", "ListParts"), ("s3", "GetObject")], ids=lambda s: s[1])
def test_a_refusal_on_the_way_costs_another_run_and_no_second_dump(
    world: SimpleNamespace, with_tool: Callable[..., Case], bucket: str, site: tuple[str, str]
) -> None:
    check_refused_once(world, with_tool, bucket, site)


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_a_refusal_at_any_call_costs_another_run_at_most_and_no_second_dump(
    world: SimpleNamespace, with_tool: Callable[..., Case], bucket: str
) -> None:
    found = sites(world, with_tool)
    for site in found:
        check_refused_once(world, with_tool, bucket, site)
    print(f"{len(found)} call sites of a memory capture, each refused once: one dump, whole: {found}")


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_throttles_and_an_error_at_any_call_leave_the_dump_whole_in_one_run(
    world: SimpleNamespace, with_tool: Callable[..., Case], bucket: str
) -> None:
    found = sites(world, with_tool)
    for service, operation in found:
        world.sim.faults.clear()
        case = with_tool()
        steps = plan(world, case)
        code = "SlowDown" if service == "s3" else "Throttling"
        world.sim.faults.inject(service, operation, code, status=503, times=2)
        world.sim.faults.inject(service, operation, "InternalError", status=500)
        report = steps.apply()
        assert report.exit_code == 0, ((service, operation), report.to_frame().to_string())
        assert len(commands(world, case)) == versions(world, bucket, case) == 1
    print(f"{len(found)} call sites of a memory capture, two throttles and an error each: whole in one run")
