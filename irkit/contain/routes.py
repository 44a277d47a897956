"""Which route table a subnet follows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def table_of(tables: Iterable[Mapping[str, Any]], subnet: str) -> Mapping[str, Any] | None:
    """The table among those of the subnet's VPC that its traffic follows: its own, else the VPC's main table."""
    main = None
    for table in tables:
        for association in table.get("Associations", []):
            if association.get("SubnetId") == subnet:
                return table
            main = table if association.get("Main") else main
    return main
