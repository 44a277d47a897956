from __future__ import annotations

import json
from pathlib import Path

import pytest

import irkit.notebook as nb
from irkit.case import Case
from irkit.errors import StorageError
from irkit.notebook.results import MIME
from irkit.plan import Outcome, Plan, Running, Step


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case.open("T-1", region="us-east-1", cases=tmp_path)


def kept(running: Running) -> Outcome:
    running.keep(b"x", kind="console", name="<b>.txt")
    return Outcome(missing=("the <i>screenshot</i>",))


def test_a_result_travels_in_the_notebook_and_says_what_was_written_and_what_was_not(case: Case) -> None:
    report = Plan(case, [Step(verb="a", target="t", title="T", act=kept)], title="x").apply()
    bundle = nb.finish(case, report, missing=["memory"], next_step="look at it")._repr_mimebundle_()
    body = bundle[MIME]
    assert body["status"] == "partial"
    assert body["missing"] == ["memory", "a t: the <i>screenshot</i>"]
    assert [w["id"] for w in body["written"]] == ["E0001"]
    assert "<i>" not in bundle["text/html"]
    assert "partial: 1 written, 2 missing; next: look at it" in bundle["text/plain"]
    json.dumps(body)


@pytest.mark.parametrize(
    ("reports", "status"), [((), "done"), ((None,), "planned"), ((None, None), "planned")]
)
def test_what_was_only_planned_is_not_called_done(case: Case, reports: tuple[None, ...], status: str) -> None:
    assert nb.finish(case, *reports).status == status


def test_a_step_that_failed_is_missing(case: Case) -> None:
    def act(_: Running) -> Outcome:
        raise RuntimeError("boom")

    report = Plan(case, [Step(verb="a", target="t", title="T", act=act)], title="x").apply()
    assert nb.finish(case, report).status == "partial"


def test_an_artifact_is_json_that_anything_can_be_written_to(case: Case) -> None:
    path = nb.keep(case, "answers/x", {"b": float("nan"), "a": "\udcff"})
    assert path == case.active / "artifacts" / "answers" / "x.json"
    assert json.loads(path.read_bytes()) == {"a": "\udcff", "b": "nan"}


def test_an_artifact_that_cannot_be_written_is_told_in_words(case: Case) -> None:
    (case.active / "artifacts").rmdir()
    (case.active / "artifacts").write_text("a file")
    with pytest.raises(StorageError, match=r"part of the path is not a folder|exists already"):
        nb.keep(case, "x", {})


class Answer:
    """A thousand rows."""

    def to_dict(self) -> dict[str, object]:
        return {"question": "q", "rows": [{"n": n} for n in range(1000)]}


def test_a_long_answer_is_cut_and_says_how_long_it_is(case: Case) -> None:
    (shown,) = nb.keep_answers(case, {"q": Answer()})
    assert isinstance(shown, Answer)
    written = json.loads((case.active / "artifacts" / "answers" / "q.json").read_bytes())
    assert (len(written["rows"]), written["total"]) == (500, 1000)
