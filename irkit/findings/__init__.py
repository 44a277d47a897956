"""Findings, whatever found them, in one shape."""

from __future__ import annotations

from irkit.findings.finding import CONFIDENCES, SEVERITIES, Confidence, Finding, Severity
from irkit.findings.listing import Findings

__all__ = ["CONFIDENCES", "SEVERITIES", "Confidence", "Finding", "Findings", "Severity"]
