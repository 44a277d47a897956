"""Calls that moto has no backend or no route for: refused so that botocore sees a ClientError."""

from __future__ import annotations

import contextlib
import functools
import io
import json
import re
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from xml.sax.saxutils import escape

from irkit.sim import callers, world
from irkit.sim.seams import replace

_SCOPE = re.compile(r"Credential=([A-Z0-9]+)/\d{8}/([a-z0-9-]+)/([a-z0-9-]+)/aws4_request")
_ROUTED_BY_MOTO = frozenset(  # these have several backends, or another host name than their own
    (
        *(
            "aidevops",
            "bedrock",
            "bedrock-agentcore",
            "budgets",
            "cloudfront",
            "dsql",
            "dynamodb",
            "mediastore",
        ),
        *("memorydb", "s3", "s3express", "s3vectors", "sagemaker", "ses", "timestream"),
    )
)
Response = tuple[int, list[tuple[str, str]], bytes]


def refuse(environ: Mapping[str, Any], dispatcher: Any) -> Response | None:
    """The refusal for a request to a service without a backend; None for all others."""
    scope = _SCOPE.search(str(environ.get("HTTP_AUTHORIZATION", "")))
    if scope is None or world.active() is None or _known(scope[3], scope[2], dispatcher):
        return None
    return refusal(environ)


def refusal(environ: Mapping[str, Any]) -> Response | None:
    """The refusal of a signed request, noted among the calls; None for one that is not signed."""
    scope = _SCOPE.search(str(environ.get("HTTP_AUTHORIZATION", "")))
    if scope is None:
        return None
    access_key, region, service = scope.groups()
    target = str(environ.get("HTTP_X_AMZ_TARGET", ""))
    operation = (
        target.rsplit(".", 1)[-1] if target else f"{environ.get('REQUEST_METHOD')} {environ.get('PATH_INFO')}"
    )
    _note(access_key, region, service, operation, str(environ.get("HTTP_USER_AGENT", "")))
    message = f"{service}:{operation} is not simulated. The simulator has no such service or operation."
    if "x-www-form-urlencoded" in str(environ.get("CONTENT_TYPE", "")):
        body = (
            f"<ErrorResponse><Error><Code>NotSimulated</Code><Message>{escape(message)}</Message></Error>"
            "<RequestId>0</RequestId></ErrorResponse>"
        ).encode()
        kind = "text/xml"
    else:
        body = json.dumps({"__type": "NotSimulated", "message": message}).encode()
        kind = "application/json"
    return (
        501,
        [("Content-Type", kind), ("Content-Length", str(len(body))), ("x-amzn-ErrorType", "NotSimulated")],
        body,
    )


def install_in_process() -> None:
    """Do the same under `mock_aws`, where moto answers such calls with a bare 404."""
    from moto.core.botocore_stubber import BotocoreStubber

    original = BotocoreStubber.process_request

    @functools.wraps(original)
    def process_request(self: Any, request: Any) -> Any:
        answer = original(self, request)
        if world.active() is None or answer is None or tuple(answer) != (404, {}, "Not yet implemented"):
            return answer
        headers = {
            f"HTTP_{name.upper().replace('-', '_')}": _text(value) for name, value in request.headers.items()
        }
        path = "/" + str(request.url).split("/", 3)[-1].split("?")[0]
        environ = {**headers, "CONTENT_TYPE": headers.get("HTTP_CONTENT_TYPE", ""), "PATH_INFO": path}
        refused = refusal({**environ, "REQUEST_METHOD": request.method})
        if refused is None:
            return answer
        status, shown, body = refused
        return status, dict(shown), body

    replace(BotocoreStubber, "process_request", process_request)


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


@functools.lru_cache(maxsize=512)
def _known(service: str, region: str, dispatcher: Any) -> bool:
    from moto.moto_server.werkzeug_app import SIGNING_ALIASES

    service = SIGNING_ALIASES.get(service, service)
    if service in _ROUTED_BY_MOTO:
        return True
    with contextlib.redirect_stdout(io.StringIO()):  # moto prints its own advice here
        return dispatcher.get_backend_for_host(f"{service}.{region}.amazonaws.com") is not None


def _note(access_key: str, region: str, service: str, operation: str, agent: str) -> None:
    here = world.current()
    now = datetime.now(UTC)
    caller = callers.identify(access_key, here.account)
    call = world.Call(
        at=now,
        service=service,
        operation=operation,
        status=501,
        error="NotSimulated",
        user_agent=agent,
        account=caller.account,
        region=region,
        access_key=access_key,
        request_id=str(uuid.uuid4()),
    )
    with here.lock:
        here.calls.append(call)
        here.last_call = now.timestamp()
