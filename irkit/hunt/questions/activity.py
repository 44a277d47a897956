# ruff: noqa: S608 - SQL is put together from constants; what the user gives is bound
"""What was done: activity over time, refusals, bursts of looking around."""

from __future__ import annotations

from irkit.hunt.question import SINCE, UNTIL, Kind, Param, Question
from irkit.hunt.questions.fragments import API, DENIED, EVENT, EVENT_COLUMNS, FROM_ADDRESS, WINDOW
from irkit.tables import columns

QUESTIONS: tuple[Question, ...] = (
    Question(
        name="api_activity",
        title="Calls per hour and principal",
        doc="""How many calls each principal made in each hour, and how many were refused: the shape of the
        activity.""",
        params=(SINCE, UNTIL),
        columns=columns("hour:TIMESTAMP principal calls:BIGINT denied:BIGINT writes:BIGINT"),
        sql=f"""select date_trunc('hour', event_time) as hour, principal, count(*) as calls,
                   cast(sum(case when {DENIED} then 1 else 0 end) as bigint) as denied,
                   cast(sum(case when read_only = false then 1 else 0 end) as bigint) as writes
            from cloudtrail where {WINDOW}
            group by date_trunc('hour', event_time), principal order by hour, principal""",
    ),
    Question(
        name="apis_of_access_key",
        title="Which APIs an access key called",
        doc="One row for each API: how often, first and last, how often it was refused.",
        params=(Param(name="access_key_id", kind=Kind.ACCESS_KEY, doc="AKIA… or ASIA…"), SINCE, UNTIL),
        columns=columns(
            "api calls:BIGINT denied:BIGINT errors:BIGINT first_seen:TIMESTAMP last_seen:TIMESTAMP addresses:BIGINT"
        ),
        sql=f"""select {API} as api, count(*) as calls,
                   cast(sum(case when {DENIED} then 1 else 0 end) as bigint) as denied,
                   count(error_code) as errors, min(event_time) as first_seen, max(event_time) as last_seen,
                   count(distinct source_ip) as addresses
            from cloudtrail where access_key_id = $access_key_id and {WINDOW}
            group by {API} order by first_seen, api""",
    ),
    Question(
        name="denied_calls",
        title="Refused calls",
        doc="""Calls that were refused for want of permission, by principal, key, address and API. `principal`
        narrows it to one ARN.""",
        params=(
            Param(name="principal", kind=Kind.TEXT, doc="an ARN of a user, role or session", default=""),
            SINCE,
            UNTIL,
        ),
        columns=columns(
            "principal access_key_id source_ip api error_code denied:BIGINT first_seen:TIMESTAMP last_seen:TIMESTAMP"
        ),
        attack=("T1580",),
        sql=f"""select principal, access_key_id, source_ip, {API} as api, error_code, count(*) as denied,
                   min(event_time) as first_seen, max(event_time) as last_seen
            from cloudtrail
            where {DENIED} and ($principal = '' or principal = $principal or ui_arn = $principal) and {WINDOW}
            group by principal, access_key_id, source_ip, {API}, error_code order by first_seen, api""",
    ),
    Question(
        name="enumeration_bursts",
        title="Bursts of looking around",
        doc="""Hours in which one key, from one address, called many different Describe, List and Get operations,
        or was refused often: what an intruder does first with stolen credentials.""",
        params=(
            Param(name="apis", kind=Kind.WHOLE, doc="different reading operations at least", default=10),
            Param(name="refusals", kind=Kind.WHOLE, doc="or refusals at least", default=5),
            SINCE,
            UNTIL,
        ),
        columns=columns(
            "hour:TIMESTAMP principal ui_arn access_key_id source_ip apis:BIGINT calls:BIGINT denied:BIGINT"
            " services:BIGINT first_seen:TIMESTAMP last_seen:TIMESTAMP"
        ),
        attack=("T1087.004", "T1580", "T1619"),
        sql=f"""select hour, principal, ui_arn, access_key_id, source_ip, apis, calls, denied, services,
                   first_seen, last_seen
            from (select date_trunc('hour', event_time) as hour, principal, ui_arn, access_key_id, source_ip,
                         count(distinct {API}) as apis, count(*) as calls,
                         cast(sum(case when {DENIED} then 1 else 0 end) as bigint) as denied,
                         count(distinct event_source) as services,
                         min(event_time) as first_seen, max(event_time) as last_seen
                  from cloudtrail
                  where (event_name like 'List%' or event_name like 'Describe%' or event_name like 'Get%'
                         or event_name like 'Head%') and event_name <> 'GetObject' and {FROM_ADDRESS} and {WINDOW}
                  group by date_trunc('hour', event_time), principal, ui_arn, access_key_id, source_ip) b
            where apis >= $apis or denied >= $refusals order by hour, apis desc, principal""",
    ),
    Question(
        name="who_did_around",
        title="What changed around a time",
        doc="Every call that was not read-only within so many minutes before and after a moment, by anyone.",
        params=(
            Param(name="moment", kind=Kind.MOMENT, doc="the time to look around"),
            Param(name="minutes", kind=Kind.WHOLE, doc="minutes before and after", default=15),
        ),
        columns=EVENT_COLUMNS,
        sql=f"""select {EVENT}
            from cloudtrail
            where coalesce(read_only, false) = false
              and event_time between cast($moment as timestamp) - interval '1' minute * $minutes
                                 and cast($moment as timestamp) + interval '1' minute * $minutes
            order by event_time, event_id""",
    ),
    Question(
        name="calls_about",
        title="Every call that names something",
        doc="""Calls that mention a resource (an id, a name, an ARN, a key) in the request, the response or the list
        of resources, by anyone; the text is compared as it stands, case counts.""",
        params=(
            Param(name="resource", kind=Kind.TEXT, doc="such as i-0123456789abcdef0 or a bucket's name"),
            SINCE,
            UNTIL,
        ),
        columns=EVENT_COLUMNS,
        sql=f"""select {EVENT} from cloudtrail
            where (strpos(request_parameters, $resource) > 0 or strpos(response_elements, $resource) > 0
                   or strpos(resources, $resource) > 0) and {WINDOW}
            order by event_time, event_id""",
    ),
    Question(
        name="user_agents",
        title="Programs that made calls",
        doc="""User agents, rarest first: tools of an intruder stand out against those an account uses every day.""",
        params=(SINCE, UNTIL),
        columns=columns(
            "user_agent calls:BIGINT principals:BIGINT addresses:BIGINT first_seen:TIMESTAMP last_seen:TIMESTAMP"
        ),
        sql=f"""select user_agent, count(*) as calls, count(distinct principal) as principals,
                   count(distinct source_ip) as addresses, min(event_time) as first_seen, max(event_time) as last_seen
            from cloudtrail where user_agent is not null and {FROM_ADDRESS} and {WINDOW}
            group by user_agent order by calls, user_agent""",
    ),
    Question(
        name="rare_apis",
        title="APIs that hardly anyone calls",
        doc="Operations called by one principal only and not often; rare is not evil, but evil is rare.",
        params=(
            Param(name="most", kind=Kind.WHOLE, doc="calls at most", default=5),
            SINCE,
            UNTIL,
        ),
        columns=columns(
            "api principal calls:BIGINT denied:BIGINT first_seen:TIMESTAMP last_seen:TIMESTAMP source_ip"
        ),
        sql=f"""select {API} as api, min(principal) as principal, count(*) as calls,
                   cast(sum(case when {DENIED} then 1 else 0 end) as bigint) as denied, min(event_time) as first_seen,
                   max(event_time) as last_seen, min(source_ip) as source_ip
            from cloudtrail where {FROM_ADDRESS} and {WINDOW}
            group by {API} having count(distinct principal) = 1 and count(*) <= $most order by calls, api""",
    ),
)
