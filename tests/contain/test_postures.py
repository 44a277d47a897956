"""Every posture: contained as it orders, proved, and every description of the account as it was once it is undone."""

from __future__ import annotations

import functools
import os
from types import SimpleNamespace

import pytest

from irkit import contain
from irkit.capture.disks import completed
from irkit.case import Case
from irkit.errors import InvalidParameter
from irkit.playbooks import postures
from irkit.sim import Simulator
from irkit.sim.scenarios import plant
from tests.contain.conftest import ASSIGNED_BY_AWS
from tests.contain.everything_described import NOT_COMPARED, described, differences, operations


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """The compromised web shop of the scenario."""
    with Simulator.start(workdir=tmp_path_factory.mktemp("shop")) as sim:
        planted = plant("web-to-role-theft", sim)
        iam = sim.session().client("iam")
        iam.get_policy(
            PolicyArn="arn:aws:iam::aws:policy/AWSDenyAll"
        )  # moto lists AWS's policies once asked for
        yield SimpleNamespace(
            sim=sim,
            suspect=planted.public["instance_id"],
            role=planted.public["responder_role_arn"],
            client=functools.cache(sim.session().client),
        )


@pytest.fixture(scope="module")
def before(shop):
    """Every description of the account before anything was done to it."""
    return described(shop.client)


@pytest.fixture
def respond(shop, tmp_path):
    """Open a case of its own for a posture, as the responder's role."""
    os.environ.update(shop.sim.env())

    def opened(posture):
        return Case.open(
            f"P-{posture}", region=shop.sim.region, cases=tmp_path, role=shop.role, posture=posture
        )

    return opened


def test_postures_are_orders_of_the_same_steps():
    kinds = {p: [(s.room, k) for s in postures.stages(p) for k in s.only] for p in postures.NAMES}
    assert set(kinds["balanced"]) == set(kinds["contain-first"])
    assert set(kinds["stealth"]) < set(kinds["balanced"])
    order = {p: [s.id for s in postures.stages(p)] for p in postures.NAMES}
    assert order["balanced"].index("disks") < order["balanced"].index("cut") < order["balanced"].index("host")
    assert order["contain-first"].index("guard") < order["contain-first"].index("cut") == 1
    assert not {"cut", "close"} & set(order["stealth"])
    for stages in map(postures.stages, postures.NAMES):
        assert all(s.why and s.noticed for s in stages)
        assert len({s.id for s in stages}) == len(stages)


def test_an_unknown_posture_or_stage_is_named_with_those_that_there_are(shop, respond):
    with pytest.raises(InvalidParameter, match=r"no posture 'brave'.*contain-first"):
        postures.stages("brave")
    with pytest.raises(InvalidParameter, match=r"no stage 'close' in posture stealth.*guard"):
        postures.plan(respond("stealth"), shop.suspect, posture="stealth", room="contain", only=["close"])


def test_planning_a_posture_changes_nothing(shop, respond):
    begun = len(shop.sim.calls())
    for posture in postures.NAMES:
        assert len(postures.plan(respond(posture), shop.suspect, posture=posture))
    reading = ("Describe", "Get", "List", "AssumeRole")
    assert [c.operation for c in shop.sim.calls()[begun:] if not c.operation.startswith(reading)] == []


@pytest.mark.parametrize(
    "posture", ["balanced", "stealth", pytest.param("contain-first", marks=pytest.mark.soak)]
)
def test_contained_and_undone_every_description_of_the_account_is_as_it_was(shop, before, respond, posture):
    case = respond(posture)
    plan = postures.plan(case, shop.suspect, posture=posture, room="contain")
    report = plan.apply()
    assert not report.failed, [s.to_dict() for s in report.failed]
    during = described(shop.client)
    changed = sorted(name for name in before if before[name] != during[name])
    print(f"\n{posture}: {len(report.steps)} steps; {len(before)} descriptions, {len(changed)} of them changed; "
          f"not compared: {', '.join(sorted(ASSIGNED_BY_AWS | NOT_COMPARED))}")  # fmt: skip
    assert "in detail" in changed
    if posture != "stealth":
        proof = contain.prove(case, shop.suspect)
        assert proof.complete, [v.to_dict() for v in proof.open]
    undone = contain.undo_plan(case, retire_replacement=True).apply()
    assert not undone.failed, [s.to_dict() for s in undone.failed]
    assert not [s.missing for s in undone.steps if s.missing]
    assert differences(before, described(shop.client)) == []


def test_no_posture_lets_the_cut_wait_for_a_snapshot_and_keeping_waits_for_all_of_them(shop, respond):
    for posture in ("balanced", "contain-first"):
        steps = postures.plan(respond(posture), shop.suspect, posture=posture).steps
        waiting = [s.stage for s in steps if s.verb == "capture.disks.complete"]
        cuts = [s.stage for s in steps if s.verb.startswith(("network.", "identity."))]
        assert len(waiting) == 2
        assert max(cuts) < min(waiting)


@pytest.mark.soak
@pytest.mark.needs_user_namespaces
@pytest.mark.parametrize("posture", postures.NAMES)
def test_the_whole_posture_captures_contains_and_is_undone(shop, before, respond, posture):
    case = respond(posture)
    report = postures.plan(case, shop.suspect, posture=posture).apply()
    assert not report.failed, [s.to_dict() for s in report.failed]
    assert {"host-facts", "disk-snapshots", "aws-metadata"} <= {i.kind for i in case.evidence.items()}
    sets = completed(case, shop.suspect)
    assert {name: len(volumes) for name, volumes in sets.items()} == (
        {"A": 2} if posture == "stealth" else {"A": 2, "B": 2}
    )
    assert len({snapshot for volumes in sets.values() for snapshot in volumes.values()}) == 2 * len(sets)
    if posture != "stealth":
        assert contain.prove(case, shop.suspect).complete
    assert not contain.undo_plan(case, retire_replacement=True).apply().failed
    left = differences(before, described(shop.client))
    assert [d for d in left if "Snapshots" not in d and "DescribeTags" not in d and "ssm" not in d] == []


def test_what_is_compared_is_most_of_what_can_be_asked(shop):
    asked = operations(shop.client)
    assert len(asked) > 55
    assert {"ec2:DescribeSecurityGroupRules", "iam:ListRoles", "elbv2:DescribeTargetGroups"} <= {
        f"{s}:{o}" for s, o in asked
    }
