"""A server on loopback that answers each request with what a test scripted, byte for byte."""

from __future__ import annotations

import base64
import hashlib
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from botocore.credentials import Credentials

from irkit.capture.image.transport import Endpoint

Answers = Callable[[str], bytes | None]


def block_answer(body: bytes, **headers: str) -> bytes:
    """A block as EBS direct sends it; `headers` (with `_` for `-`) replace some."""
    told = {
        "x-amz-Checksum": base64.b64encode(hashlib.sha256(body).digest()).decode(),
        "x-amz-Checksum-Algorithm": "SHA256",
        "Content-Length": str(len(body)),
    } | {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in told.items())
    return f"HTTP/1.1 200 OK\r\n{head}\r\n".encode() + body


@contextmanager
def answering(answers: Answers, *, closing: bool = False) -> Iterator[Endpoint]:
    """An endpoint whose server sends `answers(first line of the request)`; None closes the connection.

    With `closing` it is closed after each answer.
    """
    server = socket.create_server(("127.0.0.1", 0))

    def serve(connection: socket.socket) -> None:
        with connection:
            pending = b""
            while True:
                while b"\r\n\r\n" not in pending:
                    try:
                        got = connection.recv(65536)
                    except OSError:
                        return
                    if not got:
                        return
                    pending += got
                request, _, pending = pending.partition(b"\r\n\r\n")
                answer = answers(request.partition(b"\r\n")[0].decode())
                if answer is None:
                    return
                try:
                    connection.sendall(answer)
                except OSError:
                    return
                if closing or b"connection: close" in answer.lower().partition(b"\r\n\r\n")[0]:
                    return

    def accept() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    accepting = threading.Thread(target=accept, daemon=True)
    accepting.start()
    try:
        yield Endpoint(
            url=f"http://127.0.0.1:{server.getsockname()[1]}",
            region="us-east-1",
            credentials=Credentials("AKIAIOSFODNN7EXAMPLE", "secret"),
            user_agent="irkit/test case/T-1",
            ca_bundle=None,
            proxies={},
        )
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        accepting.join(timeout=10)
