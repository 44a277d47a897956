"""Late answers and broken connections, as a client sees them over HTTP."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from botocore.config import Config
from botocore.exceptions import ConnectionClosedError

from irkit.sim import Simulator
from irkit.sim.faults import RESET


def test_a_broken_connection_is_no_answer_and_a_second_try_gets_one(sim: Simulator) -> None:
    once = sim.session().client("sts", config=Config(retries={"total_max_attempts": 1}))
    sim.faults.inject("sts", "GetCallerIdentity", RESET)
    with pytest.raises(ConnectionClosedError):
        once.get_caller_identity()
    assert once.get_caller_identity()["Account"] == sim.account
    sim.faults.inject("sts", "GetCallerIdentity", RESET)
    assert sim.session().client("sts").get_caller_identity()["Account"] == sim.account


def test_a_connection_can_break_after_the_call_took_effect(sim: Simulator) -> None:
    once = sim.session().client("sns", config=Config(retries={"total_max_attempts": 1}))
    sim.faults.inject("sns", "CreateTopic", RESET, after=True)
    with pytest.raises(ConnectionClosedError):
        once.create_topic(Name="made-all-the-same")
    assert any("made-all-the-same" in t["TopicArn"] for t in once.list_topics()["Topics"])


def test_delays_pass_side_by_side_and_are_counted(sim: Simulator) -> None:
    client = sim.session().client("sts")
    client.get_caller_identity()
    delay = sim.faults.delay(0.4, "sts")
    begun = time.monotonic()
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda _: client.get_caller_identity(), range(6)))
    took = time.monotonic() - begun
    sim.faults.clear()
    assert delay.waited == pytest.approx(6 * 0.4)
    assert took >= 0.4
    client.get_caller_identity()
    assert delay.waited == pytest.approx(6 * 0.4)
