"""What is kept of an answered call: one entry among the calls, and one CloudTrail record."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

from irkit.sim import callers, records, world


def parsed_request(response: Any, service: str, operation: str) -> dict[str, Any]:
    """The call's parameters by their names in the API; empty when they cannot be read."""
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


def note(
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
    """Keep one answered call: among the calls, and as a CloudTrail record."""
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
        parsed = parsed_request(response, service, operation)
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
