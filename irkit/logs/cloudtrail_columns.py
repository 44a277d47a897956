"""What each column of the `cloudtrail` and `edge` tables is made of, as DuckDB SQL.

Names in the expressions: `r` the record, `q` its requestParameters, `p` its responseElements, `m` its
additionalEventData, `u` its userIdentity. The identity's columns are reckoned once for each distinct identity: a
session makes many calls.

References:
    https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-record-contents.html
    https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-user-identity.html
"""

from __future__ import annotations

import json

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
KNOWN_FIELDS = frozenset((*_TEXT, *_JSON))
_IDENTITY_TEXT = [
    "type",
    "principalId",
    "arn",
    "accountId",
    "accessKeyId",
    "userName",
    "invokedBy",
    "identityProvider",
]


def _text(*names: str) -> dict[str, str]:
    return dict.fromkeys(names, "VARCHAR")


def _quoted(spec: object) -> str:
    return "'" + json.dumps(spec).replace("'", "''") + "'"


RECORD = _quoted({**_text(*_TEXT), **dict.fromkeys(_JSON, "JSON")})
REQUEST = _quoted(_text("roleArn", "roleSessionName", "bucketName", "key", "userName"))
RESPONSE = _quoted(
    {
        "credentials": _text("accessKeyId"),
        "assumedRoleUser": _text("arn"),
        "federatedUser": _text("arn"),
        "accessKey": _text("accessKeyId"),
        "ConsoleLogin": "VARCHAR",
    }
)
MORE = _quoted(_text("bytesTransferredIn", "bytesTransferredOut", "MFAUsed"))
IDENTITY = _quoted(
    {
        **_text(*_IDENTITY_TEXT),
        "sessionContext": {
            "sessionIssuer": _text("type", "arn", "userName", "accountId"),
            "attributes": _text("creationDate", "mfaAuthenticated"),
            "sourceIdentity": "VARCHAR",
            "ec2RoleDelivery": "VARCHAR",
        },
    }
)


def _time(text: str) -> str:
    return f"coalesce(try_strptime({text}, '%Y-%m-%dT%H:%M:%SZ'), try_cast({text} as timestamp))"


def _whole_number(text: str) -> str:
    return f"try_cast(try_cast({text} as double) as bigint)"


def _json_text(name: str) -> str:
    return f"cast(r.{name} as varchar)"


# An Insight record carries the event's source and name inside its details.
_DETAILS = """from_json(r.insightDetails, '{"eventSource":"VARCHAR","eventName":"VARCHAR"}')"""

COLUMNS = {
    "event_time": _time("r.eventTime"),
    "event_id": "r.eventID",
    "event_name": f"coalesce(r.eventName, {_DETAILS}.eventName)",
    "event_source": f"coalesce(r.eventSource, {_DETAILS}.eventSource)",
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
    "request_parameters": _json_text("requestParameters"),
    "response_elements": _json_text("responseElements"),
    "additional_event_data": _json_text("additionalEventData"),
    "resources": _json_text("resources"),
    "tls_details": _json_text("tlsDetails"),
    "service_event_details": _json_text("serviceEventDetails"),
    "user_identity": _json_text("userIdentity"),
    "insight_details": _json_text("insightDetails"),
    "addendum": _json_text("addendum"),
    "event_context": _json_text("eventContext"),
    "edge_device_details": _json_text("edgeDeviceDetails"),
    "api_version": "r.apiVersion",
    "vpc_endpoint_account_id": "r.vpcEndpointAccountId",
    "session_credential_from_console": "try_cast(r.sessionCredentialFromConsole as boolean)",
}

IDENTITY_COLUMNS = {
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
}

# The decoder takes a string for an object with nothing in it; only its first letter tells them apart.
FAULT = """case
    when r is null then 'not JSON'
    when r.eventTime is null and left(ltrim(rec), 1) <> '{' then 'not an object'
    when r.eventTime is null then 'no eventTime'
    when event_time is null then 'eventTime is no time'
    when event_name is null or event_name = '' then 'no eventName'
    when event_source is null then 'no eventSource'
    when user_identity is not null and left(user_identity, 1) <> '{' then 'userIdentity is not an object'
end"""

# 128 bits stand for the event and the account that received it: one event may be in two accounts.
_TWIN = "r.eventID, coalesce(r.recipientAccountId, '')"
KEYS = (
    f"case when r.eventID is not null then hash({_TWIN}) end as key_low,"
    f" case when r.eventID is not null then hash('irkit', {_TWIN}) end as key_high"
)
KEYS_OF_ROWS = KEYS.replace("r.eventID", "event_id").replace("r.recipientAccountId", "recipient_account_id")

# Who issued which key: role sessions, federation and session tokens, and the long-lived keys made for users.
EDGES = """
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
from issuing
"""
EDGE_SOURCES = [
    "event_time",
    "event_id",
    "event_name",
    "access_key_id",
    "ui_arn",
    "ui_invoked_by",
    "ui_user_name",
    "issued_access_key_id",
    "created_access_key_id",
    "issued_arn",
    "target_user",
    "role_arn",
    "role_session_name",
    "source_ip",
    "user_agent",
    "aws_region",
    "recipient_account_id",
]
