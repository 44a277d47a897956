# ruff: noqa: S608 - SQL is put together from constants; what the user gives is bound
"""What the tables can know: which days, regions and kinds of events are there."""

from __future__ import annotations

from irkit.hunt.question import SINCE, UNTIL, Question
from irkit.hunt.questions.fragments import FLOW_WINDOW, WINDOW
from irkit.tables import columns

QUESTIONS: tuple[Question, ...] = (
    Question(
        name="coverage",
        title="What the CloudTrail records cover",
        doc="""Records by day, account, region and category (management, data, insight, network activity). A day,
        region or category that is missing here cannot have answered any question.""",
        params=(SINCE, UNTIL),
        columns=columns(
            "day:TIMESTAMP recipient_account_id aws_region event_category records:BIGINT first_seen:TIMESTAMP"
            " last_seen:TIMESTAMP"
        ),
        sql=f"""select date_trunc('day', event_time) as day, recipient_account_id, aws_region,
                   coalesce(event_category, case when management_event = false then 'Data' else 'Management' end)
                       as event_category,
                   count(*) as records, min(event_time) as first_seen, max(event_time) as last_seen
            from cloudtrail where {WINDOW}
            group by date_trunc('day', event_time), recipient_account_id, aws_region,
                     coalesce(event_category, case when management_event = false then 'Data' else 'Management' end)
            order by day, recipient_account_id, aws_region, event_category""",
    ),
    Question(
        name="flow_coverage",
        title="What the flow records cover",
        doc="""Records by day and interface, with those that AWS marked as skipped (SKIPDATA: capacity or an
        internal error) or empty (NODATA).""",
        params=(SINCE, UNTIL),
        columns=columns(
            "day:TIMESTAMP account_id interface_id records:BIGINT skipped:BIGINT empty:BIGINT first_seen:TIMESTAMP"
            " last_seen:TIMESTAMP"
        ),
        sql=f"""select date_trunc('day', start_ts) as day, account_id, interface_id, count(*) as records,
                   cast(sum(case when log_status = 'SKIPDATA' then 1 else 0 end) as bigint) as skipped,
                   cast(sum(case when log_status = 'NODATA' then 1 else 0 end) as bigint) as empty,
                   min(start_ts) as first_seen, max(end_ts) as last_seen
            from flow where {FLOW_WINDOW}
            group by date_trunc('day', start_ts), account_id, interface_id order by day, account_id, interface_id""",
    ),
)
