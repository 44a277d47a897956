"""Logs as evidence: originals are kept and hashed as they come; what is read from them lies in the case's tables."""

from __future__ import annotations

import json
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from irkit import durable
from irkit.logs.wanted import EVERYTHING, Wanted
from irkit.plan import Outcome, Plan, Running, Step

if TYPE_CHECKING:
    from irkit.case import Case
    from irkit.logs.progress import Progress
    from irkit.logs.report import IngestReport
    from irkit.logs.sources import LogFile
    from irkit.logs.unpack import Content


def plan(
    case: Case,
    source: str,
    *,
    kind: str,
    days: int | None = None,
    wanted: Wanted = EVERYTHING,
    deadline: float = 3600,
) -> Plan:
    """What taking the logs at `source` would do: keep every file as an item of `kind`, and ingest it.

    `source` is a folder, a file, `s3://bucket/prefix`, `trail:NAME` or `history:`; `days` back from when the case was
    opened, or the time, accounts and regions that are `wanted`, limit what is read where the paths have them. Applied
    again, files that were taken are skipped.
    """
    step = Step(
        verb=f"logs.{kind}",
        target=source,
        title=f"keep the {kind} files under {source} as evidence and read them into tables",
        args={"days": days} | wanted.to_dict(),
        act=partial(_take, source=source, kind=kind, days=days, wanted=wanted),
        changes=False,
        deadline=deadline,
    )
    return Plan(case, [step], title=f"{kind} logs")


def _take(running: Running, *, source: str, kind: str, days: int | None, wanted: Wanted) -> Outcome:
    from irkit.logs.ingest import ingest

    case = running.case
    # Reckoned from the opening of the case, not from now: a resumed step asks for the same window.
    opened = datetime.fromisoformat(case.facts.opened_at).astimezone(UTC)
    kept: dict[tuple[str, str], str] = {(i.source, i.sha256): i.id for i in case.evidence.items(kind=kind)}

    def keep(file: LogFile, content: Content, sha256: str) -> str:
        """The id of the item that holds the file; an interrupted run may have stored it already."""
        if (file.uri, sha256) not in kept:
            with ExitStack() as open_files:
                item = case.evidence.add(
                    content if isinstance(content, bytes) else open_files.enter_context(content.open("rb")),
                    kind=kind,
                    name=file.uri.rsplit("/", 1)[-1],
                    source=file.uri,
                    step=running.step_id,
                    media_type="application/gzip" if file.uri.endswith(".gz") else "text/plain",
                )
            kept[file.uri, sha256] = item.id
        return kept[file.uri, sha256]

    def show(at: Progress) -> None:
        if at.files % 100 == 0 or at.files == at.of:
            running.progress(at.sentence())

    report = ingest(
        source,
        case.tables_dir,
        session=case.aws if source.startswith(("s3://", "trail:", "history:")) else None,
        since=opened - timedelta(days=days) if days else wanted.since,
        until=wanted.until,
        accounts=wanted.accounts,
        regions=wanted.regions,
        fields=wanted.fields,
        keep=keep,
        progress=show,
    )
    _leave(case, kind, report)
    lost = tuple(f"{q.source}: {q.reason}" for q in report.quarantined)
    return Outcome(result=report.to_dict(), missing=lost)


def _leave(case: Case, kind: str, report: IngestReport) -> None:
    """Put what was taken and what was not where the report finds it: what was left out must be told beside findings."""
    text = json.dumps(report.to_dict(), indent=1, sort_keys=True) + "\n"
    durable.replace(case.active / "artifacts" / f"ingest-{kind}.json", text.encode("ascii"))
