"""The HTTP server: moto's dispatcher, our refusals for what it does not know, our control surface."""

from __future__ import annotations

import logging
import socket
import struct
import threading
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import BaseWSGIServer, make_server

from irkit.sim import unknown
from irkit.sim.faults import connection_breaks

StartResponse = Callable[..., Any]
Control = Callable[[dict[str, Any]], tuple[int, bytes]]
CONTROL_PREFIX = "/irkit-sim/"
_STATUS = {200: "200 OK", 400: "400 Bad Request", 404: "404 Not Found", 501: "501 Not Implemented"}


class QuietHandler(MotoRequestHandler):
    """moto's request handler without an access log: calls are in the trail."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing."""

    def connection_dropped(self, error: BaseException, environ: Any = None) -> None:
        """End the connection, or a client that keeps it open would wait for an answer that does not come."""
        del error, environ
        self.close_connection = True


class Dispatcher(DomainDispatcherApplication):
    """moto's dispatcher with a memory: moto lists the folders of all its services for each request."""

    def __init__(self) -> None:
        super().__init__(create_backend_app)
        self._backends: dict[str | None, Any] = {}

    def get_backend_for_host(self, host: str | None) -> Any:
        """The backend that serves `host`, looked up once."""
        if host not in self._backends:
            self._backends[host] = super().get_backend_for_host(host)
        return self._backends[host]


class Application:
    """The WSGI application; services that moto has no backend for are refused, not sent to S3."""

    def __init__(self, control: Control) -> None:
        self._moto = Dispatcher()
        self._control = control

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        path = str(environ.get("PATH_INFO", ""))
        if path.startswith(CONTROL_PREFIX):
            status, body = self._control(environ)
            start_response(
                _STATUS[status], [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
            )
            return [body]
        if environ.get("REQUEST_METHOD") == "PUT" and "x-www-form-urlencoded" in str(
            environ.get("CONTENT_TYPE")
        ):
            environ["CONTENT_TYPE"] = (
                "binary/octet-stream"  # curl and urllib say so of any upload; it is no form
            )
        refused = unknown.refuse(environ, self._moto)
        if refused is not None:
            return _send(refused, start_response)
        return self._answer(environ, start_response)

    def _answer(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        begun: list[tuple[Any, ...]] = []

        def begin(*answer: Any) -> Callable[[bytes], None]:
            begun.append(answer)
            return lambda _chunk: None

        body = self._moto(environ, begin)
        if connection_breaks():
            _reset(environ)
        status, headers = str(begun[0][0]), dict(begun[0][1])
        flasks_own = status.startswith("404") and headers.get("Content-Type", "").startswith("text/html")
        # Every path is one of S3's, and its 404 to a HEAD has no body to tell it from Flask's.
        if flasks_own and "/s3/aws4_request" not in str(environ.get("HTTP_AUTHORIZATION", "")):
            refused = unknown.refusal(environ)  # the service is known, the path is not
            if refused is not None:
                return _send(refused, start_response)
        start_response(*begun[0])
        return body  # type: ignore[no-any-return]


def _reset(environ: dict[str, Any]) -> NoReturn:
    """End the connection as a router that forgot it does: with RST, and without a byte of an answer."""
    connection = environ.get("werkzeug.socket")
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    raise ConnectionResetError("the simulator broke the connection, as it was asked to")


def _send(refused: unknown.Response, start_response: StartResponse) -> list[bytes]:
    status, headers, body = refused
    start_response(_STATUS[status], headers)
    return [body]


class Server:
    """A threaded server on the loopback address."""

    def __init__(self, port: int, control: Control) -> None:
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self._server: BaseWSGIServer = make_server(
            "127.0.0.1", port, Application(control), threaded=True, request_handler=QuietHandler
        )
        self._thread = threading.Thread(target=self._server.serve_forever, name="irkit-sim", daemon=True)

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Serve in a background thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop serving and free the port."""
        self._server.shutdown()
        self._thread.join(timeout=10)
        self._server.server_close()
