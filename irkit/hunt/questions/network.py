# ruff: noqa: S608 - SQL is put together from constants; what the user gives is bound
"""What crossed the network: talkers, what left and to where, what came in, what beats like a clock.

A flow record counts one direction of a conversation as one interface saw it, within a window of a minute or ten. `port`
is the service's: the port below the ephemeral range, or the lower one; who has the other port opened the conversation.

References:
    https://docs.aws.amazon.com/vpc/latest/userguide/flow-log-records.html
    RFC 6056 and Linux's net.ipv4.ip_local_port_range (32768-60999) for ephemeral ports
"""

from __future__ import annotations

from irkit.hunt.question import SINCE, UNTIL, Kind, Param, Question
from irkit.hunt.questions.fragments import FLOW_WINDOW
from irkit.tables import columns

_OWN = Param(
    name="addresses",
    kind=Kind.ADDRESSES,
    doc="the machine's own private addresses, with commas between; empty: all",
    default=(),
)
_OWN_SQL = "($given_addresses = 0 or {end} in $addresses)"

# One conversation side per row: `own` is the inside end, whichever way the record points.
_SIDES = f"""
select start_ts, end_ts, action, protocol, bytes, packets, direction, external_ip,
       case when direction = 'out' then srcaddr else dstaddr end as own,
       case when direction = 'out' then srcport else dstport end as own_port,
       case when direction = 'out' then dstport else srcport end as far_port
from flow where direction in ('in', 'out') and coalesce(log_status, 'OK') = 'OK' and {FLOW_WINDOW}
"""
_OPENED = """
select *, case when own_port >= 32768 and far_port < 32768 then 1 when far_port >= 32768 and own_port < 32768 then 0
               when far_port <= own_port then 1 else 0 end as ours
from ({sides}) s
"""
_CONVERSATIONS = f"""
select own, external_ip, case when ours = 1 then far_port else own_port end as port, protocol, ours,
       cast(sum(case when direction = 'out' then bytes else 0 end) as bigint) as bytes_out,
       cast(sum(case when direction = 'in' then bytes else 0 end) as bigint) as bytes_in,
       cast(sum(packets) as bigint) as packets, count(*) as flows,
       cast(sum(case when action = 'ACCEPT' then 1 else 0 end) as bigint) as accepted,
       cast(sum(case when action = 'REJECT' then 1 else 0 end) as bigint) as rejected,
       min(start_ts) as first_seen, max(end_ts) as last_seen
from ({_OPENED.format(sides=_SIDES)}) o
where {_OWN_SQL.format(end="own")}
group by own, external_ip, case when ours = 1 then far_port else own_port end, protocol, ours
"""
_CONVERSATION = columns(
    "own external_ip port:INTEGER protocol:INTEGER bytes_out:BIGINT bytes_in:BIGINT packets:BIGINT flows:BIGINT"
    " accepted:BIGINT rejected:BIGINT first_seen:TIMESTAMP last_seen:TIMESTAMP"
)
_CONVERSATION_SQL = ", ".join(column.name for column in _CONVERSATION)
_RECORD = columns(
    "start_ts:TIMESTAMP end_ts:TIMESTAMP interface_id srcaddr srcport:INTEGER dstaddr dstport:INTEGER protocol:INTEGER"
    " packets:BIGINT bytes:BIGINT action direction src_file"
)
_RECORD_SQL = ", ".join(column.name for column in _RECORD)

_BEACONS = """
select own, external_ip, port, protocol, flows, period_seconds, jitter, bytes_out, first_seen, last_seen
from (
    select g.own, g.external_ip, g.port, g.protocol, count(*) + 1 as flows, min(m.median) as period_seconds,
           approx_quantile(abs(g.gap - m.median), 0.5) / min(m.median) as jitter,
           cast(sum(g.bytes) as bigint) as bytes_out, min(g.start_ts) as first_seen, max(g.end_ts) as last_seen
    from gaps g join (
        select own, external_ip, port, protocol, approx_quantile(gap, 0.5) as median
        from gaps where gap > 0 group by own, external_ip, port, protocol
        having count(*) + 1 >= $flows and approx_quantile(gap, 0.5) >= 1
    ) m on g.own = m.own and g.external_ip = m.external_ip and g.port = m.port and g.protocol = m.protocol
    where g.gap > 0
    group by g.own, g.external_ip, g.port, g.protocol
) b
where jitter <= $jitter order by jitter, flows desc, external_ip, own, port, protocol
"""

QUESTIONS: tuple[Question, ...] = (
    Question(
        name="top_talkers",
        title="Who exchanged most bytes",
        doc="Pairs of addresses by bytes sent from the first to the second, inside and outside alike.",
        params=(Param(name="most", kind=Kind.WHOLE, doc="pairs at most", default=50), SINCE, UNTIL),
        columns=columns(
            "srcaddr dstaddr direction bytes:BIGINT packets:BIGINT flows:BIGINT first_seen:TIMESTAMP"
            " last_seen:TIMESTAMP"
        ),
        sql=f"""select srcaddr, dstaddr, direction, cast(sum(bytes) as bigint) as bytes,
                   cast(sum(packets) as bigint) as packets, count(*) as flows,
                   min(start_ts) as first_seen, max(end_ts) as last_seen
            from flow where srcaddr is not null and {FLOW_WINDOW} group by srcaddr, dstaddr, direction
            order by bytes desc, srcaddr, dstaddr limit $most""",
    ),
    Question(
        name="outbound_by_destination",
        title="What left, by destination",
        doc="""Conversations that a machine inside opened to outside addresses: bytes each way, first and last.
        Only public destinations; replies to visitors are in `inbound_to_instance`.""",
        params=(_OWN, SINCE, UNTIL),
        columns=_CONVERSATION,
        attack=("T1041", "T1048"),
        sql=f"""select {_CONVERSATION_SQL} from ({_CONVERSATIONS}) c where ours = 1
            order by bytes_out desc, external_ip, port""",
    ),
    Question(
        name="inbound_to_instance",
        title="What came in from outside",
        doc="""Conversations that outside addresses opened to a machine inside: to which port, how often, accepted
        or rejected.""",
        params=(_OWN, SINCE, UNTIL),
        columns=_CONVERSATION,
        attack=("T1190",),
        sql=f"""select {_CONVERSATION_SQL} from ({_CONVERSATIONS}) c where ours = 0
            order by first_seen, external_ip, port""",
    ),
    Question(
        name="flows_with_address",
        title="Flow records of an outside address",
        doc="Every flow record from or to the addresses, oldest first.",
        params=(
            Param(
                name="addresses", kind=Kind.ADDRESSES, doc="the addresses to look for, with commas between"
            ),
            SINCE,
            UNTIL,
        ),
        columns=_RECORD,
        sql=f"""select {_RECORD_SQL} from flow where (srcaddr in $addresses or dstaddr in $addresses) and {FLOW_WINDOW}
            order by start_ts, srcaddr, dstaddr, srcport, dstport""",
    ),
    Question(
        name="flows_after",
        title="What still passed after a time",
        doc="""Accepted flow records of a machine that began after a moment, such as its containment. An
        established connection lives on when a security group changes; this is where it shows.""",
        params=(
            Param(name="moment", kind=Kind.MOMENT, doc="the time after which nothing should pass"),
            Param(
                name="addresses", kind=Kind.ADDRESSES, doc="the machine's own addresses, with commas between"
            ),
        ),
        columns=_RECORD,
        sql=f"""select {_RECORD_SQL} from flow
            where (srcaddr in $addresses or dstaddr in $addresses) and action = 'ACCEPT' and start_ts > $moment
            order by start_ts, srcaddr, dstaddr, srcport, dstport""",
    ),
    Question(
        name="beacons",
        title="Conversations that beat like a clock",
        doc="""Conversations opened from inside whose records come at even intervals: command and control, miners,
        but also agents and time servers. `jitter` is the median deviation from the median interval, as a
        share of it.""",
        params=(
            _OWN,
            Param(name="flows", kind=Kind.WHOLE, doc="records at least", default=24),
            Param(
                name="jitter",
                kind=Kind.NUMBER,
                doc="jitter at most, 0.1 is a tenth of the interval",
                default=0.1,
            ),
            SINCE,
            UNTIL,
        ),
        columns=columns(
            "own external_ip port:INTEGER protocol:INTEGER flows:BIGINT period_seconds:DOUBLE jitter:DOUBLE"
            " bytes_out:BIGINT first_seen:TIMESTAMP last_seen:TIMESTAMP"
        ),
        attack=("T1071", "T1496"),
        sql=f"""with opened as ({_OPENED.format(sides=_SIDES)}), gaps as (
                select own, external_ip, far_port as port, protocol, bytes, start_ts, end_ts,
                       date_diff('second', lag(start_ts) over (
                           partition by own, external_ip, far_port, protocol order by start_ts), start_ts) as gap
                from opened where ours = 1 and direction = 'out' and {_OWN_SQL.format(end="own")}
            ) {_BEACONS}""",
    ),
    Question(
        name="rejected_probes",
        title="Who was turned away",
        doc="""Outside addresses whose packets were rejected, with how many ports and machines they tried, and
        whether anything of theirs was accepted: scans, and scans that found something.""",
        params=(
            Param(name="least", kind=Kind.WHOLE, doc="rejected records at least", default=5),
            SINCE,
            UNTIL,
        ),
        columns=columns(
            "srcaddr rejected:BIGINT accepted:BIGINT ports:BIGINT machines:BIGINT first_seen:TIMESTAMP"
            " last_seen:TIMESTAMP"
        ),
        attack=("T1595.001", "T1046"),
        sql=f"""select srcaddr, cast(sum(case when action = 'REJECT' then 1 else 0 end) as bigint) as rejected,
                   cast(sum(case when action = 'ACCEPT' then 1 else 0 end) as bigint) as accepted,
                   count(distinct case when action = 'REJECT' then dstport end) as ports,
                   count(distinct case when action = 'REJECT' then dstaddr end) as machines,
                   min(start_ts) as first_seen, max(end_ts) as last_seen
            from flow where direction = 'in' and {FLOW_WINDOW} group by srcaddr
            having sum(case when action = 'REJECT' then 1 else 0 end) >= $least order by rejected desc, srcaddr""",
    ),
    Question(
        name="bytes_by_hour",
        title="Bytes in and out by hour",
        doc="What a machine, or all of them, exchanged with the outside in each hour.",
        params=(_OWN, SINCE, UNTIL),
        columns=columns("hour:TIMESTAMP bytes_out:BIGINT bytes_in:BIGINT flows:BIGINT destinations:BIGINT"),
        sql=f"""select date_trunc('hour', start_ts) as hour,
                   cast(sum(case when direction = 'out' then bytes else 0 end) as bigint) as bytes_out,
                   cast(sum(case when direction = 'in' then bytes else 0 end) as bigint) as bytes_in, count(*) as flows,
                   count(distinct external_ip) as destinations
            from ({_SIDES}) s where {_OWN_SQL.format(end="own")} group by date_trunc('hour', start_ts) order by hour""",
    ),
)
