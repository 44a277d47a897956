"""The chain of credentials around one key as a graph: what issued it, and what it was turned into."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from html import escape
from pathlib import Path
from typing import Any

from irkit.escape import for_terminal
from irkit.hunt.ask import ask
from irkit.tables import HasTables, Tables, iso


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One credential. `hop` is its distance from the key that was asked about: below 0 towards where it came from."""

    key: str
    arn: str
    hop: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """One credential made another: by which call, when and from where."""

    parent: str
    issued: str
    event: str
    when: datetime
    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineage:
    """Credentials and what made which of them; `start` is the key that was asked about."""

    start: str
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]

    def __len__(self) -> int:
        return len(self.nodes)

    def to_dict(self) -> dict[str, Any]:
        """Nodes and edges as JSON types, for any library that draws graphs."""
        return {
            "start": self.start,
            "nodes": [{"key": n.key, "arn": n.arn, "hop": n.hop} for n in self.nodes],
            "edges": [
                {
                    "parent": e.parent,
                    "issued": e.issued,
                    "event": e.event,
                    "when": iso(e.when),
                    "address": e.address,
                }
                for e in self.edges
            ],
        }

    def mermaid(self) -> str:
        """The graph as Mermaid text; labels are escaped."""
        number = {node.key: f"n{at}" for at, node in enumerate(self.nodes)}
        lines = ["flowchart LR"]
        lines += [f'  {number[n.key]}["{_label(n.key)}<br/>{_label(n.arn)}"]' for n in self.nodes]
        lines += [
            f'  {number[e.parent]} -->|"{_label(e.event)} {iso(e.when)}"| {number[e.issued]}'
            for e in self.edges
        ]
        if self.start in number:
            lines.append(f"  style {number[self.start]} stroke-width:3px")
        return "\n".join(lines) + "\n"

    def lines(self) -> Iterator[str]:
        """The graph as an indented tree, from where the credentials came; each key once."""
        children: dict[str, list[Edge]] = {}
        for edge in self.edges:
            children.setdefault(edge.parent, []).append(edge)
        arns = {node.key: node.arn for node in self.nodes}
        issued = {edge.issued for edge in self.edges}
        seen: set[str] = set()
        roots = [node.key for node in self.nodes if node.key not in issued] or [self.start]
        stack = [(key, 0, "") for key in reversed(roots)]
        while stack:
            key, depth, how = stack.pop()
            mark = " (again)" if key in seen else ""
            here = "  <- asked about" if key == self.start else ""
            yield for_terminal(f"{'  ' * depth}{key} {arns.get(key, '')}{how}{mark}{here}".rstrip())
            if key not in seen:
                seen.add(key)
                stack += [
                    (e.issued, depth + 1, f" by {e.event} at {iso(e.when)} from {e.address}")
                    for e in reversed(children.get(key, []))
                ]

    def __repr__(self) -> str:
        return f"Lineage({self.start}: {len(self.nodes)} credentials, {len(self.edges)} steps)"

    def _repr_html_(self) -> str:
        return f"<pre>{escape(chr(10).join(self.lines()))}</pre>"


def lineage(where: Tables | HasTables | Path | str, access_key_id: str) -> Lineage:
    """The graph around a key, both ways, over every account whose logs were ingested; see the question `role_chain`."""
    rows = ask(where, "role_chain", access_key_id=access_key_id).rows()
    nodes: dict[str, Node] = {access_key_id: Node(key=access_key_id, arn="", hop=0)}
    edges: dict[tuple[str, str, str], Edge] = {}
    for row in rows:
        parent, issued = row["parent_access_key_id"], row["issued_access_key_id"]
        hop = row["hop"]
        # A service that hands out credentials has no key of its own; its name stands for it.
        parent = parent or row["parent_arn"] or "unknown"
        for key, arn, at in ((parent, row["parent_arn"], min(hop, hop - 1) if hop > 0 else hop),
                             (issued, row["issued_arn"], hop if hop > 0 else hop + 1)):  # fmt: skip
            known = nodes.get(key)
            if known is None or (not known.arn and arn):
                nodes[key] = Node(key=key, arn=arn or "", hop=known.hop if known else at)
        edge = Edge(
            parent=parent,
            issued=issued,
            event=row["event_name"],
            when=datetime.fromisoformat(row["event_time"]),
            address=row["source_ip"] or "",
        )
        edges[parent, issued, row["event_id"]] = edge
    return Lineage(
        start=access_key_id,
        nodes=tuple(sorted(nodes.values(), key=lambda n: (n.hop, n.key))),
        edges=tuple(sorted(edges.values(), key=lambda e: (e.when, e.parent, e.issued))),
    )


def _label(text: str) -> str:
    """Text in a Mermaid label: its own signs as entities."""
    return "".join(c if c.isalnum() or c in " -_./:+@" else f"#{ord(c)};" for c in for_terminal(text))
