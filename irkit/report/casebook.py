"""All that a report tells of a case, read once: the journal, the evidence, what analysis left, what the logs hold."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from irkit.case import Facts
from irkit.evidence import Item, Verdict, verify
from irkit.findings import Finding
from irkit.journal import Entry
from irkit.report.artifacts import Artifacts, read_artifacts
from irkit.report.incident import Incident, incident_of
from irkit.report.steps import StepRecord, steps_of
from irkit.report.traces import Traces, traces_of

if TYPE_CHECKING:
    from irkit.case import Case

REPORT = "report"  # the kind of the items that reports are kept as
_INSTANCE = re.compile(r"i-(?:[0-9a-f]{17}|[0-9a-f]{8})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Casebook:
    """A case as it stands. `traces` is None where no logs can be read, and `problems` says why."""

    facts: Facts
    entries: Sequence[Entry]
    items: Sequence[Item]
    steps: Sequence[StepRecord]
    artifacts: Artifacts
    incident: Incident
    traces: Traces | None
    verdict: Verdict
    problems: tuple[str, ...]

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The findings, worst first; none where there was no analysis."""
        return self.artifacts.findings or ()

    @property
    def instance(self) -> str:
        """The suspect instance's id, empty where nothing names one."""
        named = [_text(self.artifacts.preflight, "instance_id"), _text(self.artifacts.preflight, "instance")]
        instance = (self.artifacts.preflight or {}).get("instance")
        if isinstance(instance, Mapping):
            named += [_text(instance, "id"), _text(instance, "instance_id")]
        named += [step.target for step in self.steps]
        return next((found[0] for text in named if (found := _INSTANCE.search(text))), "")

    @property
    def simulated(self) -> str:
        """The name of the simulated world that the case plays in; empty for real AWS."""
        return (self.facts.simulated or "").rstrip("/").rpartition("/")[2]

    @property
    def account(self) -> str:
        """The suspect's account, as the case or else the preflight has it."""
        instance = (self.artifacts.preflight or {}).get("instance")
        inner = _text(instance, "account") if isinstance(instance, Mapping) else ""
        return self.facts.account or _text(self.artifacts.preflight, "account") or inner


def read(case: Case) -> Casebook:
    """The case as it stands now. Renders its manifest first, so that `verify` compares what there is."""
    if case.evidence.items():
        case.evidence.write_manifest()
    verdict = verify(case.root)
    artifacts = read_artifacts(case.active / "artifacts")
    incident = incident_of(artifacts.findings or ())
    traces = traces_of(case, incident, artifacts.answers)
    entries = case.journal.entries
    return Casebook(
        facts=case.facts,
        entries=entries,
        items=case.evidence.items(),
        steps=steps_of(entries),
        artifacts=artifacts,
        incident=incident,
        traces=None if isinstance(traces, str) else traces,
        verdict=verdict,
        problems=(*artifacts.problems, *([traces] if isinstance(traces, str) else [])),
    )


def _text(source: Mapping[str, Any] | None, name: str) -> str:
    value = (source or {}).get(name)
    return value if isinstance(value, str) else ""
