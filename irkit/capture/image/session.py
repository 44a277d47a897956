"""The default transport: botocore's connections, proxies, certificates and credentials, without its work per call.

For each GetSnapshotBlock botocore validates, builds an endpoint, runs some thirty event handlers, signs with a key that
it derives anew, and parses the answer by its model. All that is the same for each block of a snapshot, and takes longer
than the block's own SHA-256. Here the request is signed with the day's key and sent through botocore's HTTP session.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from botocore.awsrequest import AWSPreparedRequest
from botocore.httpsession import URLLib3Session
from botocore.response import StreamingBody

from irkit.capture.image.signing import Signer
from irkit.capture.image.transport import (
    CONNECT_SECONDS,
    READ_SECONDS,
    Endpoint,
    MalformedError,
    Received,
    refusal,
)


class SessionTransport:
    """Blocks by way of botocore's HTTP session, which the threads share."""

    name = "boto3"

    def __init__(self, to: Endpoint, *, block_size: int, workers: int) -> None:
        timeout: Any = (CONNECT_SECONDS, READ_SECONDS)
        self.to = to
        self.block_size = block_size
        self.signer = Signer(to.credentials, region=to.region, service="ebs", host=urlsplit(to.url).netloc)
        self.session = URLLib3Session(
            verify=to.trusted, proxies=dict(to.proxies), timeout=timeout, max_pool_connections=workers
        )

    def connect(self) -> SessionConnection:
        """A buffer for one thread; the connections are the session's."""
        return SessionConnection(self)


class SessionConnection:
    """One thread's buffer, which answers are read into."""

    def __init__(self, transport: SessionTransport) -> None:
        self._to = transport
        self._view = memoryview(bytearray(transport.block_size))

    def fetch(self, path: str, query: str) -> Received:
        """The answer to one GET; see `Connection`."""
        to = self._to
        headers: Any = to.signer.headers(path, query) | {"User-Agent": to.to.user_agent}
        url = f"{to.to.url.rstrip('/')}{path}?{query}"
        answer = to.session.send(AWSPreparedRequest("GET", url, headers, None, True))
        told = {name.lower(): value for name, value in answer.headers.items()}
        if answer.status_code != 200:
            raise refusal(answer.status_code, told, _read(answer.raw))
        data = self._body(answer.raw, told.get("content-length", ""))
        return Received(data, told.get("x-amz-checksum", ""), told.get("x-amz-checksum-algorithm", ""))

    def close(self) -> None:
        """Nothing: the connections are the session's."""

    def _body(self, raw: Any, length: str) -> memoryview:
        """The body, in the buffer where urllib3 lets the socket write there; its own `readinto` copies twice."""
        source = getattr(raw, "_fp", None)
        if not length.isdecimal() or int(length) > len(self._view) or not hasattr(source, "readinto"):
            return memoryview(_read(raw))
        try:
            data = self._filled(source, int(length))
        except BaseException:
            raw.close()
            raise
        raw.release_conn()
        return data

    def _filled(self, source: Any, whole: int) -> memoryview:
        got = 0
        while got < whole:
            count = source.readinto(self._view[got:whole])
            if count == 0:
                raise MalformedError(f"{got} of {whole} bytes came")
            got += count
        return self._view[:whole]


def _read(raw: Any) -> bytes:
    """All of a body, with urllib3's errors as botocore's."""
    unknown: Any = None  # its length, which the caller checks
    return bytes(StreamingBody(raw, unknown).read())
