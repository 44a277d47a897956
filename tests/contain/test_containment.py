"""The whole containment: plan, apply, apply again, undo; and what the plan refuses."""

from __future__ import annotations

import botocore.exceptions
import pytest

from irkit import contain
from irkit.errors import InvalidName, InvalidParameter, NotFound, Refused, WrongState
from irkit.plan import Status


def works(session):
    """Whether calls with these credentials get through."""
    try:
        session.client("sts").get_session_token()
    except botocore.exceptions.ClientError as error:
        return error.response["Error"]["Code"] != "AccessDenied"
    return True


def test_a_plan_changes_nothing_and_says_of_each_step_how_it_is_undone(case, world, changes):
    plan = contain.plan(case, world.suspect)
    assert changes() == []
    assert {s.verb.partition(".")[0] for s in plan.steps} == set(contain.KINDS)
    assert all(s.reversible for s in plan.steps if s.changes)
    assert not case.journal.of_step(plan.steps[0].id(case.id))


def test_after_containing_and_undoing_every_description_is_as_it_was(case, world, shown, everything):
    before = shown()
    assert everything(case, world.suspect).apply().complete
    assert shown() != before
    undone = contain.undo_plan(case, retire_replacement=True).apply()
    assert undone.complete, [s.to_dict() for s in undone.failed]
    assert shown() == before


def test_applied_again_it_does_nothing(contained, world, changes, everything):
    report = everything(contained, world.suspect).apply()
    assert changes() == []
    assert {s.status for s in report.steps} <= {Status.DONE, Status.SKIPPED}
    assert all(s.earlier for s in report.steps if s.status is Status.DONE)


def test_after_an_undo_it_contains_again(contained, world, everything):
    contain.undo_plan(contained, retire_replacement=True).apply()
    assert not contain.prove(contained, world.suspect).complete
    assert everything(contained, world.suspect).apply().complete
    assert contain.prove(contained, world.suspect).complete


def test_the_stolen_session_is_denied_and_the_siblings_goes_on(case, world):
    stolen, siblings = world.sim.instance_session(world.suspect), world.sim.instance_session(world.sibling)
    assert works(stolen)
    contain.plan(case, world.suspect, only=["identity"]).apply()
    assert not works(stolen)
    assert not works(world.sim.instance_session(world.suspect)), "credentials handed out after the cut"
    assert works(siblings)
    assert works(world.sim.instance_session(world.sibling))
    contain.undo_plan(case).apply()
    assert works(stolen)


def test_while_the_host_is_captured_the_agents_channel_stays_and_the_rest_is_denied(case, world):
    contain.plan(case, world.suspect, only=["identity"], ssm_room=True).apply()
    stolen = world.sim.instance_session(world.suspect)
    assert not works(stolen)
    with pytest.raises(botocore.exceptions.ClientError, match="InvalidDocument"):
        stolen.client("ssm").describe_document(Name="no-such-document")
    contain.plan(case, world.suspect, only=["identity"]).apply()
    with pytest.raises(botocore.exceptions.ClientError, match="AccessDenied"):
        stolen.client("ssm").describe_document(Name="no-such-document")


def test_a_full_cut_is_never_loosened_to_make_room_for_the_agent_again(case, world, changes):
    contain.plan(case, world.suspect, only=["identity"], ssm_room=True).apply()
    contain.plan(case, world.suspect, only=["identity"]).apply()
    made = len(changes())
    for _ in range(2):  # as a playbook does that is resumed from its beginning
        assert contain.plan(case, world.suspect, only=["identity"], ssm_room=True).apply().complete
    assert len(changes()) == made
    assert contain.prove(case, world.suspect).verdicts
    contain.undo_plan(case).apply()
    assert works(world.sim.instance_session(world.suspect))


def test_everything_that_is_made_carries_the_case(contained, world):
    made = world.client("ec2").describe_security_groups(
        Filters=[{"Name": "tag:irkit:case", "Values": [contained.id]}]
    )["SecurityGroups"]
    assert {g["GroupName"] for g in made} == {f"irkit-quarantine-{contained.id}", f"irkit-hop-{contained.id}"}
    assert all({"Key": "irkit:responder", "Value": "ana"} in g["Tags"] for g in made)


def test_only_what_was_asked_for_is_planned(case, world):
    plan = contain.plan(case, world.suspect, only=["guard"])
    assert {s.verb.partition(".")[0] for s in plan.steps} == {"guard"}


def test_an_instance_without_a_role_and_fleet_is_contained_and_the_plan_says_so(case, world):
    report = contain.plan(case, world.bare, hop_seconds=0.01).apply()
    assert report.complete
    told = {s.verb: s.why for s in report.steps if s.status is Status.SKIPPED}
    assert "no role credentials" in told["identity.none"]
    assert "in no scaling group" in told["fleet.none"]


@pytest.mark.parametrize(
    ("instance", "error"),
    [("i-nonsense", InvalidName), ("i-0123456789abcdef0", NotFound), ("i-1; rm -rf /", InvalidName)],
)
def test_an_instance_that_is_not_there_is_refused(case, instance, error, changes):
    with pytest.raises(error):
        contain.plan(case, instance)
    assert changes() == []


def test_a_terminated_instance_is_refused(case, world):
    ec2 = world.client("ec2")
    gone = ec2.run_instances(ImageId="ami-12345678", MinCount=1, MaxCount=1)["Instances"][0]["InstanceId"]
    ec2.terminate_instances(InstanceIds=[gone])
    with pytest.raises(WrongState, match="terminated"):
        contain.plan(case, gone)


def test_the_responders_own_host_is_refused(open_case, world, monkeypatch):
    held = world.sim.instance_session(world.suspect).get_credentials()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", held.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", held.secret_key)
    monkeypatch.setenv("AWS_SESSION_TOKEN", held.token)
    with pytest.raises(Refused, match="machine that irkit runs on"):
        contain.plan(open_case("own-host"), world.suspect)


def test_an_unknown_kind_or_option_is_refused_by_name(case, world):
    with pytest.raises(InvalidParameter, match="'netwrk'"):
        contain.plan(case, world.suspect, only=["netwrk"])
    with pytest.raises(InvalidParameter, match="'hopp'"):
        contain.plan(case, world.suspect, hopp=True)
