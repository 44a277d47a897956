# ruff: noqa: S608 - SQL is put together from constants; what the user gives is bound
"""Who: access keys, principals, sessions, addresses, and whether credentials are where they belong."""

from __future__ import annotations

from irkit.hunt.question import SINCE, UNTIL, Kind, Param, Question
from irkit.hunt.questions.fragments import API, DENIED, EVENT, EVENT_COLUMNS, FROM_ADDRESS, WINDOW
from irkit.tables import columns

_KEY = Param(name="access_key_id", kind=Kind.ACCESS_KEY, doc="AKIA… of a user or ASIA… of a session")
_PRINCIPAL = Param(name="principal", kind=Kind.TEXT, doc="an ARN (user, role or session) or a user's name")

_USE = columns(
    "access_key_id ui_type ui_arn principal first_seen:TIMESTAMP last_seen:TIMESTAMP"
    " calls:BIGINT denied:BIGINT addresses:BIGINT apis:BIGINT"
)
_USE_SQL = f"""access_key_id, ui_type, ui_arn, principal, min(event_time) as first_seen, max(event_time) as last_seen,
       count(*) as calls, cast(sum(case when {DENIED} then 1 else 0 end) as bigint) as denied,
       count(distinct source_ip) as addresses, count(distinct {API}) as apis"""

QUESTIONS: tuple[Question, ...] = (
    Question(
        name="calls_of_access_key",
        title="Everything that one access key did",
        doc="""Every call signed with the key, oldest first, with where it came from and whether it was refused.""",
        params=(_KEY, SINCE, UNTIL),
        columns=EVENT_COLUMNS,
        sql=f"""select {EVENT} from cloudtrail where access_key_id = $access_key_id and {WINDOW}
            order by event_time, event_id""",
    ),
    Question(
        name="calls_of_principal",
        title="Everything that one principal did",
        doc="""Every call of a user, a role (all its sessions) or one session, whichever the ARN or user name
        means.""",
        params=(_PRINCIPAL, SINCE, UNTIL),
        columns=EVENT_COLUMNS,
        sql=f"""select {EVENT} from cloudtrail
            where (principal = $principal or ui_arn = $principal or ui_user_name = $principal) and {WINDOW}
            order by event_time, event_id""",
    ),
    Question(
        name="calls_from_address",
        title="Everything that came from these addresses",
        doc="Every call from one of the addresses, whoever made it.",
        params=(
            Param(name="addresses", kind=Kind.ADDRESSES, doc="IPv4 or IPv6 addresses, with commas between"),
            SINCE,
            UNTIL,
        ),
        columns=EVENT_COLUMNS,
        sql=f"""select {EVENT} from cloudtrail where source_ip in $addresses and {WINDOW}
            order by event_time, event_id""",
    ),
    Question(
        name="calls_of_agent",
        title="Everything that one program did",
        doc="""Every call whose user agent contains a text, whatever the case: a tool, a version, a kernel, a name.
        User agents are what the caller says of itself.""",
        params=(
            Param(name="agent", kind=Kind.TEXT, doc="a part of the user agent, such as boto3/1.28"),
            SINCE,
            UNTIL,
        ),
        columns=EVENT_COLUMNS,
        sql=f"""select {EVENT} from cloudtrail where strpos(lower(user_agent), lower($agent)) > 0 and {WINDOW}
            order by event_time, event_id""",
    ),
    Question(
        name="keys_summary",
        title="Every access key at a glance",
        doc="""One row for each access key: whose it is, when and how often it was used, from how many addresses,
        regions and programs, how many different APIs, how many refusals and changes.""",
        params=(SINCE, UNTIL),
        columns=_USE + columns("regions:BIGINT agents:BIGINT writes:BIGINT"),
        sql=f"""select {_USE_SQL}, count(distinct aws_region) as regions, count(distinct user_agent) as agents,
                   cast(sum(case when read_only = false then 1 else 0 end) as bigint) as writes
            from cloudtrail where access_key_id is not null and {WINDOW}
            group by access_key_id, ui_type, ui_arn, principal order by first_seen, access_key_id, ui_arn""",
    ),
    Question(
        name="access_keys_of_principal",
        title="Which access keys a principal used",
        doc="""Long-lived keys and session keys of a user or role: first and last use, calls, refusals, addresses.""",
        params=(_PRINCIPAL, SINCE, UNTIL),
        columns=_USE,
        sql=f"""select {_USE_SQL} from cloudtrail
            where (principal = $principal or ui_arn = $principal or ui_user_name = $principal)
              and access_key_id is not null and {WINDOW}
            group by access_key_id, ui_type, ui_arn, principal order by first_seen, access_key_id""",
    ),
    Question(
        name="keys_at_address",
        title="Which access keys were used from these addresses",
        doc="""One row for each key and address: who it belongs to, when it was used and how often it was refused.""",
        params=(
            Param(name="addresses", kind=Kind.ADDRESSES, doc="IPv4 or IPv6 addresses, with commas between"),
            SINCE,
            UNTIL,
        ),
        columns=columns("source_ip") + _USE,
        sql=f"""select source_ip, {_USE_SQL} from cloudtrail
            where source_ip in $addresses and access_key_id is not null and {WINDOW}
            group by source_ip, access_key_id, ui_type, ui_arn, principal order by first_seen, access_key_id""",
    ),
    Question(
        name="sessions_of_role",
        title="The sessions of a role",
        doc="Who held a role, as what, from how many addresses. `role` is the role's name or ARN.",
        params=(Param(name="role", kind=Kind.TEXT, doc="the role's name or ARN"), SINCE, UNTIL),
        columns=columns(
            "ui_arn access_key_id session_created:TIMESTAMP source_identity ec2_role_delivery first_seen:TIMESTAMP"
            " last_seen:TIMESTAMP calls:BIGINT denied:BIGINT addresses:BIGINT"
        ),
        sql=f"""select ui_arn, access_key_id, min(session_created) as session_created,
                   min(source_identity) as source_identity, min(ec2_role_delivery) as ec2_role_delivery,
                   min(event_time) as first_seen, max(event_time) as last_seen, count(*) as calls,
                   cast(sum(case when {DENIED} then 1 else 0 end) as bigint) as denied,
                   count(distinct source_ip) as addresses
            from cloudtrail where (issuer_arn = $role or issuer_user = $role) and {WINDOW}
            group by ui_arn, access_key_id order by first_seen, ui_arn""",
    ),
    Question(
        name="credentials_used_elsewhere",
        title="Instance credentials used from elsewhere",
        doc="""Calls with the credentials of an instance's role session from addresses that are not the instance's
        own. Give every address the instance has or had, private and public (a call through a VPC endpoint
        shows the private one). What is left was made with credentials that had left the machine.""",
        params=(
            Param(name="instance_id", kind=Kind.INSTANCE, doc="the instance whose role session it is"),
            Param(
                name="addresses", kind=Kind.ADDRESSES, doc="the instance's own addresses, with commas between"
            ),
            SINCE,
            UNTIL,
        ),
        columns=columns("source_ip user_agent") + _USE,
        attack=("T1552.005", "T1078.004"),
        sql=f"""select source_ip, user_agent, {_USE_SQL} from cloudtrail
            where ui_arn like '%:assumed-role/%/' || $instance_id and source_ip not in $addresses
              and {FROM_ADDRESS} and {WINDOW}
            group by source_ip, user_agent, access_key_id, ui_type, ui_arn, principal
            order by first_seen, source_ip, user_agent""",
    ),
    Question(
        name="first_and_last_seen",
        title="When a value was first and last seen",
        doc="""When, and as what, an access key, address, ARN, user name, event id, bucket or user agent occurs.
        `value` is compared whole, not searched for inside other text.""",
        params=(Param(name="value", kind=Kind.TEXT, doc="the exact value to look for"),),
        columns=columns("seen_as first_seen:TIMESTAMP last_seen:TIMESTAMP times:BIGINT"),
        sql=" union all ".join(
            f"""select '{column}' as seen_as, min({when}) as first_seen, max({when}) as last_seen, count(*) as times
            from {table} where {column} = $value having count(*) > 0"""
            for table, when, names in (
                (
                    "cloudtrail",
                    "event_time",
                    (
                        "access_key_id source_ip ui_arn principal ui_user_name user_agent event_name bucket target_user"
                        " issued_access_key_id created_access_key_id issued_arn role_arn recipient_account_id event_id"
                    ),
                ),
                ("flow", "start_ts", "srcaddr dstaddr interface_id instance_id"),
            )
            for column in names.split()
        )
        + " order by first_seen, seen_as",
    ),
    Question(
        name="console_logins",
        title="Console logins",
        doc="Sign-ins to the console, successful or not, with or without a second factor.",
        params=(SINCE, UNTIL),
        columns=columns(
            "event_time:TIMESTAMP ui_type ui_arn ui_user_name console_login_result mfa_used:BOOLEAN source_ip"
            " user_agent error_message event_id"
        ),
        attack=("T1078.004",),
        sql=f"""select event_time, ui_type, ui_arn, ui_user_name, console_login_result, mfa_used, source_ip, user_agent,
                   error_message, event_id
            from cloudtrail where event_name = 'ConsoleLogin' and {WINDOW} order by event_time, event_id""",
    ),
    Question(
        name="responder_calls",
        title="Calls made by irkit",
        doc="""The responders' own calls, told by the user agent that irkit sends (`irkit/…`), so that they are not
        taken for the attacker's. A user agent can be forged: compare with the case's journal.""",
        params=(SINCE, UNTIL),
        columns=EVENT_COLUMNS,
        sql=f"""select {EVENT} from cloudtrail where user_agent like '%irkit/%' and {WINDOW}
            order by event_time, event_id""",
    ),
)
