"""The one point that every simulated call passes: refusals and faults before it, a record of it after.

moto sends all services but S3 through `BaseResponse.call_action`, and S3 through `bucket_response` and
`key_response`, in server mode and under `moto.mock_aws` alike.
"""

from __future__ import annotations

import functools
import re
import threading
from collections.abc import Callable
from typing import Any

from moto.core.responses import ActionResult, BaseResponse
from werkzeug.exceptions import HTTPException, NotFound

from irkit.sim import authority, callers, ec2_checks, recorder, world
from irkit.sim.faults import Refusal
from irkit.sim.seams import replace

Answer = tuple[int, dict[str, Any], Any]
NOT_SIMULATED = "NotSimulated"
_CREDENTIAL = re.compile(r"[?&]X-Amz-Credential=([A-Z0-9]{16,128})")
_installed = threading.Lock()
_done: list[bool] = []


def install() -> None:
    """Put the choke point and all mends into moto; once a process, later calls do nothing."""
    with _installed:
        if _done:
            return
        from moto.s3.responses import S3Response

        replace(BaseResponse, "call_action", _guarded(BaseResponse.call_action))
        for name in ("bucket_response", "key_response"):
            replace(S3Response, name, _guarded_s3(getattr(S3Response, name)))
        replace(BaseResponse, "get_access_key", _access_key(BaseResponse.get_access_key))
        from irkit.sim import mends, unknown

        mends.install()
        _remember_operations()
        unknown.install_in_process()
        _done.append(True)


def _remember_operations() -> None:
    """Moto looks through all members of a service's class for each request; they change only while we mend them."""
    from moto.core import responses, utils

    replace(responses, "method_names_from_class", functools.cache(utils.method_names_from_class))


def _access_key(original: Callable[..., str]) -> Callable[..., str]:
    """Moto does not read the key of a presigned URL, and takes such a call for another account's."""

    @functools.wraps(original)
    def access_key(self: Any) -> str:
        if "Authorization" not in self.headers:
            found = _CREDENTIAL.search(self.uri.replace("%2F", "/"))
            if found:
                return found.group(1)
        return original(self)

    return access_key


def _signed_key(response: Any) -> str | None:
    if "Authorization" not in response.headers and not _CREDENTIAL.search(response.uri):
        return None
    return str(response.get_access_key())


def _guarded(original: Callable[..., Answer]) -> Callable[..., Answer]:
    @functools.wraps(original)
    def call_action(self: Any) -> Answer:
        here = world.active()
        service = self.boto3_service_name
        if here is None or service in {"", "instance_metadata", "moto_api", "s3"}:
            return original(self)
        operation = str(self._get_action() or "")
        caller = callers.identify(_signed_key(self), self.current_account)
        try:
            refusal = _refusal(here, service, operation, self, caller)
            if refusal is None:
                status, headers, body = original(self)
                lost = here.faults.strike(service, operation, self, after=True)
                if lost is not None:
                    status, headers, body = _refused(self, lost)
            else:
                status, headers, body = _refused(self, refusal)
        except NotImplementedError as gap:
            status, headers, body = _refused(self, not_simulated(service, operation, str(gap)))
        except Refusal as refusal:
            status, headers, body = _refused(self, refusal)
        except HTTPException:
            raise
        except Exception as crash:  # noqa: BLE001 - moto's own defect: as loud as a gap, and named
            status, headers, body = _refused(
                self, not_simulated(service, operation, f"moto failed: {crash!r}")
            )
        recorder.note(here, self, service, operation, status, headers, body, caller)
        return status, headers, body

    return call_action


def _guarded_s3(original: Callable[..., Answer]) -> Callable[..., Answer]:
    @functools.wraps(original)
    def response(self: Any, request: Any, full_url: str, headers: Any) -> Answer:
        here = world.active()
        if here is None:
            return original(self, request, full_url, headers)
        operation, uri_match = _s3_operation(request)
        self.setup_class(request)
        self.uri_match = uri_match
        caller = callers.identify(_signed_key(self), self.current_account)
        parsed = recorder.parsed_request(self, "s3", operation)
        refusal = _refusal(here, "s3", operation, self, caller, parsed)
        try:
            answer = original(self, request, full_url, headers) if refusal is None else _refused_s3(refusal)
            lost = here.faults.strike("s3", operation, self, after=True) if refusal is None else None
            answer = answer if lost is None else _refused_s3(lost)
        except NotImplementedError as gap:
            answer = _refused_s3(not_simulated("s3", operation, str(gap)))
        except Refusal as late:
            answer = _refused_s3(late)
        except HTTPException:
            raise
        except Exception as crash:  # noqa: BLE001 - as above
            answer = _refused_s3(not_simulated("s3", operation, f"moto failed: {crash!r}"))
        self.uri_match = uri_match
        recorder.note(here, self, "s3", operation, *answer, caller, parsed)
        return answer

    return response


def _s3_operation(request: Any) -> tuple[str, dict[str, Any]]:
    from moto.core.routing import get_service_router

    try:
        operation, uri_match = get_service_router("s3").match(request)
    except (NotFound, NotImplementedError):
        return ("PostObject" if request.method == "POST" else f"{request.method.title()}Unknown"), {}
    return str(operation.name), dict(uri_match)


def not_simulated(service: str, operation: str, detail: str = "") -> Refusal:
    """The loud answer for what the simulator does not have: HTTP 501, which botocore does not retry."""
    return Refusal(NOT_SIMULATED, f"{service}:{operation} is not simulated. {detail}".strip(), 501)


def _refusal(
    here: world.World, service: str, operation: str, response: Any, caller: callers.Caller, parsed: Any = None
) -> Refusal | None:
    denied = authority.refuse(service, operation, response, caller)
    if denied is None and service == "s3":
        from irkit.sim.mends import s3

        denied = s3.refuse(operation, response, caller, parsed or {})
    if denied is None and service == "ec2":
        denied = ec2_checks.refuse(operation, response)
    return here.faults.strike(service, operation, response) if denied is None else denied


def _refused(response: Any, refusal: Refusal) -> Answer:
    status = refusal.status
    from botocore.exceptions import ClientError
    from botocore.model import OperationNotFoundError

    try:
        _, headers, body = response.serialized(ActionResult(refusal))
    except (OperationNotFoundError, ClientError, AssertionError, KeyError):
        headers, body = {"content-type": "application/json"}, f'{{"__type": "{refusal.code}"}}'
    headers["status"] = str(status)
    return status, headers, body


def _refused_s3(refusal: Refusal) -> Answer:
    from xml.sax.saxutils import escape

    body = (
        '<?xml version="1.0" encoding="UTF-8"?>\n<Error>'
        f"<Code>{escape(refusal.code)}</Code><Message>{escape(refusal.message)}</Message></Error>"
    )
    return refusal.status, {"content-type": "application/xml"}, body.encode()
