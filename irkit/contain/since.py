"""When an instance was cut off, and the rows of logs since: from the case's own flow logs, from CloudTrail's history.

References:
    https://docs.aws.amazon.com/awscloudtrail/latest/userguide/view-cloudtrail-events.html
    https://docs.aws.amazon.com/awscloudtrail/latest/userguide/get-and-view-cloudtrail-log-files.html
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeAlias

from irkit.aws.refusals import translating
from irkit.contain import history

if TYPE_CHECKING:
    from irkit.case import Case
    from irkit.contain.history import Begun

Row: TypeAlias = Mapping[str, Any]

# CloudTrail delivers an event within about 15 minutes; what it does not show until then, it may still show.
DELIVERY = timedelta(minutes=15)
_FLOW = (
    "interface_id", "action", "log_status", "start_ts", "end_ts", "srcaddr", "dstaddr", "srcport", "dstport",
    "external_ip", "pkt_src_aws_service", "pkt_dst_aws_service",
)  # fmt: skip
_SINCE = f"select {', '.join(_FLOW)} from flow where interface_id = $interface and end_ts >= $cut"  # noqa: S608


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """Rows of a log, and until when the log is complete; None when that is only known from the rows themselves."""

    rows: Iterable[Row]
    until: datetime | None = None


def records(given: Any) -> Records:
    """`given` as records: rows, a DataFrame or `Records`."""
    if isinstance(given, Records):
        return given
    if hasattr(given, "to_dict"):  # a DataFrame; pandas itself is not needed here
        return Records(rows=given.to_dict("records"))
    return Records(rows=given)


def calls_since(case: Case, instance_id: str) -> Records:
    """The calls with the instance's credentials in CloudTrail's Event History since they were first denied.

    Event History has management events of the case's region only, 90 days back. Raises as `translating` does.
    """
    cuts = [c.at for c in credential_cuts(case, instance_id)]
    asked = case.journal.now()
    if not cuts:
        return Records(rows=(), until=asked)
    named = [{"AttributeKey": "Username", "AttributeValue": instance_id}]
    with translating("look up the calls of", instance_id, region=case.facts.region):
        pages = (
            case.client("cloudtrail")
            .get_paginator("lookup_events")
            .paginate(LookupAttributes=named, StartTime=min(cuts).replace(microsecond=0))
        )
        rows = [_row(json.loads(e["CloudTrailEvent"])) for page in pages for e in page["Events"]]
    return Records(rows=rows, until=asked - DELIVERY)


def flows_since(case: Case, instance_id: str) -> Records | None:
    """The flow records of the interfaces in quarantine, from the case's own tables; None when no flow logs are there.

    Complete until the newest record of any interface: logs of one delivery arrive together. Raises `MissingExtra`
    without DuckDB.
    """
    if not any((case.tables_dir / "flow").glob("**/*.parquet")):
        return None
    from irkit.tables import Tables

    cuts = [b for b in history.begun(case) if b.verb == "network.interface" and b.instance == instance_id]
    with Tables.open(case) as tables:
        until = tables.extent.flow_last
        rows = [
            dict(zip(_FLOW, row, strict=True))
            for begun in cuts
            if begun.done is not None
            for row in tables.rows(_SINCE, {"interface": begun.target, "cut": done_at(begun)})
        ]
    return Records(rows=rows, until=until)


def _row(event: Mapping[str, Any]) -> Row:
    identity = event.get("userIdentity") or {}
    return {
        "event_time": event.get("eventTime"),
        "event_source": event.get("eventSource"),
        "event_name": event.get("eventName"),
        "error_code": event.get("errorCode"),
        "source_ip": event.get("sourceIPAddress"),
        "ui_principal_id": identity.get("principalId"),
        "access_key_id": identity.get("accessKeyId"),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """When which credentials were denied, by which control. `full`: when the agent's channel was denied too."""

    control: str
    target: str
    column: str
    value: str
    at: datetime
    full: datetime | None


def credential_cuts(case: Case, instance_id: str) -> list[Cut]:
    """The cuts that the case has made of the instance's sessions and of access keys, one for each of them."""
    cuts: dict[tuple[str, str], Cut] = {}
    for begun in history.begun(case):
        if begun.done is None:
            continue
        at = done_at(begun)
        if begun.verb == "identity.key" and begun.instance in {instance_id, None}:
            cut = Cut(
                control=begun.verb,
                target=begun.target,
                column="access_key_id",
                value=begun.target,
                at=at,
                full=at,
            )
        elif begun.verb.startswith("identity.session") and begun.instance == instance_id:
            room = begun.verb != "identity.session"
            cut = Cut(
                control="identity.session",
                target=begun.target,
                column="ui_principal_id",
                value=f"{begun.args['role_id']}:{instance_id}",
                at=at,
                full=None if room else at,
            )
        else:
            continue
        if (held := cuts.get((cut.column, cut.value))) is not None:
            fulls = [f for f in (held.full, cut.full) if f is not None]
            cut = Cut(
                control=cut.control,
                target=cut.target,
                column=cut.column,
                value=cut.value,
                at=min(held.at, cut.at),
                full=min(fulls, default=None),
            )
        cuts[cut.column, cut.value] = cut
    return list(cuts.values())


def done_at(begun: Begun) -> datetime:
    """When the step was done; the end of time when it never was."""
    return moment(begun.done.at) if begun.done else datetime.max.replace(tzinfo=UTC)


def moment(value: Any) -> datetime:
    """A time as the logs have it, aware: tables keep UTC without a zone."""
    found = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
