"""What the logs show since the cut: traffic that was accepted, calls that the contained credentials made.

That a group has no rules is what AWS was told; that nothing got through is what its logs tell. Rows are handed in as
data, with the columns of irkit's tables `flow` and `cloudtrail` (`irkit.tables`), whoever read them;
`irkit.contain.since` reads the case's own flow logs and asks CloudTrail's Event History. Nothing found in a log proves
something only as far as the log reaches: where it does not reach past the cut yet, nothing is proved, and the verdict
says when to ask again.

References:
    https://docs.aws.amazon.com/vpc/latest/userguide/flow-logs-records-examples.html
    https://docs.aws.amazon.com/awscloudtrail/latest/userguide/get-and-view-cloudtrail-log-files.html
    https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from irkit.canonical import timestamp
from irkit.contain import history
from irkit.contain.policies import SSM_CHANNEL
from irkit.contain.since import DELIVERY, Cut, Records, Row, credential_cuts, done_at, moment
from irkit.contain.verdicts import Finding, Verdict

if TYPE_CHECKING:
    from irkit.case import Case
    from irkit.contain.history import Begun

# IAM is consistent within seconds, not at once: a call in this time says nothing about the control.
SPREADING = timedelta(seconds=60)
_DENIED = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthorizationError"})
# Needs no permission, and no policy can deny it.
_UNDENIABLE = frozenset({("sts.amazonaws.com", "GetCallerIdentity")})


# --- traffic -----------------------------------------------------------------------------------------------------


def flow_verdicts(case: Case, instance_id: str, given: Records) -> Iterator[Verdict]:
    """A verdict for each interface that was put into quarantine: was anything accepted since?"""
    cuts = [
        b
        for b in history.begun(case)
        if b.verb == "network.interface" and b.instance == instance_id and b.done is not None
    ]
    rows: dict[str, list[Row]] = {b.target: [] for b in cuts}
    for row in given.rows:
        if (mine := rows.get(str(row.get("interface_id")))) is not None:
            mine.append(row)
    for interface, held in rows.items():
        steps = [b for b in cuts if b.target == interface]
        yield _traffic(case, interface, steps, held, given.until)


def _traffic(
    case: Case, interface: str, steps: list[Begun], rows: list[Row], until: datetime | None
) -> Verdict:
    cut = min(done_at(b) for b in steps)
    full = min((done_at(b) for b in steps if b.args.get("room") != "ssm"), default=None)
    room = _room(case, steps)
    accepted = [
        r
        for r in rows
        if r.get("action") == "ACCEPT"
        and moment(r["start_ts"]) > cut
        and not (_to_room(r, room) and (full is None or moment(r["start_ts"]) <= full))
    ]
    across = sum(
        r.get("action") == "ACCEPT" and moment(r["start_ts"]) <= cut <= moment(r["end_ts"]) for r in rows
    )
    skipped = sum(r.get("log_status") == "SKIPDATA" and moment(r["end_ts"]) > cut for r in rows)
    reaches = until or max((moment(r["end_ts"]) for r in rows), default=None)
    peers = Counter(_far(r) for r in accepted)
    observed = {
        "cut": timestamp(cut),
        "accepted": len(accepted),
        "with": dict(peers.most_common(5)),
        "records that span the cut": across,
        "log reaches": timestamp(reaches) if reaches else None,
    }
    finding, why = Finding.PROVED, ""
    if accepted:
        last = max(moment(r["end_ts"]) for r in accepted)
        finding = Finding.CONTRADICTED
        why = f"{len(accepted)} flows were accepted after the cut, the last until {timestamp(last)}"
    elif skipped:
        finding, why = Finding.NOT_PROVED, f"the flow log skipped records {skipped} times after the cut"
    elif reaches is None or reaches <= cut:
        finding = Finding.NOT_PROVED
        why = "the flow log does not reach past the cut yet: ingest it again in some 15 minutes"
    return Verdict(
        control="after.flows",
        target=interface,
        intended="nothing from or to the interface is accepted after the cut",
        observed=observed,
        finding=finding,
        why=why,
    )


def _room(case: Case, steps: list[Begun]) -> frozenset[str]:
    """The addresses that a quarantine with room let the interface reach."""
    vpcs = {b.args.get("vpc") for b in steps if b.args.get("room") == "ssm"}
    held = [b for b in history.begun(case) if b.verb == "network.ssm" and b.target in vpcs]
    return frozenset(a for b in held for a in b.args.get("addresses", ()))


def _to_room(row: Row, room: frozenset[str]) -> bool:
    if not room:
        return False
    ends = {str(row.get("srcaddr")), str(row.get("dstaddr"))}
    to_s3 = "S3" in {row.get("pkt_src_aws_service"), row.get("pkt_dst_aws_service")}
    return bool(ends & room or to_s3) and 443 in {row.get("srcport"), row.get("dstport")}


def _far(row: Row) -> str:
    """The far end of a flow, as far as it can be told."""
    return str(row.get("external_ip") or f"{row.get('srcaddr')} to {row.get('dstaddr')}")


# --- calls -------------------------------------------------------------------------------------------------------


def call_verdicts(case: Case, instance_id: str, given: Records) -> Iterator[Verdict]:
    """A verdict for each set of contained credentials: did a call with them get through since?"""
    cuts = credential_cuts(case, instance_id)
    mine: dict[str, list[Row]] = {cut.value: [] for cut in cuts}
    newest: datetime | None = None
    for row in given.rows:
        at = moment(row["event_time"])
        newest = at if newest is None else max(newest, at)
        for cut in cuts:
            # CloudTrail's times are whole seconds; what was in the second of the cut counts as after it
            if str(row.get(cut.column)) == cut.value and at >= cut.at.replace(microsecond=0):
                mine[cut.value].append(row)
    for cut in cuts:
        yield _calls(cut, mine[cut.value], given.until or newest)


def _calls(cut: Cut, rows: list[Row], reaches: datetime | None) -> Verdict:
    kinds = Counter(_kind(cut, row) for row in rows)
    through = [r for r in rows if _kind(cut, r) == "allowed"]
    observed = {
        "cut": timestamp(cut.at),
        **{name: kinds[name] for name in ("allowed", "denied", "channel", "spreading", "undeniable")},
        "what": dict(Counter(f"{_text(r.get('event_name'))}" for r in through).most_common(5)),
        "from": dict(Counter(_text(r.get("source_ip")) for r in rows).most_common(5)),
        "log reaches": timestamp(reaches) if reaches else None,
    }
    finding, why = Finding.PROVED, ""
    if through:
        last = max(moment(r["event_time"]) for r in through)
        finding = Finding.CONTRADICTED
        why = f"{len(through)} calls were allowed after the cut, the last at {timestamp(last)}"
    elif reaches is None or reaches < cut.at + SPREADING:
        again = timestamp(cut.at + SPREADING + DELIVERY)
        finding, why = (
            Finding.NOT_PROVED,
            f"CloudTrail does not reach past the cut yet: ask again after {again}",
        )
    elif kinds["denied"]:
        why = f"{kinds['denied']} calls were tried after the cut and denied"
    return Verdict(
        control="after.calls",
        target=cut.value,
        intended="no call with these credentials is allowed after the cut",
        observed=observed,
        finding=finding,
        why=why,
    )


def _kind(cut: Cut, row: Row) -> str:
    source, name = _text(row.get("event_source")), _text(row.get("event_name"))
    code, at = _text(row.get("error_code")), moment(row["event_time"])
    if code.rpartition(".")[2] in _DENIED:
        return "denied"
    if (source, name) in _UNDENIABLE:
        return "undeniable"
    if at <= cut.at + SPREADING:
        return "spreading"
    channel = f"{source.partition('.')[0]}:{name}" in SSM_CHANNEL
    if channel and (cut.full is None or at <= cut.full + SPREADING):
        return "channel"
    return "allowed"


# --- values ------------------------------------------------------------------------------------------------------


def _text(value: Any) -> str:
    """A value as text; what a DataFrame has for nothing (NaN) is none."""
    return "" if value is None or value != value else str(value)  # noqa: PLR0124  NaN is not itself
