"""Evidence and chain of custody as a CASE/UCO graph in JSON-LD, which other forensic tools and courts' archives read.

Sources: CASE 1.5 and UCO 1.5 ontologies (https://caseontology.org, https://unifiedcyberontology.org). An item is a
`ProvenanceRecord` over a file with its hash; a step of the journal is an `InvestigativeAction` with who did it, with
which tool, and what came of it. Every IRI ends in a UUID, as the ontology's shapes ask.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from irkit._version import __version__
from irkit.escape import for_terminal
from irkit.evidence import Item
from irkit.report.steps import StepRecord

if TYPE_CHECKING:
    from irkit.report.casebook import Casebook

_OURS = uuid.UUID("0d8c6d0c-4c36-4a0b-8b55-5a4a5b1d7f02")
_CONTEXT = {
    "case-investigation": "https://ontology.caseontology.org/case/investigation/",
    "uco-action": "https://ontology.unifiedcyberontology.org/uco/action/",
    "uco-core": "https://ontology.unifiedcyberontology.org/uco/core/",
    "uco-identity": "https://ontology.unifiedcyberontology.org/uco/identity/",
    "uco-observable": "https://ontology.unifiedcyberontology.org/uco/observable/",
    "uco-tool": "https://ontology.unifiedcyberontology.org/uco/tool/",
    "uco-types": "https://ontology.unifiedcyberontology.org/uco/types/",
    "uco-vocabulary": "https://ontology.unifiedcyberontology.org/uco/vocabulary/",
    "xsd": "http://www.w3.org/2001/XMLSchema#",
}

Node = dict[str, Any]


def made(book: Casebook, at: datetime) -> bytes:
    """The graph: an investigation, its evidence, its actions, the people and tools; its names follow from the case."""
    return (json.dumps(_shown(graph(book, at)), indent=1) + "\n").encode("ascii")


def graph(book: Casebook, at: datetime) -> Node:
    """The graph as JSON-LD."""
    case = book.facts.id
    base = f"urn:irkit:case:{case}:"
    by_step: dict[str, list[Item]] = {}
    for item in book.items:
        by_step.setdefault(item.step or "", []).append(item)
    actors = list(dict.fromkeys([book.facts.responder, *(step.actor for step in book.steps)]))
    tools = list(dict.fromkeys([f"irkit {__version__}", *(item.tool for item in book.items)]))
    nodes = [
        *(_person(base, name) for name in actors),
        *(_tool(base, name) for name in tools),
        *(node for item in book.items for node in _item(base, item)),
        *(_action(base, step, by_step.get(step.step, [])) for step in book.steps),
    ]
    investigation = {
        "@id": _iri(base, "investigation", case),
        "@type": "case-investigation:Investigation",
        "uco-core:name": case,
        "uco-core:description": [book.facts.title or f"Case {case}"],
        "uco-core:objectCreatedTime": _time(at),
        "uco-core:object": [{"@id": node["@id"]} for node in nodes],
    }
    return {"@context": {"kb": base, **_CONTEXT}, "@graph": [investigation, *nodes]}


def _person(base: str, name: str) -> Node:
    return {
        "@id": _iri(base, "identity", name),
        "@type": "uco-identity:Identity",
        "uco-core:name": name,
    }


def _tool(base: str, name: str) -> Node:
    program, _, version = name.rpartition(" ")
    return {
        "@id": _iri(base, "tool", name),
        "@type": "uco-tool:Tool",
        "uco-core:name": program or name,
        "uco-tool:version": version if program else "",
    }


def _item(base: str, item: Item) -> list[Node]:
    """The file and its record of provenance."""
    file: Node = {
        "@id": _iri(base, "file", item.id),
        "@type": "uco-observable:File",
        "uco-core:hasFacet": [
            {
                "@id": _iri(base, "file-facet", item.id),
                "@type": "uco-observable:FileFacet",
                "uco-observable:fileName": item.name,
                "uco-observable:filePath": item.path,
                "uco-observable:sizeInBytes": {"@type": "xsd:integer", "@value": str(item.size)},
            },
            {
                "@id": _iri(base, "content", item.id),
                "@type": "uco-observable:ContentDataFacet",
                "uco-observable:sizeInBytes": {"@type": "xsd:integer", "@value": str(item.size)},
                "uco-observable:mimeType": item.media_type,
                "uco-observable:hash": [
                    {
                        "@id": _iri(base, "hash", item.id),
                        "@type": "uco-types:Hash",
                        "uco-types:hashMethod": "SHA256",
                        "uco-types:hashValue": {"@type": "xsd:hexBinary", "@value": item.sha256},
                    }
                ],
            },
        ],
    }
    record = {
        "@id": _iri(base, "provenance", item.id),
        "@type": "case-investigation:ProvenanceRecord",
        "uco-core:name": item.name,
        "case-investigation:exhibitNumber": item.id,
        "uco-core:description": [
            f"{item.kind} from {item.source}" + ("; taken in part" if item.partial else "")
        ],
        "uco-core:objectCreatedTime": _time(datetime.fromisoformat(item.acquired_at)),
        "uco-core:object": [{"@id": file["@id"]}],
    }
    return [file, record]


def _action(base: str, step: StepRecord, items: list[Item]) -> Node:
    tools = list(dict.fromkeys(item.tool for item in items)) or [f"irkit {__version__}"]
    node: Node = {
        "@id": _iri(base, "action", step.step),
        "@type": "case-investigation:InvestigativeAction",
        "uco-core:name": step.verb,
        "uco-core:description": [f"{step.title} ({step.target}): {step.standing}"],
        "uco-action:startTime": _time(step.began),
        "uco-action:endTime": _time(step.ended),
        "uco-action:performer": {"@id": _iri(base, "identity", step.actor)},
        "uco-action:instrument": [{"@id": _iri(base, "tool", name)} for name in tools],
    }
    if items:
        node["uco-action:result"] = [
            {"@id": _iri(base, kind, item.id)} for item in items for kind in ("provenance", "file")
        ]
    return node


def _iri(base: str, kind: str, name: str) -> str:
    return f"kb:{kind}-{uuid.uuid5(_OURS, for_terminal(f'{base}{kind} {name}'))}"


def _time(moment: datetime) -> Mapping[str, str]:
    return {"@type": "xsd:dateTime", "@value": moment.astimezone(UTC).isoformat()}


def _shown(value: Any) -> Any:
    """`value` with every text as the report shows it: file names and tags are the intruder's to choose."""
    if isinstance(value, Mapping):
        return {name: _shown(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_shown(inner) for inner in value]
    return for_terminal(value) if isinstance(value, str) else value
