# ruff: noqa: S608 - SQL is put together from our own column names and quoted paths; values are bound
"""CloudTrail records, from JSON text to typed rows, inside DuckDB.

The JSON is decoded by DuckDB with an explicit schema (`from_json`), one text value a file: no Python object is made for
a record, which is what makes this fast. A file that DuckDB cannot decode goes through `salvage` and comes back.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from irkit.logs.recognise import Shape, unwrapped
from irkit.logs.salvage import salvage
from irkit.tables import CLOUDTRAIL, EDGE

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

_TEXT = [
    "eventVersion",
    "eventTime",
    "eventSource",
    "eventName",
    "awsRegion",
    "sourceIPAddress",
    "userAgent",
    "errorCode",
    "errorMessage",
    "requestID",
    "eventID",
    "readOnly",
    "eventType",
    "managementEvent",
    "recipientAccountId",
    "sharedEventID",
    "vpcEndpointId",
    "eventCategory",
    "apiVersion",
    "vpcEndpointAccountId",
    "sessionCredentialFromConsole",
]
_JSON = [
    "userIdentity",
    "requestParameters",
    "responseElements",
    "additionalEventData",
    "resources",
    "tlsDetails",
    "serviceEventDetails",
    "insightDetails",
    "addendum",
    "eventContext",
    "edgeDeviceDetails",
]


def _shape_of(spec: object) -> str:
    return json.dumps(spec).replace("'", "")


_RECORD = {**dict.fromkeys(_TEXT, "VARCHAR"), **dict.fromkeys(_JSON, "JSON")}
_IDENTITY = _shape_of(
    {
        **dict.fromkeys(
            [
                "type",
                "principalId",
                "arn",
                "accountId",
                "accessKeyId",
                "userName",
                "invokedBy",
                "identityProvider",
            ],
            "VARCHAR",
        ),
        "sessionContext": {
            "sessionIssuer": dict.fromkeys(("type", "arn", "userName", "accountId"), "VARCHAR"),
            "attributes": dict.fromkeys(("creationDate", "mfaAuthenticated"), "VARCHAR"),
            "sourceIdentity": "VARCHAR",
            "ec2RoleDelivery": "VARCHAR",
        },
    }
)
_REQUEST = _shape_of(
    dict.fromkeys(("roleArn", "roleSessionName", "bucketName", "key", "userName"), "VARCHAR")
)
_RESPONSE = _shape_of(
    {
        "credentials": {"accessKeyId": "VARCHAR"},
        "assumedRoleUser": {"arn": "VARCHAR"},
        "federatedUser": {"arn": "VARCHAR"},
        "accessKey": {"accessKeyId": "VARCHAR"},
        "ConsoleLogin": "VARCHAR",
    }
)
_MORE = _shape_of(dict.fromkeys(("bytesTransferredIn", "bytesTransferredOut", "MFAUsed"), "VARCHAR"))

_BODIES = {
    Shape.OBJECT: f"from_json(body, '{_shape_of({'Records': [_RECORD]})}').Records",
    Shape.ARRAY: f"from_json(body, '{_shape_of([_RECORD])}')",
}


def _time(text: str) -> str:
    return f"coalesce(try_strptime({text}, '%Y-%m-%dT%H:%M:%SZ'), try_cast({text} as timestamp))"


def _whole_number(text: str) -> str:
    return f"try_cast(try_cast({text} as double) as bigint)"


# What each column is made of: r the record, u its identity, q the request, p the response, m additionalEventData.
_COLUMNS = {
    "event_time": _time("r.eventTime"),
    "event_id": "r.eventID",
    "event_name": "r.eventName",
    "event_source": "r.eventSource",
    "event_type": "r.eventType",
    "event_category": "r.eventCategory",
    "event_version": "r.eventVersion",
    "aws_region": "r.awsRegion",
    "recipient_account_id": "r.recipientAccountId",
    "source_ip": "r.sourceIPAddress",
    "user_agent": "r.userAgent",
    "error_code": "r.errorCode",
    "error_message": "r.errorMessage",
    "read_only": "try_cast(r.readOnly as boolean)",
    "management_event": "try_cast(r.managementEvent as boolean)",
    "request_id": "r.requestID",
    "shared_event_id": "r.sharedEventID",
    "vpc_endpoint_id": "r.vpcEndpointId",
    "ui_type": "u.type",
    "ui_principal_id": "u.principalId",
    "ui_arn": "u.arn",
    "ui_account_id": "u.accountId",
    "ui_user_name": "u.userName",
    "ui_invoked_by": "u.invokedBy",
    "ui_identity_provider": "u.identityProvider",
    "access_key_id": "nullif(u.accessKeyId, '')",
    "issuer_type": "u.sessionContext.sessionIssuer.type",
    "issuer_arn": "u.sessionContext.sessionIssuer.arn",
    "issuer_user": "u.sessionContext.sessionIssuer.userName",
    "issuer_account": "u.sessionContext.sessionIssuer.accountId",
    "mfa": "try_cast(u.sessionContext.attributes.mfaAuthenticated as boolean)",
    "session_created": _time("u.sessionContext.attributes.creationDate"),
    "source_identity": "u.sessionContext.sourceIdentity",
    "ec2_role_delivery": "u.sessionContext.ec2RoleDelivery",
    "principal": "coalesce(u.sessionContext.sessionIssuer.arn, u.arn, u.invokedBy, u.principalId)",
    "issued_access_key_id": "p.credentials.accessKeyId",
    "issued_arn": "coalesce(p.assumedRoleUser.arn, p.federatedUser.arn)",
    "role_arn": "q.roleArn",
    "role_session_name": "q.roleSessionName",
    "target_user": "case when r.eventSource = 'iam.amazonaws.com' then q.userName end",
    "created_access_key_id": "p.accessKey.accessKeyId",
    "bucket": "case when r.eventSource like 's3%' then q.bucketName end",
    "object_key": "case when r.eventSource like 's3%' then q.key end",
    "bytes_in": _whole_number("m.bytesTransferredIn"),
    "bytes_out": _whole_number("m.bytesTransferredOut"),
    "console_login_result": "p.ConsoleLogin",
    "mfa_used": "case m.MFAUsed when 'Yes' then true when 'No' then false end",
    "first_resource_arn": """from_json(r.resources, '[{"ARN":"VARCHAR"}]')[1].ARN""",
    "request_parameters": "r.requestParameters",
    "response_elements": "r.responseElements",
    "additional_event_data": "r.additionalEventData",
    "resources": "r.resources",
    "tls_details": "r.tlsDetails",
    "service_event_details": "r.serviceEventDetails",
    "user_identity": "r.userIdentity",
    "insight_details": "r.insightDetails",
    "addendum": "r.addendum",
    "event_context": "r.eventContext",
    "edge_device_details": "r.edgeDeviceDetails",
    "api_version": "r.apiVersion",
    "vpc_endpoint_account_id": "r.vpcEndpointAccountId",
    "session_credential_from_console": "try_cast(r.sessionCredentialFromConsole as boolean)",
    "src_file": "src_file",
    "rec_no": "rec_no",
}

_FAULT = """case
    when r is null then 'not an object'
    when r.eventTime is null then 'no eventTime'
    when event_time is null then 'eventTime is no time'
    when r.eventName is null or r.eventName = '' then 'no eventName'
    when r.eventSource is null then 'no eventSource'
    when r.userIdentity is not null and left(cast(r.userIdentity as varchar), 1) <> '{'
        then 'userIdentity is not an object'
end"""

# Who issued which key: role sessions, federation and session tokens, and the long-lived keys made for users.
_EDGES = """
select event_time, event_id, event_name,
       case when created_access_key_id is not null then 'access_key'
            when issued_arn is not null and event_name = 'GetFederationToken' then 'federation'
            when issued_arn is not null then 'role_session' else 'session_token' end as kind,
       access_key_id as parent_access_key_id, coalesce(ui_arn, ui_invoked_by) as parent_arn,
       coalesce(created_access_key_id, issued_access_key_id) as issued_access_key_id,
       case when created_access_key_id is not null
            then 'arn:aws:iam::' || recipient_account_id || ':user/' ||
                 coalesce(target_user, ui_user_name, 'unknown') else issued_arn end as issued_arn,
       role_arn, role_session_name, source_ip, user_agent, aws_region, recipient_account_id
from rows where coalesce(created_access_key_id, issued_access_key_id) is not null
"""


SELECT_ROWS = "select " + ", ".join(f'"{c.name}"' for c in CLOUDTRAIL) + " from rows"
SELECT_EDGES = f"select {', '.join(c.name for c in EDGE)} from ({_EDGES})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """The text of one file, ready for DuckDB."""

    name: str
    shape: Shape
    body: bytes
    salvaged: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LostRecord:
    """A record, or a stretch of a file, that is no record."""

    file: str
    number: int
    fault: str
    text: str


def document(name: str, shape: Shape, data: bytes) -> Document:
    """`data` as DuckDB takes it; raises `ValueError` when only salvage can help."""
    if shape is Shape.LINES:
        lines = (line for line in data.splitlines() if line.strip())
        data, shape = b"[" + b",".join(lines) + b"]", Shape.ARRAY
    elif shape is Shape.WRAPPED:
        data, shape = ("[" + ",".join(unwrapped(data)) + "]").encode("utf-8"), Shape.ARRAY
    if not data.isascii():
        data.decode("utf-8")
    if b"\0" in data:
        raise ValueError("zero bytes in the text")
    return Document(name=name, shape=shape, body=data)


def salvaged(name: str, data: bytes) -> tuple[Document, list[LostRecord]]:
    """The records of a broken file that can be read, each in its place, and what was lost between them."""
    lost: list[LostRecord] = []
    texts: list[str] = []
    for number, piece in enumerate(salvage(data), start=1):
        texts.append("null" if piece.fault else piece.text)
        if piece.fault:
            text = piece.text.encode("utf-8", "replace").decode("utf-8")
            lost.append(LostRecord(file=name, number=number, fault=piece.fault, text=text))
    body = ("[" + ",".join(texts) + "]").encode("utf-8")
    return Document(name=name, shape=Shape.ARRAY, body=body, salvaged=True), lost


def decode(cursor: duckdb.DuckDBPyConnection, documents: Sequence[Document]) -> list[LostRecord]:
    """Fill the cursor's temporary table `rows` with the records of `documents` and say which could not be taken."""
    lost: list[LostRecord] = []
    try:
        _fill(cursor, documents)
    except _cannot_decode():
        sound: list[Document] = []
        for doc in documents:
            if _decodes(cursor, doc):
                sound.append(doc)
            else:
                again, gone = salvaged(doc.name, doc.body)
                lost += gone
                sound.append(again)
        _fill(cursor, sound)
        documents = sound
    by_name = {doc.name: doc for doc in documents}
    faulty = cursor.execute(
        "select src_file, rec_no, fault from rows where fault is not null order by all"
    ).fetchall()
    texts: dict[str, Callable[[int], str]] = {}
    for name, number, fault in faulty:
        doc = by_name[name]
        text = texts.setdefault(name, _texts(doc))(number)
        if not (doc.salvaged and text == "null"):
            lost.append(LostRecord(file=name, number=number, fault=fault, text=text))
    cursor.execute("delete from rows where fault is not null").fetchall()
    return lost


def _cannot_decode() -> type[Exception]:
    import duckdb

    return duckdb.Error


def _fill(cursor: duckdb.DuckDBPyConnection, documents: Sequence[Document]) -> None:
    parts: list[str] = []
    for number, (shape, body) in enumerate(_BODIES.items()):
        chosen = [doc for doc in documents if doc.shape is shape]
        cursor.register(f"batch_{number}", _arrow(chosen))
        parts.append(f"select src_file, {body} as rs from batch_{number}")
    made = ",\n".join(f"{sql} as {name}" for name, sql in _COLUMNS.items())
    # The record number counts from 1 within the file, as its list position does in DuckDB.
    cursor.execute(
        f"""
        create or replace temp table rows as
        with records as (
            select src_file, unnest(rs) as r, generate_subscripts(rs, 1) as rec_no from ({" union all ".join(parts)})
        ), opened as (
            select *, from_json(r.userIdentity, '{_IDENTITY}') as u, from_json(r.requestParameters, '{_REQUEST}') as q,
                   from_json(r.responseElements, '{_RESPONSE}') as p, from_json(r.additionalEventData, '{_MORE}') as m
            from records
        )
        select {made}, {_FAULT} as fault from opened
        """
    ).fetchall()
    for number in range(len(_BODIES)):
        cursor.unregister(f"batch_{number}")


def _decodes(cursor: duckdb.DuckDBPyConnection, doc: Document) -> bool:
    try:
        _fill(cursor, [doc])
    except _cannot_decode():
        return False
    return True


def _texts(doc: Document) -> Callable[[int], str]:
    """Record number → its JSON text, from a file that is known to decode."""
    try:
        value = json.loads(doc.body)
    except (ValueError, RecursionError):
        return lambda number: f"record {number} of {doc.name}"
    records = value["Records"] if isinstance(value, dict) else value
    return lambda number: json.dumps(records[number - 1])


def _arrow(documents: Sequence[Document]) -> pa.Table:
    """The documents as an Arrow table, without a copy for a single one and with one copy for many."""
    import pyarrow as pa

    ends = [0]
    for doc in documents:
        ends.append(ends[-1] + len(doc.body))
    offsets = pa.array(ends, pa.int64()).buffers()[1]
    text = pa.py_buffer(b"".join(doc.body for doc in documents))
    body = pa.LargeStringArray.from_buffers(len(documents), offsets, text)
    return pa.table({"src_file": pa.array([doc.name for doc in documents], pa.string()), "body": body})
