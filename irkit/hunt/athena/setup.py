"""What Athena needs for a case: a database, a workgroup with a scan limit, tables over the raw buckets, views.

References:
    https://docs.aws.amazon.com/athena/latest/ug/workgroups-setting-control-limits-cloudwatch.html
    https://docs.aws.amazon.com/glue/latest/webapi/API_CreateTable.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from irkit.aws import translating
from irkit.aws.refusals import error_code
from irkit.aws.waiting import wait_until
from irkit.errors import AwsError, InvalidParameter
from irkit.escape import for_terminal
from irkit.hunt.athena.emission import emitted
from irkit.hunt.athena.lake import GIB, names, source_name
from irkit.hunt.athena.sources import Source
from irkit.plan import Call, Outcome, Plan, Running, Step, Undo

if TYPE_CHECKING:
    from irkit.case import Case

_LEAST_LIMIT = 10_000_000
_ABSENT = {"EntityNotFoundException", "InvalidRequestException"}


def setup(case: Case, sources: Iterable[Source], *, output: str, limit: int = 10 * GIB) -> Plan:
    """A plan that makes database, workgroup, raw tables and views. Nothing is copied; undo removes all of it.

    `output` is where results go, as `s3://bucket/prefix`; `limit` is how many bytes one query may read, at least 10 MB:
    Athena stops a query that reads more.
    """
    given = tuple(sources)
    if not given:
        raise InvalidParameter("there is nothing to set up", hint="name a bucket of CloudTrail or flow logs")
    if not output.startswith("s3://"):
        raise InvalidParameter(
            f"{for_terminal(output)[:80]!r} is not s3://bucket/prefix", hint="name a bucket for results"
        )
    if limit < _LEAST_LIMIT:
        raise InvalidParameter(
            f"a limit of {limit:,} bytes is below Athena's least", hint="give 10,000,000 or more"
        )
    if len({source_name(s) for s in given}) < len(given):
        raise InvalidParameter(
            "two sources would fill one table", hint="give one source of CloudTrail and one of flow logs"
        )
    database, workgroup = names(case.id)
    steps = [_database(case, database), _workgroup(case, workgroup, output, limit)]
    steps += [_table(case, database, source) for source in given]
    steps += [_view(case, database, workgroup, source) for source in given]
    return Plan(case, steps, title=f"Athena for case {case.id}")


def _database(case: Case, database: str) -> Step:
    client = case.client("glue")

    def act(_: Running) -> Outcome:
        with translating("create the database", database):
            client.create_database(
                DatabaseInput={
                    "Name": database,
                    "Description": f"irkit case {case.id}",
                    "Parameters": case.tags(),
                }
            )
        return Outcome(result={"database": database}, undo=undo)

    undo = Undo(calls=(Call(service="glue", operation="delete_database", params={"Name": database}),))
    return Step(
        verb="logs.athena_database",
        target=database,
        title="Create a database for the tables",
        act=act,
        find=_found(lambda: client.get_database(Name=database), {"database": database}, undo),
        reversible="the database is deleted",
        stage=0,
    )


def _workgroup(case: Case, workgroup: str, output: str, limit: int) -> Step:
    client = case.client("athena")
    tags = [{"Key": key, "Value": value} for key, value in case.tags().items()]

    def act(_: Running) -> Outcome:
        with translating("create the workgroup", workgroup):
            client.create_work_group(
                Name=workgroup,
                Description=f"irkit case {case.id}",
                Configuration={
                    "ResultConfiguration": {
                        "OutputLocation": output,
                        "EncryptionConfiguration": {"EncryptionOption": "SSE_S3"},
                    },
                    "EnforceWorkGroupConfiguration": True,
                    "BytesScannedCutoffPerQuery": limit,
                },
                Tags=tags,
            )
        return Outcome(result={"workgroup": workgroup, "limit_bytes": limit}, undo=undo)

    params = {"WorkGroup": workgroup, "RecursiveDeleteOption": True}
    undo = Undo(calls=(Call(service="athena", operation="delete_work_group", params=params),))
    result = {"workgroup": workgroup, "limit_bytes": limit}
    return Step(
        verb="logs.athena_workgroup",
        target=workgroup,
        title=f"Create a workgroup that stops a query after {limit:,} bytes",
        act=act,
        args={"output": output, "limit": limit},
        find=_found(lambda: client.get_work_group(WorkGroup=workgroup), result, undo),
        reversible="the workgroup is deleted; results stay in the bucket",
        stage=0,
    )


def _table(case: Case, database: str, source: Source) -> Step:
    client = case.client("glue")
    name = source.table if source.kind != "security_lake" else "security_lake_source"
    lake = {
        "Name": name,
        "Description": f"A mark: the view cloudtrail reads {source.location}",
        "Parameters": {"irkit.security_lake": source.location},
    }
    table: dict[str, Any] = lake if source.kind == "security_lake" else source.glue_table()

    def act(_: Running) -> Outcome:
        with translating("create the table", f"{database}.{name}"):
            client.create_table(DatabaseName=database, TableInput=table)
        return Outcome(result={"table": name, "location": source.location}, undo=undo)

    params = {"DatabaseName": database, "Name": name}
    undo = Undo(calls=(Call(service="glue", operation="delete_table", params=params),))
    return Step(
        verb="logs.athena_table",
        target=f"{database}.{name}",
        title=f"Create a table over {source.location}",
        act=act,
        args={"table": table},
        find=_found(
            lambda: client.get_table(DatabaseName=database, Name=name),
            {"table": name, "location": source.location},
            undo,
        ),
        needs=("logs.athena_database",),
        reversible="the table is deleted; the logs stay",
        stage=1,
    )


def _view(case: Case, database: str, workgroup: str, source: Source) -> Step:
    name = source_name(source)
    # CREATE OR REPLACE is the same however often it is run: an interrupted one is simply run again.
    sql = f"CREATE OR REPLACE VIEW {name} AS {emitted(source.select())}"

    def act(running: Running) -> Outcome:
        client = case.client("athena")
        with translating("create the view", f"{database}.{name}"):
            started = client.start_query_execution(
                QueryString=sql, QueryExecutionContext={"Database": database}, WorkGroup=workgroup
            )["QueryExecutionId"]

            def ended() -> dict[str, Any] | None:
                status = client.get_query_execution(QueryExecutionId=started)["QueryExecution"]["Status"]
                return dict(status) if status["State"] in {"SUCCEEDED", "FAILED", "CANCELLED"} else None

            told = wait_until(
                ended, what=f"view {name}", timeout=running.seconds_left, stop=lambda: running.stopped
            )
        if told["State"] != "SUCCEEDED":
            why = told.get("StateChangeReason", told["State"])
            raise AwsError(
                f"the view {database}.{name} was not made: {why}", hint="see the query in the console"
            )
        return Outcome(result={"view": name}, undo=undo)

    params = {"DatabaseName": database, "Name": name}
    undo = Undo(calls=(Call(service="glue", operation="delete_table", params=params),))
    return Step(
        verb="logs.athena_view",
        target=f"{database}.{name}",
        title=f"Create the view {name} with irkit's column names",
        act=act,
        args={"sql": sql},
        needs=("logs.athena_table", "logs.athena_workgroup"),
        reversible="the view is deleted",
        stage=2,
    )


def _found(look: Callable[[], Any], result: dict[str, Any], undo: Undo) -> Callable[[Any], Outcome | None]:
    """Ask AWS whether a step that was cut short took effect."""

    def find(_: Any) -> Outcome | None:
        from botocore.exceptions import ClientError

        try:
            look()
        except ClientError as error:
            if error_code(error) in _ABSENT:
                return None
            raise
        return Outcome(result=result, undo=undo)

    return find
