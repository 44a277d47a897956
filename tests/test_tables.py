from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from irkit.tables import CLOUDTRAIL, EDGE, FLOW, SCHEMAS, Tables, columns, connection, iso


def test_empty_tables_have_their_columns_and_no_rows(tmp_path: Path) -> None:
    with Tables.open(tmp_path / "nothing yet") as tables:
        for name, schema in SCHEMAS.items():
            described = tables.rows(f"describe {name}")
            assert [(row[0], row[1]) for row in described] == [(c.name, c.type) for c in schema]
            assert tables.rows(f"select count(*) from {name}") == [(0,)]


def test_no_two_columns_of_a_table_share_a_name() -> None:
    for schema in (CLOUDTRAIL, FLOW, EDGE):
        assert len({column.name for column in schema}) == len(schema)


def test_a_column_type_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="MONEY"):
        columns("cost:MONEY")


def test_parts_that_lack_a_newer_column_are_read_all_the_same(tmp_path: Path) -> None:
    folder = tmp_path / "edge" / "day=2026-11-20"
    folder.mkdir(parents=True)
    with connection() as con:
        con.execute(
            f"copy (select 'e1' as event_id) to '{folder / 'part.parquet'}' (format parquet)"
        ).fetchall()
    with Tables.open(tmp_path) as tables:
        assert tables.rows("select event_id, kind from edge") == [("e1", None)]


def test_no_extension_is_ever_downloaded() -> None:
    with connection() as con:
        settings = dict(
            con.execute(
                "select name, value from duckdb_settings() where name like 'auto%known_extensions'"
            ).fetchall()
        )
    assert set(settings.values()) == {"false"}


def test_aware_times_are_bound_as_utc(tmp_path: Path) -> None:
    with Tables.open(tmp_path) as tables:
        noon = datetime(2026, 11, 20, 13, tzinfo=timezone(timedelta(hours=1)))
        assert tables.rows("select cast($moment as timestamp)", {"moment": noon}) == [
            (datetime(2026, 11, 20, 12),)  # noqa: DTZ001 - as stored
        ]


def test_times_are_written_in_utc() -> None:
    assert iso(datetime(2026, 11, 20, 12, tzinfo=UTC)) == "2026-11-20T12:00:00Z"
    assert iso(datetime(2026, 11, 20, 12)) == "2026-11-20T12:00:00Z"  # noqa: DTZ001 - as stored


def test_tables_tell_what_they_hold(tmp_path: Path) -> None:
    with Tables.open(tmp_path) as tables:
        assert "0 CloudTrail records; 0 flow records" in repr(tables)
