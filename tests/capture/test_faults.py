"""A fault at every AWS call that a full capture makes: passing ones cost nothing, lasting ones cost their own part."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import botocore.retries.standard
import pytest

from irkit import capture
from irkit.capture import host
from irkit.case import Case
from irkit.evidence import verify
from irkit.plan import Report, Status
from irkit.sim.faults import RESET

pytestmark = pytest.mark.needs_user_namespaces
KINDS = ("metadata", "console", "disks", "host", "keep")
# What a kind cannot do when another has failed.
RESTS_ON = {"keep": "disks"}
# Planning itself asks for it: without it nobody knows what there is to capture.
OF_THE_PLAN = {("ec2", "DescribeInstances")}
# What is had in another way when these are refused.
HARMLESS = {("s3", "GetObject"), ("ssm", "ListCommands")}

Site = tuple[str, str]
Captured = Callable[..., tuple[Case, Report]]


@pytest.fixture
def captured(
    world: SimpleNamespace, open_case: Callable[..., Case], bucket: str, monkeypatch: pytest.MonkeyPatch
) -> Captured:
    """Capture in a new case, everything or some kinds; the host runs one section of the script, for speed."""
    script = host.script().replace("IRKIT_SECTIONS:-all", "IRKIT_SECTIONS:-host")
    monkeypatch.setattr(host, "script", lambda: script)
    # How often botocore tries again is what matters here, not how long it waits before it does.
    monkeypatch.setattr(botocore.retries.standard.ExponentialBackoff, "delay_amount", lambda *_: 0.01)
    sources = {
        "evidence_bucket": bucket,
        "forensics_role": world.public["forensics_role_arn"],
        "snapshot_lock": "governance:30",
    }

    def capture_in_new_case(*kinds: str) -> tuple[Case, Report]:
        case = open_case(sources=sources)
        return case, capture.plan(case, world.instance_id, only=kinds or KINDS).apply()

    return capture_in_new_case


def call_sites(world: SimpleNamespace, captured: Captured) -> dict[Site, set[str]]:
    """Each operation that a full capture calls, and the kinds of evidence that call it."""
    found: dict[Site, set[str]] = {}
    for kind in KINDS:
        case = captured("disks")[0] if kind == "keep" else None
        begun = len(world.sim.calls())
        report = capture.plan(case, world.instance_id, only=[kind]).apply() if case else captured(kind)[1]
        assert report.exit_code == 0, report.to_frame().to_string()
        for call in world.sim.calls()[begun:]:
            found.setdefault((call.service, call.operation), set()).add(kind)
    begun = len(world.sim.calls())
    assert captured()[1].exit_code == 0
    together = {(call.service, call.operation) for call in world.sim.calls()[begun:]}
    return {site: kinds for site, kinds in found.items() if site in together}


def check_passing(world: SimpleNamespace, captured: Captured, site: Site) -> None:
    """With two throttles, an error and a broken connection at `site`, the capture is whole and nothing is doubled."""
    service, operation = site
    world.sim.faults.clear()
    throttled = "SlowDown" if service == "s3" else "Throttling"
    world.sim.faults.inject(service, operation, throttled, status=503, times=2)
    world.sim.faults.inject(service, operation, "InternalError", status=500)
    world.sim.faults.inject(service, operation, RESET)
    case, report = captured()
    assert report.exit_code == 0, (site, report.to_frame().to_string())
    assert world.sim.faults.pending() == [], site
    mine = [{"Name": "tag:irkit:case", "Values": [case.id]}]
    for account in (world.sim.account, world.sim.forensics_account):
        ec2 = world.sim.session(account).client("ec2")
        made = ec2.describe_snapshots(OwnerIds=["self"], Filters=mine)["Snapshots"]
        assert len(made) == 2, (site, account)


def check_lasting(world: SimpleNamespace, captured: Captured, site: Site, kinds: set[str]) -> None:
    """With `site` refused for good, the kinds that do not need it are whole, and the gap is named."""
    world.sim.faults.clear()
    world.sim.faults.inject(*site, "AccessDenied", status=403, times=500)
    case, report = captured()
    hurt = {s.verb.split(".")[1]: s for s in report.steps if s.status is Status.FAILED or s.missing}
    allowed = kinds | {kind for kind, other in RESTS_ON.items() if other in kinds}
    assert set(hurt) <= allowed, site
    assert hurt or site in HARMLESS, site
    assert all(s.why or s.missing for s in hurt.values()), site
    assert report.exit_code == (3 if hurt else 0), site
    assert verify(case.root).problems == ()


@pytest.mark.parametrize(
    ("service", "operation", "kinds"),
    [
        ("ec2", "CreateSnapshots", {"disks"}),
        ("ec2", "DescribeSnapshots", {"disks", "metadata"}),
        ("ec2", "DescribeInstanceTypes", {"disks", "metadata"}),
        ("ssm", "SendCommand", {"host"}),
        ("ssm", "GetCommandInvocation", {"host"}),
        ("ec2", "GetConsoleOutput", {"console"}),
        ("ec2", "DescribeVolumes", {"metadata"}),
        ("elbv2", "DescribeTargetHealth", {"metadata"}),
        ("ec2", "CopySnapshot", {"keep"}),
        ("ec2", "ModifySnapshotAttribute", {"keep"}),
        ("sts", "AssumeRole", {"keep"}),
    ],
)
def test_a_lasting_refusal_costs_only_what_needs_it(
    world: SimpleNamespace, captured: Captured, service: str, operation: str, kinds: set[str]
) -> None:
    check_lasting(world, captured, (service, operation), kinds)


@pytest.mark.parametrize(
    "site",
    [
        ("ec2", "CopySnapshot"),
        ("ssm", "SendCommand"),
        ("iam", "GetRole"),
    ],
)
def test_two_throttles_an_error_and_a_broken_connection_cost_nothing(
    world: SimpleNamespace, captured: Captured, site: Site
) -> None:
    check_passing(world, captured, site)


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_throttles_errors_and_broken_connections_at_any_call_leave_the_capture_complete(
    world: SimpleNamespace, captured: Captured
) -> None:
    sites = sorted(call_sites(world, captured))
    for site in sites:
        check_passing(world, captured, site)
    print(f"{len(sites)} call sites, each with two throttles, an error and a broken connection: all complete")


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_a_lasting_refusal_at_any_call_costs_only_what_needs_it(
    world: SimpleNamespace, captured: Captured
) -> None:
    sites = {s: kinds for s, kinds in call_sites(world, captured).items() if s not in OF_THE_PLAN}
    for site, kinds in sorted(sites.items()):
        check_lasting(world, captured, site, kinds)
    print(f"{len(sites)} call sites, each refused for good: only their own part is missing")
