"""The compromised web server: contained, proved, put back, as a responder with a role of their own would do it."""

from __future__ import annotations

import functools

import botocore.exceptions
import pytest

from irkit import contain
from irkit.case import Case
from irkit.sim import Simulator
from irkit.sim.scenarios import plant
from tests.contain.conftest import describe_all


def test_the_compromised_web_server_is_contained_proved_and_put_back(tmp_path, monkeypatch):
    with Simulator.start(workdir=tmp_path / "sim") as sim:
        world = plant("web-to-role-theft", sim)
        for name, value in sim.env().items():
            monkeypatch.setenv(name, value)
        case = Case.open(
            "C-2", region=sim.region, cases=tmp_path / "cases", role=world.public["responder_role_arn"]
        )
        suspect = world.public["instance_id"]
        client = functools.cache(sim.session().client)
        before = describe_all(client)
        stolen, planted = (
            sim.instance_session(suspect),
            sim._session(world.intruder["access_key_id"], world.intruder["secret_access_key"]),
        )
        plan = contain.plan(case, suspect, hop_seconds=0.01, addresses=True)
        plan += contain.keys(case, [world.intruder["access_key_id"]])
        report = plan.apply()
        assert report.complete, [s.to_dict() for s in report.steps if s.why or s.missing]
        for session in (stolen, planted):
            with pytest.raises(botocore.exceptions.ClientError):
                session.client("s3").list_buckets()
        assert contain.prove(case, suspect).complete
        assert (
            contain.notify(case, world.public["sns_topic_arn"], "Contained", contain.summary(case))
            .apply()
            .complete
        )
        undone = contain.undo_plan(case, retire_replacement=True).apply()
        assert not undone.failed, [s.to_dict() for s in undone.failed]
        assert describe_all(client) == before
        case.close()
