"""The notebook that takes memory, run as a playbook runs it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from irkit.case import Case
from irkit.sim.tools import memory_tool

pytestmark = [pytest.mark.needs_user_namespaces, pytest.mark.slow]


def test_the_notebook_takes_memory_and_says_what_it_wrote(
    world: SimpleNamespace, open_case: Callable[..., Case], bucket: str, tmp_path: Path
) -> None:
    pytest.importorskip("papermill")
    from irkit.notebook.runner import execute

    case = open_case(sources={"evidence_bucket": bucket})
    given = {
        "case_id": case.id, "cases": str(case.root.parent), "instance_id": world.instance_id, "mode": "apply",
        "tool": str(memory_tool()), "tool_sha256": hashlib.sha256(memory_tool().read_bytes()).hexdigest(),
    }  # fmt: skip
    ran = execute("capture/memory", given, tmp_path / "out.ipynb", timeout=120)
    assert (ran.status, ran.missing) == ("done", ())
    assert [i.kind for i in Case.load(str(case.root)).evidence.items()][:2] == ["memory", "memory-record"]
    assert "sha256" in ran.output.read_text()
