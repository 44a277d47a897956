"""Undo: from the journal, newest first, never over somebody else's change, and only calls that an undo makes."""

from __future__ import annotations

import pytest

from irkit import contain
from irkit.contain import putting_back
from irkit.errors import InvalidParameter
from irkit.journal import Kind
from irkit.plan import Call, Outcome, Plan, Status, Step, Undo


def attribute(world, name):
    said = world.client("ec2").describe_instance_attribute(InstanceId=world.suspect, Attribute=name)
    return said[name[0].upper() + name[1:]]["Value"]


def test_the_plan_shows_newest_first_what_was_there_and_changes_nothing(contained, changes):
    plan = contain.undo_plan(contained)
    assert changes() == []
    verbs = [s.verb for s in plan.steps]
    assert verbs.index("undo.network.interface") < verbs.index("undo.network.quarantine")
    assert verbs.index("undo.network.quarantine") < verbs.index("undo.fleet.standby")
    assert (
        verbs.index("undo.fleet.standby")
        < verbs.index("undo.fleet.protection")
        < verbs.index("undo.guard.stop")
    )
    assert [s.stage for s in plan.steps] == list(range(len(plan.steps)))
    assert any("was: DisableApiTermination False" in s.title for s in plan.steps)


def test_what_was_already_so_is_left_alone(case, world):
    world.client("ec2").modify_instance_attribute(
        InstanceId=world.suspect, DisableApiTermination={"Value": True}
    )
    contain.plan(case, world.suspect, only=["guard"]).apply()
    contain.undo_plan(case).apply()
    assert attribute(world, "disableApiTermination") is True
    world.client("ec2").modify_instance_attribute(
        InstanceId=world.suspect, DisableApiTermination={"Value": False}
    )


def test_a_part_can_be_undone_and_the_rest_stays(contained, world):
    report = contain.undo_plan(contained, only=["guard.termination", "identity"]).apply()
    assert report.complete
    assert attribute(world, "disableApiTermination") is False
    assert attribute(world, "disableApiStop") is True
    left = {s.verb.removeprefix("undo.") for s in contain.undo_plan(contained).steps}
    assert "guard.termination" not in left
    assert "guard.stop" in left


def test_something_that_was_never_done_cannot_be_undone_by_name(contained):
    with pytest.raises(InvalidParameter, match="'netwrok'"):
        contain.undo_plan(contained, only=["netwrok"])


def test_undone_twice_the_second_time_has_nothing_to_do(contained, changes):
    contain.undo_plan(contained).apply()
    begun = len(changes())
    assert len(contain.undo_plan(contained)) == 0
    assert len(changes()) == begun


def test_what_somebody_changed_since_is_not_overwritten_unless_forced(contained, world):
    ec2, interface = world.client("ec2"), world.interfaces[1]
    ec2.modify_network_interface_attribute(NetworkInterfaceId=interface, Groups=[world.web])
    report = contain.undo_plan(contained, only=["network.interface"]).apply()
    (refused,) = report.failed
    assert refused.target == interface
    assert world.web in refused.why
    assert "undo with force" in refused.why
    forced = contain.undo_plan(contained, only=["network.interface"], force=True).apply()
    assert forced.complete
    assert "Groups" in forced.steps[0].result["overwritten"]
    shown = ec2.describe_network_interfaces(NetworkInterfaceIds=[interface])["NetworkInterfaces"][0]
    assert [g["GroupId"] for g in shown["Groups"]] == [world.admin]


def test_what_somebody_put_back_already_counts_as_undone(contained, world, changes):
    ec2 = world.client("ec2")
    ec2.modify_instance_attribute(InstanceId=world.suspect, DisableApiStop={"Value": False})
    begun = len(changes())
    (step,) = contain.undo_plan(contained, only=["guard.stop"]).apply().steps
    assert step.status is Status.SKIPPED
    assert len(changes()) == begun
    assert not contain.undo_plan(contained, only=["guard.stop"]).steps


def test_an_undo_that_aws_refuses_fails_alone_and_can_be_repeated(contained, world):
    world.sim.faults.inject("iam", "DeleteRolePolicy", "AccessDenied", times=99)
    report = contain.undo_plan(contained).apply()
    assert [s.verb for s in report.failed] == ["undo.identity.session"]
    world.sim.faults.clear()
    again = contain.undo_plan(contained)
    assert [s.verb for s in again.steps] == ["undo.identity.session"]
    assert again.apply().complete


def test_only_calls_on_the_list_are_made_whatever_the_journal_says(case, world, changes):
    stop = Call(service="ec2", operation="StopInstances", params={"InstanceIds": [world.suspect]})
    harm = Step(verb="capture.odd", target="x", title="odd", act=lambda _: Outcome(undo=Undo(calls=(stop,))))
    Plan(case, [harm], title="odd").apply()
    (step,) = contain.undo_plan(case).apply().steps
    assert step.status is Status.FAILED
    assert "not a call that an undo makes" in step.why
    assert changes() == []


def test_what_cannot_be_undone_is_in_the_plan_with_the_reason(case):
    never = Undo(impossible="a snapshot is evidence and stays")
    snap = Step(verb="capture.snapshots", target="i", title="snapshot", act=lambda _: Outcome(undo=never))
    Plan(case, [snap], title="snap").apply()
    (step,) = contain.undo_plan(case).steps
    assert "cannot be undone: a snapshot is evidence and stays" in step.title
    assert not step.changes


def test_the_replacement_is_left_running_unless_it_is_asked_to_retire(contained, world):
    scaling = world.client("autoscaling")

    def wanted():
        return scaling.describe_auto_scaling_groups(AutoScalingGroupNames=["web"])["AutoScalingGroups"][0][
            "DesiredCapacity"
        ]

    contain.undo_plan(contained).apply()
    assert wanted() == 3
    contain.undo_plan(contained, retire_replacement=True).apply()
    assert wanted() == 2
    report = contain.undo_plan(contained, retire_replacement=True).apply()
    assert wanted() == 2, "nothing more is terminated"
    assert report.complete


def test_every_control_records_a_way_back_that_an_undo_may_take(contained):
    done = [e for e in contained.journal.entries if e.kind is Kind.DONE and e.body["changes"]]
    calls = [(c["service"], c["operation"]) for e in done for c in e.body["undo"]["calls"]]
    assert all(e.body["undo"]["calls"] for e in done)
    assert set(calls) <= putting_back.ALLOWED


def test_the_plan_shows_what_somebody_changed_since_and_changes_nothing(contained, world, changes):
    ec2, interface = world.client("ec2"), world.interfaces[1]
    ec2.modify_network_interface_attribute(NetworkInterfaceId=interface, Groups=[world.web])
    ec2.modify_instance_attribute(InstanceId=world.suspect, DisableApiStop={"Value": False})
    begun = len(changes())
    titles = {(s.verb, s.target): s.title for s in contain.undo_plan(contained).steps}
    drifted = titles["undo.network.interface", interface]
    assert "CHANGED SINCE: Groups was left as" in drifted
    assert drifted.endswith(f"and is now ['{world.web}']: it stays so unless forced")
    assert "CHANGED SINCE" not in titles["undo.network.interface", world.interfaces[0]]
    assert titles["undo.guard.stop", world.suspect].endswith("it is so again already")
    forced = {(s.verb, s.target): s.title for s in contain.undo_plan(contained, force=True).steps}
    assert forced["undo.network.interface", interface].endswith("this overwrites it")
    assert len(changes()) == begun


def test_a_step_can_be_named_by_the_first_digits_of_its_id(contained):
    done = next(e for e in contained.journal.entries if e.kind is Kind.DONE and e.body["changes"])
    plan = contain.undo_plan(contained, only=[str(done.step)[:8]])
    assert [s.args["of"] for s in plan.steps] == [done.step]


def test_a_step_that_failed_and_changed_nothing_costs_the_undo_nothing(case, world, changes):
    world.sim.faults.inject("iam", "PutRolePolicy", "AccessDenied", times=99)
    contain.plan(case, world.suspect, only=["identity"]).apply()
    begun = len(changes())
    (step,) = contain.undo_plan(case).apply().steps
    assert step.status is Status.SKIPPED
    assert len(changes()) == begun


def test_an_undo_takes_away_in_iam_only_what_irkit_named(case, world, changes):
    theirs = Call(service="iam", operation="DeleteRole", params={"RoleName": "web"})
    harm = Step(
        verb="capture.odd", target="x", title="odd", act=lambda _: Outcome(undo=Undo(calls=(theirs,)))
    )
    Plan(case, [harm], title="odd").apply()
    (step,) = contain.undo_plan(case).apply().steps
    assert step.status is Status.FAILED
    assert changes() == []
