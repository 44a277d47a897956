"""Faults of the simulated AWS, on request: errors, answers that come late, connections that break."""

from __future__ import annotations

import fnmatch
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from moto.core import errors
from moto.core.exceptions import ServiceException


class Refusal(ServiceException):
    """An AWS error of a given code and HTTP status, in whatever protocol the service speaks."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(code, message)
        self.status = status
        if code not in errors.COMMON_ERROR_CODES:
            errors.COMMON_ERROR_CODES.append(code)  # or moto warns of a code that its models do not list


@dataclass(slots=True, kw_only=True)
class Fault:
    """One planned fault; `left` counts down as it is used."""

    service: str
    operation: str
    code: str
    status: int
    message: str
    left: int
    when: Callable[[Any], bool] | None = None
    after: bool = False


RESET = "ConnectionReset"
"""The code of a fault that is no answer: the connection breaks. Over HTTP only."""

_breaking = threading.local()


def connection_breaks() -> bool:
    """Whether the request that this thread has just answered must end in a broken connection; asking forgets it."""
    broken = bool(getattr(_breaking, "now", False))
    _breaking.now = False
    return broken


@dataclass(slots=True, kw_only=True)
class Delay:
    """Seconds by which matching calls are late; `waited` is the sum of them so far, over all callers."""

    service: str
    operation: str
    seconds: float
    waited: float = 0.0


class Faults:
    """The faults planned for this world, oldest first."""

    def __init__(self) -> None:
        self._planned: list[Fault] = []
        self._delays: list[Delay] = []
        self._lock = threading.Lock()

    def delay(self, seconds: float, service: str = "*", operation: str = "*") -> Delay:
        """Answer matching calls `seconds` later than otherwise, until `clear`; names as in `inject`.

        The time passes before the call is looked at, as on a long line: calls side by side are late side by side.
        """
        delay = Delay(service=service, operation=operation, seconds=seconds)
        with self._lock:
            self._delays.append(delay)
        return delay

    def _wait(self, service: str, operation: str) -> None:
        with self._lock:
            due = [
                d
                for d in self._delays
                if fnmatch.fnmatchcase(service, d.service) and fnmatch.fnmatchcase(operation, d.operation)
            ]
            for delay in due:
                delay.waited += delay.seconds
        if due:
            time.sleep(sum(d.seconds for d in due))

    def inject(
        self,
        service: str,
        operation: str,
        code: str,
        *,
        status: int = 400,
        times: int = 1,
        message: str = "injected by the simulator",
        when: Callable[[Any], bool] | None = None,
        after: bool = False,
    ) -> Fault:
        """Answer the next `times` matching calls with `code`.

        `service` is boto3's name; `operation` is AWS's (`CreateSnapshots`) and may be a glob. `when` sees moto's
        response object (`.headers`, `._get_param(name)`) and says whether this call is meant. With `after` the call
        takes effect first and only its answer is lost, as when a connection breaks at the wrong moment. The code
        `RESET` breaks the connection in place of an answer.
        """
        fault = Fault(
            service=service,
            operation=operation,
            code=code,
            status=status,
            message=message,
            left=times,
            when=when,
            after=after,
        )
        with self._lock:
            self._planned.append(fault)
        return fault

    def clear(self) -> None:
        """Forget all planned faults and delays."""
        with self._lock:
            self._planned.clear()
            self._delays.clear()

    def pending(self) -> list[Fault]:
        """Faults that still have calls to spoil."""
        with self._lock:
            return [fault for fault in self._planned if fault.left > 0]

    def strike(self, service: str, operation: str, response: Any, *, after: bool = False) -> Refusal | None:
        """The refusal for this call, if one is planned for this side of it; uses it up. Delays pass here."""
        if not after:
            self._wait(service, operation)
        with self._lock:
            for fault in self._planned:
                if (
                    fault.left <= 0
                    or fault.after is not after
                    or not fnmatch.fnmatchcase(service, fault.service)
                ):
                    continue
                if not fnmatch.fnmatchcase(operation, fault.operation):
                    continue
                if fault.when is not None and not fault.when(response):
                    continue
                fault.left -= 1
                _breaking.now = fault.code == RESET
                return Refusal(fault.code, fault.message, fault.status)
        return None
