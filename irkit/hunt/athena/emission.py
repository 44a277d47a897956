"""The portable SQL of a question as Athena reads it, with its parameters as literals.

sqlglot writes the Trino dialect; values become literals of its syntax tree, never text that is pasted in.

References:
    https://docs.aws.amazon.com/athena/latest/ug/select.html
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from irkit.errors import InvalidParameter

_MARK = "%Y-%m-%d %H:%M:%S"


def emitted(sql: str, params: Mapping[str, object] | None = None, *, dialect: str = "athena") -> str:
    """`sql`, which keeps to the subset of DuckDB that questions are written in, for Athena or another of sqlglot's."""
    import sqlglot
    from sqlglot import exp

    values = dict(params or {})

    def filled(node: exp.Expr) -> exp.Expr:
        if not isinstance(node, exp.Placeholder):
            return node
        if node.name not in values:
            raise InvalidParameter(f"the query needs a value for {node.name}", hint="give it")
        return sqlglot.parse_one(_literal(values[node.name]), read="trino")

    tree = sqlglot.parse_one(sql, read="duckdb").transform(filled)
    return tree.sql(dialect=dialect)


def _literal(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return repr(value)
        case datetime():
            aware = value if value.tzinfo else value.replace(tzinfo=UTC)
            return f"timestamp '{aware.astimezone(UTC).strftime(_MARK)}'"
        case str():
            return "'" + value.replace("'", "''") + "'"
    raise InvalidParameter(
        f"a {type(value).__name__} cannot be a literal", hint="give text, a number or a time"
    )
