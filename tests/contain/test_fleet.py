"""The fleet: in standby, detached, or held by suspended processes; and out of every load balancer on every page."""

from __future__ import annotations

import pytest

from irkit import contain
from irkit.contain import scaling
from irkit.contain.proof import Finding
from irkit.errors import InvalidParameter
from irkit.plan import Status
from irkit.sim.mends import elbv2


def fleet(case, instance, **options):
    return contain.plan(case, instance, only=["fleet"], **options)


def group_of(world):
    return world.client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=["web"])[
        "AutoScalingGroups"
    ][0]


def suspended(world):
    return sorted(p["ProcessName"] for p in group_of(world)["SuspendedProcesses"])


def verdicts(case, world):
    return {v.control: v.finding for v in contain.prove(case, world.suspect).verdicts}


def test_in_standby_no_process_needs_to_be_suspended_and_the_report_says_so(case, world, changes):
    report = fleet(case, world.suspect).apply()
    assert report.complete
    (processes,) = [s for s in report.steps if s.verb == "fleet.processes"]
    assert processes.status is Status.SKIPPED
    assert "already so" in processes.why
    assert "SuspendProcesses" not in changes()
    assert verdicts(case, world)["fleet.processes"] is Finding.PROVED


def test_detached_it_leaves_the_group_which_launches_a_replacement_and_it_comes_back(case, world, shown):
    before = shown()
    report = fleet(case, world.suspect, leave="detach").apply()
    assert report.complete, [s.to_dict() for s in report.failed]
    members = {i["InstanceId"] for i in group_of(world)["Instances"]}
    assert world.suspect not in members
    assert len(members) == 2, "the sibling and a replacement"
    assert verdicts(case, world)["fleet.detached"] is Finding.PROVED
    undone = contain.undo_plan(case).apply()
    assert undone.complete, [s.to_dict() for s in undone.failed]
    assert world.suspect in {i["InstanceId"] for i in group_of(world)["Instances"]}
    newcomers = {i["InstanceId"] for i in group_of(world)["Instances"]} - {world.suspect, world.sibling}
    for extra in newcomers:
        world.client("autoscaling").terminate_instance_in_auto_scaling_group(
            InstanceId=extra, ShouldDecrementDesiredCapacity=True
        )
    assert shown() == before


def test_where_standby_is_refused_the_processes_that_could_terminate_it_are_suspended(case, world, shown):
    before = shown()
    world.client("autoscaling").suspend_processes(
        AutoScalingGroupName="web", ScalingProcesses=["AZRebalance"]
    )
    world.sim.faults.inject("autoscaling", "EnterStandby", "ValidationError", times=99)
    report = fleet(case, world.suspect).apply()
    assert [s.verb for s in report.failed] == ["fleet.standby"]
    assert suspended(world) == sorted(scaling.SUSPENDED)
    found = verdicts(case, world)
    assert found["fleet.processes"] is Finding.PROVED
    assert found["fleet.standby"] is Finding.NOT_PROVED
    world.client("autoscaling").resume_processes(AutoScalingGroupName="web", ScalingProcesses=["Terminate"])
    assert verdicts(case, world)["fleet.processes"] is Finding.CONTRADICTED
    world.client("autoscaling").suspend_processes(AutoScalingGroupName="web", ScalingProcesses=["Terminate"])

    undone = contain.undo_plan(case).apply()
    assert undone.complete, [s.to_dict() for s in undone.failed]
    assert suspended(world) == ["AZRebalance"], "what somebody else suspended stays so"
    world.client("autoscaling").resume_processes(AutoScalingGroupName="web")
    assert shown() == before


def test_processes_are_suspended_in_any_case_when_asked_and_never_when_not(case, world):
    assert "fleet.processes" not in {s.verb for s in fleet(case, world.suspect, suspend="never").steps}
    assert fleet(case, world.suspect, suspend="always").apply().complete
    assert suspended(world) == sorted(scaling.SUSPENDED)


def test_a_group_at_its_maximum_says_what_the_way_back_needs(case, world):
    scaling_client = world.client("autoscaling")
    scaling_client.update_auto_scaling_group(AutoScalingGroupName="web", MaxSize=2)
    try:
        (standby,) = [s for s in fleet(case, world.suspect).steps if s.verb == "fleet.standby"]
        assert "at its maximum size: raise that by one before the undo" in standby.reversible
    finally:
        scaling_client.update_auto_scaling_group(AutoScalingGroupName="web", MaxSize=4)


@pytest.mark.parametrize("option", [{"leave": "terminate"}, {"suspend": "perhaps"}])
def test_a_way_out_of_the_fleet_that_does_not_exist_is_refused(case, world, option):
    with pytest.raises(InvalidParameter, match="choose from"):
        fleet(case, world.suspect, **option)


def test_a_registration_on_a_later_page_is_found(case, world, monkeypatch):
    monkeypatch.setattr(elbv2, "PAGE", 2)
    elb, old = world.client("elbv2"), world.client("elb")
    listener = {"Protocol": "HTTP", "LoadBalancerPort": 80, "InstancePort": 80}
    names = [f"many-{n:02}" for n in range(51)]  # moto's page of classic balancers holds 50
    made = [
        elb.create_target_group(Name=n, Protocol="HTTP", Port=80, VpcId=world.vpc)["TargetGroups"][0]
        for n in names[:4]
    ]
    try:
        for name in names:
            old.create_load_balancer(LoadBalancerName=name, Listeners=[listener], Subnets=[world.subnet])
        elb.register_targets(
            TargetGroupArn=made[-1]["TargetGroupArn"], Targets=[{"Id": world.suspect, "Port": 8080}]
        )
        old.register_instances_with_load_balancer(
            LoadBalancerName=names[-1], Instances=[{"InstanceId": world.suspect}]
        )
        planned = {(s.verb, s.target) for s in fleet(case, world.suspect).steps}
        assert ("fleet.target-group", made[-1]["TargetGroupArn"]) in planned
        assert ("fleet.classic", names[-1]) in planned
    finally:
        for group in made:
            elb.delete_target_group(TargetGroupArn=group["TargetGroupArn"])
        for name in names:
            old.delete_load_balancer(LoadBalancerName=name)
