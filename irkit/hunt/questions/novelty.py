# ruff: noqa: S608 - SQL is put together from constants; what the user gives is bound
"""What was not there before: new values against a baseline, and credentials that change places faster than people."""

from __future__ import annotations

from irkit.hunt.question import SINCE, UNTIL, Kind, Param, Question
from irkit.hunt.questions.fragments import API, DENIED, FROM_ADDRESS, WINDOW
from irkit.tables import columns

_MOMENT = Param(
    name="moment", kind=Kind.MOMENT, doc="when the incident began; what is before it is the baseline"
)
_VALUES = (
    ("principal", "principal"),
    ("api", API),
    ("address", "source_ip"),
    ("agent", "user_agent"),
    ("region", "aws_region"),
)


def _each(values: tuple[tuple[str, str], ...]) -> str:
    return " union all ".join(
        f"""select '{what}' as what, {sql} as value, principal, event_time,
                   case when {DENIED} then 1 else 0 end as denied
            from cloudtrail where {sql} is not null and {FROM_ADDRESS} and {WINDOW}"""
        for what, sql in values
    )


QUESTIONS: tuple[Question, ...] = (
    Question(
        name="new_since",
        title="What was not there before a time",
        doc="""Principals, APIs, addresses, user agents and regions that occur after a moment and not before it.
        The baseline is what the tables hold between `since` and the moment: where they hold little, everything
        is new.""",
        params=(_MOMENT, SINCE, UNTIL),
        columns=columns(
            "what value calls:BIGINT denied:BIGINT principals:BIGINT first_seen:TIMESTAMP last_seen:TIMESTAMP"
        ),
        attack=("T1078.004",),
        sql=f"""select what, value, count(*) as calls, cast(sum(denied) as bigint) as denied,
                   count(distinct principal) as principals, min(event_time) as first_seen, max(event_time) as last_seen
            from ({_each(_VALUES)}) v group by what, value having min(event_time) >= $moment
            order by first_seen, what, value""",
    ),
    Question(
        name="new_for_principal",
        title="What a principal had not done before a time",
        doc="""APIs, addresses, user agents and regions that a principal used after a moment and had not used before
        it. Only principals that the baseline knows; for the others see `new_since`.""",
        params=(_MOMENT, SINCE, UNTIL),
        columns=columns(
            "principal what value calls:BIGINT denied:BIGINT first_seen:TIMESTAMP last_seen:TIMESTAMP"
        ),
        attack=("T1078.004",),
        sql=f"""select v.principal, what, value, count(*) as calls, cast(sum(denied) as bigint) as denied,
                   min(event_time) as first_seen, max(event_time) as last_seen
            from ({_each(_VALUES[1:])}) v
            join (select principal from cloudtrail where {WINDOW} group by principal
                  having min(event_time) < $moment) known on known.principal = v.principal
            group by v.principal, what, value having min(event_time) >= $moment
            order by first_seen, v.principal, what, value""",
    ),
    Question(
        name="address_changes",
        title="Keys that change addresses faster than people travel",
        doc="""Access keys whose next call came from another address within so many minutes. `returns` counts how
        often the address before came back (A, B, A): two places at once, which no journey explains. Needs no
        outside data; machines behind several gateways and calls through VPC endpoints change too.""",
        params=(
            Param(name="minutes", kind=Kind.WHOLE, doc="minutes between the two calls at most", default=60),
            SINCE,
            UNTIL,
        ),
        columns=columns(
            "access_key_id principal from_ip to_ip changes:BIGINT returns:BIGINT shortest_seconds:BIGINT"
            " first_seen:TIMESTAMP last_seen:TIMESTAMP"
        ),
        attack=("T1078.004", "T1550.001"),
        sql=f"""with placed as (
                select access_key_id, principal, source_ip, event_time, event_id,
                       lag(source_ip) over (partition by access_key_id order by event_time, event_id) as from_ip,
                       lag(event_time) over (partition by access_key_id order by event_time, event_id) as left_at
                from cloudtrail where access_key_id is not null and {FROM_ADDRESS} and {WINDOW}
            ), moved as (
                select access_key_id, principal, from_ip, source_ip, event_time,
                       date_diff('second', left_at, event_time) as seconds,
                       lag(from_ip) over (partition by access_key_id order by event_time, event_id) as before_that
                from placed where from_ip <> source_ip
            )
            select access_key_id, min(principal) as principal, from_ip, source_ip as to_ip, count(*) as changes,
                   cast(sum(case when before_that = source_ip then 1 else 0 end) as bigint) as returns,
                   min(seconds) as shortest_seconds, min(event_time) as first_seen, max(event_time) as last_seen
            from moved where seconds <= $minutes * 60 group by access_key_id, from_ip, source_ip
            order by returns desc, changes desc, access_key_id, from_ip, to_ip""",
    ),
)
