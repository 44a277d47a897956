"""What a report does not cover, said as plainly as what it found: silence must not be taken for absence."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from irkit.report.words import counted

if TYPE_CHECKING:
    from irkit.report.casebook import Casebook

_MOST = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Something that is missing; `topic` says of what: capture and containment, evidence, logs, analysis and so on."""

    topic: str
    text: str


def gaps(book: Casebook, figures: list[str]) -> list[Gap]:
    """Everything that is missing from the case and from the report, by topic. `figures` are those not drawn."""
    return [
        *_steps(book),
        *(
            Gap(topic="evidence", text=f"{i.id} {i.name} holds less than there was{_why(i.notes)}")
            for i in book.items
            if i.partial
        ),
        *_logs(book),
        *_analysis(book),
        *_preflight(book),
        *(Gap(topic="report", text=problem) for problem in (*book.problems, *figures)),
        *_standing(book),
    ]


def _steps(book: Casebook) -> Iterator[Gap]:
    topic = "capture and containment"
    for step in book.steps:
        name = step.title if step.target in step.title else f"{step.title} ({step.target})"
        if step.standing == "skipped":
            yield Gap(topic="skipped steps, and why", text=f"{name}: {step.why or 'no reason is recorded'}")
        elif step.standing == "failed":
            yield Gap(topic=topic, text=f"{name}: failed: {step.why}")
        elif step.standing == "interrupted":
            yield Gap(
                topic=topic,
                text=f"{name}: interrupted; it may have taken effect. “irkit case resume” settles it",
            )
        elif not step.notebook:
            yield from (Gap(topic=topic, text=f"{name}: {lack}") for lack in step.missing)
    if not book.steps:
        yield Gap(topic=topic, text="no capture or containment step is in the journal")


def _logs(book: Casebook) -> Iterator[Gap]:
    traces = book.traces
    if traces is not None:
        if not traces.extent.records:
            yield Gap(
                topic="logs", text="no CloudTrail record was ingested: nothing is known of calls to AWS"
            )
        elif not traces.data_events:
            yield Gap(
                topic="logs",
                text="no data events were among the logs: reads of objects leave no trace without them",
            )
        if not traces.extent.flows:
            yield Gap(topic="logs", text="no flow record was ingested: nothing is known of the network")
    for ingest in book.artifacts.ingests:
        listed = ingest.get("quarantined")
        quarantined = [q for q in listed if isinstance(q, dict)] if isinstance(listed, list) else []
        for broken in quarantined[:_MOST]:
            which = (
                counted(records, "record")
                if (records := _number(broken.get("records")))
                else "the whole file"
            )
            yield Gap(
                topic="logs",
                text=f"{broken.get('source', '')}: {which} set aside: {broken.get('reason', '')}",
            )
        if len(quarantined) > _MOST:
            yield Gap(
                topic="logs", text=f"{len(quarantined) - _MOST:,} more log files or records were set aside"
            )
        if unread := _number(ingest.get("lost_records")):
            yield Gap(topic="logs", text=f"{counted(unread, 'record')} could not be read")
        skipped = ingest.get("skipped")
        for reason, files in skipped.items() if isinstance(skipped, dict) else ():
            yield Gap(topic="logs", text=f"{counted(_number(files), 'file')} skipped: {reason}")


def _analysis(book: Casebook) -> Iterator[Gap]:
    if book.artifacts.findings is None:
        yield Gap(
            topic="analysis",
            text="no findings were kept: the logs were not analysed, or the analysis did not end",
        )
    for finding in book.findings:
        if not finding.basis:
            yield Gap(
                topic="analysis", text=f"the finding “{finding.title}” names no evidence: hold it as opinion"
            )
    for told in book.artifacts.answers:
        if told.total > len(told.rows):
            text = f"“{told.title}” has {told.total:,} rows; {len(told.rows):,} were kept for the report"
            yield Gap(topic="analysis", text=text)
    verdicts = (book.artifacts.proof or {}).get("verdicts")
    for verdict in verdicts if isinstance(verdicts, list) else ():
        if isinstance(verdict, dict) and verdict.get("finding") != "proved":
            said = ": ".join(str(verdict.get(name, "")) for name in ("target", "finding", "why"))
            yield Gap(topic="capture and containment", text=f"{verdict.get('control')} on {said}")
    if book.artifacts.proof is None and any(step.changes and not step.notebook for step in book.steps):
        yield Gap(topic="capture and containment", text="containment was not proved by reading it back")


def _preflight(book: Casebook) -> Iterator[Gap]:
    for kind in ("problems", "warnings"):
        listed = (book.artifacts.preflight or {}).get(kind)
        for said in listed[:_MOST] if isinstance(listed, list) else ():
            yield Gap(topic="preflight", text=_sentence(said))


def _standing(book: Casebook) -> Iterator[Gap]:
    topic = "limits of the method"
    if book.simulated:
        text = f"The account is simulated ({book.simulated}): times and AWS's own checks are not those of AWS"
        yield Gap(topic=topic, text=text)
    yield Gap(
        topic=topic,
        text="CloudTrail delivers minutes late and may lack what a service does not log; "
        "what other accounts did with shared data is not visible from this one",
    )
    yield Gap(
        topic=topic,
        text="The journal's chain proves order to whoever trusts its head; keep the head below "
        "somewhere else to notice entries cut off its end",
    )


def _why(notes: Any) -> str:
    why = notes.get("why") or notes.get("missing") if hasattr(notes, "get") else None
    return f": {why}" if why else ""


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0


def _sentence(said: object) -> str:
    if isinstance(said, dict):
        return ": ".join(str(value) for value in said.values() if value)
    return str(said)
