"""The one way out of a sandboxed host: its loopback port of the simulator leads to the simulator.

A short-lived child enters the host's network namespace, opens the listening socket there and hands it back over a
socket pair; this process then accepts on it and connects in its own namespace. Nothing of it runs inside the host.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import threading

_LISTEN = """
import socket, sys
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(("127.0.0.1", int(sys.argv[1])))
listener.listen(64)
socket.send_fds(socket.socket(fileno=int(sys.argv[2])), [b"x"], [listener.fileno()])
"""
_CHUNK = 1 << 16


class Doorway:
    """A listening socket inside a host, served from outside."""

    def __init__(self, listener: socket.socket, port: int) -> None:
        self._listener = listener
        self._port = port
        threading.Thread(target=self._serve, daemon=True).start()

    @classmethod
    def open(cls, pid: int, port: int) -> Doorway | None:
        """A doorway into the network namespace of `pid`; None where the machine does not allow it."""
        ours, theirs = socket.socketpair()
        with ours, theirs:
            command = ["nsenter", "--target", str(pid), "--user", "--preserve-credentials", "--net"]
            command += [sys.executable, "-I", "-S", "-c", _LISTEN, str(port), str(theirs.fileno())]
            try:
                done = subprocess.run(  # noqa: S603 - our own text
                    command, pass_fds=[theirs.fileno()], capture_output=True, timeout=20, check=False
                )
            except (OSError, subprocess.TimeoutExpired):
                return None
            if done.returncode != 0:
                return None
            _, descriptors, _, _ = socket.recv_fds(ours, 1, 1)
        return cls(socket.socket(fileno=descriptors[0]), port)

    def close(self) -> None:
        """Stop listening; connections that are open end with their peers."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                inside, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._join, args=(inside,), daemon=True).start()

    def _join(self, inside: socket.socket) -> None:
        try:
            outside = socket.create_connection(("127.0.0.1", self._port), timeout=10)
        except OSError:
            inside.close()
            return
        outside.settimeout(None)
        back = threading.Thread(target=_pour, args=(outside, inside), daemon=True)
        back.start()
        _pour(inside, outside)
        back.join()
        inside.close()
        outside.close()


def _pour(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while chunk := source.recv(_CHUNK):
            sink.sendall(chunk)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
