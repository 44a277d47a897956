"""The questions on a second real engine: opt-in (`-m soak`), and only where pyspark and Java are installed."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from irkit.hunt import ask, question
from irkit.hunt.athena import emitted
from irkit.hunt.question import REQUIRED
from irkit.tables import SCHEMAS, Tables, connection, file_pattern, quoted
from tests.hunt import world_more
from tests.hunt.test_questions import GIVEN

pytestmark = [pytest.mark.soak, pytest.mark.filterwarnings("default")]
QUESTIONS = [
    "calls_of_access_key", "keys_summary", "credentials_used_elsewhere", "denied_calls", "enumeration_bursts",
    "privilege_escalation", "objects_read", "new_for_principal", "address_changes", "rejected_then_accepted",
    "outbound_by_destination", "coverage",
]  # fmt: skip


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tables]:
    with Tables.open(world_more.build(tmp_path_factory.mktemp("more"))) as opened:
        yield opened


@pytest.fixture(scope="module")
def spark(tables: Tables, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    sql = pytest.importorskip("pyspark.sql", reason="pyspark is not installed")
    if shutil.which("java") is None:
        pytest.skip("Spark needs Java")
    made = sql.SparkSession.builder.master("local[2]").config("spark.sql.session.timeZone", "UTC")
    made = made.config("spark.ui.enabled", "false").config("spark.sql.shuffle.partitions", "2").getOrCreate()
    folder = tmp_path_factory.mktemp("spark")
    with connection() as con:
        for name, columns in SCHEMAS.items():
            typed = ", ".join(f"cast(null as {c.type}) as {c.name}" for c in columns)
            rows = f"select {typed} where false"
            if any((tables.folder / name).rglob("*.parquet")):
                source = file_pattern(tables.folder / name).strip("'")
                rows += f" union all by name select * from read_parquet('{source}/**/*.parquet', union_by_name=true,"
                rows += " hive_partitioning=false)"
            path = folder / f"{name}.parquet"
            con.execute(f"copy ({rows}) to {quoted(str(path))} (format parquet)").fetchall()
            made.read.parquet(str(path)).createOrReplaceTempView(name)
    yield made
    made.stop()


@pytest.mark.parametrize("name", QUESTIONS)
def test_spark_answers_as_duckdb_does(tables: Tables, spark: Any, name: str) -> None:
    asked = question(name)
    given = {p.name: GIVEN[p.name] for p in asked.params if p.default is REQUIRED}
    values = asked.read_params(given)
    sql, bound = asked.bind(values)
    here = [tuple(map(_plain, row)) for row in ask(tables, name, **given).frame.itertuples(index=False)]
    told = spark.sql(emitted(sql, bound, dialect="spark")).collect()
    there = [tuple(_plain(row[column.name]) for column in asked.columns) for row in told]
    assert here
    assert sorted(there, key=repr) == sorted(here, key=repr)


def _plain(value: Any) -> Any:
    """A value as both engines' Python sides can be brought to say it."""
    if value is None or (isinstance(value, float) and math.isnan(value)) or str(value) in {"NaT", "<NA>"}:
        return None
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%S")
    if isinstance(value, bool):
        return value
    return int(value) if isinstance(value, int) else value
