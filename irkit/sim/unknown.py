"""Services that moto has no backend for: refused in the protocol that they speak, so that botocore sees a ClientError."""

from __future__ import annotations

import functools
import json
import re
from typing import Any
from xml.sax.saxutils import escape

from irkit.sim import world

_SCOPE = re.compile(r"Credential=([A-Z0-9]+)/\d{8}/([a-z0-9-]+)/([a-z0-9-]+)/aws4_request")
Response = tuple[str, list[tuple[str, str]], bytes]


@functools.cache
def _by_signing_name() -> dict[str, str]:
    """boto3's name of each service, by the name that its requests are signed with."""
    import botocore.session

    session = botocore.session.get_session()
    loader = session.get_component("data_loader")
    found: dict[str, str] = {}
    for name in loader.list_available_services("service-2"):
        found.setdefault(name, name)
    return found


def refuse(environ: dict[str, Any], dispatcher: Any) -> Response | None:
    """The refusal for a request to a service without a backend; None for all others."""
    scope = _SCOPE.search(str(environ.get("HTTP_AUTHORIZATION", "")))
    if scope is None or world.active() is None:
        return None
    access_key, region, service = scope.groups()
    if _known(service, region, dispatcher):
        return None
    target = str(environ.get("HTTP_X_AMZ_TARGET", ""))
    operation = target.rsplit(".", 1)[-1] if target else f"{environ.get('REQUEST_METHOD')} {environ.get('PATH_INFO')}"
    message = f"{service}:{operation} is not simulated. The simulator has no {service}."
    _note(access_key, region, service, operation, str(environ.get("HTTP_USER_AGENT", "")))
    content_type = str(environ.get("CONTENT_TYPE", ""))
    if "x-www-form-urlencoded" in content_type:
        body = (
            f"<ErrorResponse><Error><Code>NotSimulated</Code><Message>{escape(message)}</Message></Error>"
            "<RequestId>0</RequestId></ErrorResponse>"
        ).encode()
        kind = "text/xml"
    else:
        body = json.dumps({"__type": "NotSimulated", "message": message}).encode()
        kind = "application/json"
    headers = [("Content-Type", kind), ("Content-Length", str(len(body))), ("x-amzn-ErrorType", "NotSimulated")]
    return "501 Not Implemented", headers, body


@functools.lru_cache(maxsize=512)
def _known_host(service: str, host: str, dispatcher: Any) -> bool:
    return dispatcher.get_backend_for_host(host) is not None


def _known(service: str, region: str, dispatcher: Any) -> bool:
    from moto.moto_server.werkzeug_app import SIGNING_ALIASES

    service = SIGNING_ALIASES.get(service, service)
    host = f"{service}.{region}.amazonaws.com"
    special = {"budgets", "cloudfront", "mediastore", "aidevops", "dsql", "dynamodb", "sagemaker", "timestream"}
    special |= {"s3vectors", "ses", "memorydb", "bedrock-agentcore", "bedrock", "s3", "s3express"}
    if service in special:
        return True
    import contextlib
    import io

    with contextlib.redirect_stdout(io.StringIO()):  # moto prints its own advice here
        return _known_host(service, host, dispatcher)


def _note(access_key: str, region: str, service: str, operation: str, agent: str) -> None:
    import uuid
    from datetime import UTC, datetime

    from irkit.sim import callers

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
