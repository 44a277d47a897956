"""The ways to read logs that the benchmark compares; each takes files and gives the number of rows."""

from __future__ import annotations

from benchmarks.ways.cloudtrail import CLOUDTRAIL
from benchmarks.ways.flows import FLOWS
from benchmarks.ways.way import Way

WAYS: dict[str, Way] = {way.name: way for way in (*CLOUDTRAIL, *FLOWS)}
__all__ = ["WAYS", "Way"]
