from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from irkit.sim.scenarios.web_to_role_theft import ids
from irkit.sim.scenarios.web_to_role_theft.story import tell

if TYPE_CHECKING:
    from tests.sim.scenarios.conftest import Paper

AT = datetime(2026, 11, 23, 14, 0, 0, tzinfo=UTC)
OUTSIDE = [
    ipaddress.ip_network(n) for n in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "198.18.0.0/15")
]


def test_the_same_seed_and_time_tell_the_same_story() -> None:
    assert tell(seed=3, at=AT) == tell(seed=3, at=AT)


def test_the_time_zone_of_at_does_not_matter() -> None:
    there = AT.astimezone(timezone(timedelta(hours=9)))
    assert tell(seed=3, at=there) == tell(seed=3, at=AT)


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="aware"):
        tell(seed=3, at=AT.replace(tzinfo=None))


def test_another_time_moves_the_events_and_changes_nobody() -> None:
    later = tell(seed=3, at=AT + timedelta(days=40))
    assert later.intruder == tell(seed=3, at=AT).intruder
    assert later.estate == tell(seed=3, at=AT).estate


@given(seed=st.integers(0, 100_000))
def test_outside_parties_have_documentation_addresses_only(seed: int) -> None:
    intruder = tell(seed=seed, at=AT).intruder
    for address in (intruder.web_ip, intruder.api_ip, intruder.later_ip, intruder.exfil_ip, intruder.pool_ip):
        assert any(ipaddress.ip_address(address) in network for network in OUTSIDE)


@given(seed=st.integers(0, 100_000))
def test_the_story_runs_in_order_within_two_days(seed: int) -> None:
    times = tell(seed=seed, at=AT).times
    chain = [
        times.begin,
        times.probe,
        times.upload,
        times.entry,
        times.imds,
        times.miner,
        times.cron,
        times.ssh,
    ]
    assert chain == sorted(chain)
    chain = [times.imds, times.first_use, times.create_key, times.assume, times.read, times.share]
    chain += [times.stop_trail, times.exfil, times.last_use, times.later, times.at]
    assert chain == sorted(chain)
    assert timedelta(hours=24) < times.at - times.entry < timedelta(hours=48)
    assert times.last_use - times.key_issued < timedelta(hours=6), "credentials of an instance live six hours"


@given(account=st.integers(100_000_000_000, 999_999_999_999), seed=st.integers(0, 1000))
def test_a_key_id_carries_its_account(account: int, seed: int) -> None:
    import base64
    from random import Random

    key = ids.access_key(Random(seed), "ASIA", str(account))
    decoded = int.from_bytes(base64.b32decode(key[4:])[:6], "big")
    assert len(key) == 20
    assert (decoded & 0x7FFFFFFFFF80) >> 7 == account


@given(seed=st.integers(0, 10_000), apart=st.integers(1, 231), step=st.integers(0, 9))
def test_nearby_seeds_never_share_a_host_number(seed: int, apart: int, step: int) -> None:
    assert ids.octet(seed, step) != ids.octet(seed + apart, step)


def test_two_seeds_share_no_value_of_the_intruder(paper: Paper, other_paper: Paper) -> None:
    kinds = (
        "address",
        "access_key",
        "session",
        "principal",
        "bucket",
        "account",
        "snapshot",
        "pool",
        "ssh_key",
        "cron",
    )
    kinds += ("process", "bytes_out", "bytes_read", "time_entry", "time_first_use", "time_last_use", "user")
    for kind in kinds:
        assert paper.values(kind), kind
        assert not paper.values(kind) & other_paper.values(kind), kind
