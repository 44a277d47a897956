"""What goes wrong: one call that AWS refuses for good, and a process that is killed at every point."""

from __future__ import annotations

import threading

import pytest

from irkit import contain
from irkit.case import Case
from irkit.journal import Kind
from irkit.plan import Status
from tests.contain.test_tracked import nat


def _asks(name):
    """Whether a request gives this parameter of the instance."""
    return lambda r, _: any(key.startswith(name) for key in r.querystring) or bool(r._get_param(name))


def _of(parameter):
    return lambda r, target: r._get_param(parameter) == target


def _group(purpose):
    return lambda r, _: str(r._get_param("GroupName")).startswith(f"irkit-{purpose}")


def _into_quarantine(response, interface):
    wanted = response._get_param("Groups") or []
    names = [response.ec2_backend.get_security_group_from_id(g).name for g in wanted]
    return response._get_param("NetworkInterfaceId") == interface and any("quarantine" in n for n in names)


def _kept(response, interface):
    return response._get_param("NetworkInterfaceId") == interface and bool(response._get_param("Attachment"))


DENIED = {"ec2": "UnauthorizedOperation"}
ANY = lambda _r, _t: True  # noqa: E731
# The call that brings a step about, by its verb: where AWS refuses that for good, the step fails.
CALLS = {
    "guard.termination": ("ec2", "ModifyInstanceAttribute", _asks("DisableApiTermination")),
    "guard.stop": ("ec2", "ModifyInstanceAttribute", _asks("DisableApiStop")),
    "guard.shutdown": ("ec2", "ModifyInstanceAttribute", _asks("InstanceInitiatedShutdownBehavior")),
    "guard.volume": ("ec2", "ModifyInstanceAttribute", _asks("BlockDeviceMappings")),
    "guard.interface": ("ec2", "ModifyNetworkInterfaceAttribute", _kept),
    "fleet.protection": ("autoscaling", "SetInstanceProtection", ANY),
    "fleet.standby": ("autoscaling", "EnterStandby", ANY),
    "fleet.processes": ("autoscaling", "SuspendProcesses", ANY),
    "fleet.target-group": ("elbv2", "DeregisterTargets", ANY),
    "fleet.classic": ("elb", "DeregisterInstancesFromLoadBalancer", ANY),
    "network.quarantine": ("ec2", "CreateSecurityGroup", _group("quarantine")),
    "network.hop": ("ec2", "CreateSecurityGroup", _group("hop")),
    "network.interface": ("ec2", "ModifyNetworkInterfaceAttribute", _into_quarantine),
    "network.acl": ("ec2", "ReplaceNetworkAclAssociation", ANY),
    "network.address": ("ec2", "DisassociateAddress", ANY),
    "network.secondary": ("ec2", "UnassignPrivateIpAddresses", ANY),
    "identity.session": ("iam", "PutRolePolicy", ANY),
    "identity.profile": ("ec2", "DisassociateIamInstanceProfile", ANY),
    "identity.metadata": ("ec2", "ModifyInstanceMetadataOptions", ANY),
}
# What a containment must never do, whatever fails in it: each of these would open something.
REOPENS = {
    "AssociateAddress", "AssignPrivateIpAddresses", "AssignIpv6Addresses", "AttachInstances", "ExitStandby",
    "RegisterTargets", "RegisterInstancesWithLoadBalancer", "ResumeProcesses", "StartInstances",
    "DeleteRolePolicy", "DetachRolePolicy", "DeletePolicy", "AssociateIamInstanceProfile", "DeleteSecurityGroup",
    "DeleteNetworkAcl",
}  # fmt: skip


def fails_alone(case, world, everything, changes, step):
    """With that step failing for good all others are done, nothing is reopened, the proof names just what is open."""
    service, operation, when = CALLS[step.verb]
    denied = DENIED.get(service, "AccessDenied")
    world.sim.faults.inject(service, operation, denied, times=999, when=lambda r: when(r, step.target))
    begun = len(changes())
    report = everything(case, world.suspect, tracked="nacl").apply()
    failed = {(s.verb, s.target) for s in report.failed}
    assert failed == {(step.verb, step.target)}, failed
    held_up = {
        (s.verb, s.target) for s in report.steps if s.status is Status.SKIPPED and "needs" in s.why
    } | {(s.verb, s.target) for s in report.steps if s.missing}
    # only an interface depends on another step: on its group, and in part on the one that it passes through
    assert {verb for verb, _ in held_up} <= {"network.interface"}, held_up
    assert bool(held_up) == (step.verb in {"network.quarantine", "network.hop"})
    assert report.exit_code == 3
    assert not REOPENS & set(changes()[begun:])
    proof = contain.prove(case, world.suspect)
    assert {(v.control, v.target) for v in proof.open} == failed | held_up, [v.to_dict() for v in proof.open]

    world.sim.faults.clear()
    again = everything(case, world.suspect, tracked="nacl").apply()
    assert {s.verb for s in again.failed} == set(), [s.to_dict() for s in again.failed]
    left = contain.prove(case, world.suspect).open
    # connections that a containment without the hop left alone are not cut by a second one
    assert {v.control for v in left} <= ({"network.interface"} if step.verb == "network.hop" else set())


def every_step(case, world, everything):
    steps = [s for s in everything(case, world.suspect, tracked="nacl").steps if s.changes]
    assert {s.verb for s in steps} == set(CALLS), "a step that no case makes fail"
    return steps


@pytest.fixture
def behind_nat(world):
    """The suspect behind a NAT gateway, so that there is an ACL to be made."""
    subnet = world.client("ec2").create_subnet(VpcId=world.vpc, CidrBlock="10.9.7.0/24")["Subnet"]["SubnetId"]
    with nat(world, subnet):
        yield
    world.client("ec2").delete_subnet(SubnetId=subnet)


SAMPLE = ("fleet.standby", "network.quarantine", "network.hop")


@pytest.mark.parametrize("verb", SAMPLE)
def test_a_step_that_fails_for_good_fails_alone_and_the_proof_says_exactly_what_is_open(
    case, world, everything, changes, behind_nat, verb
):
    step = next(s for s in every_step(case, world, everything) if s.verb == verb)
    fails_alone(case, world, everything, changes, step)


@pytest.mark.soak
def test_each_single_step_fails_alone_and_the_proof_says_exactly_what_is_open(
    open_case, world, everything, changes, behind_nat
):
    steps = every_step(open_case("F-0"), world, everything)
    for number, step in enumerate(steps, start=1):
        case = open_case(f"F-{number}")
        fails_alone(case, world, everything, changes, step)
        undone = contain.undo_plan(case, retire_replacement=True).apply()
        assert undone.complete, (step.verb, [s.to_dict() for s in undone.failed])
    print(f"each of {len(steps)} steps of {len(CALLS)} kinds failed alone: {len(steps)} cases")


LOOKED_UP = [
    ("autoscaling", "DescribeAutoScalingInstances", "fleet"),
    ("elbv2", "DescribeTargetGroups", "fleet.target-groups"),
    ("iam", "GetInstanceProfile", "identity.profile-roles"),
]


@pytest.mark.parametrize(("service", "operation", "verb"), LOOKED_UP, ids=[r[1] for r in LOOKED_UP])
def test_what_may_not_be_looked_up_fails_alone_and_stays_open_in_the_proof(
    case, world, everything, service, operation, verb
):
    world.sim.faults.inject(service, operation, DENIED.get(service, "AccessDenied"), times=999)
    report = everything(case, world.suspect).apply()
    hit = {s.verb for s in report.failed} - {"network.tracked"}
    assert hit
    assert all(v.startswith(verb) for v in hit), hit
    assert report.exit_code == 3
    open_ones = contain.prove(case, world.suspect).open
    assert any(v.control.startswith(verb) for v in open_ones)
    assert all(v.control.startswith(verb) for v in open_ones), [v.to_dict() for v in open_ones]


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


def test_killed_at_every_boundary_it_goes_on_and_makes_no_second_group(
    open_case, world, shown, everything, behind_nat
):
    before, seen, kills = shown(), set(), 0
    while True:
        case = open_case()
        dies(case, seen)
        try:
            report = everything(case, world.suspect, tracked="nacl").apply(workers=1)
            break
        except KilledError:
            kills += 1
    assert report.complete
    print(f"killed at {kills} of {len(seen)} boundaries")
    assert kills == len(seen) >= 2 * sum(s.status is Status.DONE for s in report.steps)
    case = open_case()
    assert contain.prove(case, world.suspect).complete
    mine = [{"Name": "tag:irkit:case", "Values": [case.id]}]
    assert len(world.client("ec2").describe_security_groups(Filters=mine)["SecurityGroups"]) == 2
    assert len(world.client("ec2").describe_network_acls(Filters=mine)["NetworkAcls"]) == 1

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
