"""The questions that come with irkit, by room: who, what was done, what left, what was changed, what is known."""

from __future__ import annotations

from irkit.hunt.question import Question
from irkit.hunt.questions import (
    access,
    activity,
    changes,
    coverage,
    data,
    escalation,
    lineage,
    network,
    novelty,
    requests,
    scans,
    taken,
)

QUESTIONS: tuple[Question, ...] = (
    *access.QUESTIONS,
    *activity.QUESTIONS,
    *changes.QUESTIONS,
    *coverage.QUESTIONS,
    *data.QUESTIONS,
    *escalation.QUESTIONS,
    *lineage.QUESTIONS,
    *network.QUESTIONS,
    *novelty.QUESTIONS,
    *requests.QUESTIONS,
    *scans.QUESTIONS,
    *taken.QUESTIONS,
)
