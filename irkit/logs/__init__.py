"""CloudTrail, VPC flow and other logs, from wherever they lie, into typed tables."""

from __future__ import annotations

from irkit.logs.acquisition import plan
from irkit.logs.ingest import ingest
from irkit.logs.progress import Progress
from irkit.logs.report import IngestReport, Quarantined
from irkit.logs.search import Match, Searched, grep
from irkit.logs.validation import validate
from irkit.logs.verdicts import FileVerdict, Validation
from irkit.logs.wanted import Wanted

__all__ = [
    "FileVerdict",
    "IngestReport",
    "Match",
    "Progress",
    "Quarantined",
    "Searched",
    "Validation",
    "Wanted",
    "grep",
    "ingest",
    "plan",
    "validate",
]
