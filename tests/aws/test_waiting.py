from __future__ import annotations

import pytest

from irkit.aws.waiting import TimedOut, wait_until


def test_the_first_answer_is_the_answer() -> None:
    answers = iter([None, None, 0])
    assert wait_until(lambda: next(answers), what="it", timeout=5, first=0.001) == 0


def test_a_wait_that_is_too_long_says_what_did_not_happen() -> None:
    with pytest.raises(TimedOut, match="the snapshot did not happen within 0 s"):
        wait_until(lambda: None, what="the snapshot", timeout=0.05, first=0.01)


def test_a_wait_ends_when_nobody_wants_it_any_more() -> None:
    probes: list[int] = []
    with pytest.raises(TimedOut):
        wait_until(
            lambda: probes.append(1), what="it", timeout=60, first=0.001, stop=lambda: len(probes) == 3
        )
    assert len(probes) == 3


def test_an_error_of_the_probe_is_not_swallowed() -> None:
    def probe() -> None:
        raise PermissionError

    with pytest.raises(PermissionError):
        wait_until(probe, what="it", timeout=1)
