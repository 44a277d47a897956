# ruff: noqa: S608 - a simulated engine runs the SQL that it is given; that is what it is for
"""The tables of a simulated Glue database as DuckDB tables, made of what lies in the simulated buckets."""

from __future__ import annotations

import gzip
import json
import re
import tempfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

_KINDS = {"string": "VARCHAR", "int": "INTEGER", "bigint": "BIGINT", "double": "DOUBLE", "boolean": "BOOLEAN"}
_SAID = {
    "VARCHAR": "varchar",
    "INTEGER": "integer",
    "BIGINT": "bigint",
    "HUGEINT": "bigint",
    "DOUBLE": "double",
    "BOOLEAN": "boolean",
    "TIMESTAMP": "timestamp(3)",
}


class Lake:
    """One database: its raw tables and views, and a way to run Trino's SQL over them."""

    def __init__(self, account: str, region: str, database: str) -> None:
        from moto.glue.models import glue_backends

        self._account = account
        self._glue = glue_backends[account][region]
        self._database = database

    def check(self, sql: str) -> None:
        """Raise what is wrong with a view's SELECT."""
        self.run(f"{sql} LIMIT 0")

    def keep_view(self, name: str, sql: str) -> None:
        """Put a view into the catalogue, in the place of one of that name."""
        from moto.glue.models import FakeTable

        table = {
            "Name": name,
            "TableType": "VIRTUAL_VIEW",
            "ViewOriginalText": sql,
            "StorageDescriptor": {"Columns": []},
            "Parameters": {"presto_view": "true"},
        }
        self._tables()[name] = FakeTable(self._database, name, table, self._account)

    def run(self, query: str) -> tuple[list[tuple[str, str]], list[list[Any]], int]:
        """Columns with Athena's type names, rows as text, and how many bytes of objects were read."""
        import duckdb
        import sqlglot
        from sqlglot import exp

        tree = sqlglot.parse_one(query, read="athena")
        used = {table.name for table in tree.find_all(exp.Table)}
        scanned = 0
        with duckdb.connect(":memory:") as con, tempfile.TemporaryDirectory() as folder:
            for name, table in self._tables().items():
                told = table.as_dict()
                if name in used and told.get("TableType") == "EXTERNAL_TABLE":
                    rows, size = self._read(told, _days(tree))
                    scanned += size
                    _fill(con, name, _columns(told), rows, Path(folder))
            for name, table in self._tables().items():
                told = table.as_dict()
                if name in used and told.get("TableType") == "VIRTUAL_VIEW" and name not in _named(tree):
                    rows, size = [], 0
                    view = sqlglot.transpile(told["ViewOriginalText"], read="athena", write="duckdb")[0]
                    for raw in {t.name for t in sqlglot.parse_one(view, read="duckdb").find_all(exp.Table)}:
                        of = self._tables()[raw].as_dict()
                        rows, size = self._read(of, _days(tree))
                        scanned += size
                        _fill(con, raw, _columns(of), rows, Path(folder))
                    con.execute(f'create view "{name}" as {view}')
            found = con.execute(tree.sql(dialect="duckdb"))
            columns = [(d[0], _SAID.get(str(d[1]).partition("(")[0], "varchar")) for d in found.description]
            return columns, [[_text(value) for value in row] for row in found.fetchall()], scanned

    def _tables(self) -> Any:
        return self._glue.get_database(self._database).tables

    def _read(self, table: dict[str, Any], days: tuple[str, str]) -> tuple[list[dict[str, Any]], int]:
        """The rows of the files below the table's location whose day is asked for, and the files' size."""
        from moto.s3.models import s3_backends

        template = table["Parameters"]["storage.location.template"]
        bucket_name, _, below = template.removeprefix("s3://").partition("/")
        pattern = re.escape(below).replace(r"\$\{account\}", "(?P<account>[^/]+)")
        pattern = pattern.replace(r"\$\{region\}", "(?P<region>[^/]+)")
        pattern = pattern.replace(r"\$\{day\}", "(?P<day>[0-9]{4}/[0-9]{2}/[0-9]{2})")
        rows: list[dict[str, Any]] = []
        size = 0
        for key in list(s3_backends[self._account]["aws"].buckets[bucket_name].keys.values()):
            parts = re.match(pattern + "/", key.name)
            if not parts or not days[0] <= parts["day"] <= days[1]:
                continue
            if not all(_projected(table, part, parts[part]) for part in ("account", "region")):
                continue
            data = key.value
            size += len(data)
            text = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
            rows += [row | parts.groupdict() for row in _rows(table, text)]
        return rows, size


def _projected(table: dict[str, Any], name: str, value: str) -> bool:
    return value in table["Parameters"][f"projection.{name}.values"].split(",")


def _rows(table: dict[str, Any], text: bytes) -> Iterator[dict[str, Any]]:
    columns = [(c["Name"], c["Type"]) for c in table["StorageDescriptor"]["Columns"]]
    if "CloudTrail" in table["StorageDescriptor"]["InputFormat"]:
        for record in json.loads(text)["Records"]:
            lower = {key.lower(): value for key, value in record.items()}
            yield {name: _shaped(kind, lower.get(name)) for name, kind in columns}
        return
    skipped = int(table["Parameters"].get("skip.header.line.count", 0))
    for line in text.decode().splitlines()[skipped:]:
        values = line.split(" ")
        yield {name: _number(kind, value) for (name, kind), value in zip(columns, values, strict=False)}


def _number(kind: str, value: str) -> Any:
    if kind == "string":
        return value
    return int(value) if re.fullmatch(r"-?[0-9]+", value) else None


def _shaped(kind: str, value: Any) -> Any:
    """A JSON value as the SerDe gives it: text for what is declared as text, else by its declared parts."""
    if value is None:
        return None
    if kind == "string":
        return (
            value if isinstance(value, str) else json.dumps(value, separators=(",", ":"), ensure_ascii=False)
        )
    if kind.startswith("array<"):
        inner = kind[6:-1]
        return [_shaped(inner, one) for one in value] if isinstance(value, list) else None
    if kind.startswith("struct<"):
        lower = {k.lower(): v for k, v in value.items()} if isinstance(value, dict) else {}
        return {name: _shaped(of, lower.get(name)) for name, of in _members(kind)}
    return value


def _members(kind: str) -> Iterator[tuple[str, str]]:
    """`struct<a:string,b:struct<…>>` as its members."""
    depth, begin, body = 0, 0, kind[7:-1] + ","
    for at, character in enumerate(body):
        depth += {"<": 1, ">": -1}.get(character, 0)
        if character == "," and depth == 0:
            name, _, of = body[begin:at].partition(":")
            yield name, of
            begin = at + 1


def _duck(kind: str) -> str:
    if kind.startswith("array<"):
        return f"{_duck(kind[6:-1])}[]"
    if kind.startswith("struct<"):
        return "STRUCT(" + ", ".join(f'"{name}" {_duck(of)}' for name, of in _members(kind)) + ")"
    return _KINDS[kind]


def _columns(table: dict[str, Any]) -> dict[str, str]:
    told = [*table["StorageDescriptor"]["Columns"], *table.get("PartitionKeys", [])]
    return {column["Name"]: _duck(column["Type"]) for column in told}


def _fill(con: Any, name: str, columns: dict[str, str], rows: list[dict[str, Any]], folder: Path) -> None:
    path = folder / f"{name}.json"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    kinds = "{" + ", ".join(f"'{column}': '{kind}'" for column, kind in columns.items()) + "}"
    con.execute(
        f'create or replace table "{name}" as select * from'
        f" read_json('{path}', format='newline_delimited', columns={kinds}, maximum_object_size=104857600)"
    )


def _days(tree: Any) -> tuple[str, str]:
    """The first and the last day that the query names of the partitions."""
    from sqlglot import exp

    first, last = "", "9"
    for kind in (exp.GTE, exp.LTE):
        for node in tree.find_all(kind):
            if isinstance(node.this, exp.Column) and node.this.name == "day":
                day = node.expression.this
                first, last = (max(first, day), last) if kind is exp.GTE else (first, min(last, day))
    return first, last


def _named(tree: Any) -> set[str]:
    from sqlglot import exp

    return {cte.alias for cte in tree.find_all(exp.CTE)}


def _text(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    return str(value)
