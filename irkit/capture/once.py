"""Calls that must not happen twice, of operations that AWS gives no client token for.

botocore sends a request again when its answer is lost, which is right for readings and makes a second snapshot set or
runs a script twice here. So botocore's second attempt is stopped, AWS is asked whether the first took effect, and only
if it did not is the call made again.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from irkit.aws import error_code

T = TypeVar("T")
TRIES = 6
# AWS shows what was just made within seconds.
VISIBLE_AFTER = (1.0, 3.0)
_ATTEMPT = re.compile(rb"attempt=(\d+)")
_THROTTLED = frozenset({
    "RequestLimitExceeded", "Throttling", "ThrottlingException", "TooManyRequestsException", "RequestThrottled",
})  # fmt: skip


class SentBefore(Exception):
    """botocore was about to send a request a second time."""


def _stop_second(request: Any, **_: Any) -> None:
    said = request.headers.get("amz-sdk-request", b"")
    found = _ATTEMPT.search(said if isinstance(said, bytes) else str(said).encode())
    if found and int(found[1]) > 1:
        raise SentBefore


def once(
    client: Any,
    operation: str,
    ask: Callable[[], T],
    found: Callable[[], T | None],
    *,
    stop: Callable[[], bool],
) -> T:
    """What `ask` returns, which calls `operation` (as AWS writes it) of `client`; sent again only when it did nothing.

    `found` looks for the effect of a call whose answer was lost. Raises what `ask` raises when AWS refuses for good.
    """
    service = client.meta.service_model.service_id.hyphenize()
    client.meta.events.register(
        f"before-send.{service}.{operation}", _stop_second, unique_id=f"irkit-once-{operation}"
    )
    pause = 0.5
    for left in reversed(range(TRIES)):
        try:
            return ask()
        except (SentBefore, BotoCoreError, ClientError) as error:
            refused = isinstance(error, ClientError) and _status(error) < 500
            if refused and error_code(error) not in _THROTTLED:
                raise
            if not refused and (effect := _seen(found)) is not None:
                return effect
            if not left or stop():
                if isinstance(error, SentBefore):
                    raise _NoAnswerError(operation=operation) from error
                raise
        time.sleep(pause)
        pause = min(pause * 2, 8.0)
    raise _NoAnswerError(operation=operation)


class _NoAnswerError(BotoCoreError):
    fmt = "AWS gave no usable answer to {operation}, and no effect of it is to be seen"


def _status(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) or 0)


def _seen(found: Callable[[], T | None]) -> T | None:
    for pause in VISIBLE_AFTER:
        if (effect := found()) is not None:
            return effect
        time.sleep(pause)
    return found()
