"""Athena: queries that are really run, by DuckDB, over the objects that lie in the simulated buckets.

moto answers every query with nothing. Here the tables of the (simulated) Glue catalogue are read the way Athena reads
them: the columns of the table over the files below its partitions, the partitions from the storage template of the
projection. Trino's SQL becomes DuckDB's by sqlglot; where the two engines differ, DuckDB's way shows.

References:
    https://docs.aws.amazon.com/athena/latest/APIReference/API_QueryExecution.html
"""

from __future__ import annotations

import json
import re
from typing import Any

from moto.athena.models import AthenaBackend, QueryResults
from moto.athena.responses import AthenaResponse

from irkit.sim.mends.athena_tables import Lake
from irkit.sim.seams import mends

_VIEW = re.compile(r"\s*CREATE\s+OR\s+REPLACE\s+VIEW\s+(\w+)\s+AS\s+(.*)", re.IGNORECASE | re.DOTALL)
_CUT_OFF = "Bytes scanned limit was exceeded"


@mends(AthenaBackend, "start_query_execution")
def start_query_execution(original: Any, self: Any, *args: Any, **kwargs: Any) -> str:
    """Run the query at once and keep its result, or why it failed, for when it is asked for."""
    started = str(original(self, *args, **kwargs))
    execution = self.executions[started]
    database = (execution.context or {}).get("Database", "default")
    lake = Lake(self.account_id, self.region_name, database)
    execution.scanned, execution.reason = 0, ""
    try:
        view = _VIEW.fullmatch(execution.query)
        if view:
            lake.check(view[2])
            lake.keep_view(view[1], view[2])
        elif not re.match(r"\s*(CREATE|DROP|ALTER|SHOW)\b", execution.query, re.IGNORECASE):
            columns, rows, execution.scanned = lake.run(execution.query)
            self.query_results[started] = QueryResults(
                rows=[_row([name for name, _ in columns]), *map(_row, rows)],
                column_info=[_column(name, kind) for name, kind in columns],
            )
            _enforce(execution)
    except Exception as error:  # noqa: BLE001 - as Athena does: the query fails, not the call
        _end(execution, "FAILED", f"{type(error).__name__}: {' '.join(str(error).split())[:500]}")
    return started


@mends(AthenaResponse, "start_query_execution")
def start_once(original: Any, self: Any) -> Any:
    """The same token starts the same query once, as AWS does."""
    token = self._get_param("ClientRequestToken")
    started = self.athena_backend.__dict__.setdefault("started_by_token", {})
    if token not in started:
        started[token] = original(self)
    return started[token]


@mends(AthenaResponse, "get_query_execution")
def get_query_execution(original: Any, self: Any) -> str:
    """What moto says, with the bytes that were read and why a query ended as it did."""
    told = json.loads(original(self))
    execution = self.athena_backend.executions[self._get_param("QueryExecutionId")]
    query = told["QueryExecution"]
    query["Statistics"]["DataScannedInBytes"] = getattr(execution, "scanned", 0)
    if getattr(execution, "reason", ""):
        query["Status"]["StateChangeReason"] = execution.reason
    if execution.workgroup is not None:
        query["WorkGroup"] = execution.workgroup.name
    return json.dumps(told, default=str)


def _enforce(execution: Any) -> None:
    """A workgroup's limit cancels a query that read more."""
    configuration = getattr(execution.workgroup, "configuration", None) or {}
    limit = configuration.get("BytesScannedCutoffPerQuery")
    if limit and execution.scanned > limit:
        _end(execution, "CANCELLED", _CUT_OFF)


def _end(execution: Any, state: str, reason: str) -> None:
    execution._transitions = [(state, state)]
    execution.status = state
    execution.reason = reason


def _row(values: Any) -> dict[str, Any]:
    return {"Data": [{} if value is None else {"VarCharValue": str(value)} for value in values]}


def _column(name: str, kind: str) -> dict[str, Any]:
    return {
        "CatalogName": "hive", "SchemaName": "", "TableName": "", "Name": name, "Label": name, "Type": kind,
        "Precision": 0, "Scale": 0, "Nullable": "UNKNOWN", "CaseSensitive": False,
    }  # fmt: skip
