"""Findings and indicators as a STIX 2.1 bundle, for threat intelligence platforms.

Sources: STIX 2.1 (OASIS Standard, 2021-06-10): section 2.9 for the ids of observables (UUIDv5 over their identifying
properties), section 7.2.1.4 for the TLP markings, appendix A for what a confidence means as a number.
"""

from __future__ import annotations

import ipaddress
import json
import re
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from irkit.escape import for_terminal
from irkit.findings import Finding
from irkit.report.attack import technique

if TYPE_CHECKING:
    from irkit.report.casebook import Casebook

_OBSERVABLES = uuid.UUID("00abedb4-aa42-466c-9c01-fed23315a9b7")  # given by the standard
_OURS = uuid.UUID("5d0c5b0e-8b53-4c2b-9a4e-5a6d3f0b7c11")
_TECHNIQUE = re.compile(r"T\d{4}(\.\d{3})?")
_CONFIDENCE = {"low": 15, "medium": 50, "high": 85}
_AMBER: Mapping[str, Any] = {
    "type": "marking-definition",
    "spec_version": "2.1",
    "id": "marking-definition--f88d31f6-486f-44da-b317-01333bde0b82",
    "created": "2017-01-20T00:00:00.000Z",
    "definition_type": "tlp",
    "name": "TLP:AMBER",
    "definition": {"tlp": "amber"},
}

Object = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """A fact as STIX says it: its observables, the first of which it is, and the pattern that finds it again."""

    observables: tuple[Object, ...]
    pattern: str
    label: str


def made(book: Casebook, at: datetime) -> bytes:
    """The bundle: an identity, a report, and for each finding its observables, indicators, techniques and a note.

    Everything is marked TLP:AMBER, as what a victim shares first. Ids follow from the case and the finding, so a bundle
    that is made again replaces the one before.
    """
    return (json.dumps(bundle(book, at), indent=1) + "\n").encode("ascii")


def bundle(book: Casebook, at: datetime) -> Object:
    """The bundle as JSON types."""
    case, stamp = book.facts.id, _time(at)
    author = _ours(
        "identity",
        case,
        "responder",
        stamp,
        name=for_terminal(book.facts.responder),
        identity_class="individual",
    )
    common = {"created_by_ref": author["id"]}
    objects: dict[str, Object] = {author["id"]: author}
    for finding in book.findings:
        for made_of in _finding(finding, case, book.account, stamp, common):
            objects.setdefault(made_of["id"], made_of)
    report = _ours(
        "report", case, "report", stamp, **common,
        name=for_terminal(f"{case}: {book.facts.title}" if book.facts.title else case),
        report_types=["indicator", "attack-pattern"],
        published=stamp,
        object_refs=sorted(objects),
    )  # fmt: skip
    return {
        "type": "bundle",
        "id": f"bundle--{uuid.uuid5(_OURS, f'bundle {case} {stamp}')}",
        "objects": [dict(_AMBER), report, *objects.values()],
    }


def _finding(
    finding: Finding, case: str, own_account: str, stamp: str, common: Mapping[str, Any]
) -> Iterator[Object]:
    techniques = [_technique(t, case, stamp) for t in finding.attack if _TECHNIQUE.fullmatch(t)]
    yield from techniques
    told: list[str] = [t["id"] for t in techniques]
    observed: list[str] = []
    for kind, values in finding.facts.items():
        for value in values:
            seen = _seen(kind, for_terminal(value), own_account)
            if seen is None:
                continue
            yield from seen.observables
            observed += [o["id"] for o in seen.observables]
            indicator = _indicator(finding, seen, case, stamp, common)
            yield indicator
            told.append(indicator["id"])
            yield from (
                _ours(
                    "relationship", case, f"{indicator['id']} {t['id']}", stamp, **common,
                    relationship_type="indicates", source_ref=indicator["id"], target_ref=t["id"],
                )
                for t in techniques
            )  # fmt: skip
    if observed and finding.first_seen is not None:
        whole = _ours(
            "observed-data", case, finding.id, stamp, **common,
            first_observed=_time(finding.first_seen),
            last_observed=_time(finding.last_seen or finding.first_seen),
            number_observed=1,
            object_refs=list(dict.fromkeys(observed)),
        )  # fmt: skip
        yield whole
        told.append(whole["id"])
    yield _ours(
        "note", case, finding.id, stamp, **common,
        abstract=for_terminal(finding.title),
        content=for_terminal(finding.statement),
        confidence=_CONFIDENCE[finding.confidence],
        labels=[f"severity:{finding.severity}"],
        object_refs=told or [str(common["created_by_ref"])],
    )  # fmt: skip


def _indicator(finding: Finding, seen: _Seen, case: str, stamp: str, common: Mapping[str, Any]) -> Object:
    stolen = seen.observables[0]["type"] == "user-account"
    return _ours(
        "indicator", case, seen.pattern, stamp, **common,
        name=seen.label,
        description=for_terminal(finding.title),
        indicator_types=["compromised" if stolen else "malicious-activity"],
        pattern=seen.pattern,
        pattern_type="stix",
        pattern_version="2.1",
        valid_from=_time(finding.first_seen) if finding.first_seen else stamp,
        confidence=_CONFIDENCE[finding.confidence],
    )  # fmt: skip


def _technique(ident: str, case: str, stamp: str) -> Object:
    name, _ = technique(ident)
    path = ident.replace(".", "/")
    return _ours(
        "attack-pattern", case, ident, stamp,
        name=name or ident,
        external_references=[
            {
                "source_name": "mitre-attack",
                "external_id": ident,
                "url": f"https://attack.mitre.org/techniques/{path}/",
            }
        ],
    )  # fmt: skip


def _seen(kind: str, value: str, own_account: str) -> _Seen | None:
    """The fact as observables, or None for what tells nothing to others: our own names, counts and times."""
    if kind == "address":
        return _host(value)
    if kind in {"pool", "domain"}:
        host = value.rpartition(":")[0] if value.count(":") == 1 else value
        return _host(host.strip("[]"))
    if kind == "access_key":
        return _account_like("aws-access-key", value, f"AWS access key {value}")
    if kind == "account" and value != own_account:
        return _account_like("aws-account", value, f"AWS account {value}")
    if kind == "file":
        return _file(value)
    return None


def _host(text: str) -> _Seen:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        type_ = "domain-name"
    else:
        type_ = f"ipv{address.version}-addr"
        text = str(address)
    return _Seen(
        observables=(_observable(type_, {"value": text}),),
        pattern=f"[{type_}:value = {_literal(text)}]",
        label=text,
    )


def _account_like(type_: str, ident: str, label: str) -> _Seen:
    given = {"account_type": type_, "user_id": ident}
    return _Seen(
        observables=(_observable("user-account", given),),
        pattern=f"[user-account:account_type = {_literal(type_)} AND user-account:user_id = {_literal(ident)}]",
        label=label,
    )


def _file(path: str) -> _Seen | None:
    pure = PurePosixPath(path)
    if not pure.name:
        return None
    folder = _observable("directory", {"path": str(pure.parent)})
    file = _observable("file", {"name": pure.name, "parent_directory_ref": folder["id"]})
    return _Seen(
        observables=(file, folder),
        pattern=f"[file:name = {_literal(pure.name)} AND "
        f"file:parent_directory_ref.path = {_literal(str(pure.parent))}]",
        label=path,
    )


def _literal(text: str) -> str:
    """A string of the patterning language: two characters are escaped (STIX 2.1, section 9.6)."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _observable(type_: str, identifying: Mapping[str, str]) -> Object:
    canonical = json.dumps(identifying, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    ident = uuid.uuid5(_OBSERVABLES, canonical)
    return {
        "type": type_,
        "spec_version": "2.1",
        "id": f"{type_}--{ident}",
        **identifying,
        "object_marking_refs": [_AMBER["id"]],
    }


def _ours(type_: str, case: str, key: str, stamp: str, **rest: Any) -> Object:
    return {
        "type": type_,
        "spec_version": "2.1",
        "id": f"{type_}--{uuid.uuid5(_OURS, for_terminal(f'{type_} {case} {key}'))}",
        "created": stamp,
        "modified": stamp,
        **rest,
        "object_marking_refs": [_AMBER["id"]],
    }


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
