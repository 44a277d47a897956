"""Sigma rules over the CloudTrail table: read, turned into SQL, run in one query, told as findings.

References:
    https://sigmahq.io/docs/ for the language; https://github.com/SigmaHQ/sigma `rules/cloud/aws` for rules
"""

from __future__ import annotations

from irkit.hunt.detections.detected import Detections, detect
from irkit.hunt.detections.reading import read_rules, shipped_rules
from irkit.hunt.detections.rule import Correlation, RefusedRule, Rule, RuleSet

__all__ = [
    "Correlation",
    "Detections",
    "RefusedRule",
    "Rule",
    "RuleSet",
    "detect",
    "read_rules",
    "shipped_rules",
]
