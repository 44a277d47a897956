# ruff: noqa: S608 - SQL is put together from constants; what the user gives is bound
"""What other logs say: requests to buckets and load balancers, names that were looked up."""

from __future__ import annotations

from irkit.hunt.question import SINCE, UNTIL, Kind, Param, Question
from irkit.hunt.questions.fragments import WINDOW
from irkit.tables import columns

_TIMES = "min(event_time) as first_seen, max(event_time) as last_seen"

QUESTIONS: tuple[Question, ...] = (
    Question(
        name="bucket_requests",
        title="Who asked a bucket for what",
        doc="""Requests in S3's own access logs by bucket, requester, address, program and operation, with the bytes
        sent. These logs are delivered late and without a guarantee; where data events exist, prefer
        `bytes_by_prefix`.""",
        params=(SINCE, UNTIL),
        columns=columns(
            "bucket requester source_ip user_agent operation requests:BIGINT objects:BIGINT bytes_out:BIGINT"
            " refused:BIGINT first_seen:TIMESTAMP last_seen:TIMESTAMP"
        ),
        attack=("T1530",),
        sql=f"""select bucket, requester, source_ip, user_agent, operation, count(*) as requests,
                   count(distinct object_key) as objects, coalesce(cast(sum(bytes_out) as bigint), 0) as bytes_out,
                   cast(sum(case when http_status = 403 then 1 else 0 end) as bigint) as refused, {_TIMES}
            from s3_access where {WINDOW} group by bucket, requester, source_ip, user_agent, operation
            order by bytes_out desc, bucket, source_ip, operation""",
    ),
    Question(
        name="names_looked_up",
        title="Which names a machine looked up",
        doc="""DNS queries by machine and name, rarest name first: domains of command and control, miners and
        exfiltration stand out. `part` narrows it to names that contain a text.""",
        params=(
            Param(name="part", kind=Kind.TEXT, doc="a part of the name, such as .example.", default=""),
            SINCE,
            UNTIL,
        ),
        columns=columns(
            "query_name instance_id source_ip queries:BIGINT failed:BIGINT machines:BIGINT first_seen:TIMESTAMP"
            " last_seen:TIMESTAMP"
        ),
        attack=("T1071.004", "T1568"),
        sql=f"""select d.query_name, instance_id, source_ip, count(*) as queries,
                   cast(sum(case when rcode <> 'NOERROR' then 1 else 0 end) as bigint) as failed,
                   min(n.machines) as machines, {_TIMES}
            from dns d join (select query_name, count(distinct source_ip) as machines from dns where {WINDOW}
                             group by query_name) n on n.query_name = d.query_name
            where ($part = '' or strpos(lower(d.query_name), lower($part)) > 0) and {WINDOW}
            group by d.query_name, instance_id, source_ip
            order by machines, queries, d.query_name, source_ip""",
    ),
    Question(
        name="web_requests",
        title="Who asked a load balancer for what",
        doc="""Requests by client: how many, how many different addresses (URLs), how many failed, how many bytes went
        out. Scanners ask for much and fail often; a web shell is one address that one client asks for.""",
        params=(SINCE, UNTIL),
        columns=columns(
            "client_ip user_agent requests:BIGINT urls:BIGINT failed:BIGINT bytes_in:BIGINT bytes_out:BIGINT"
            " first_seen:TIMESTAMP last_seen:TIMESTAMP"
        ),
        attack=("T1190", "T1505.003"),
        sql=f"""select client_ip, user_agent, count(*) as requests, count(distinct url) as urls,
                   cast(sum(case when elb_status >= 400 then 1 else 0 end) as bigint) as failed,
                   coalesce(cast(sum(bytes_in) as bigint), 0) as bytes_in,
                   coalesce(cast(sum(bytes_out) as bigint), 0) as bytes_out, {_TIMES}
            from elb where {WINDOW} group by client_ip, user_agent order by bytes_out desc, requests desc, client_ip""",
    ),
)
