# ruff: noqa: S608 - SQL is put together from constants; what the user gives is bound
"""Who tried doors, which door opened, what stayed open, and what known bad addresses did."""

from __future__ import annotations

from irkit.hunt.question import SINCE, UNTIL, Kind, Param, Question
from irkit.hunt.questions.fragments import FLOW_WINDOW
from irkit.tables import columns

_ADDRESSES = Param(name="addresses", kind=Kind.ADDRESSES, doc="IPv4 or IPv6 addresses, with commas between")
# An answer goes from a service's port to a port of the ephemeral range: many answers are no scan.
_ASKS = "srcaddr is not null and not (srcport < 32768 and dstport >= 32768)"
_COUNTS = """count(*) as flows, cast(sum(case when action = 'REJECT' then 1 else 0 end) as bigint) as rejected,
       min(start_ts) as first_seen, max(end_ts) as last_seen"""


def _indicator(table: str, column: str, moment: str, size: str) -> str:
    return f"""select '{table}.{column}' as seen_in, {column} as address, count(*) as times,
       cast(sum({size}) as bigint) as bytes, min({moment}) as first_seen, max({moment}) as last_seen
       from {table} where {column} in $addresses group by {column}"""


QUESTIONS: tuple[Question, ...] = (
    Question(
        name="port_scans",
        title="Who tried many ports of one machine",
        doc="""Pairs of addresses with many different ports asked for within an hour, rejected or not.""",
        params=(
            Param(name="ports", kind=Kind.WHOLE, doc="different ports in an hour at least", default=15),
            SINCE,
            UNTIL,
        ),
        columns=columns(
            "hour:TIMESTAMP srcaddr dstaddr ports:BIGINT flows:BIGINT rejected:BIGINT first_seen:TIMESTAMP"
            " last_seen:TIMESTAMP"
        ),
        attack=("T1046", "T1595.001"),
        sql=f"""select date_trunc('hour', start_ts) as hour, srcaddr, dstaddr,
                   count(distinct dstport) as ports, {_COUNTS}
            from flow where {_ASKS} and {FLOW_WINDOW} group by date_trunc('hour', start_ts), srcaddr, dstaddr
            having count(distinct dstport) >= $ports order by ports desc, hour, srcaddr, dstaddr""",
    ),
    Question(
        name="host_scans",
        title="Who tried one port of many machines",
        doc="""Addresses that asked many machines for the same port within an hour, rejected or not: a search for a
        service, from outside or from a machine that was taken.""",
        params=(
            Param(name="hosts", kind=Kind.WHOLE, doc="different machines in an hour at least", default=10),
            SINCE,
            UNTIL,
        ),
        columns=columns(
            "hour:TIMESTAMP srcaddr dstport:INTEGER protocol:INTEGER hosts:BIGINT flows:BIGINT rejected:BIGINT"
            " first_seen:TIMESTAMP last_seen:TIMESTAMP"
        ),
        attack=("T1046", "T1595.001"),
        sql=f"""select date_trunc('hour', start_ts) as hour, srcaddr, dstport, protocol,
                   count(distinct dstaddr) as hosts, {_COUNTS}
            from flow where {_ASKS} and {FLOW_WINDOW}
            group by date_trunc('hour', start_ts), srcaddr, dstport, protocol
            having count(distinct dstaddr) >= $hosts order by hosts desc, hour, srcaddr, dstport""",
    ),
    Question(
        name="rejected_then_accepted",
        title="Who was turned away and then let in",
        doc="""Addresses that were rejected and later accepted at the same machine and port: a rule was changed, or a
        guess succeeded.""",
        params=(SINCE, UNTIL),
        columns=columns(
            "srcaddr dstaddr dstport:INTEGER protocol:INTEGER rejected:BIGINT accepted:BIGINT bytes:BIGINT"
            " first_rejected:TIMESTAMP first_accepted:TIMESTAMP last_accepted:TIMESTAMP"
        ),
        attack=("T1562.007",),
        sql=f"""with turned_away as (
                select srcaddr, dstaddr, dstport, protocol, count(*) as rejected, min(start_ts) as first_rejected
                from flow where action = 'REJECT' and {_ASKS} and {FLOW_WINDOW}
                group by srcaddr, dstaddr, dstport, protocol
            )
            select t.srcaddr, t.dstaddr, t.dstport, t.protocol, min(t.rejected) as rejected, count(*) as accepted,
                   cast(sum(f.bytes) as bigint) as bytes, min(t.first_rejected) as first_rejected,
                   min(f.start_ts) as first_accepted, max(f.end_ts) as last_accepted
            from turned_away t join flow f on f.srcaddr = t.srcaddr and f.dstaddr = t.dstaddr
                 and f.dstport = t.dstport and f.protocol = t.protocol
            where f.action = 'ACCEPT' and f.start_ts > t.first_rejected and f.start_ts < $until
            group by t.srcaddr, t.dstaddr, t.dstport, t.protocol
            order by first_accepted, t.srcaddr, t.dstaddr, t.dstport""",
    ),
    Question(
        name="long_connections",
        title="Connections that stayed open",
        doc="""Single connections (both addresses and both ports) whose records span many minutes: tunnels, shells,
        miners, but also databases. An operating system uses a port again after a while: `records` far below the
        minutes means several connections.""",
        params=(
            Param(
                name="minutes", kind=Kind.WHOLE, doc="minutes from first to last record at least", default=60
            ),
            SINCE,
            UNTIL,
        ),
        columns=columns(
            "srcaddr srcport:INTEGER dstaddr dstport:INTEGER protocol:INTEGER direction minutes:BIGINT records:BIGINT"
            " bytes:BIGINT first_seen:TIMESTAMP last_seen:TIMESTAMP"
        ),
        attack=("T1572", "T1071"),
        sql=f"""select srcaddr, srcport, dstaddr, dstport, protocol, min(direction) as direction,
                   date_diff('minute', min(start_ts), max(end_ts)) as minutes, count(*) as records,
                   cast(sum(bytes) as bigint) as bytes, min(start_ts) as first_seen, max(end_ts) as last_seen
            from flow where action = 'ACCEPT' and dstport < 32768 and srcport >= 1024 and {FLOW_WINDOW}
            group by srcaddr, srcport, dstaddr, dstport, protocol
            having date_diff('minute', min(start_ts), max(end_ts)) >= $minutes
            order by minutes desc, srcaddr, dstaddr, dstport, srcport""",
    ),
    Question(
        name="indicator_matches",
        title="Where known bad addresses occur",
        doc="""Each address of a list in every table: calls, flows, S3 requests, load balancer requests, DNS answers.
        An address that is not in the answer was not seen in what was ingested.""",
        params=(_ADDRESSES,),
        columns=columns("seen_in address times:BIGINT bytes:BIGINT first_seen:TIMESTAMP last_seen:TIMESTAMP"),
        attack=("T1071",),
        sql=" union all ".join(
            (
                _indicator("cloudtrail", "source_ip", "event_time", "coalesce(bytes_out, 0)"),
                _indicator("flow", "srcaddr", "start_ts", "bytes"),
                _indicator("flow", "dstaddr", "start_ts", "bytes"),
                _indicator("s3_access", "source_ip", "event_time", "coalesce(bytes_out, 0)"),
                _indicator("elb", "client_ip", "event_time", "coalesce(bytes_out, 0)"),
                _indicator("dns", "first_answer", "event_time", "0"),
            )
        )
        + " order by address, seen_in",
    ),
    Question(
        name="before_and_after",
        title="Traffic before and after a time",
        doc="""Conversations of a machine within so many minutes before and after a moment, such as its containment:
        what went on, what ended, what began. `accepted_after` above zero is what containment did not stop.""",
        params=(
            Param(name="moment", kind=Kind.MOMENT, doc="the time to compare around"),
            Param(
                name="addresses", kind=Kind.ADDRESSES, doc="the machine's own addresses, with commas between"
            ),
            Param(name="minutes", kind=Kind.WHOLE, doc="minutes before and after", default=60),
        ),
        columns=columns(
            "peer port:INTEGER protocol:INTEGER accepted_before:BIGINT bytes_before:BIGINT accepted_after:BIGINT"
            " bytes_after:BIGINT rejected_after:BIGINT first_seen:TIMESTAMP last_seen:TIMESTAMP"
        ),
        attack=("T1071",),
        sql="""select peer, port, protocol,
                   cast(sum(case when action = 'ACCEPT' and start_ts < $moment then 1 else 0 end) as bigint)
                       as accepted_before,
                   cast(sum(case when action = 'ACCEPT' and start_ts < $moment then bytes else 0 end) as bigint)
                       as bytes_before,
                   cast(sum(case when action = 'ACCEPT' and start_ts >= $moment then 1 else 0 end) as bigint)
                       as accepted_after,
                   cast(sum(case when action = 'ACCEPT' and start_ts >= $moment then bytes else 0 end) as bigint)
                       as bytes_after,
                   cast(sum(case when action = 'REJECT' and start_ts >= $moment then 1 else 0 end) as bigint)
                       as rejected_after,
                   min(start_ts) as first_seen, max(end_ts) as last_seen
            from (select case when srcaddr in $addresses then dstaddr else srcaddr end as peer,
                         case when srcport < dstport then srcport else dstport end as port, protocol, action, bytes,
                         start_ts, end_ts
                  from flow
                  where (srcaddr in $addresses or dstaddr in $addresses)
                    and start_ts between cast($moment as timestamp) - interval '1' minute * $minutes
                                     and cast($moment as timestamp) + interval '1' minute * $minutes) f
            group by peer, port, protocol order by accepted_after desc, bytes_before desc, peer, port""",
    ),
)
