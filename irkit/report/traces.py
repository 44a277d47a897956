# ruff: noqa: S608 - SQL is put together from constants and placeholders; values are bound
"""What the ingested logs hold of the incident: the frames that the figures and the timeline are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from irkit import hunt
from irkit.errors import IrkitError
from irkit.report.artifacts import Told
from irkit.report.incident import Incident
from irkit.tables import Extent, Tables

if TYPE_CHECKING:
    import pandas as pd

    from irkit.case import Case

_API = "replace(event_source, '.amazonaws.com', '') || ':' || event_name"
_DENIED = "(error_code like 'AccessDenied%' or error_code like '%UnauthorizedOperation')"


@dataclass(frozen=True, slots=True, kw_only=True)
class Traces:
    """Rows of the tables. `data_events` counts reads and writes of objects; where it is 0, nothing is known of them."""

    extent: Extent
    data_events: int
    activity: pd.DataFrame
    calls: pd.DataFrame
    hours: pd.DataFrame
    edges: pd.DataFrame
    outbound: pd.DataFrame


def traces_of(case: Case, incident: Incident, answers: Sequence[Told]) -> Traces | str:
    """What the case's tables hold, or the reason why they cannot be read."""
    try:
        with Tables.open(case) as tables:
            return _read(tables, incident, answers)
    except (IrkitError, OSError) as error:
        return f"the tables of ingested logs could not be read: {error}"
    except Exception as error:  # noqa: BLE001  DuckDB's errors are its own; a report is made without tables too
        return f"the tables of ingested logs could not be read: {type(error).__name__}: {error}"


def _read(tables: Tables, incident: Incident, answers: Sequence[Told]) -> Traces:
    asked = next((told.params for told in answers if told.question == "outbound_by_destination"), {})
    known = {param.name for param in hunt.question("outbound_by_destination").params}
    given = {name: value for name, value in asked.items() if name in known and value not in (None, "", [])}
    data = "event_category = 'Data' or (event_category is null and management_event = false)"
    return Traces(
        extent=tables.extent,
        data_events=int(tables.rows(f"select count(*) from cloudtrail where {data}")[0][0]),
        activity=activity_by_hour(tables, incident),
        calls=calls_of_incident(tables, incident),
        hours=calls_by_hour(tables),
        edges=edges_of_incident(tables, incident),
        outbound=hunt.ask(tables, "outbound_by_destination", **given).frame,
    )


def calls_of_incident(tables: Tables, incident: Incident) -> pd.DataFrame:
    """Calls with the incident's keys from its addresses (from anywhere where none is known), by API, minute and key.

    A stolen key of a role is also used by the machine it belongs to; the addresses tell the two apart. Columns:
    `minute`, `first_seen`, `last_seen`, `api`, `principal`, `access_key_id`, `source_ip`, `calls`, `denied`.
    """
    where, bound = _of_incident(incident)
    return tables.frame(
        f"""select date_trunc('minute', event_time) as minute, min(event_time) as first_seen,
                   max(event_time) as last_seen, {_API} as api, principal, access_key_id, source_ip,
                   count(*) as calls, sum(case when {_DENIED} then 1 else 0 end) as denied
            from cloudtrail where {where}
            group by date_trunc('minute', event_time), {_API}, principal, access_key_id, source_ip
            order by first_seen, api, principal, access_key_id, source_ip""",
        bound,
    )


def activity_by_hour(tables: Tables, incident: Incident) -> pd.DataFrame:
    """All calls by hour and principal: `hour`, `principal`, `intruder`, `calls`, `denied`.

    `intruder` tells the calls of the incident from those that the same principal makes in its own business.
    """
    where, bound = _of_incident(incident)
    return tables.frame(
        f"""select date_trunc('hour', event_time) as hour, principal, coalesce({where}, false) as intruder,
                   count(*) as calls, sum(case when {_DENIED} then 1 else 0 end) as denied
            from cloudtrail group by date_trunc('hour', event_time), principal, coalesce({where}, false)
            order by hour, principal, intruder""",
        bound,
    )


def calls_by_hour(tables: Tables) -> pd.DataFrame:
    """All calls by hour and API: the columns `hour`, `api`, `calls`, `denied`."""
    return tables.frame(
        f"""select date_trunc('hour', event_time) as hour, {_API} as api, count(*) as calls,
                   sum(case when {_DENIED} then 1 else 0 end) as denied
            from cloudtrail group by date_trunc('hour', event_time), {_API} order by hour, api"""
    )


def edges_of_incident(tables: Tables, incident: Incident) -> pd.DataFrame:
    """Credentials that were issued to or by the incident's keys, oldest first; columns of the `edge` table."""
    keys, names = _placeholders("key", incident.keys)
    # A role's own credentials are handed out many times a day; only what leads from one named key to another counts.
    return tables.frame(
        f"""select * from edge where issued_access_key_id in ({keys}) or parent_access_key_id in ({keys})
            order by event_time, event_id""",
        names,
    )


def _of_incident(incident: Incident) -> tuple[str, Mapping[str, object]]:
    keys, names = _placeholders("key", incident.keys)
    if not incident.addresses:
        return f"access_key_id in ({keys})", names
    places, more = _placeholders("ip", incident.addresses)
    return f"access_key_id in ({keys}) and source_ip in ({places})", {**names, **more}


def _placeholders(prefix: str, values: Sequence[str]) -> tuple[str, Mapping[str, object]]:
    # '' matches nothing: no key and no address is empty.
    bound = {f"{prefix}{n}": value for n, value in enumerate(values or ("",))}
    return ", ".join(f"${name}" for name in bound), bound
