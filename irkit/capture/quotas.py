"""Calls that AWS turns away for now, because too much of the kind is going on: waited out, within the step's time.

References:
    https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html
    https://docs.aws.amazon.com/ebs/latest/userguide/ebs-resource-quotas.html
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from botocore.exceptions import ClientError

from irkit.aws import error_code
from irkit.plan import Running

T = TypeVar("T")

# Error code: seconds to wait before the next try, and why.
PAUSES: dict[str, tuple[float, str]] = {
    "SnapshotCreationPerVolumeRateExceeded": (15.5, "AWS takes one snapshot of a volume in 15 s"),
    "ConcurrentSnapshotLimitExceeded": (30.0, "too many snapshots of the volume are pending"),
    "ResourceLimitExceeded": (30.0, "too many snapshots are being copied into the region"),
}
_TICK = 1.0


def within_quotas(running: Running, ask: Callable[[], T]) -> T:
    """What `ask` returns; asked again after a pause while AWS says that it is too much for now.

    Raises AWS's last refusal when the step's time does not allow another pause, or nobody waits for the step.
    """
    while True:
        try:
            return ask()
        except ClientError as error:
            pause, why = PAUSES.get(error_code(error), (0.0, ""))
            if not why or running.seconds_left <= pause or running.stopped:
                raise
            running.progress(f"{why}; waiting")
            _sleep(running, pause)


def _sleep(running: Running, seconds: float) -> None:
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0 and not running.stopped:
        time.sleep(min(_TICK, left))
