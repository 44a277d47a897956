"""The raw transport: connections of our own, each with one buffer that the socket writes into and nobody copies.

A block costs Python three dozen calls here and some four hundred by way of botocore and urllib3. HTTP is reduced to
what this one request needs; whatever is unexpected is an error and tried again, not guessed at. Certificates are
checked as Python's ssl module does by default.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Mapping
from socket import create_connection
from urllib.parse import urlsplit

from botocore.exceptions import ClientError
from botocore.httpsession import get_cert_path

from irkit.capture.image.signing import Signer
from irkit.capture.image.transport import (
    CONNECT_SECONDS,
    READ_SECONDS,
    Endpoint,
    MalformedError,
    Received,
    refusal,
)

_HEAD = 64 * 1024
_END = b"\r\n\r\n"


class RawTransport:
    """Blocks by way of sockets of our own; not through proxies."""

    name = "raw"

    def __init__(self, to: Endpoint, *, block_size: int) -> None:
        parts = urlsplit(to.url)
        self.host = parts.hostname or ""
        self.port = parts.port or (443 if parts.scheme == "https" else 80)
        self.signer = Signer(to.credentials, region=to.region, service="ebs", host=parts.netloc)
        self.tail = f"User-Agent: {to.user_agent}\r\n\r\n"
        self.block_size = block_size
        self.tls = (
            ssl.create_default_context(cafile=get_cert_path(to.trusted)) if parts.scheme == "https" else None
        )

    def connect(self) -> RawConnection:
        """A connection that is opened when it is first used."""
        return RawConnection(self)


class RawConnection:
    """One kept-alive connection and its buffer."""

    def __init__(self, transport: RawTransport) -> None:
        self._to = transport
        self._buffer = bytearray(_HEAD + transport.block_size)
        self._view = memoryview(self._buffer)
        self._socket: socket.socket | None = None

    def fetch(self, path: str, query: str) -> Received:
        """The answer to one GET; see `Connection`."""
        signed = self._to.signer.headers(path, query)
        head = "".join(f"{name}: {value}\r\n" for name, value in signed.items())
        request = f"GET {path}?{query} HTTP/1.1\r\n{head}{self._to.tail}".encode("ascii")
        try:
            # A server may close a connection that it kept; that shows only when the connection is used again.
            return self._asked(request, again=self._socket is not None)
        except ClientError:
            raise  # an answer like any other: the connection is as good as before
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the connection; `fetch` opens another."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _asked(self, request: bytes, *, again: bool) -> Received:
        connection = self._socket or self._opened()
        try:
            connection.sendall(request)
            got = connection.recv_into(self._view)
        except (ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError):
            got = 0
        if got == 0:
            self.close()
            if again:
                return self._asked(request, again=False)
            raise MalformedError("the connection was closed before an answer came")
        return self._answer(connection, got)

    def _answer(self, connection: socket.socket, got: int) -> Received:
        while (end := self._buffer.find(_END, 0, got)) < 0:
            if got >= _HEAD:
                raise MalformedError("the head of the answer does not end")
            got += self._more(connection, got)
        status, version, headers = _parsed(bytes(self._view[:end]))
        start = end + len(_END)
        length = headers.get("content-length", "")
        if not length.isdecimal() or "transfer-encoding" in headers:
            raise MalformedError(f"the answer (HTTP {status}) does not say how long it is")
        whole = start + int(length)
        if whole > len(self._buffer):
            raise MalformedError(f"the answer (HTTP {status}) has {length} bytes, more than a block")
        while got < whole:
            got += self._more(connection, got)
        if version == b"HTTP/1.0" or headers.get("connection", "").lower() == "close":
            self.close()
        data = self._view[start:whole]
        if status != 200:
            raise refusal(status, headers, bytes(data))
        return Received(data, headers.get("x-amz-checksum", ""), headers.get("x-amz-checksum-algorithm", ""))

    def _more(self, connection: socket.socket, got: int) -> int:
        count = connection.recv_into(self._view[got:])
        if count == 0:
            raise MalformedError(f"the connection broke after {got} bytes")
        return count

    def _opened(self) -> socket.socket:
        to = self._to
        plain = create_connection((to.host, to.port), timeout=CONNECT_SECONDS)
        try:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket = to.tls.wrap_socket(plain, server_hostname=to.host) if to.tls else plain
        except BaseException:
            plain.close()
            raise
        self._socket.settimeout(READ_SECONDS)
        return self._socket


def _parsed(head: bytes) -> tuple[int, bytes, Mapping[str, str]]:
    """Status, version and headers (names in lower case) of an answer."""
    first, *lines = head.split(b"\r\n")
    version, _, rest = first.partition(b" ")
    code = rest[:3]
    if version not in (b"HTTP/1.1", b"HTTP/1.0") or not code.isdigit():
        raise MalformedError("what answered does not speak HTTP")
    headers = {}
    for line in lines:
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.strip().lower()] = value.strip()
    return int(code), version, headers
