"""CloudTrail, VPC flow and other logs, from wherever they lie, into typed tables."""

from __future__ import annotations

from irkit.logs.acquisition import plan
from irkit.logs.ingest import ingest
from irkit.logs.progress import Progress
from irkit.logs.report import IngestReport, Quarantined

__all__ = ["IngestReport", "Progress", "Quarantined", "ingest", "plan"]
