"""What goes wrong: one call that AWS refuses for good, and a process that is killed at every point."""

from __future__ import annotations

import threading

import pytest

from irkit import contain
from irkit.case import Case
from irkit.journal import Kind
from irkit.plan import Status

REFUSALS = [
    ("ec2", "ModifyInstanceAttribute", "guard"),
    ("autoscaling", "SetInstanceProtection", "fleet.protection"),
    ("autoscaling", "EnterStandby", "fleet.standby"),
    ("autoscaling", "DescribeAutoScalingInstances", "fleet"),
    ("elbv2", "DeregisterTargets", "fleet.target-group"),
    ("elbv2", "DescribeTargetGroups", "fleet.target-groups"),
    ("elb", "DeregisterInstancesFromLoadBalancer", "fleet.classic"),
    ("ec2", "CreateSecurityGroup", "network"),
    ("ec2", "DisassociateAddress", "network.address"),
    ("iam", "PutRolePolicy", "identity.session"),
    ("iam", "GetInstanceProfile", "identity.profile-roles"),
    ("ec2", "DisassociateIamInstanceProfile", "identity.profile"),
]
DENIED = {"ec2": "UnauthorizedOperation"}


@pytest.mark.parametrize(("service", "operation", "verb"), REFUSALS, ids=[r[1] for r in REFUSALS])
def test_a_call_that_aws_refuses_for_good_fails_alone_and_the_proof_names_what_is_open(
    case, world, everything, service, operation, verb
):
    world.sim.faults.inject(service, operation, DENIED.get(service, "AccessDenied"), times=999)
    report = everything(case, world.suspect).apply()
    hit = {
        s.verb
        for s in report.steps
        if s.status is Status.FAILED or (s.status is Status.SKIPPED and "needs" in s.why)
    }
    assert hit
    hit -= {"network.tracked"} if operation == "DescribeTargetGroups" else set()
    assert all(v.startswith(verb) for v in hit), hit
    assert report.exit_code == 3
    proof = contain.prove(case, world.suspect)
    assert any(v.control.startswith(verb) for v in proof.open)
    assert all(v.control.startswith(verb) for v in proof.open), [v.to_dict() for v in proof.open]

    world.sim.faults.clear()
    report = everything(case, world.suspect).apply()
    assert report.complete, [s.to_dict() for s in report.failed]
    assert contain.prove(case, world.suspect).complete


class KilledError(BaseException):
    """The process ends here."""


def dies(case: Case, seen: set[tuple[str, str]]) -> None:
    """Let `case` end at the first boundary of a step that is not in `seen` yet, and at every write after that."""
    append, dead, guard = case.journal.append, threading.Event(), threading.Lock()

    def mortal(kind, **body):
        if dead.is_set():
            raise KilledError
        boundary = (kind.value, str(body.get("step")))
        with guard:
            fatal = kind in {Kind.INTENDED, Kind.DONE, Kind.UNDONE} and boundary not in seen
            if fatal:
                seen.add(boundary)
                dead.set()
        if fatal and kind is Kind.DONE:  # done in AWS, not yet written down
            raise KilledError
        entry = append(kind, **body)
        if fatal:
            raise KilledError
        return entry

    case.journal.append = mortal


def test_killed_at_every_boundary_it_goes_on_and_makes_no_second_group(open_case, world, shown, everything):
    before, seen, kills = shown(), set(), 0
    while True:
        case = open_case()
        dies(case, seen)
        try:
            report = everything(case, world.suspect).apply(workers=1)
            break
        except KilledError:
            kills += 1
    assert report.complete
    print(f"killed at {kills} of {len(seen)} boundaries")
    assert kills == len(seen) >= 2 * sum(s.status is Status.DONE for s in report.steps)
    case = open_case()
    assert contain.prove(case, world.suspect).complete
    made = world.client("ec2").describe_security_groups(
        Filters=[{"Name": "tag:irkit:case", "Values": [case.id]}]
    )["SecurityGroups"]
    assert len(made) == 2

    while True:
        case = open_case()
        dies(case, seen)
        try:
            contain.undo_plan(case).apply(workers=1)
            break
        except KilledError:
            kills += 1
    contain.undo_plan(open_case(), retire_replacement=True).apply()
    assert shown() == before


def test_killed_in_the_middle_what_was_left_behind_can_be_undone_without_going_on(
    open_case, world, shown, everything
):
    before = shown()
    case = open_case()
    plan = everything(case, world.suspect)
    ids = {s.verb: s.id(case.id) for s in plan.steps}
    seen = {(k, s.id(case.id)) for k in ("intended", "done") for s in plan.steps} - {
        ("done", ids["network.quarantine"])
    }
    dies(case, seen)
    with pytest.raises(KilledError):
        plan.apply(workers=1)
    report = contain.undo_plan(open_case(), retire_replacement=True).apply()
    assert report.complete, [s.to_dict() for s in report.failed]
    assert shown() == before


@pytest.mark.parametrize("code", ["UnsupportedOperation", "OperationNotPermitted"])
def test_a_protection_that_does_not_exist_for_a_spot_instance_is_recorded_as_missing(case, world, code):
    world.sim.faults.inject("ec2", "ModifyInstanceAttribute", code, times=999)
    report = contain.plan(case, world.suspect, only=["guard"]).apply()
    assert not report.failed
    refused = {s.verb for s in report.steps if any(code in m for m in s.missing)}
    assert refused == {"guard.termination", "guard.stop", "guard.shutdown", "guard.volume"}
    assert {v.control for v in contain.prove(case, world.suspect).open} >= refused
    world.sim.faults.clear()
    undone = contain.undo_plan(case)
    assert {s.verb for s in undone.steps} == {"undo.guard.interface"}, "what was refused changed nothing"
    assert undone.apply().complete


def test_a_stopped_instance_is_contained_too(case, world, everything):
    ec2 = world.client("ec2")
    ec2.stop_instances(InstanceIds=[world.sibling])
    try:
        report = everything(case, world.sibling, addresses=False).apply()
        assert not [s for s in report.failed if not s.verb.startswith("fleet.standby")]
        contain.undo_plan(case, retire_replacement=True).apply()
    finally:
        ec2.start_instances(InstanceIds=[world.sibling])
