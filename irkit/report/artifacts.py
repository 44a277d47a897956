"""What analysis left in the case's `artifacts` folder, read without trusting it.

    findings*.json           a list of findings (`irkit.findings.Finding`), a file for each investigation
    answers/<name>.json      one question with its parameters, rows and coverage
    preflight.json           what was known of the instance before anything was done
    proof.json               what was read back after containment
    ingest*.json             what each ingest of logs took and left out

A file that is missing is a gap; one that is damaged is a gap with a reason. Neither stops a report.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from irkit.errors import IrkitError
from irkit.findings import SEVERITIES, Finding

_T = TypeVar("_T")
_LARGEST = 64 << 20  # bytes; an artifact is a summary, and what is larger did not come from irkit


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """An answer as a notebook kept it. `name` is the file's; `total` counts rows that the file may have cut."""

    name: str
    question: str
    title: str
    params: Mapping[str, Any]
    columns: tuple[str, ...]
    rows: tuple[Mapping[str, Any], ...]
    total: int
    coverage: str

    @classmethod
    def from_dict(cls, name: str, raw: Mapping[str, Any]) -> Told:
        """The answer in `raw`; `ValueError` or the like where it is none."""
        rows = tuple(row for row in raw["rows"] if isinstance(row, Mapping))
        return cls(
            name=name,
            question=str(raw["question"]),
            title=str(raw.get("title") or raw["question"]),
            params=dict(raw.get("params") or {}),
            columns=tuple(str(column) for column in raw.get("columns") or (rows[0] if rows else ())),
            rows=rows,
            total=max(int(raw.get("total") or 0), len(rows)),
            coverage=str(raw.get("coverage") or ""),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifacts:
    """Everything that was found, and `problems` with what could not be read. None means that there is no such file."""

    findings: tuple[Finding, ...] | None = None
    answers: tuple[Told, ...] = ()
    preflight: Mapping[str, Any] | None = None
    proof: Mapping[str, Any] | None = None
    ingests: tuple[Mapping[str, Any], ...] = ()
    problems: tuple[str, ...] = field(default=())


def read_artifacts(folder: Path) -> Artifacts:
    """What lies in `folder`; never raises for what is in it."""
    reader = _Reader(folder)
    listed = list(reader.all("findings*.json", _findings))
    return Artifacts(
        findings=_merged(listed) if listed else None,
        answers=tuple(reader.all("answers/*.json", _answer)),
        preflight=reader.one("preflight.json", _object),
        proof=reader.one("proof.json", _object),
        ingests=tuple(reader.all("ingest*.json", _object)),
        problems=tuple(reader.problems),
    )


class _Reader:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.problems: list[str] = []

    def one(self, name: str, shape: Callable[[str, Any], _T]) -> _T | None:
        return self._read(self.folder / name, shape) if (self.folder / name).is_file() else None

    def all(self, pattern: str, shape: Callable[[str, Any], _T]) -> Iterator[_T]:
        for path in sorted(self.folder.glob(pattern)):
            if (told := self._read(path, shape)) is not None:
                yield told

    def _read(self, path: Path, shape: Callable[[str, Any], _T]) -> _T | None:
        name = str(path.relative_to(self.folder))
        try:
            size = path.stat().st_size
            if size <= _LARGEST:
                return shape(path.stem, json.loads(path.read_bytes()))
            self.problems.append(f"{name} was not read: {size:,} bytes are more than a summary has")
        except IrkitError as error:
            self.problems.append(f"{name} could not be used: {error}")
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            self.problems.append(f"{name} could not be read: {type(error).__name__}: {error}")
        return None


def _findings(name: str, raw: Any) -> tuple[str, tuple[Finding, ...]]:
    listed = raw.get("findings") if isinstance(raw, Mapping) else raw
    if not isinstance(listed, list):
        raise TypeError("it is no list of findings")
    return name.removeprefix("findings").strip("-"), tuple(Finding.from_dict(each) for each in listed)


def _merged(listed: list[tuple[str, tuple[Finding, ...]]]) -> tuple[Finding, ...]:
    """The findings of all investigations, each once: worst first, among equals in the order in which they happened.

    Two investigations that found different things under one id keep both, the later under a longer id.
    """
    found: dict[str, Finding] = {}
    for of, findings in sorted(listed, key=lambda pair: pair[0]):
        for finding in findings:
            known = found.get(finding.id)
            if known is None:
                found[finding.id] = finding
            elif known != finding:
                longer = f"{finding.id}-{of}"
                found.setdefault(longer, replace(finding, id=longer))
    return tuple(
        sorted(found.values(), key=lambda f: (-SEVERITIES.index(f.severity), str(f.first_seen or "9"), f.id))
    )


def _answer(name: str, raw: Any) -> Told:
    return Told.from_dict(name, raw)


def _object(_: str, raw: Any) -> Mapping[str, Any]:
    if not isinstance(raw, Mapping):
        raise TypeError("it is no JSON object")
    return raw
