"""The questions, asked of Athena: estimate first, refuse what would cost too much, run, wait, read the rows.

References:
    https://docs.aws.amazon.com/athena/latest/APIReference/API_StartQueryExecution.html
    https://aws.amazon.com/athena/pricing/ (bytes read, at least 10 MB a query; 5 USD a TB in most regions)
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from irkit.aws import translating
from irkit.aws.waiting import wait_until
from irkit.errors import AwsError, NotFound, Refused
from irkit.findings.wording import counted
from irkit.hunt.athena.emission import emitted
from irkit.hunt.athena.sources import EDGES, Source, nothing
from irkit.plan import Outcome, Plan, Running, Step
from irkit.tables import SCHEMAS

if TYPE_CHECKING:
    import pandas as pd

    from irkit.case import Case

GIB = 1024**3
_LEAST = 10 * 1024**2
_TB = 10**12


def names(case_id: str) -> tuple[str, str]:
    """The database and the workgroup of a case; Athena's names are letters, digits, `_` and for workgroups `-`."""
    plain = "".join(c if c.isascii() and c.isalnum() else "_" for c in case_id.lower())
    return f"irkit_{plain}", f"irkit-{plain.replace('_', '-')}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What a query would read: an upper bound, of whole objects; columns that are not asked for count with JSON too."""

    objects: int
    bytes: int
    usd_per_tb: float
    known: bool = True

    @property
    def usd(self) -> float:
        """The price in US dollars."""
        return max(self.bytes, _LEAST) / _TB * self.usd_per_tb

    def sentence(self) -> str:
        """One line for people."""
        if not self.known:
            return "what Security Lake's table holds is not known beforehand; the workgroup's limit holds"
        return f"{counted(self.objects, 'object')}, {self.bytes:,} bytes at most, about {self.usd:.2f} USD"


class Lake:
    """The tables of a case in Athena. Give it to `ask_lake`, or query it with `frame`."""

    def __init__(self, case: Case, *, limit: int = 10 * GIB, usd_per_tb: float = 5.0) -> None:
        self.case = case
        self.database, self.workgroup = names(case.id)
        self.limit = limit
        self.usd_per_tb = usd_per_tb
        self.sources = _sources(case, self.database)
        self.scanned = 0

    def sql(self, sql: str, params: Mapping[str, object] | None = None) -> str:
        """The Athena text of a query in the portable subset: our tables as named subqueries over the raw ones.

        Only the partitions of the time that the query asks for (`since`, `until`) are read.
        """
        values = dict(params or {})
        since, until = _times(values)
        used = _used(sql)
        parts: dict[str, str] = {name: nothing(name) for name in SCHEMAS if name in used}
        parts |= {name: s.select(since, until) for s in self.sources if (name := source_name(s)) in used}
        if "edge" in used:
            parts["edge"] = EDGES
            parts = {"cloudtrail": parts.pop("cloudtrail")} | parts
        named = ", ".join(f"{name} as ({text})" for name, text in parts.items())
        begin = sql.strip()
        rest = f", {begin[4:].lstrip()}" if begin[:5].lower().split() == ["with"] else f" {begin}"
        return emitted(f"with {named}{rest}", values)

    def estimate(
        self, params: Mapping[str, object] | None = None, *, tables: tuple[str, ...] = ()
    ) -> Estimate:
        """How many bytes lie in the partitions that a query of the tables asks for."""
        since, until = _times(dict(params or {}))
        today = datetime.now(UTC).date()
        objects = size = 0
        read = {*tables} | ({"cloudtrail"} if "edge" in tables else set())
        wanted = [s for s in self.sources if not tables or source_name(s) in read]
        for source in wanted:
            if source.kind == "security_lake":
                continue
            pages = self.case.client("s3").get_paginator("list_objects_v2")
            with translating("list", source.location):
                for prefix in _joined(source.prefixes(since, until, today)):
                    for page in pages.paginate(Bucket=source.bucket, Prefix=prefix):
                        objects += len(page.get("Contents", ()))
                        size += sum(one["Size"] for one in page.get("Contents", ()))
        known = not any(s.kind == "security_lake" for s in wanted)
        return Estimate(objects=objects, bytes=size, usd_per_tb=self.usd_per_tb, known=known)

    def frame(self, sql: str, params: Mapping[str, object] | None = None) -> pd.DataFrame:
        """What a query in the portable subset selects; times are aware UTC.

        Raises `Refused` before it runs when it would read more than the limit. The query is a step in the case's
        journal: the text, what Athena read, and what it took.
        """
        estimate = self.estimate(params, tables=tuple(_used(sql)))
        if estimate.bytes > self.limit:
            raise Refused(
                f"the query would read {estimate.sentence()}; the limit is {self.limit:,} bytes",
                hint="narrow it with since= and until=, or raise the limit",
            )
        text = self.sql(sql, params)
        kept: list[tuple[list[tuple[str, str]], list[list[str | None]]]] = []
        step = Step(
            verb="logs.athena_query",
            target=self.workgroup,
            title="Ask Athena a question",
            args={"sql": text, "asked": datetime.now(UTC).isoformat()},
            act=lambda running: self._run(running, text, kept),
            reversible="the result stays in the bucket for results; delete it there",
            deadline=1800.0,
        )
        report = Plan(self.case, [step], title="Athena query").apply()
        if not kept:
            why = report.steps[0].why if report.steps else "it was not run"
            raise AwsError(f"Athena did not answer: {why}", hint="see the journal")
        return _typed(*kept[0])

    def rows(self, sql: str, params: Mapping[str, object] | None = None) -> list[tuple[Any, ...]]:
        """What a query selects, as tuples."""
        return [tuple(row) for row in self.frame(sql, params).itertuples(index=False)]

    def _run(self, running: Running, text: str, kept: list[Any]) -> Outcome:
        client = self.case.client("athena")
        with translating("start the query in", self.workgroup):
            # The token makes Athena run it once, also when the answer to this call is lost.
            started = client.start_query_execution(
                QueryString=text,
                QueryExecutionContext={"Database": self.database},
                WorkGroup=self.workgroup,
                ClientRequestToken=f"{self.case.id}-{running.step_id}".ljust(32, "-")[:128],
            )["QueryExecutionId"]

        def ended() -> dict[str, Any] | None:
            told = client.get_query_execution(QueryExecutionId=started)["QueryExecution"]
            return dict(told) if told["Status"]["State"] in {"SUCCEEDED", "FAILED", "CANCELLED"} else None

        try:
            with translating("look at the query", started):
                told = wait_until(
                    ended,
                    what=f"Athena query {started}",
                    timeout=running.seconds_left,
                    stop=lambda: running.stopped,
                )
        except BaseException:
            client.stop_query_execution(QueryExecutionId=started)
            raise
        state, why = told["Status"]["State"], told["Status"].get("StateChangeReason", "")
        if state != "SUCCEEDED":
            raise AwsError(
                f"Athena query {started} ended as {state}: {why}", hint="see the query in the console"
            )
        self.scanned += int(told.get("Statistics", {}).get("DataScannedInBytes", 0))
        with translating("read the result of", started):
            columns, rows = _results(client, started)
        kept.append((columns, rows))
        return Outcome(
            result={
                "query_execution_id": started,
                "rows": len(rows),
                "scanned_bytes": told.get("Statistics", {}).get("DataScannedInBytes"),
                "output": told.get("ResultConfiguration", {}).get("OutputLocation"),
            }
        )

    def __repr__(self) -> str:
        of = ", ".join(f"{s.kind} at {s.location}" for s in self.sources)
        return f"Lake({self.database}: {of})"


def source_name(source: Source) -> str:
    """The table of ours that a source fills."""
    return "flow" if source.kind == "flow" else "cloudtrail"


def _sources(case: Case, database: str) -> tuple[Source, ...]:
    """What was set up for the case, read back from the catalogue."""
    from botocore.exceptions import ClientError

    try:
        pages = case.client("glue").get_paginator("get_tables").paginate(DatabaseName=database)
        tables = [table for page in pages for table in page["TableList"]]
    except ClientError as error:
        if error.response["Error"]["Code"] == "EntityNotFoundException":
            raise NotFound(
                f"Athena has no tables for case {case.id}", hint="`irkit logs athena setup` makes them"
            ) from error
        with translating("read the tables of", database):
            raise
    found = tuple(Source.of_table(table) for table in tables if table["Name"].endswith("_raw"))
    lakes = tuple(
        Source(
            kind="security_lake",
            location=table["Parameters"]["irkit.security_lake"],
            first=datetime.now(UTC).date(),
        )
        for table in tables
        if "irkit.security_lake" in table.get("Parameters", {})
    )
    if not found + lakes:
        raise NotFound(
            f"the database {database} has no table of irkit's", hint="`irkit logs athena setup` makes them"
        )
    return found + lakes


def _used(sql: str) -> set[str]:
    """The tables of ours that a query reads; the edges are made of the calls."""
    words = set(re.findall(r"[a-z0-9_]+", sql.lower()))
    return {name for name in SCHEMAS if name in words} | ({"cloudtrail"} if "edge" in words else set())


def _times(values: Mapping[str, object]) -> tuple[datetime, datetime]:
    since, until = values.get("since"), values.get("until")
    return (
        since if isinstance(since, datetime) else datetime(1900, 1, 1, tzinfo=UTC),
        until if isinstance(until, datetime) else datetime(9999, 1, 1, tzinfo=UTC),
    )


def _joined(prefixes: list[str]) -> list[str]:
    """Fewer, longer listings: more than a hundred days are listed by account and region."""
    if len(prefixes) <= 100:
        return prefixes
    return sorted({prefix.rsplit("/", 4)[0] + "/" for prefix in prefixes})


def _results(client: Any, query: str) -> tuple[list[tuple[str, str]], list[list[str | None]]]:
    columns: list[tuple[str, str]] = []
    rows: list[list[str | None]] = []
    for page in client.get_paginator("get_query_results").paginate(QueryExecutionId=query):
        told = page["ResultSet"]
        if not columns:
            columns = [(c["Name"], c["Type"]) for c in told["ResultSetMetadata"]["ColumnInfo"]]
        rows += [[cell.get("VarCharValue") for cell in row["Data"]] for row in told["Rows"]]
    # The first row of a SELECT is its head.
    return columns, rows[1:] if rows and rows[0] == [name for name, _ in columns] else rows


def _typed(columns: list[tuple[str, str]], rows: list[list[str | None]]) -> pd.DataFrame:
    import pandas as pd

    frame = pd.DataFrame(rows, columns=[name for name, _ in columns], dtype="object")
    for name, kind in columns:
        if kind.startswith("timestamp") or kind == "date":
            text = frame[name].astype("str").str.removesuffix(" UTC")
            frame[name] = pd.to_datetime(text, format="ISO8601", utc=True).astype("datetime64[us, UTC]")
        elif kind == "boolean":
            frame[name] = frame[name].map({"true": True, "false": False}).astype("boolean")
        elif kind in {"bigint", "integer", "int"}:
            frame[name] = pd.to_numeric(frame[name]).astype("Int64")
        elif kind == "double":
            frame[name] = pd.to_numeric(frame[name]).astype("float64")
        else:
            frame[name] = frame[name].astype("str")
    return frame
