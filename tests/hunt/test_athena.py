"""Athena in the simulator, where queries are really run over the objects in the buckets, against the tables here."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest

from irkit.case import Case
from irkit.errors import AwsError, InvalidParameter, NotFound, Refused
from irkit.hunt import ask, question, questions
from irkit.hunt.athena import Lake, Source, ask_lake, emitted, setup
from irkit.hunt.question import REQUIRED, Question
from irkit.logs import ingest
from irkit.sim import Simulator
from irkit.tables import Tables
from tests.hunt import world as w
from tests.hunt.test_questions import _OF_THE_MACHINE, GIVEN
from tests.logs.builders import ACCOUNT, FLOW_HEADER, at, write_flows, write_trail

BUCKET, RESULTS = "lake-logs", "lake-results"
FIRST = date(2026, 11, 1)
TRAIL = Source(
    kind="cloudtrail", location=f"s3://{BUCKET}/all", accounts=(ACCOUNT,), regions=("us-east-1",), first=FIRST
)
FLOWS = Source(
    kind="flow", location=f"s3://{BUCKET}", accounts=(ACCOUNT,), regions=("us-east-1",), first=FIRST
)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """The small break-in in a bucket as AWS lays it out, set up in Athena, and the same in tables here."""
    folder = tmp_path_factory.mktemp("lake")
    trail = write_trail(folder / "raw" / "trail.json.gz", w.trail_records())
    flow = write_flows(folder / "raw" / "flow.log.gz", w.flow_lines(), FLOW_HEADER)
    ingest(folder / "raw", folder / "tables")
    before = dict(os.environ)
    with Simulator.start(workdir=folder / "sim") as sim:
        os.environ.update(sim.env())
        s3 = boto3.client("s3", region_name="us-east-1")
        for bucket in (BUCKET, RESULTS):
            s3.create_bucket(Bucket=bucket)
        s3.upload_file(str(trail), BUCKET, f"all/AWSLogs/{ACCOUNT}/CloudTrail/us-east-1/2026/11/20/t.json.gz")
        s3.upload_file(
            str(trail), BUCKET, f"all/AWSLogs/{ACCOUNT}/CloudTrail/eu-west-1/2026/11/20/other.json.gz"
        )
        s3.upload_file(str(flow), BUCKET, f"AWSLogs/{ACCOUNT}/vpcflowlogs/us-east-1/2026/11/20/f.log.gz")
        case = Case.open("2026-11-lake", region="us-east-1", cases=folder / "cases", responder="ana")
        plan = setup(case, [TRAIL, FLOWS], output=f"s3://{RESULTS}/a/")
        report = plan.apply()
        assert report.complete, report.to_dict()
        with Tables.open(folder / "tables") as tables:
            yield SimpleNamespace(case=case, tables=tables, lake=Lake(case))
        case.close()
    os.environ.clear()
    os.environ.update(before)


def _params(asked: Question) -> dict[str, Any]:
    given = GIVEN | ({"addresses": w.OWN} if asked.name in _OF_THE_MACHINE else {})
    return {p.name: given[p.name] for p in asked.params if p.default is REQUIRED}


# File names and what was not set up differ by nature.
_NOT_THE_SAME = {"src_file"}
_PICKED = [
    "calls_of_access_key", "role_chain", "privilege_escalation", "objects_read", "shared_snapshots", "beacons",
    "before_and_after", "coverage_gaps",
]  # fmt: skip


def _compare(lake: SimpleNamespace, name: str) -> None:
    asked = question(name)
    here = ask(lake.tables, name, **_params(asked))
    there = ask_lake(lake.lake, name, **_params(asked))
    assert [c.name for c in there.question.columns] == list(there.frame.columns)
    ours, theirs = (
        [{k: v for k, v in row.items() if k not in _NOT_THE_SAME} for row in a.rows()] for a in (here, there)
    )
    assert theirs == ours
    assert there.scanned > 0
    assert list(there.frame.dtypes) == list(here.frame.dtypes)


@pytest.mark.parametrize("name", _PICKED)
def test_athena_answers_as_the_tables_here_do(lake: SimpleNamespace, name: str) -> None:
    _compare(lake, name)


@pytest.mark.soak
@pytest.mark.parametrize(
    "name", [q.name for q in questions() if not {"s3_access", "dns", "elb"} & set(q.reads)]
)
def test_athena_answers_every_question_as_the_tables_here_do(lake: SimpleNamespace, name: str) -> None:
    _compare(lake, name)


def test_setup_run_again_changes_nothing_and_its_plan_says_how_to_undo_it(lake: SimpleNamespace) -> None:
    begun = [e for e in lake.case.journal.entries if e.kind.value == "intended"]
    again = setup(lake.case, [TRAIL, FLOWS], output=f"s3://{RESULTS}/a/").apply()
    assert again.complete
    assert [e for e in lake.case.journal.entries if e.kind.value == "intended"] == begun
    undos = [entry["undo"] for entry in _undos(lake.case)]
    operations = [call["operation"] for undo in undos for call in undo["calls"]]
    assert operations.count("delete_table") == 4
    assert {"delete_database", "delete_work_group"} <= set(operations)


def _undos(case: Case) -> list[dict[str, Any]]:
    return [dict(e.body) for e in case.journal.entries if e.body.get("undo")]


def test_only_the_days_that_are_asked_for_are_read(lake: SimpleNamespace) -> None:
    one = Lake(lake.case)
    assert one.estimate({}, tables=("cloudtrail",)).objects == 1
    later = {"since": datetime(2026, 11, 22, tzinfo=UTC)}
    assert one.estimate(later, tables=("cloudtrail",)).objects == 0
    answer = ask_lake(one, "calls_of_access_key", access_key_id=w.KEY, since="2026-11-22")
    assert (len(answer), answer.scanned) == (0, 0)


def test_a_query_above_the_limit_is_refused_before_it_runs(lake: SimpleNamespace) -> None:
    with pytest.raises(Refused, match=r"1 object, [0-9,]+ bytes at most.*the limit is 100 bytes"):
        ask_lake(Lake(lake.case, limit=100), "secrets_read")


def test_a_query_is_a_step_in_the_journal(lake: SimpleNamespace) -> None:
    ask_lake(Lake(lake.case), "secrets_read")
    meant = [e for e in lake.case.journal.entries if e.body.get("verb") == "logs.athena_query"][-1]
    (done,) = [e for e in lake.case.journal.entries if e.step == meant.step and e.kind.value == "done"]
    assert done.body["result"]["rows"] == 1
    assert done.body["result"]["scanned_bytes"] > 0


def test_a_query_that_athena_fails_is_told_with_its_reason(lake: SimpleNamespace) -> None:
    with pytest.raises(AwsError, match="no_such_column"):
        Lake(lake.case).frame("select no_such_column from cloudtrail")


def test_a_view_in_athena_has_our_columns(lake: SimpleNamespace) -> None:
    athena = lake.case.client("athena")
    database = Lake(lake.case).database
    started = athena.start_query_execution(
        QueryString="select event_name, principal from cloudtrail where event_name = 'CreateUser'",
        QueryExecutionContext={"Database": database},
        WorkGroup="irkit-2026-11-lake",
    )["QueryExecutionId"]
    rows = athena.get_query_results(QueryExecutionId=started)["ResultSet"]["Rows"]
    assert [c["VarCharValue"] for c in rows[1]["Data"]] == ["CreateUser", f"arn:aws:iam::{ACCOUNT}:role/Web"]


def test_a_case_without_setup_is_told_what_to_do(lake: SimpleNamespace, tmp_path: Path) -> None:
    case = Case.open("2026-11-bare", region="us-east-1", cases=tmp_path, responder="ana")
    with pytest.raises(NotFound, match=r"no tables for case 2026-11-bare.*irkit logs athena setup"):
        Lake(case)
    case.close()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"location": "s3://b"}, "is not s3://bucket/prefix"),
        ({"location": "s3://bucket-a/x'y; drop"}, "is not s3://bucket/prefix"),
        ({"accounts": ("123",)}, "12 digits"),
        ({"accounts": ()}, "accounts and regions"),
        ({"regions": ("us_east",)}, "a region such as"),
        ({"organization": "acme"}, "organization id"),
        ({"kind": "security_lake", "location": "x; drop table y"}, "database.table"),
    ],
)
def test_a_source_that_is_none_is_refused_before_it_becomes_ddl(change: dict[str, Any], told: str) -> None:
    good = {
        "kind": "cloudtrail",
        "location": "s3://bucket-a/x",
        "accounts": (ACCOUNT,),
        "regions": ("us-east-1",),
        "first": FIRST,
    }
    with pytest.raises(InvalidParameter, match=told):
        Source(**good | change)


def test_setup_needs_a_place_for_results_a_source_and_a_sane_limit(lake: SimpleNamespace) -> None:
    for bad in ({"output": "here"}, {"limit": 5}):
        with pytest.raises(InvalidParameter):
            setup(lake.case, [TRAIL], **{"output": "s3://b/x", **bad})  # type: ignore[arg-type]
    with pytest.raises(InvalidParameter, match="nothing to set up"):
        setup(lake.case, [], output="s3://b/x")
    with pytest.raises(InvalidParameter, match="one table"):
        setup(lake.case, [TRAIL, TRAIL], output="s3://b/x")


def test_values_become_literals_and_never_text_of_the_query() -> None:
    sql = "select a from t where x = $name and y in ($k_0) and z >= $since and n < $most"
    text = emitted(sql, {"name": "it's' or 1=1", "k_0": "b", "since": at(0), "most": 5})
    assert "x = 'it''s'' or 1=1'" in text
    assert "z >= CAST('2026-11-20 10:00:00' AS TIMESTAMP" in text
    with pytest.raises(InvalidParameter, match="needs a value for name"):
        emitted(sql, {})


def test_a_security_lake_table_is_read_by_its_own_names() -> None:
    import sqlglot

    source = Source(
        kind="security_lake",
        location="amazon_security_lake_glue_db_us_east_1.cloud_trail_mgmt_2_0",
        first=FIRST,
    )
    text = emitted(source.select())
    parsed = sqlglot.parse_one(text, read="trino")
    assert "api.operation AS event_name" in text
    assert [table.sql() for table in parsed.find_all(sqlglot.exp.Table)] == [source.location]


@pytest.mark.parametrize("asked", [pytest.param(q, id=q.name) for q in questions() if q.sql])
def test_the_athena_text_of_every_question_is_trino(
    lake: SimpleNamespace, asked: Question, sent: Callable[[str], None]
) -> None:
    values = asked.read_params(_params(asked))
    sql, bound = asked.bind(values)
    sent(lake.lake.sql(sql, bound))


@pytest.fixture
def sent() -> Callable[[str], None]:
    import sqlglot

    def parse(text: str) -> None:
        parsed = sqlglot.parse_one(text, read="trino")
        assert not list(parsed.find_all(sqlglot.exp.Anonymous)), text
        assert not list(parsed.find_all(sqlglot.exp.Placeholder)), text
        for word in ("QUALIFY", "FILTER(", "REGEXP_MATCHES", "STRPTIME"):
            assert word not in text.upper()

    return parse
