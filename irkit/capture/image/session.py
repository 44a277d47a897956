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
    """Blocks by way of botocore's HTTP session."""

    name = "boto3"

    def __init__(self, to: Endpoint, *, workers: int) -> None:
        self._to = to
        self._signer = Signer(to.credentials, region=to.region, service="ebs", host=urlsplit(to.url).netloc)
        timeout: Any = (CONNECT_SECONDS, READ_SECONDS)
        self._session = URLLib3Session(
            verify=to.trusted,
            proxies=dict(to.proxies),
            timeout=timeout,
            max_pool_connections=workers,
        )

    def connect(self) -> SessionTransport:
        """The session itself, which threads may share."""
        return self

    def fetch(self, path: str, query: str) -> Received:
        """The answer to one GET; see `Connection`."""
        headers: Any = self._signer.headers(path, query) | {"User-Agent": self._to.user_agent}
        url = f"{self._to.url.rstrip('/')}{path}?{query}"
        answer = self._session.send(AWSPreparedRequest("GET", url, headers, None, True))
        # One read into one buffer: iterating, as botocore's `content` does, would copy the block again.
        body: bytes = answer.raw.read(decode_content=False)
        told = {name.lower(): value for name, value in answer.headers.items()}
        if answer.status_code != 200:
            raise refusal(answer.status_code, told, body)
        if len(body) != int(told.get("content-length", len(body))):
            raise MalformedError(f"{len(body)} of {told['content-length']} bytes came")
        return Received(
            memoryview(body), told.get("x-amz-checksum", ""), told.get("x-amz-checksum-algorithm", "")
        )

    def close(self) -> None:
        """Nothing: the connections are the session's."""
