"""The case: one investigation, its folder, its journal, its evidence and its way to AWS. Nearly every verb takes one.

    <cases>/<case id>/
      case.json                what the case is; written once, its hash is in the journal's entry `opened`
      journal.jsonl            everything that was meant and done (`irkit.journal`)
      manifest.json            every evidence item; manifest-sha256.txt is the same for `sha256sum --check`
      intake/cases/<id>/…      originals, one folder an item
      active/cases/<id>/       artifacts, logs, notes, reports: work
      hold/cases/<id>/         legal hold

Nothing else holds state: a dead kernel or another analyst on another machine picks the case up from this folder.
"""

from __future__ import annotations

import getpass
import hashlib
import json
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irkit import durable
from irkit.canonical import timestamp
from irkit.errors import IntegrityError, InvalidName, NotFound
from irkit.escape import for_terminal
from irkit.evidence.store import Evidence
from irkit.journal import Entry, Journal, Kind

if TYPE_CHECKING:
    from irkit.aws.sessions import Sessions

_CASE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]+)*")


_SCHEMA = "irkit/case/1"


def case_name(text: str) -> str:
    """`text` if it can name a case, else `InvalidName`: it becomes a folder, a tag and part of a session's name."""
    if len(text) > 40 or not _CASE_ID.fullmatch(text):
        raise InvalidName(
            f"{for_terminal(text)!r} cannot name a case",
            hint="use letters, digits, '-', '_' and single dots, 40 at most, such as 2026-11-0042",
        )
    return text


def cases_folder(given: Path | str | None = None) -> Path:
    """Where cases are kept: `given`, else IRKIT_CASES, else `~/irkit/cases`."""
    return Path(given or os.environ.get("IRKIT_CASES") or "~/irkit/cases").expanduser()


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is fixed when a case is opened. `account` and `region` are where the suspect is; `role` is assumed there.

    `sources` tells where evidence outside the instance lies (`trail`, `cloudtrail`, `flow_logs` as `s3://…`) and where
    to tell people (`topic`). `simulated` names the simulated world the case plays in, None for real AWS.
    """

    id: str
    title: str
    responder: str
    opened_at: str
    region: str
    account: str | None = None
    role: str | None = None
    posture: str = "balanced"
    sources: Mapping[str, str] = field(default_factory=dict)
    simulated: str | None = None


class Case:
    """A case that is open in this process. Make one with `Case.open` or find one with `Case.load`."""

    def __init__(self, root: Path, facts: Facts, journal: Journal) -> None:
        self.root = root
        self.facts = facts
        self.journal = journal
        self.evidence = Evidence(root, facts.id, journal)
        self._aws: Sessions | None = None

    @classmethod
    def open(
        cls,
        case_id: str,
        *,
        region: str,
        cases: Path | str | None = None,
        title: str = "",
        responder: str | None = None,
        account: str | None = None,
        role: str | None = None,
        posture: str = "balanced",
        sources: Mapping[str, str] | None = None,
        simulated: str | None = None,
    ) -> Case:
        """A new case in `cases`/`case_id`; the case itself when one with this id is already there.

        Raises `InvalidName` for an id that cannot be a folder's name and `StorageError` when the folder cannot be made.
        """
        root = cases_folder(cases) / case_name(case_id)
        if (root / "journal.jsonl").exists() and _opening(Journal(root / "journal.jsonl", actor="")):
            return cls._found(root)
        facts = Facts(
            id=case_id,
            title=title or case_id,
            responder=responder or _login(),
            opened_at=timestamp(datetime.now(UTC)),
            region=region,
            account=account,
            role=role,
            posture=posture,
            sources=dict(sources or {}),
            simulated=simulated,
        )
        with durable.storage("create the case", root):
            if not root.parent.exists():
                root.parent.mkdir(parents=True, exist_ok=True)
            # Evidence holds secrets of the suspect's owner, and logs and notebooks are written by other programs.
            root.mkdir(mode=0o700, exist_ok=True)
            for place in ("intake", "active/cases", "hold/cases"):
                (root / place).mkdir(parents=True, exist_ok=True)
            for kind in ("artifacts", "logs", "notes", "reports"):
                (root / "active" / "cases" / case_id / kind).mkdir(parents=True, exist_ok=True)
        text = (json.dumps({"schema": _SCHEMA, **asdict(facts)}, indent=1, sort_keys=True) + "\n").encode()
        # A folder whose journal has no first entry is an opening that was cut short and is redone. Who comes second,
        # of two that open the case at once, finds it opened.
        with durable.storage("create the case", root):
            (root / "journal.jsonl").touch(mode=0o600)
        journal = Journal(root / "journal.jsonl", actor=facts.responder)
        with journal.exclusive():
            if _opening(journal) is None:
                _was_never_opened(root)
                durable.replace(root / "case.json", text)
                journal.append(Kind.OPENED, case=case_id, case_file=hashlib.sha256(text).hexdigest())
        return cls._found(root)

    @classmethod
    def load(cls, case_id: str, *, cases: Path | str | None = None) -> Case:
        """The case with this id; `case_id` may also be the path of a case folder. Raises `NotFound`."""
        folder = Path(case_id).expanduser()
        if os.sep in case_id and (folder / "case.json").is_file():
            return cls._found(folder.resolve())
        root = cases_folder(cases) / case_name(case_id)
        if not (root / "case.json").is_file():
            raise NotFound(
                f"no case {case_id} in {cases_folder(cases)}",
                hint="`irkit case list` shows what is there, `irkit case open` begins one, --cases chooses the folder",
            )
        return cls._found(root)

    @classmethod
    def _found(cls, root: Path) -> Case:
        with durable.storage("read the case", root / "case.json"):
            text = (root / "case.json").read_bytes()
        try:
            raw = dict(json.loads(text))
            schema = raw.pop("schema")
            facts = Facts(**raw) if schema == _SCHEMA else None
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise IntegrityError(
                f"{root / 'case.json'} is damaged", hint="restore it from a copy; it is written once"
            ) from error
        if facts is None:
            raise IntegrityError(
                f"{root / 'case.json'} is of schema {for_terminal(schema)}, not {_SCHEMA}",
                hint="use a newer irkit",
            )
        journal = Journal(root / "journal.jsonl", actor=facts.responder)
        opened = _opening(journal)
        if opened is None:
            _was_never_opened(root)
            raise NotFound(
                f"the opening of case {facts.id} was cut short",
                hint="run `irkit case open` with its id again",
            )
        if opened.body.get("case_file") != hashlib.sha256(text).hexdigest():
            raise IntegrityError(
                f"{root / 'case.json'} is not what the journal's first entry recorded",
                hint="restore it from a copy, then run `irkit case verify`",
            )
        return cls(root, facts, journal)

    @property
    def id(self) -> str:
        """The case id."""
        return self.facts.id

    @property
    def active(self) -> Path:
        """The folder for work: artifacts, logs, notes, reports."""
        return self.root / "active" / "cases" / self.id

    @property
    def tables_dir(self) -> Path:
        """Where ingested logs lie as Parquet tables."""
        return self.active / "logs" / "tables"

    @property
    def aws(self) -> Sessions:
        """The case's way to AWS; made when first used."""
        from irkit.aws.sessions import Sessions

        with self.journal.lock:  # or each of several threads would take the role for itself
            if self._aws is None:
                self._aws = Sessions(
                    case_id=self.id,
                    responder=self.facts.responder,
                    region=self.facts.region,
                    role=self.facts.role,
                )
            return self._aws

    def client(self, service: str, *, region: str | None = None) -> Any:
        """The boto3 client for `service`, in the case's region unless told otherwise."""
        return self.aws.client(service, region=region)

    def note(self, what: str, **details: Any) -> None:
        """Put something that a reader of the case must know into the journal."""
        self.journal.append(Kind.NOTE, what=what, **details)

    def tags(self) -> dict[str, str]:
        """The tags that everything made for this case carries in AWS; `irkit:case` is how it is found again."""
        return {"irkit:case": self.id, "irkit:responder": self.facts.responder}

    def close(self) -> None:
        """Render the manifest and give back what the process held. The case can be used on."""
        if self.evidence.items():
            self.evidence.write_manifest()
        self.evidence.close()

    def __repr__(self) -> str:
        return f"<Case {self.id}: {len(self.evidence.items())} items, {len(self.journal.entries)} entries, {self.root}>"


def _opening(journal: Journal) -> Entry | None:
    """The entry that opened the case. A torn write may be recorded before it."""
    return next((e for e in journal.entries if e.kind is Kind.OPENED), None)


def _was_never_opened(root: Path) -> None:
    if (root / "manifest.json").exists():
        raise IntegrityError(
            f"{root / 'journal.jsonl'} has lost its entries: manifest.json knows some",
            hint="restore it from a copy, then run `irkit case verify`",
        )


def _login() -> str:
    """The login name, or the user's number where the system does not know one, as in many containers."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid-{os.getuid()}"


def found(cases: Path | str | None = None) -> list[Case]:
    """The cases in a folder, by id; those whose opening was cut short are none yet."""
    folder = cases_folder(cases)
    with durable.storage("list the cases", folder):
        names = (
            sorted(p.name for p in folder.iterdir() if (p / "case.json").is_file()) if folder.is_dir() else []
        )
    cases_found = []
    for name in filter(_CASE_ID.fullmatch, names):
        with suppress(NotFound):
            cases_found.append(Case.load(name, cases=folder))
    return cases_found
