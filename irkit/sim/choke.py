"""The one point that every simulated call passes: refusals and faults before it, a record of it after.

moto sends all services but S3 through `BaseResponse.call_action`, and S3 through `bucket_response` and
`key_response`, in server mode and under `moto.mock_aws` alike.
"""

from __future__ import annotations

import functools
import re
import threading
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from moto.core.responses import ActionResult, BaseResponse
from werkzeug.exceptions import HTTPException, NotFound

from irkit.sim import authority, callers, ec2_checks, records, world
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
        unknown.install_in_process()
        _done.append(True)


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
        _note(here, self, service, operation, status, headers, body, caller)
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
        parsed = _parsed_request(self, "s3", operation)
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
        _note(here, self, "s3", operation, *answer, caller, parsed)
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


def _parsed_request(response: Any, service: str, operation: str) -> dict[str, Any]:
    from moto.core.parse import PROTOCOL_PARSERS
    from moto.core.request import determine_request_protocol
    from moto.core.utils import get_service_model

    try:
        model = get_service_model(service)
        request = response.normalized_request
        parser = PROTOCOL_PARSERS[determine_request_protocol(model, request.content_type)](
            model.operation_model(operation), map_type=dict
        )
        return dict(
            parser.parse(
                {
                    "method": request.method,
                    "values": request.values,
                    "headers": request.headers,
                    "body": b"" if _is_upload(operation) else request.data,
                    "url_path": request.path,
                    "url_params": response.uri_match,
                }
            )
            or {}
        )
    except Exception:  # noqa: BLE001 - a record without parameters is better than a call that fails because of its record
        return {}


def _is_upload(operation: str) -> bool:
    return operation in {"PutObject", "UploadPart", "PutSnapshotBlock"}


def _parsed_response(
    service: str, operation: str, status: int, headers: dict[str, Any], body: Any
) -> dict[str, Any]:
    import botocore.parsers
    from moto.core.utils import get_service_model

    try:
        model = get_service_model(service)
        raw = body.encode() if isinstance(body, str) else bytes(body or b"")
        lowered = {str(name).lower(): str(value) for name, value in headers.items()}
        shape = model.operation_model(operation).output_shape
        parser = botocore.parsers.create_parser(model.metadata["protocol"])
        return dict(parser.parse({"status_code": status, "headers": lowered, "body": raw}, shape))
    except Exception:  # noqa: BLE001 - as above
        return {}


def _note(
    here: world.World,
    response: Any,
    service: str,
    operation: str,
    status: Any,
    headers: dict[str, Any],
    body: Any,
    caller: callers.Caller,
    parsed: dict[str, Any] | None = None,
) -> None:
    if not here.recording:
        return
    now = datetime.now(UTC)
    status = int(status)
    request_id = str(headers.get("x-amzn-requestid") or headers.get("x-amzn-RequestId") or uuid.uuid4())
    data_event = records.is_data_event(service, operation)
    error: dict[str, Any] = {}
    out: dict[str, Any] = {}
    if status >= 300 or not data_event:
        out = _parsed_response(service, operation, status, headers, body)
        error = out.get("Error") or {} if status >= 300 else {}
    if status >= 400 and not error.get("Code"):
        error = {"Code": str(status), "Message": ""}
    agent = str(response.headers.get("User-Agent", ""))
    call = world.Call(
        at=now,
        service=service,
        operation=operation,
        status=status,
        error=error.get("Code"),
        user_agent=agent,
        account=caller.account,
        region=response.region,
        access_key=caller.access_key,
        request_id=request_id,
    )
    with here.lock:
        here.calls.append(call)
        here.last_call = now.timestamp()
    if parsed is None:
        parsed = _parsed_request(response, service, operation)
    record = _record(response, call, parsed, out, body, headers, error, caller, data_event)
    here.trail.record(record)


def _record(
    response: Any,
    call: world.Call,
    parsed: dict[str, Any],
    out: dict[str, Any],
    body: Any,
    headers: dict[str, Any],
    error: dict[str, Any],
    caller: callers.Caller,
    data_event: bool,
) -> dict[str, Any]:
    from moto.core.utils import get_service_model

    service, operation = call.service, call.operation
    raw = body.encode() if isinstance(body, str) else bytes(body or b"")
    prefix = get_service_model(service).endpoint_prefix
    record: dict[str, Any] = {
        "eventVersion": records.EVENT_VERSION,
        "userIdentity": callers.user_identity(caller),
        "eventTime": records.stamp(call.at),
        "eventSource": records.event_source(service, prefix),
        "eventName": records.s3_event_name(operation) if service == "s3" else operation,
        "awsRegion": "us-east-1" if service == "iam" else call.region,
        "sourceIPAddress": response.headers.get("X-Forwarded-For")
        or response.normalized_request.remote_addr
        or "127.0.0.1",
        "userAgent": f"[{call.user_agent}]" if service == "s3" else call.user_agent,
    }
    if error:
        record["errorCode"] = records.error_code(service, str(error.get("Code")), call.status)
        record["errorMessage"] = str(error.get("Message", ""))
    record["requestParameters"] = records.request_parameters(service, operation, parsed)
    record["responseElements"] = (
        None if error else records.response_elements(service, operation, out, raw, call.request_id)
    )
    if service == "s3":
        uploaded = len(response.raw_body or b"") if _is_upload(operation) else 0
        sent = 0 if operation.startswith("Head") else len(raw)
        record["additionalEventData"] = {
            "SignatureVersion": "SigV4",
            "CipherSuite": "TLS_AES_128_GCM_SHA256",
            "bytesTransferredIn": uploaded,
            "AuthenticationMethod": "AuthHeader" if "Authorization" in response.headers else "QueryString",
            "x-amz-id-2": str(headers.get("x-amz-id-2", "")),
            "bytesTransferredOut": sent,
        }
        if resources := records.s3_resources(parsed, caller.account):
            record["resources"] = resources
    record |= {
        "requestID": call.request_id,
        "eventID": str(uuid.uuid4()),
        "readOnly": bool(records.READ_ONLY.match(operation)),
        "eventType": "AwsApiCall",
        "managementEvent": not data_event,
        "recipientAccountId": caller.account,
        "eventCategory": "Data" if data_event else "Management",
        "tlsDetails": {
            "tlsVersion": "TLSv1.3",
            "cipherSuite": "TLS_AES_128_GCM_SHA256",
            "clientProvidedHostHeader": f"{prefix}.{call.region}.amazonaws.com",
        },
    }
    return record
