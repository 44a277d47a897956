# ruff: noqa: S608 - SQL is put together from constants and placeholders; values are bound
"""Following stolen credentials: from an instance's role session, or one key, to all keys and calls of whoever took it.

What counts as the intruder's, and nothing else does:

- calls with a key of the instance's role session from an address that is not the instance's; or, where one key is known
  to have leaked, calls with that key, from the addresses that are known to be the intruder's if any are;
- calls with a key that such a call was given (a role session, a token, an access key that it created), and so on.

The instance itself goes on using its keys from its own addresses; those calls are not the intruder's.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from irkit.hunt.ask import ask
from irkit.hunt.questions.fragments import API, DENIED
from irkit.tables import EDGE, Tables

_HOPS = 32
_EDGES = ", ".join(column.name for column in EDGE)
_GROUPS = (
    f"{API}, access_key_id, coalesce(source_ip, ''), coalesce(ui_arn, ''), coalesce(principal, ''),"
    f" coalesce(read_only, false), {DENIED}, error_code is not null"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """The instance that is suspected, and what is known of it before any log is read.

    `addresses` are all that it has or had, private and public: what is missing here looks stolen there.
    """

    instance_id: str
    account: str
    addresses: tuple[str, ...]
    region: str = ""
    role_arn: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stolen:
    """A key in the wrong hands, and where it was used: one row for each key and address."""

    access_key: str
    session: str
    role: str
    address: str
    calls: int
    first: datetime
    last: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """Credentials that the intruder was given."""

    kind: str
    access_key: str
    parent: str
    arn: str
    role: str
    event: str
    when: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Calls:
    """Calls of one kind that the intruder made with one key from one address."""

    api: str
    access_key: str
    address: str
    arn: str
    principal: str
    reading: bool
    denied: bool
    failed: bool
    number: int
    first: datetime
    last: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Intruder:
    """Everything that hangs together."""

    stolen: tuple[Stolen, ...]
    issued: tuple[Issued, ...]
    calls: tuple[Calls, ...]

    @property
    def stolen_keys(self) -> tuple[str, ...]:
        """Keys that were taken."""
        return tuple(dict.fromkeys(one.access_key for one in self.stolen))

    @property
    def issued_keys(self) -> tuple[str, ...]:
        """Keys that the intruder got itself."""
        return tuple(dict.fromkeys(one.access_key for one in self.issued))

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where the intruder called from, in the order of appearance."""
        ordered = sorted(self.calls, key=lambda call: call.first)
        return tuple(dict.fromkeys(call.address for call in ordered if is_address(call.address)))

    def owns(self, access_key: object, address: object) -> bool:
        """Whether a call with this key from this address was the intruder's."""
        return access_key in self.issued_keys or (
            access_key in self.stolen_keys and address in self._stolen_at
        )

    @property
    def _stolen_at(self) -> set[str]:
        return {one.address for one in self.stolen}


def follow(tables: Tables, subject: Subject) -> Intruder:
    """The intruder's keys, addresses and calls, as far as CloudTrail tells; empty when nothing was used elsewhere."""
    stolen = _stolen(tables, subject)
    issued = _issued(tables, stolen)
    return Intruder(stolen=stolen, issued=issued, calls=_calls(tables, stolen, issued))


def follow_key(tables: Tables, access_key_id: str, addresses: tuple[str, ...] = ()) -> Intruder:
    """As `follow`, from one key that leaked. With `addresses`, its calls from elsewhere are its owner's."""
    stolen = _leaked(tables, access_key_id, addresses)
    issued = _issued(tables, stolen)
    return Intruder(stolen=stolen, issued=issued, calls=_calls(tables, stolen, issued))


def _leaked(tables: Tables, access_key_id: str, addresses: tuple[str, ...]) -> tuple[Stolen, ...]:
    place, params = _members("source_ip", list(addresses), "a")
    rows = tables.rows(
        f"""select source_ip, min(coalesce(ui_arn, '')), min(coalesce(principal, '')), count(*),
        min(event_time), max(event_time)
        from cloudtrail where access_key_id = $key and source_ip is not null {f"and {place}" if addresses else ""}
        group by source_ip order by min(event_time), source_ip""",
        {"key": access_key_id, **(params if addresses else {})},
    )
    return tuple(
        Stolen(
            access_key=access_key_id,
            address=address,
            session=session,
            role=principal,
            calls=calls,
            first=first.replace(tzinfo=UTC),
            last=last.replace(tzinfo=UTC),
        )
        for address, session, principal, calls, first, last in rows
    )


def _stolen(tables: Tables, subject: Subject) -> tuple[Stolen, ...]:
    answer = ask(
        tables, "credentials_used_elsewhere", instance_id=subject.instance_id, addresses=subject.addresses
    )
    found: dict[tuple[str, str], Stolen] = {}
    for row in answer.frame.to_dict(orient="records"):
        if not isinstance(row["access_key_id"], str):
            continue
        key = (row["access_key_id"], row["source_ip"])
        before = found.get(key)
        first, last = row["first_seen"].to_pydatetime(), row["last_seen"].to_pydatetime()
        found[key] = Stolen(
            access_key=key[0],
            address=key[1],
            session=str(row["ui_arn"]),
            role=str(row["principal"]),
            calls=int(row["calls"]) + (before.calls if before else 0),
            first=min(first, before.first) if before else first,
            last=max(last, before.last) if before else last,
        )
    return tuple(sorted(found.values(), key=lambda one: one.first))


def _issued(tables: Tables, stolen: tuple[Stolen, ...]) -> tuple[Issued, ...]:
    """Breadth first over the edge table: what the stolen keys got from elsewhere, then what those got from anywhere."""
    at = sorted({one.address for one in stolen})
    known = {one.access_key for one in stolen}
    found: list[Issued] = []
    frontier, places = sorted(known), at
    for _ in range(_HOPS):
        if not frontier:
            break
        rows = _edges(tables, frontier, places)
        fresh = [row for row in rows if row["issued_access_key_id"] not in known]
        found += [
            Issued(
                kind=row["kind"],
                access_key=row["issued_access_key_id"],
                parent=row["parent_access_key_id"],
                arn=row["issued_arn"] or "",
                role=row["role_arn"] or "",
                event=row["event_name"],
                when=row["event_time"].replace(tzinfo=UTC),
            )
            for row in fresh
        ]
        frontier = sorted({row["issued_access_key_id"] for row in fresh})
        known.update(frontier)
        places = []
    return tuple(found)


def _edges(tables: Tables, parents: list[str], addresses: list[str]) -> list[dict[str, Any]]:
    where, params = _members("parent_access_key_id", parents, "k")
    if addresses:
        place, more = _members("source_ip", addresses, "a")
        where, params = f"{where} and {place}", params | more
    rows = tables.rows(f"select {_EDGES} from edge where {where} order by event_time, event_id", params)
    return [dict(zip((column.name for column in EDGE), row, strict=True)) for row in rows]


def _calls(tables: Tables, stolen: tuple[Stolen, ...], issued: tuple[Issued, ...]) -> tuple[Calls, ...]:
    parts: list[str] = []
    params: dict[str, object] = {}
    for number, one in enumerate(stolen):
        parts.append(f"(access_key_id = $k{number} and source_ip = $a{number})")
        params |= {f"k{number}": one.access_key, f"a{number}": one.address}
    if issued:
        where, more = _members("access_key_id", sorted({one.access_key for one in issued}), "i")
        parts.append(where)
        params |= more
    if not parts:
        return ()
    rows = tables.rows(
        f"""select {_GROUPS}, count(*), min(event_time), max(event_time)
        from cloudtrail where {" or ".join(parts)}
        group by {_GROUPS} order by min(event_time), 1""",
        params,
    )
    return tuple(
        Calls(
            api=row[0],
            access_key=row[1],
            address=row[2],
            arn=row[3],
            principal=row[4],
            reading=row[5],
            denied=row[6],
            failed=row[7],
            number=row[8],
            first=row[9].replace(tzinfo=UTC),
            last=row[10].replace(tzinfo=UTC),
        )
        for row in rows
    )


def foreign_keys(tables: Tables, intruder: Intruder) -> tuple[dict[str, Any], ...]:
    """Other keys that were used from the intruder's addresses, which no one had used before the intruder did."""
    if not intruder.addresses:
        return ()
    start = min(call.first for call in intruder.calls)
    answer = ask(tables, "keys_at_address", addresses=intruder.addresses)
    mine = {*intruder.stolen_keys, *intruder.issued_keys}
    fresh = {a for a in intruder.addresses if _first_seen(tables, a) >= start}
    return tuple(
        row for row in answer.rows() if row["access_key_id"] not in mine and row["source_ip"] in fresh
    )


def _first_seen(tables: Tables, address: str) -> datetime:
    rows = tables.rows(
        "select min(event_time) from cloudtrail where source_ip = $address", {"address": address}
    )
    moment: datetime = rows[0][0]
    return moment.replace(tzinfo=UTC)


def _members(column: str, values: list[str], prefix: str) -> tuple[str, dict[str, object]]:
    names = {f"{prefix}{number}": value for number, value in enumerate(values)}
    return f"{column} in ({', '.join(f'${name}' for name in names)})", dict(names)


def is_address(text: str) -> bool:
    """Whether the source of a call is an address, and not an AWS service that called for someone."""
    return bool(text) and not text.endswith(".amazonaws.com") and text not in ("AWS Internal", "Internal")
