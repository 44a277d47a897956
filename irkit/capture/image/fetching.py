"""One block, checked: fetched, held against AWS's SHA-256, and tried again as long as trying again makes sense.

References:
    https://docs.aws.amazon.com/ebs/latest/userguide/error-retries.html
    https://docs.aws.amazon.com/ebs/latest/userguide/ebs-accessing-snapshot.html (checksums)
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.client import HTTPException

from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

from irkit.aws import error_code
from irkit.aws.refusals import explained
from irkit.capture.image.blocks import Block, Listing
from irkit.capture.image.signing import block_request
from irkit.capture.image.transport import Connection, Received, Transport
from irkit.errors import AwsError, IntegrityError, IrkitError

# What arrives other than its checksum says three times over is not a matter of the link.
_CORRUPT_TRIES = 4
_BROKEN_TRIES = 8
_THROTTLED_TRIES = 14
_TOKEN_TRIES = 3
_LONGEST_PAUSE = 20.0
_FIRST_PAUSE = 0.1
_AT_FIRST = 4
# Processors at work above which more threads only wait for each other.
_BUSY = 0.9
_EASED_SECONDS = 5.0
_THROTTLED = frozenset(
    {
        "RequestThrottledException",
        "RequestThrottleException",
        "ThrottlingException",
        "Throttling",
        "TooManyRequestsException",
        "RequestLimitExceeded",
        "SlowDown",
    }
)


class CorruptBlock(IntegrityError):
    """A block came again and again with other bytes than its checksum says. The others may still be read."""


class Stopped(IrkitError):
    """Reading was told to end; what is on disk stays and is not read again."""


class Pace:
    """How many threads may read: a few at first, more while the machine has time for them, up to `most`.

    Threads that wait for Python's lock cost more than they bring, so no more are let on than keep the processor at
    work, and always the same ones: their connections and buffers are warm. When AWS asks for fewer requests the number
    is halved, and grows again slowly.
    """

    def __init__(self, most: int) -> None:
        self._most = float(most)
        self._allowed = float(min(most, _AT_FIRST))
        self._eased = 0.0
        self._looked = (time.monotonic(), time.process_time())
        self._changed = threading.Condition()
        self._ended = False

    @property
    def allowed(self) -> int:
        """Threads that may read at present."""
        return max(1, int(self._allowed))

    def admit(self, rank: int) -> None:
        """Wait until the thread of this rank, counted from 0, may read its next block, or until the `end`."""
        if rank < self.allowed:
            return
        with self._changed:
            self._changed.wait_for(lambda: self._ended or rank < self.allowed)

    def end(self) -> None:
        """Let all threads on: there is nothing left to read."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def look(self) -> None:
        """See whether the machine has time for more; to be called about once a second."""
        with self._changed:
            then, used = self._looked
            self._looked = (time.monotonic(), time.process_time())
            wall, busy = self._looked[0] - then, self._looked[1] - used
            if busy < _BUSY * wall and time.monotonic() - self._eased > _EASED_SECONDS:
                self._allowed = min(self._most, self._allowed * 1.5)
                self._changed.notify_all()

    def ease(self) -> None:
        """AWS asked for fewer requests; those that were under way together count once."""
        with self._changed:
            now = time.monotonic()
            if now - self._eased > 0.5:
                self._eased = now
                self._allowed = max(1.0, self._allowed / 2)


@dataclass(slots=True)
class Tries:
    """What had to be tried again, over all blocks."""

    throttled: int = 0
    broken: int = 0
    corrupt: int = 0
    expired: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, kind: str) -> None:
        """One more of `kind`."""
        with self.lock:
            setattr(self, kind, getattr(self, kind) + 1)

    def to_dict(self) -> dict[str, int]:
        """The counts by name."""
        return {n: getattr(self, n) for n in ("throttled", "broken", "corrupt", "expired")}


@dataclass(slots=True, kw_only=True)
class Fetcher:
    """Reads blocks of one snapshot for many threads. `stopped` says whether to give up between two tries."""

    listing: Listing
    transport: Transport
    pace: Pace
    stopped: Callable[[], bool] = lambda: False
    tries: Tries = field(default_factory=Tries)

    def reader(self) -> Reader:
        """A reader for the calling thread."""
        return Reader(self, self.transport.connect())


class Reader:
    """One thread's reader; what `read` returns is valid until the next `read`."""

    def __init__(self, fetcher: Fetcher, connection: Connection) -> None:
        self._all = fetcher
        self._connection = connection

    def close(self) -> None:
        """Give the connection back."""
        self._connection.close()

    def read(self, block: Block) -> tuple[memoryview, bytes]:
        """The bytes of `block` and their SHA-256, which is AWS's too.

        Raises `CorruptBlock` when they never agree, `Stopped`, or what AWS says, as irkit's errors.
        """
        token, snapshot = block.token, self._all.listing.snapshot_id
        left = {
            "corrupt": _CORRUPT_TRIES,
            "broken": _BROKEN_TRIES,
            "throttled": _THROTTLED_TRIES,
            "expired": _TOKEN_TRIES,
        }
        pause = _FIRST_PAUSE
        error: IrkitError
        while True:
            if self._all.stopped():
                raise Stopped("reading was stopped", hint="run the same command again, it goes on from there")
            path, query = block_request(snapshot, block.index, token or "")
            try:
                received = self._connection.fetch(path, query)
                digest = hashlib.sha256(received.data).digest()
                if _agrees(received, digest):
                    return received.data, digest
                kind, error = "corrupt", self._corrupt(block.index)
            except (ClientError, BotoCoreError, HTTPException, OSError) as failure:
                kind, error = _judged(failure, block.index, snapshot)
            left[kind] -= 1
            if left[kind] <= 0:
                raise error
            self._all.tries.count(kind)
            if kind == "expired":
                token = self._all.listing.token(block.index, stale=token)
                if token is None:
                    raise IntegrityError(
                        f"block {block.index} of {snapshot} was listed and is not any more",
                        hint="run the same command again",
                    )
                continue
            if kind == "throttled":
                self._all.pace.ease()
            # Full jitter: threads that were refused together must not come back together.
            time.sleep(random.uniform(0, pause))  # noqa: S311 - spreads requests, keeps no secret
            pause = min(pause * 2, _LONGEST_PAUSE)

    def _corrupt(self, index: int) -> CorruptBlock:
        return CorruptBlock(
            f"block {index} of {self._all.listing.snapshot_id} came {_CORRUPT_TRIES} times with other bytes than "
            "its checksum says",
            hint="run the same command again, it reads only what is missing; from another network if it stays so",
        )


def _agrees(received: Received, digest: bytes) -> bool:
    if received.algorithm != "SHA256":
        return False
    try:
        return base64.b64decode(received.checksum, validate=True) == digest
    except binascii.Error:
        return False


def _judged(error: Exception, index: int, snapshot: str) -> tuple[str, IrkitError]:
    """What kind of failure it is, and the error to raise when it stays. Raises it now when trying again is no use."""
    what = f"block {index} of {snapshot}"
    if isinstance(error, ClientError):
        told = explained(error, doing="read", resource=what)
        if error.response.get("Reason") == "INVALID_BLOCK_TOKEN":
            return "expired", told
        if error_code(error) in _THROTTLED:
            return "throttled", told
        if int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)) >= 500:
            if error_code(error) == "NotSimulated":
                raise told from error
            return "broken", told
        raise told from error
    if isinstance(error, BotoCoreError) and not isinstance(error, HTTPClientError):
        raise explained(error, doing="read", resource=what) from error  # credentials, above all
    return "broken", AwsError(
        f"cannot read {what}: the connection failed {_BROKEN_TRIES} times ({type(error).__name__}: {error})",
        hint="check the network, then run the same command again, it goes on from there",
    )
