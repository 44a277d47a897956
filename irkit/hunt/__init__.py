"""Questions asked of the tables: who, from where, what, when; and a walk from one instance through all of them."""

from __future__ import annotations

from irkit.hunt.answer import Answer
from irkit.hunt.ask import ask, question, questions
from irkit.hunt.intruder import Subject
from irkit.hunt.investigation import investigate_instance
from irkit.hunt.question import Param, Question
from irkit.hunt.rounds import cloudtrail_round, network_round

__all__ = [
    "Answer",
    "Param",
    "Question",
    "Subject",
    "ask",
    "cloudtrail_round",
    "investigate_instance",
    "network_round",
    "question",
    "questions",
]
