"""Pieces of SQL that questions share; constants, never made of what a user gives."""

from __future__ import annotations

from irkit.tables import Column, columns

WINDOW = "event_time >= $since and event_time < $until"
FLOW_WINDOW = "start_ts >= $since and start_ts < $until"

# What CloudTrail calls a refusal differs by service.
DENIED = (
    "coalesce(error_code like 'AccessDenied%' or error_code like '%UnauthorizedOperation'"
    " or error_code in ('UnauthorizedAccess', 'Forbidden', '403', 'NotAuthorized', 'AuthorizationError',"
    " 'Client.OperationNotPermitted'), false)"
)

# Calls that AWS makes for an account have a service's name, or words, where the address would be; a loopback address
# is no place in a network, only a simulated AWS writes it.
FROM_ADDRESS = (
    "source_ip not like '%.amazonaws.com' and source_ip not in ('AWS Internal', 'Internal')"
    " and source_ip not like '127.%'"
)

EVENT_COLUMNS: tuple[Column, ...] = columns(
    "event_time:TIMESTAMP event_source event_name aws_region principal ui_arn access_key_id source_ip user_agent"
    " error_code error_message request_parameters event_id recipient_account_id src_file"
)
EVENT = ", ".join(column.name for column in EVENT_COLUMNS)

API = "replace(event_source, '.amazonaws.com', '') || ':' || event_name"


def json_text(column: str, *path: str) -> str:
    """SQL for the text at `path` in a JSON column; NULL where there is none."""
    steps = "".join(f'."{step}"' for step in path)
    return f"json_extract_string({column}, '${steps}')"
