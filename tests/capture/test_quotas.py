from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

from irkit.capture import quotas
from irkit.case import Case
from irkit.plan import Outcome, Running, Step


def running(case: Case, seconds: float) -> Running:
    step = Step(verb="v", target="t", title="t", act=lambda _: Outcome(), deadline=seconds)
    return Running(case, step, before=None, progress=lambda _: None, results={})


def refusal(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "m"}}, "CopySnapshot")


@pytest.mark.parametrize("code", sorted(quotas.PAUSES))
def test_what_is_too_much_for_now_is_asked_again(
    case: Case, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(quotas.PAUSES, code, (0.01, "too much"))
    left = [refusal(code), refusal(code)]

    def ask() -> str:
        if left:
            raise left.pop()
        return "done"

    assert quotas.within_quotas(running(case, 60), ask) == "done"


def test_a_pause_that_the_step_has_no_time_for_is_not_begun(case: Case) -> None:
    def ask() -> str:
        raise refusal("ResourceLimitExceeded")

    with pytest.raises(ClientError, match="ResourceLimitExceeded"):
        quotas.within_quotas(running(case, 5), ask)


def test_another_refusal_is_raised_at_once(case: Case) -> None:
    def ask() -> str:
        raise refusal("UnauthorizedOperation")

    with pytest.raises(ClientError, match="UnauthorizedOperation"):
        quotas.within_quotas(running(case, 600), ask)
