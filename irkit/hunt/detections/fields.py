"""Where a CloudTrail field that a rule names lies in our tables: a typed column, or a path in a JSON column.

References:
    https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-record-contents.html
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

from irkit.tables import quoted

# Columns that hold exactly what the field holds, so that no JSON has to be opened for them.
_COLUMNS = {
    "eventID": "event_id",
    "eventName": "event_name",
    "eventSource": "event_source",
    "eventType": "event_type",
    "eventCategory": "event_category",
    "eventVersion": "event_version",
    "awsRegion": "aws_region",
    "recipientAccountId": "recipient_account_id",
    "sourceIPAddress": "source_ip",
    "userAgent": "user_agent",
    "errorCode": "error_code",
    "errorMessage": "error_message",
    "requestID": "request_id",
    "sharedEventID": "shared_event_id",
    "vpcEndpointId": "vpc_endpoint_id",
    "apiVersion": "api_version",
    "vpcEndpointAccountId": "vpc_endpoint_account_id",
    "userIdentity.type": "ui_type",
    "userIdentity.principalId": "ui_principal_id",
    "userIdentity.arn": "ui_arn",
    "userIdentity.accountId": "ui_account_id",
    "userIdentity.userName": "ui_user_name",
    "userIdentity.invokedBy": "ui_invoked_by",
    "userIdentity.identityProvider": "ui_identity_provider",
    "userIdentity.sessionContext.sessionIssuer.type": "issuer_type",
    "userIdentity.sessionContext.sessionIssuer.arn": "issuer_arn",
    "userIdentity.sessionContext.sessionIssuer.userName": "issuer_user",
    "userIdentity.sessionContext.sessionIssuer.accountId": "issuer_account",
    "userIdentity.sessionContext.sourceIdentity": "source_identity",
    "responseElements.ConsoleLogin": "console_login_result",
}
_TRUTHS = {
    "readOnly": "read_only",
    "managementEvent": "management_event",
    "sessionCredentialFromConsole": "session_credential_from_console",
}
_JSON = {
    "userIdentity": "user_identity",
    "requestParameters": "request_parameters",
    "responseElements": "response_elements",
    "additionalEventData": "additional_event_data",
    "resources": "resources",
    "tlsDetails": "tls_details",
    "serviceEventDetails": "service_event_details",
    "insightDetails": "insight_details",
    "addendum": "addendum",
    "eventContext": "event_context",
    "edgeDeviceDetails": "edge_device_details",
}
# These hold no list anywhere, which spares the search for one.
_WITHOUT_LISTS = frozenset({"user_identity", "tls_details"})
_MOST_LISTS = 2

# Few different values among many events: what a test says of them is worth finding out beforehand.
REPETITIVE = frozenset(_COLUMNS.values()) - {"event_id", "request_id", "shared_event_id", "error_message"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a field lies. `column` None means nowhere: CloudTrail has no such field."""

    column: str | None
    text: str = "cast(null as varchar)"
    path: tuple[str, ...] = ()
    json: bool = False

    @property
    def plain_path(self) -> str:
        """The path in the JSON column, as an SQL literal."""
        return _literal(self.path)

    @property
    def list_paths(self) -> Iterator[str]:
        """The paths in case that lists stand on the way or at its end, at most two of them."""
        if self.column in _WITHOUT_LISTS:
            return
        for number in range(1, min(_MOST_LISTS, len(self.path) + 1) + 1):
            for where in combinations(range(len(self.path) + 1), number):
                yield _literal(self.path, where)


def place(field: str) -> Place:
    """Where `field` lies; raises `ValueError` for a name that no JSON path can say."""
    if field in _COLUMNS:
        return Place(column=_COLUMNS[field], text=_COLUMNS[field])
    if field in _TRUTHS:
        return Place(column=_TRUTHS[field], text=f"cast({_TRUTHS[field]} as varchar)")
    if field == "eventTime":
        return Place(column="event_time", text="strftime(event_time, '%Y-%m-%dT%H:%M:%SZ')")
    first, *steps = field.split(".")
    if first not in _JSON:
        return Place(column=None)
    if any('"' in step or not step for step in steps):
        raise ValueError(f"the field name {field!r} has an empty part or a quotation mark in it")
    column = _JSON[first]
    path = tuple(steps)
    text = f"json_extract_string({column}, {_literal(path)})"
    return Place(column=column, text=text, path=path, json=True)


def searched() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What a keyword is looked for in: text columns of the record itself, and JSON columns."""
    return tuple(c for f, c in _COLUMNS.items() if "." not in f), tuple(_JSON.values())


def _literal(path: tuple[str, ...], lists_after: tuple[int, ...] = ()) -> str:
    steps = ["[*]"] if 0 in lists_after else []
    for number, step in enumerate(path, start=1):
        steps.append(f'."{step}"' + ("[*]" if number in lists_after else ""))
    return quoted("$" + "".join(steps))
