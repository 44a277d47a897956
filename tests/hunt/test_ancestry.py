from __future__ import annotations

import json
from pathlib import Path

from irkit.hunt import lineage
from irkit.logs import ingest
from irkit.tables import Tables
from tests.hunt import world as w
from tests.logs.builders import assume_role, role_session, write_trail


def test_a_chain_is_a_graph_in_both_directions(tables: Tables) -> None:
    graph = lineage(tables, w.SECOND_KEY)
    keys = {node.key: node.hop for node in graph.nodes}
    assert keys[w.SECOND_KEY] == 0
    assert keys[w.THIRD_KEY] == 1
    assert keys[w.KEY] == -1
    edges = {(edge.parent, edge.issued) for edge in graph.edges}
    assert {(w.KEY, w.SECOND_KEY), (w.SECOND_KEY, w.THIRD_KEY)} <= edges
    assert ("ec2.amazonaws.com", w.KEY) in edges
    told = json.loads(json.dumps(graph.to_dict()))
    assert len(told["nodes"]) == len(graph)


def test_a_graph_is_drawn_as_a_tree_and_as_mermaid(tables: Tables) -> None:
    graph = lineage(tables, w.SECOND_KEY)
    lines = list(graph.lines())
    assert lines[0].startswith("ec2.amazonaws.com")
    (asked,) = [line for line in lines if "asked about" in line]
    assert asked.strip().startswith(w.SECOND_KEY)
    mermaid = graph.mermaid()
    assert mermaid.startswith("flowchart LR")
    assert mermaid.count("-->") == len(graph.edges)


def test_a_circle_of_roles_ends_and_hostile_names_stay_text(tmp_path: Path) -> None:
    first, second = "ASIAFIRST00000000000", "ASIASECOND0000000001"
    hostile = 'x"]; click n0 "javascript:alert(1)" <script>'
    records = [
        assume_role("B", hostile, second, 1, identity=role_session("A", "a", first)),
        assume_role("A", "again", first, 2, identity=role_session("B", hostile, second)),
    ]
    write_trail(tmp_path / "raw" / "t.json", records)
    ingest(tmp_path / "raw", tmp_path / "tables")
    graph = lineage(tmp_path / "tables", first)
    assert len(graph) == 2
    assert any("(again)" in line for line in graph.lines())
    assert "<script>" not in graph._repr_html_()
    assert 'click n0 "' not in graph.mermaid()
    assert "<script>" not in graph.mermaid()


def test_a_key_without_a_chain_is_a_graph_of_one(tables: Tables) -> None:
    graph = lineage(tables, "AKIANOBODY0000000000")
    assert (len(graph), graph.edges) == (1, ())
    assert list(graph.lines()) == ["AKIANOBODY0000000000   <- asked about"]
