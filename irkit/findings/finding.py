"""A finding: one fact about an incident, in one shape whatever found it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any, Literal, get_args

from irkit.canonical import timestamp
from irkit.errors import BadInput

Severity = Literal["informational", "low", "medium", "high", "critical"]
Confidence = Literal["low", "medium", "high"]
SEVERITIES: tuple[Severity, ...] = get_args(Severity)
CONFIDENCES: tuple[Confidence, ...] = get_args(Confidence)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What was found, how sure it is, and on which evidence it rests.

    `facts` maps a kind of fact (`address`, `access_key`, `principal`, `session`, `api_call`, `denied_call`, `user`,
    `bucket`, `object_count`, `bytes_read`, `bytes_out`, `account`, `snapshot`, `pool`, `time_first_use`, `file`, …) to
    its values as text; it holds what belongs to the incident and nothing else. `basis` names the questions or evidence
    items that show it. `attack` holds MITRE ATT&CK technique ids.
    """

    id: str
    title: str
    statement: str
    severity: Severity
    confidence: Confidence
    first_seen: datetime | None = None
    last_seen: datetime | None = None
    attack: tuple[str, ...] = ()
    facts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    basis: tuple[str, ...] = ()
    source: str = "irkit.hunt"

    def __post_init__(self) -> None:
        """Refuse what is not of the shape, and make the facts unchangeable."""
        if self.severity not in SEVERITIES or self.confidence not in CONFIDENCES:
            raise BadInput(
                f"finding {self.id}: severity {self.severity!r} or confidence {self.confidence!r} is unknown"
            )
        for moment in (self.first_seen, self.last_seen):
            if moment is not None and moment.tzinfo is None:
                raise BadInput(f"finding {self.id}: a time without a zone", hint="give aware datetimes")
        object.__setattr__(self, "facts", MappingProxyType({k: tuple(v) for k, v in self.facts.items()}))

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON types; `from_dict` reads it back."""
        return {
            "id": self.id,
            "title": self.title,
            "statement": self.statement,
            "severity": self.severity,
            "confidence": self.confidence,
            "first_seen": timestamp(self.first_seen) if self.first_seen else None,
            "last_seen": timestamp(self.last_seen) if self.last_seen else None,
            "attack": list(self.attack),
            "facts": {kind: list(values) for kind, values in self.facts.items()},
            "basis": list(self.basis),
            "source": self.source,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Finding:
        """The finding that `to_dict` wrote; `BadInput` where something is missing or of the wrong shape."""
        try:
            return cls(
                id=str(data["id"]),
                title=str(data["title"]),
                statement=str(data["statement"]),
                severity=data["severity"],
                confidence=data["confidence"],
                first_seen=_moment(data.get("first_seen")),
                last_seen=_moment(data.get("last_seen")),
                attack=tuple(str(technique) for technique in data.get("attack", ())),
                facts={str(k): tuple(str(v) for v in values) for k, values in data.get("facts", {}).items()},
                basis=tuple(str(name) for name in data.get("basis", ())),
                source=str(data.get("source", "irkit.hunt")),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BadInput(f"not a finding: {error!r}", hint="see Finding.to_dict for the shape") from error

    def __repr__(self) -> str:
        return f"Finding({self.id}: {self.severity}, {self.confidence} confidence, {len(self.facts)} kinds of facts)"


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
