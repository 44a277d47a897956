# ruff: noqa: S608 - SQL is put together from constants; what the user gives is bound
"""What the tables can know: which days, regions and kinds of events are there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from irkit.hunt.question import SINCE, UNTIL, Question
from irkit.hunt.questions.fragments import FLOW_WINDOW, WINDOW
from irkit.tables import Column, Tables, columns

if TYPE_CHECKING:
    import pandas as pd

_GAPS: tuple[Column, ...] = columns(
    "recipient_account_id aws_region event_category records:BIGINT days_with_records:BIGINT days_missing:BIGINT"
    " first_missing:TIMESTAMP last_missing:TIMESTAMP"
)
_CATEGORY = "coalesce(event_category, case when management_event = false then 'Data' else 'Management' end)"
# What a trail can record at all; the last three only if it was told to.
_CATEGORIES = ("Management", "Data", "Insight", "NetworkActivity")


def _gaps(tables: Tables, values: Mapping[str, Any]) -> pd.DataFrame:
    """For each account, region and category, the days between the first and the last record that have none."""
    import pandas as pd

    seen = tables.frame(
        f"""select date_trunc('day', event_time) as day, recipient_account_id, aws_region,
                   {_CATEGORY} as event_category, count(*) as records
            from cloudtrail where {WINDOW}
            group by date_trunc('day', event_time), recipient_account_id, aws_region, {_CATEGORY}""",
        values,
    )
    rows: list[tuple[Any, ...]] = []
    if len(seen):
        days = pd.date_range(seen["day"].min(), seen["day"].max(), freq="D")
        for account, of_account in seen.groupby("recipient_account_id", dropna=False):
            for region, here in of_account.groupby("aws_region", dropna=False):
                for category in _CATEGORIES:
                    found = here[here["event_category"] == category]
                    missing = days.difference(pd.DatetimeIndex(found["day"]))
                    if len(missing):
                        ends = (missing.min(), missing.max())
                        there = len(days) - len(missing)
                        rows.append(
                            (account, region, category, found["records"].sum(), there, len(missing), *ends)
                        )
    frame = pd.DataFrame(rows, columns=[column.name for column in _GAPS])
    for name in ("first_missing", "last_missing"):
        frame[name] = pd.to_datetime(frame[name], utc=True)
    return frame.sort_values(
        ["days_missing", "recipient_account_id", "aws_region"], ascending=[False, True, True]
    )


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
        name="coverage_gaps",
        title="What the CloudTrail records lack",
        doc="""Days without any record, for each account, region and category, between the first and the last day of
        the tables. A region that no record names at all cannot be listed: compare with the regions that the
        account has enabled. A category that is missing on all days was most likely never recorded.""",
        params=(SINCE, UNTIL),
        columns=_GAPS,
        walk=_gaps,
        walks=("cloudtrail",),
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
