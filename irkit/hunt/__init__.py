"""Questions asked of the tables: who, from where, what, when; and a walk from one instance through all of them."""

from __future__ import annotations

from irkit.hunt.ancestry import Lineage, lineage
from irkit.hunt.answer import Answer
from irkit.hunt.ask import ask, question, questions
from irkit.hunt.detections import Detections, RuleSet, detect, read_rules, shipped_rules
from irkit.hunt.intruder import Subject
from irkit.hunt.investigation import investigate_instance, investigate_key
from irkit.hunt.places import Places
from irkit.hunt.question import Param, Question
from irkit.hunt.rounds import (
    cloudtrail_round,
    data_round,
    key_round,
    network_round,
    persistence_round,
    principal_round,
)

__all__ = [
    "Answer",
    "Detections",
    "Lineage",
    "Param",
    "Places",
    "Question",
    "RuleSet",
    "Subject",
    "ask",
    "cloudtrail_round",
    "data_round",
    "detect",
    "investigate_instance",
    "investigate_key",
    "key_round",
    "lineage",
    "network_round",
    "persistence_round",
    "principal_round",
    "question",
    "questions",
    "read_rules",
    "shipped_rules",
]
