"""Where credentials come from and what they were turned into: issued keys, role chains."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from irkit.hunt.question import SINCE, UNTIL, Kind, Param, Question
from irkit.hunt.questions.fragments import WINDOW
from irkit.tables import EDGE, Column, Tables, columns

if TYPE_CHECKING:
    import pandas as pd

_EDGES = ", ".join(column.name for column in EDGE)
_CHAIN: tuple[Column, ...] = columns("hop:INTEGER direction") + EDGE
_MOST_HOPS = 32


def _chain(tables: Tables, values: Mapping[str, Any]) -> pd.DataFrame:
    """Breadth first from one key, a query a hop, so that it ends on cycles and runs alike on every engine."""
    import pandas as pd

    found: list[pd.DataFrame] = []
    for direction, here, there in (
        ("issued", "parent_access_key_id", "issued_access_key_id"),
        ("issuer", "issued_access_key_id", "parent_access_key_id"),
    ):
        seen = {values["access_key_id"]}
        frontier = sorted(seen)
        for hop in range(1, _MOST_HOPS + 1):
            names = {f"k{i}": key for i, key in enumerate(frontier)}
            members = ", ".join(f"${name}" for name in names)
            sql = f"select {_EDGES} from edge where {here} in ({members}) order by event_time, event_id"  # noqa: S608 - names only
            frame = tables.frame(sql, names)
            if frame.empty:
                break
            frame.insert(0, "direction", direction)
            frame.insert(0, "hop", hop if direction == "issued" else -hop)
            found.append(frame)
            frontier = sorted({key for key in frame[there].dropna() if key not in seen})
            seen.update(frontier)
            if not frontier:
                break
    if found:
        return pd.concat(found, ignore_index=True)
    empty = tables.frame(f"select {_EDGES} from edge where false")  # noqa: S608 - column names only
    empty.insert(0, "direction", pd.Series(dtype="object"))
    empty.insert(0, "hop", pd.Series(dtype="int64"))
    return empty


QUESTIONS: tuple[Question, ...] = (
    Question(
        name="issued_keys",
        title="Credentials that were issued",
        doc="""Sessions and keys that were issued: by one access key, or all. `kind` tells role sessions, session
        tokens, federation and long-lived keys apart.""",
        params=(
            Param(name="access_key_id", kind=Kind.TEXT, doc="the key that asked for them", default=""),
            SINCE,
            UNTIL,
        ),
        columns=EDGE,
        attack=("T1098.001", "T1548.005"),
        sql=f"""select {_EDGES} from edge
            where ($access_key_id = '' or parent_access_key_id = $access_key_id) and {WINDOW}
            order by event_time, event_id""",  # noqa: S608 - column names only
    ),
    Question(
        name="role_chain",
        title="The chain of credentials that a key belongs to",
        doc="""Which credentials a key was turned into (hop 1, 2, …) and where it came from itself (hop -1, -2, …):
        role sessions, tokens and created keys, across accounts whose logs were ingested.""",
        params=(Param(name="access_key_id", kind=Kind.ACCESS_KEY, doc="where to start: AKIA… or ASIA…"),),
        columns=_CHAIN,
        attack=("T1548.005",),
        walk=_chain,
        walks=("edge",),
    ),
)
