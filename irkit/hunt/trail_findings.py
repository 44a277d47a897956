"""What CloudTrail tells of an intruder, as findings. Facts hold the intruder's values only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from irkit.findings import Finding, Severity
from irkit.findings.wording import counted
from irkit.hunt.answer import Answer
from irkit.hunt.ask import ask
from irkit.hunt.intruder import Calls, Intruder, Issued, Subject, foreign_keys
from irkit.tables import Tables, iso

_CREDENTIAL_EVENTS = "created_credentials"
_MANY = 5


def trail_findings(tables: Tables, intruder: Intruder) -> Iterator[Finding]:
    """What the intruder did, in the order of the story: looking around, staying, moving on, taking, hiding."""
    if not intruder.stolen:
        return
    yield from _looking_around(intruder)
    yield from _staying(tables, intruder)
    yield from _moving_on(intruder)
    yield from _reading(tables, intruder)
    yield from _secrets(tables, intruder)
    yield from _sharing(tables, intruder)
    yield from _hiding(tables, intruder)
    yield from _permissions(tables, intruder)
    yield from _refusals(intruder)
    yield from _company(tables, intruder)


def theft(subject: Subject, intruder: Intruder) -> Iterator[Finding]:
    """That credentials of the instance were used from elsewhere; nothing when they were not."""
    if intruder.stolen:
        yield _use(
            intruder,
            id="stolen-credentials",
            title="Instance credentials used from elsewhere",
            what=f"Role credentials of {subject.instance_id} were used {{times}} from {{places}}, which the"
            " instance never had",
            attack=("T1552.005", "T1078.004"),
            basis=("credentials_used_elsewhere",),
        )


def misuse(access_key_id: str, intruder: Intruder) -> Iterator[Finding]:
    """That a key which is known to be in the wrong hands was used; nothing when it was not."""
    if intruder.stolen:
        yield _use(
            intruder,
            id="leaked-key-used",
            title="The leaked access key was used",
            what=f"{access_key_id} made {{calls}} from {{places}}",
            attack=("T1552.001", "T1078.004"),
            basis=("calls_of_access_key",),
        )


def _use(
    intruder: Intruder,
    *,
    id: str,  # noqa: A002 - a finding's id is called so
    title: str,
    what: str,
    attack: tuple[str, ...],
    basis: tuple[str, ...],
) -> Finding:
    first, last = min(s.first for s in intruder.stolen), max(s.last for s in intruder.stolen)
    addresses = tuple(dict.fromkeys(s.address for s in intruder.stolen))
    calls = sum(s.calls for s in intruder.stolen)
    told = what.format(calls=counted(calls, "call"), times=counted(calls, "time"), places=_some(addresses))
    return Finding(
        id=id,
        title=title,
        statement=f"{told}, between {iso(first)} and {iso(last)}.",
        severity="critical",
        confidence="high",
        first_seen=first,
        last_seen=last,
        attack=attack,
        facts={
            "access_key": intruder.stolen_keys,
            "address": addresses,
            "session": _distinct(s.session for s in intruder.stolen),
            "principal": _distinct(s.role for s in intruder.stolen),
            "time_first_use": (iso(first),),
            "time_last_use": (iso(last),),
        },
        basis=basis,
    )


def _looking_around(intruder: Intruder) -> Iterator[Finding]:
    calls = [c for c in intruder.calls if _enumerates(c)]
    if not calls:
        return
    apis = _distinct(c.api for c in calls)
    first, last = _span(calls)
    yield Finding(
        id="enumeration",
        title="The intruder looked around the account",
        statement=f"{_calls(calls)} of {counted(len(apis), 'reading operation')} made with the intruder's credentials"
        f" between {iso(first)} and {iso(last)}, {_some(apis)} among them.",
        severity="medium",
        confidence="high",
        first_seen=first,
        last_seen=last,
        attack=("T1087.004", "T1580", "T1619"),
        facts={"api_call": apis},
        basis=("calls_of_access_key", "enumeration_bursts"),
    )


def _staying(tables: Tables, intruder: Intruder) -> Iterator[Finding]:
    rows = [row for row in _own(ask(tables, _CREDENTIAL_EVENTS), intruder) if not row["error_code"]]
    for number, row in enumerate(rows, start=1):
        key, target = row["created_access_key_id"], row["target"]
        what = f"{row['event_name']} for {target}" if target else row["event_name"]
        yield Finding(
            id=_numbered("persistence", number),
            title="The intruder created credentials",
            statement=f"{what} succeeded at {row['event_time']} with the intruder's key {row['access_key_id']}"
            + (f"; the new access key is {key}." if key else "."),
            severity="critical",
            confidence="high",
            first_seen=_moment(row["event_time"]),
            last_seen=_moment(row["event_time"]),
            attack=("T1098.001",) if key else ("T1098", "T1136.003"),
            facts=_present(api_call=f"iam:{row['event_name']}", user=target, access_key=key),
            basis=(_CREDENTIAL_EVENTS, "issued_keys"),
        )
    for issued in (one for one in intruder.issued if one.kind == "access_key"):
        calls = [c for c in intruder.calls if c.access_key == issued.access_key]
        if calls:
            yield _use_of_created_key(issued, calls)


def _use_of_created_key(issued: Issued, calls: Sequence[Calls]) -> Finding:
    first, last = _span(calls)
    addresses = _distinct(c.address for c in calls)
    return Finding(
        id=f"created-key-used-{issued.access_key[-8:].lower()}",
        title="The access key that the intruder created was used",
        statement=f"{issued.access_key} made {_calls(calls)} from {_some(addresses)} between"
        f" {iso(first)} and {iso(last)}.",
        severity="critical",
        confidence="high",
        first_seen=first,
        last_seen=last,
        attack=("T1078.004",),
        facts={
            "access_key": (issued.access_key,),
            "address": addresses,
            "principal": _distinct(c.arn for c in calls),
            "api_call": _distinct(c.api for c in calls if not c.failed),
        },
        basis=("calls_of_access_key", "keys_at_address"),
    )


def _moving_on(intruder: Intruder) -> Iterator[Finding]:
    for number, issued in enumerate((i for i in intruder.issued if i.kind != "access_key"), start=1):
        calls = [c for c in intruder.calls if c.access_key == issued.access_key]
        last = max((c.last for c in calls), default=issued.when)
        role = _distinct([issued.role] if issued.role else (c.principal for c in calls))
        yield Finding(
            id=_numbered("role-chain", number),
            title="The intruder moved on to other credentials",
            statement=f"{issued.event} with {issued.parent} gave the intruder {issued.access_key}"
            + (f" of {issued.arn}" if issued.arn else "")
            + f" at {iso(issued.when)}; {_calls(calls)} made with it.",
            severity="high",
            confidence="high",
            first_seen=issued.when,
            last_seen=last,
            attack=("T1548.005", "T1550.001"),
            facts={
                "api_call": (f"sts:{issued.event}",),
                "access_key": (issued.access_key,),
                **({"session": (issued.arn,)} if issued.arn else {}),
                **({"principal": role} if role else {}),
            },
            basis=("role_chain", "issued_keys"),
        )


def _reading(tables: Tables, intruder: Intruder) -> Iterator[Finding]:
    keys = (*intruder.stolen_keys, *intruder.issued_keys)
    rows = [r for r in _own(ask(tables, "objects_read", access_keys=keys), intruder) if r["objects"]]
    for bucket in dict.fromkeys(row["bucket"] for row in rows):
        of = [row for row in rows if row["bucket"] == bucket]
        count = _objects(tables, bucket, intruder) if len(of) > 1 else of[0]["objects"]
        size = sum(row["bytes_out"] for row in of)
        first, last = _moment(min(r["first_seen"] for r in of)), _moment(max(r["last_seen"] for r in of))
        yield Finding(
            id=f"objects-read-{bucket}",
            title="Objects were downloaded",
            statement=f"{counted(count, 'object')} ({counted(size, 'byte')}) of the bucket {bucket} read with the"
            f" intruder's credentials between {iso(first)} and {iso(last)}.",
            severity="critical",
            confidence="high",
            first_seen=first,
            last_seen=last,
            attack=("T1530",),
            facts={
                "bucket": (bucket,),
                "object_count": (str(count),),
                "bytes_read": (str(size),),
                "api_call": ("s3:GetObject",),
            },
            basis=("objects_read",),
        )


def _objects(tables: Tables, bucket: str, intruder: Intruder) -> int:
    """Different objects over all the intruder's keys; the same object read with two keys counts once."""
    rows = tables.rows(
        "select access_key_id, source_ip, object_key from cloudtrail"
        " where event_name = 'GetObject' and bucket = $bucket and error_code is null",
        {"bucket": bucket},
    )
    return len({key for access_key, address, key in rows if intruder.owns(access_key, address)})


def _secrets(tables: Tables, intruder: Intruder) -> Iterator[Finding]:
    rows = [r for r in _own(ask(tables, "secrets_read"), intruder) if not r["denied"]]
    if rows:
        yield _from_rows(
            rows,
            id="secrets-read",
            title="Secrets were read",
            what=f"{counted(len(rows), 'secret or parameter', 'secrets or parameters')} read with the intruder's"
            " credentials",
            severity="critical",
            attack=("T1552", "T1555.006"),
            facts={
                "secret": _distinct(r["secret"] for r in rows),
                "api_call": _distinct(_secret_api(r) for r in rows),
            },
            basis=("secrets_read",),
        )


def _secret_api(row: dict[str, Any]) -> str:
    service = {
        "GetPasswordData": "ec2",
        "GetSecretValue": "secretsmanager",
        "BatchGetSecretValue": "secretsmanager",
    }
    return f"{service.get(row['event_name'], 'ssm')}:{row['event_name']}"


def _sharing(tables: Tables, intruder: Intruder) -> Iterator[Finding]:
    rows = [r for r in _own(ask(tables, "shared_snapshots"), intruder) if not r["error_code"]]
    for number, row in enumerate(rows, start=1):
        yield _from_rows(
            [row],
            id=_numbered("snapshot-shared", number),
            title="A snapshot was shared with another account",
            what=f"{row['resource_id']} was opened to {row['shared_with']} with the intruder's credentials",
            severity="critical",
            attack=("T1537",),
            facts=_present(
                snapshot=row["resource_id"], account=row["shared_with"], api_call=f"ec2:{row['event_name']}"
            ),
            basis=("shared_snapshots",),
        )


def _hiding(tables: Tables, intruder: Intruder) -> Iterator[Finding]:
    rows = _own(ask(tables, "log_tampering"), intruder)
    if not rows:
        return
    tried = [r for r in rows if r["error_code"]]
    done = [r for r in rows if not r["error_code"]]
    named = _distinct(f"{r['event_source'].partition('.')[0]}:{r['event_name']}" for r in rows)
    facts = {
        "denied_call": _distinct(f"{r['event_source'].partition('.')[0]}:{r['event_name']}" for r in tried),
        "api_call": _distinct(f"{r['event_source'].partition('.')[0]}:{r['event_name']}" for r in done),
    }
    outcome = "and it worked" if done else "and was refused"
    yield _from_rows(
        rows,
        id="log-tampering",
        title="The intruder tried to blind the logs",
        what=f"{_some(named)} was called with the intruder's credentials, {outcome}",
        severity="critical" if done else "high",
        attack=("T1562.008",),
        facts={kind: values for kind, values in facts.items() if values},
        basis=("log_tampering",),
    )


def _permissions(tables: Tables, intruder: Intruder) -> Iterator[Finding]:
    rows = [r for r in _own(ask(tables, "permission_changes"), intruder) if not r["error_code"]]
    if rows:
        yield _from_rows(
            rows,
            id="permissions-changed",
            title="The intruder changed permissions",
            what=f"{_some(_distinct(r['event_name'] for r in rows))} succeeded with the intruder's credentials",
            severity="critical",
            attack=("T1098.003",),
            facts={"api_call": _distinct(f"iam:{r['event_name']}" for r in rows)},
            basis=("permission_changes",),
        )


def _refusals(intruder: Intruder) -> Iterator[Finding]:
    calls = [c for c in intruder.calls if c.denied]
    if not calls:
        return
    apis = _distinct(c.api for c in calls)
    first, last = _span(calls)
    yield Finding(
        id="refused-attempts",
        title="The intruder was refused",
        statement=f"{_calls(calls)} with the intruder's credentials refused between"
        f" {iso(first)} and {iso(last)}: {', '.join(apis)}.",
        severity="medium",
        confidence="high",
        first_seen=first,
        last_seen=last,
        attack=("T1580",),
        facts={"denied_call": apis},
        basis=("denied_calls",),
    )


def _company(tables: Tables, intruder: Intruder) -> Iterator[Finding]:
    rows = foreign_keys(tables, intruder)
    if rows:
        yield _from_rows(
            list(rows),
            id="other-credentials-at-intruder-addresses",
            title="Other credentials were used from the intruder's addresses",
            what=f"{counted(len(rows), 'other access key')} used from addresses that only the intruder had used before",
            severity="high",
            attack=("T1078.004",),
            facts={
                "access_key": _distinct(r["access_key_id"] for r in rows),
                "principal": _distinct(r["ui_arn"] for r in rows),
            },
            basis=("keys_at_address",),
            when=("first_seen", "last_seen"),
        )


def _from_rows(
    rows: Sequence[dict[str, Any]],
    *,
    id: str,  # noqa: A002 - a finding's id is called so
    title: str,
    what: str,
    severity: Severity,
    attack: tuple[str, ...],
    facts: dict[str, tuple[str, ...]],
    basis: tuple[str, ...],
    when: tuple[str, str] = ("event_time", "event_time"),
) -> Finding:
    first, last = _moment(min(r[when[0]] for r in rows)), _moment(max(r[when[1]] for r in rows))
    span = f"at {iso(first)}" if first == last else f"between {iso(first)} and {iso(last)}"
    return Finding(
        id=id,
        title=title,
        statement=f"{what}, {span}.",
        severity=severity,
        confidence="high",
        first_seen=first,
        last_seen=last,
        attack=attack,
        facts=facts,
        basis=basis,
    )


def _own(answer: Answer, intruder: Intruder) -> list[dict[str, Any]]:
    """The rows of an answer that are the intruder's."""
    return [row for row in answer.rows() if intruder.owns(row["access_key_id"], row["source_ip"])]


def _enumerates(call: Calls) -> bool:
    name = call.api.partition(":")[2]
    return (
        not call.failed and name.startswith(("List", "Describe", "Get", "Head")) and name not in _NOT_LOOKING
    )


_NOT_LOOKING = frozenset(
    {"GetObject", "GetSecretValue", "BatchGetSecretValue", "GetParameter", "GetSessionToken"}
)


def _calls(calls: Sequence[Calls]) -> str:
    return counted(sum(c.number for c in calls), "call")


def _span(calls: Sequence[Calls]) -> tuple[datetime, datetime]:
    return min(c.first for c in calls), max(c.last for c in calls)


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _distinct(values: Iterable[str | None]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(value for value in values if value))


def _some(values: Sequence[str]) -> str:
    shown = ", ".join(values[:_MANY])
    return f"{shown} and {len(values) - _MANY:,} more" if len(values) > _MANY else shown


def _present(**values: str | None) -> dict[str, tuple[str, ...]]:
    return {kind: (value,) for kind, value in values.items() if value}


def _numbered(name: str, number: int) -> str:
    return name if number == 1 else f"{name}-{number}"
