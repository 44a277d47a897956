"""A fault at every AWS call that a full capture makes: passing ones cost nothing, lasting ones cost their own part."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pytest

from irkit import capture
from irkit.capture import host
from irkit.case import Case
from irkit.evidence import verify
from irkit.plan import Report, Status

pytestmark = pytest.mark.needs_user_namespaces
# Planning itself asks for it: without it nobody knows what there is to capture.
OF_THE_PLAN = {("ec2", "DescribeInstances")}
# What is had in another way when these are refused.
HARMLESS = {("s3", "GetObject"), ("ssm", "ListCommands")}


Captured = Callable[..., tuple[Case, Report]]


@pytest.fixture
def captured(
    world: SimpleNamespace, open_case: Callable[..., Case], bucket: str, monkeypatch: pytest.MonkeyPatch
) -> Captured:
    """Capture in a new case, everything or some kinds; the host runs one section of the script, for speed."""
    script = host.script().replace("IRKIT_SECTIONS:-all", "IRKIT_SECTIONS:-host")
    monkeypatch.setattr(host, "script", lambda: script)

    def capture_in_new_case(*kinds: str) -> tuple[Case, Report]:
        case = open_case(sources={"evidence_bucket": bucket})
        return case, capture.plan(case, world.instance_id, only=kinds or None).apply()

    return capture_in_new_case


def call_sites(world: SimpleNamespace, captured: Captured) -> dict[tuple[str, str], set[str]]:
    """Each operation that a full capture calls, and the kinds of evidence that call it."""
    found: dict[tuple[str, str], set[str]] = {}
    for kind in capture.KINDS:
        begun = len(world.sim.calls())
        _, report = captured(kind)
        assert report.exit_code == 0, report.to_frame().to_string()
        for call in world.sim.calls()[begun:]:
            found.setdefault((call.service, call.operation), set()).add(kind)
    return found


def check_lasting(world: SimpleNamespace, captured: Captured, site: tuple[str, str], kinds: set[str]) -> None:
    """With `site` refused for good, the kinds that do not need it are whole, and the gap is named."""
    world.sim.faults.clear()
    world.sim.faults.inject(*site, "AccessDenied", status=403, times=500)
    case, report = captured()
    hurt = {s.verb.split(".")[1]: s for s in report.steps if s.status is not Status.DONE or s.missing}
    assert set(hurt) <= kinds, site
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
    ],
)
def test_a_lasting_refusal_costs_only_what_needs_it(
    world: SimpleNamespace, captured: Captured, service: str, operation: str, kinds: set[str]
) -> None:
    check_lasting(world, captured, (service, operation), kinds)


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_throttles_and_errors_at_any_call_leave_the_capture_complete(
    world: SimpleNamespace, captured: Captured
) -> None:
    sites = sorted(call_sites(world, captured))
    for service, operation in sites:
        world.sim.faults.clear()
        world.sim.faults.inject(
            service, operation, "SlowDown" if service == "s3" else "Throttling", status=503, times=2
        )
        world.sim.faults.inject(service, operation, "InternalError", status=500)
        case, report = captured()
        assert report.exit_code == 0, ((service, operation), report.to_frame().to_string())
        made = (
            world.sim.session()
            .client("ec2")
            .describe_snapshots(Filters=[{"Name": "tag:irkit:case", "Values": [case.id]}])
        )
        assert len(made["Snapshots"]) == 2, (service, operation)
    print(f"{len(sites)} call sites, each with two throttles and an error: all complete")


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_a_lasting_refusal_at_any_call_costs_only_what_needs_it(
    world: SimpleNamespace, captured: Captured
) -> None:
    sites = {s: kinds for s, kinds in call_sites(world, captured).items() if s not in OF_THE_PLAN}
    for site, kinds in sorted(sites.items()):
        check_lasting(world, captured, site, kinds)
    print(f"{len(sites)} call sites, each refused for good: only their own part is missing")
