"""Memory, over the whole way: a stand-in tool in the sandbox, real links, real parts, hashes at both ends."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from irkit import capture
from irkit.capture import memory, memory_dump, memory_host, memory_transfer
from irkit.case import Case
from irkit.errors import InvalidParameter
from irkit.evidence import verify
from irkit.journal import Kind
from irkit.plan import Report, Status
from irkit.sim.tools import memory_tool
from tests.capture.dumping import PART, commands, keys, left_on_host, pinned, plan, tool, uploads

pytestmark = pytest.mark.needs_user_namespaces
SECRET = "memory-only-7c1e"


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts as small as S3 takes them, so that a few megabytes are several."""
    monkeypatch.setattr(memory_host, "_PART", PART)


@pytest.fixture
def with_tool(open_case: Callable[..., Case], bucket: str) -> Callable[..., Case]:
    """Open a case with a pinned tool (default: the stand-in) and an evidence bucket."""

    def opened(path: Path | None = None, **more: str) -> Case:
        return open_case(sources=pinned(path or memory_tool(), evidence_bucket=bucket, **more))

    return opened


def record(case: Case) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(case.evidence.read(case.evidence.items(kind="memory-record")[0]))
    return found


def only(report: Report) -> Any:
    return report.steps[0]


@pytest.fixture
def hoard(world: SimpleNamespace) -> Iterator[None]:
    """A process on the host that holds 24 MiB that do not compress, and a secret that is on no disk."""
    ssm = world.sim.session().client("ssm")
    script = (
        "( part=only; { printf '%s-7c1e\\n' memory-$part; head -c 25165824 /dev/urandom; touch /run/hoarded; } | "
        "dd bs=26214400 count=1 iflag=fullblock 2>/dev/null | sleep 601 ) >/dev/null 2>&1 &\n"
        "until [ -e /run/hoarded ]; do sleep 0.1; done; rm /run/hoarded"
    )
    assert SECRET not in script
    for asked in (script, "pkill -x -f 'sleep 601'"):
        sent = ssm.send_command(
            InstanceIds=[world.instance_id],
            DocumentName="AWS-RunShellScript",
            Parameters={"commands": [asked]},
        )
        for _ in range(1200):
            time.sleep(0.05)
            if (
                ssm.list_commands(CommandId=sent["Command"]["CommandId"])["Commands"][0]["Status"]
                == "Success"
            ):
                break
        if asked == script:
            yield


def test_a_dump_of_several_parts_arrives_whole_with_the_same_hash_at_both_ends(
    world: SimpleNamespace,
    with_tool: Callable[..., Case],
    bucket: str,
    hoard: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(memory_transfer, "_MOST_LINKS", 4)
    case = with_tool(memory_tool_args="acquire {output}")  # not packed by the tool: the script does
    report = plan(world, case).apply()

    assert report.exit_code == 0, only(report)
    result = only(report).result
    dump = case.evidence.items(kind="memory")[0]
    assert result["host_sha256"] == result["sha256"] == dump.sha256
    assert result["size"] == dump.size > 4 * PART, "more parts than one list has links for"
    assert int(record(case)["host_said"]["parts"]) == -(-dump.size // PART) > 4
    head = (
        world.sim.session()
        .client("s3")
        .head_object(Bucket=bucket, Key=result["object"].partition(f"{bucket}/")[2])
    )
    assert (head["ContentLength"], head["VersionId"]) == (dump.size, result["version"])
    import gzip

    assert SECRET.encode() in gzip.decompress(case.evidence.read(dump))
    assert [k.startswith("intake/") for k in keys(world, bucket, case)] == [True], "tool and links are gone"
    assert uploads(world, bucket, case) == []
    assert left_on_host(world) == []
    assert verify(case.root).problems == ()
    # Tool and script were in the journal before anything was sent.
    intended = next(e for e in case.journal.entries if e.kind is Kind.INTENDED)
    assert intended.body["args"]["tool_sha256"] == hashlib.sha256(memory_tool().read_bytes()).hexdigest()
    script = memory_host.script("memory.sh").encode()
    assert intended.body["args"]["sha256"] == hashlib.sha256(script).hexdigest()


def test_a_tool_with_another_hash_is_refused_before_anything_is_sent(
    world: SimpleNamespace, with_tool: Callable[..., Case], bucket: str
) -> None:
    case = with_tool(memory_tool_sha256="0" * 64)
    before = len(world.sim.calls())
    report = plan(world, case).apply()
    assert only(report).status is Status.FAILED
    assert "is not the tool that was pinned" in only(report).why
    assert hashlib.sha256(memory_tool().read_bytes()).hexdigest() in only(report).why
    assert {c.operation for c in world.sim.calls()[before:]}.isdisjoint({"SendCommand", "PutObject"})
    assert commands(world, case) == []
    assert keys(world, bucket, case) == []


def test_a_tool_that_was_changed_on_the_way_is_not_run(
    world: SimpleNamespace, with_tool: Callable[..., Case], bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    send_tool = memory_transfer.Transfer.send_tool
    monkeypatch.setattr(
        memory_transfer.Transfer,
        "send_tool",
        lambda self, _: send_tool(self, b"#!/bin/sh\ntouch /run/owned\n"),
    )
    case = with_tool()
    report = plan(world, case).apply()
    assert "what arrived is not the tool that was pinned; it was not run" in only(report).why
    assert not (world.sim.hosts.find(world.instance_id).root / "run/owned").exists()
    assert uploads(world, bucket, case) == keys(world, bucket, case) == left_on_host(world) == []


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("memory_tool_sha256", "", "is not pinned"),
        ("memory_tool_sha256", "f00d", "is not pinned"),
        ("memory_tool_args", "acquire $(touch /run/x)", "cannot be given"),
        ("memory_tool_args", "'; reboot", "cannot be given"),
        ("memory_tol", "x", "says nothing of an acquisition tool"),
    ],
)
def test_a_tool_that_cannot_be_meant_is_refused_with_the_plan(
    world: SimpleNamespace, with_tool: Callable[..., Case], name: str, value: str, why: str
) -> None:
    with pytest.raises(InvalidParameter, match=why):
        plan(world, with_tool(), memory={name: value})


def test_without_a_tool_all_kinds_leave_memory_out_and_memory_alone_is_refused(
    world: SimpleNamespace, case: Case
) -> None:
    assert memory.VERB not in {s.verb for s in capture.plan(case, world.instance_id).steps}
    with pytest.raises(InvalidParameter, match="nothing names the tool"):
        plan(world, case)
    given = capture.plan(case, world.instance_id, memory=pinned(memory_tool()))
    assert memory.VERB in {s.verb for s in given.steps}


def test_the_deadline_follows_from_the_size_of_the_memory(
    world: SimpleNamespace, with_tool: Callable[..., Case]
) -> None:
    case = with_tool()
    step = plan(world, case).steps[0]
    assert "8.0 GiB" in step.title
    expected = 600 + (8 << 30) // memory.BYTES_A_SECOND
    assert f"given {expected // 60} minutes" in step.title
    world.sim.faults.inject("ec2", "DescribeInstanceTypes", "UnauthorizedOperation", status=403)
    unknown = plan(world, case).steps[0]
    assert unknown.deadline > step.deadline
    assert unknown.id(case.id) == step.id(case.id), "what is not known does not make it another step"


def test_parts_are_long_enough_for_any_memory_and_never_more_than_s3_takes() -> None:
    for gib in (1, 8, 64, 512, 1024, 24 * 1024):
        size = memory_host.part_bytes(gib << 30)
        assert size % memory_host.MIB == 0
        assert (gib << 30) * 1.05 / size <= 10_000
        assert 5 << 20 <= size <= 5 << 30


def test_a_dump_that_ends_early_is_kept_marked_and_its_hash_still_compared(
    world: SimpleNamespace, with_tool: Callable[..., Case], tmp_path: Path
) -> None:
    broken = tool(tmp_path, 'head -c 7340032 /dev/urandom >"$out"; echo "page fault" >&2; exit 5')
    case = with_tool(broken)
    report = plan(world, case).apply()
    assert report.exit_code == 3
    assert only(report).missing == ("memory: the tool ended with exit code 5; 7340032 bytes of it are kept",)
    dump = case.evidence.items(kind="memory")[0]
    assert dump.partial
    assert dump.size == 7340032
    assert only(report).result["agree"] is True
    assert record(case)["host_said"]["tool_said"] == "page fault"


@pytest.mark.parametrize(
    "body", ["echo 'cannot read /proc/kcore' >&2; exit 1", ":"], ids=["fails", "writes-nothing"]
)
def test_a_tool_that_writes_nothing_leaves_nothing_behind(
    world: SimpleNamespace, with_tool: Callable[..., Case], bucket: str, tmp_path: Path, body: str
) -> None:
    case = with_tool(tool(tmp_path, body))
    report = plan(world, case).apply()
    assert only(report).status is Status.FAILED
    assert ("exit code 1" if "exit 1" in body else "it is empty") in only(report).why
    assert uploads(world, bucket, case) == keys(world, bucket, case) == left_on_host(world) == []
    assert case.evidence.items() == []


def test_links_that_have_expired_before_the_command_came_are_named(
    world: SimpleNamespace, with_tool: Callable[..., Case], bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory_transfer, "FIRST_LINK_SECONDS", 1)
    script = memory_host.script
    monkeypatch.setattr(
        memory_host,
        "script",
        lambda name: script(name).replace('more "$IRKIT_LINKS" 15', 'sleep 2; more "$IRKIT_LINKS" 1'),
    )
    case = with_tool()
    report = plan(world, case).apply()
    assert "the links are not to be had: the link has expired" in only(report).why
    assert uploads(world, bucket, case) == keys(world, bucket, case) == []
    monkeypatch.undo()
    monkeypatch.setattr(memory_host, "_PART", PART)
    assert plan(world, case).apply().exit_code == 0, "applied again, with links that live"


def test_links_that_expire_on_the_way_cost_the_rest_of_the_dump_and_not_what_has_arrived(
    world: SimpleNamespace, with_tool: Callable[..., Case], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = memory_transfer.Transfer._link

    def short(self: Any, operation: str, key: str, seconds: int = 3600, **more: Any) -> str:
        return link(self, operation, key, 1 if more.get("PartNumber", 0) > 1 else seconds, **more)

    monkeypatch.setattr(memory_transfer.Transfer, "_link", short)
    slow = tool(tmp_path, f'{{ head -c {PART} /dev/zero; sleep 2; head -c {PART} /dev/urandom; }} >"$out"')
    case = with_tool(slow)
    report = plan(world, case).apply()
    assert report.exit_code == 3
    assert only(report).missing == (
        f"memory: part 2 was not taken: the link has expired; {PART} bytes of it are kept",
    )
    assert case.evidence.read(case.evidence.items(kind="memory")[0]) == bytes(PART)
    assert only(report).result["agree"] is True


def test_what_s3_gives_back_is_held_against_what_the_host_says(
    world: SimpleNamespace, with_tool: Callable[..., Case], monkeypatch: pytest.MonkeyPatch
) -> None:
    read = memory_transfer.Transfer.read
    monkeypatch.setattr(
        memory_transfer.Transfer,
        "read",
        lambda self, found: (c.replace(b"\x1f", b"\x1e", 1) for c in read(self, found)),
    )
    case = with_tool()
    report = plan(world, case).apply()
    assert report.exit_code == 3
    assert "is not what the host says that it sent" in only(report).missing[0]
    assert only(report).result["agree"] is False


def test_a_kernel_that_is_locked_down_is_named_and_nothing_is_fetched(
    world: SimpleNamespace, with_tool: Callable[..., Case], bucket: str
) -> None:
    lockdown = world.sim.hosts.find(world.instance_id).root / "sys/kernel/security/lockdown"
    lockdown.parent.mkdir(parents=True, exist_ok=True)
    lockdown.write_text("none integrity [confidentiality]\n")
    case = with_tool()
    before = len(world.sim.calls())
    try:
        report = plan(world, case).apply()
    finally:
        lockdown.unlink()
    assert "locked down (confidentiality)" in only(report).why
    assert not [c for c in world.sim.calls()[before:] if c.operation == "GetObject"]
    assert uploads(world, bucket, case) == []


def test_a_host_without_room_for_a_part_is_named(
    world: SimpleNamespace, with_tool: Callable[..., Case], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory_host, "_PART", 1 << 50)
    report = plan(world, with_tool()).apply()
    assert "no folder with" in only(report).why


def test_without_an_agent_memory_fails_at_once_and_alone(
    world: SimpleNamespace, with_tool: Callable[..., Case], bucket: str
) -> None:
    case = with_tool()
    world.sim.hosts.switch_agent(world.instance_id, online=False)
    try:
        report = capture.plan(case, world.instance_id, only=["console", "memory"]).apply()
    finally:
        world.sim.hosts.switch_agent(world.instance_id, online=True)
    stands = {s.verb: s for s in report.steps}
    assert stands["capture.console"].status is Status.DONE
    assert stands["capture.memory"].status is Status.FAILED
    assert "ConnectionLost" in stands["capture.memory"].why
    assert stands["capture.memory"].seconds < 30
    assert report.exit_code == 3
    assert uploads(world, bucket, case) == []


def test_a_case_without_a_bucket_is_told_to_have_one(
    world: SimpleNamespace, open_case: Callable[..., Case]
) -> None:
    report = plan(world, open_case(sources=pinned(memory_tool()))).apply()
    assert "no bucket to stream the memory to" in only(report).why


def test_a_bucket_that_is_not_there_is_named(world: SimpleNamespace, open_case: Callable[..., Case]) -> None:
    report = plan(world, open_case(sources=pinned(memory_tool(), evidence_bucket="nobody-has-this"))).apply()
    assert only(report).status is Status.FAILED
    assert "nobody-has-this" in only(report).why


def test_a_bucket_that_is_somebody_elses_is_refused_and_nothing_is_sent(
    world: SimpleNamespace, with_tool: Callable[..., Case], bucket: str
) -> None:
    case = with_tool(evidence_owner="999988887777")
    report = plan(world, case).apply()
    assert only(report).status is Status.FAILED
    assert "not allowed to reach the evidence bucket" in only(report).why
    assert commands(world, case) == []
    assert keys(world, bucket, case) == []
    assert plan(world, with_tool(evidence_owner=world.sim.forensics_account)).apply().exit_code == 0


def test_a_bucket_in_another_region_without_object_lock_takes_the_dump_and_the_record_says_so(
    world: SimpleNamespace, open_case: Callable[..., Case]
) -> None:
    far = "far-away-evidence"
    world.sim.session().client("s3", region_name="eu-west-1").create_bucket(
        Bucket=far, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
    )
    case = open_case(sources=pinned(memory_tool(), evidence_bucket=far))
    report = plan(world, case).apply()
    assert report.exit_code == 0, only(report)
    assert record(case)["kept"] == "no Object Lock"
    sent = world.sim.session().client("ssm").list_commands(InstanceId=world.instance_id)["Commands"][0]
    assert "%2Feu-west-1%2Fs3%2Faws4_request" in sent["Parameters"]["commands"][0], (
        "signed for the bucket's region"
    )


def test_time_that_is_up_ends_the_dump_and_keeps_what_has_arrived(
    world: SimpleNamespace, with_tool: Callable[..., Case], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory_dump, "SECONDS_TO_END", 10_000)
    endless = tool(tmp_path, f'{{ head -c {PART} /dev/zero; cat /dev/urandom; }} >"$out"')
    script = memory_host.script
    # The first part is begun in time whatever the clock says, the second is not.
    monkeypatch.setattr(
        memory_host,
        "script",
        lambda name: script(name).replace('-ge "$IRKIT_SECONDS"', '-ge "$((number < 2 ? 9999 : 0))"'),
    )
    case = with_tool(endless)
    report = plan(world, case).apply()
    assert only(report).missing == (f"memory: the time that was given is up; {PART} bytes of it are kept",)
    assert left_on_host(world) == []


def test_a_dump_that_systems_manager_kills_is_kept_as_far_as_it_came(
    world: SimpleNamespace, with_tool: Callable[..., Case], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "_LEAST_SECONDS", 6)
    monkeypatch.setattr(memory, "BYTES_A_SECOND", 1 << 60)
    monkeypatch.setattr(memory_dump, "SECONDS_TO_END", -900)  # the script itself sees no end coming
    case = with_tool(tool(tmp_path, f'{{ head -c {PART} /dev/zero; sleep 100; }} >"$out"'))
    report = plan(world, case).apply()
    assert report.exit_code == 3
    lacking = "; ".join(only(report).missing)
    assert f"{PART} bytes of it are kept" in lacking
    assert "ExecutionTimedOut" in lacking or "did not end in time" in lacking
    assert "the host's own hash of what it sent is not known" in lacking
    assert case.evidence.items(kind="memory")[0].partial
    assert case.evidence.read(case.evidence.items(kind="memory")[0]) == bytes(PART)
    assert left_on_host(world) == []


def test_a_dump_too_large_for_this_disk_is_hashed_and_left_in_the_bucket(
    world: SimpleNamespace, with_tool: Callable[..., Case], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "_ROOM_TO_LEAVE", 1 << 60)
    case = with_tool(memory_tool_args="acquire -")  # by standard output, as a tool that is told no pipe
    report = plan(world, case).apply()
    assert report.exit_code == 0
    assert case.evidence.items(kind="memory") == []
    assert record(case)["agree"] is True
    assert record(case)["item"] is None
