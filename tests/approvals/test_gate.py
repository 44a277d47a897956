"""The gate before real plans: what waits, what runs, what tampering does to an approval, and what the report shows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from irkit.approvals import gate, registry, votes
from irkit.approvals.registry import Requirement
from irkit.approvals.rules import Verb
from irkit.case import Case
from irkit.errors import BadInput, NotFound
from irkit.evidence import seal, verify
from irkit.plan import Outcome, Plan, Running, Status, Step

pytest.importorskip("cryptography")
NEED = Requirement(role="ir-lead", number=2, minutes=60)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The private keys of four people."""
    folder = tmp_path_factory.mktemp("keys")
    return {name: seal.make_key(folder / f"{name}.pem") for name in ("ana", "bea", "dan", "eve")}


@pytest.fixture
def approvers(keys: dict[str, Path], tmp_path: Path) -> Path:
    """The approvers file: three leads, of whom one asks, and one who may break the glass."""
    roles = {"ana": ["ir-lead"], "bea": ["ir-lead"], "dan": ["ir-lead"], "eve": ["break-glass"]}
    people = [
        {"name": n, "roles": r, "public_key": keys[n].with_name(f"{n}.pem.pub").read_text()}
        for n, r in roles.items()
    ]
    path = tmp_path / "approvers.yaml"
    path.write_text(json.dumps({"schema": "irkit/approvers/1", "people": people}))
    return path


@pytest.fixture
def case(approvers: Path, tmp_path: Path) -> Case:
    return Case.open(
        "C-1", region="us-east-1", cases=tmp_path / "cases", responder="ana",
        sources={registry.SOURCE: str(approvers)},
    )  # fmt: skip


class Ran:
    """A plan of three steps that say when they ran."""

    def __init__(self, case: Case) -> None:
        self.order: list[str] = []
        self.case = case

    def plan(self) -> Plan:
        steps = [
            Step(verb=verb, target="t", title=f"do {verb}", act=self._act, stage=n)
            for n, verb in enumerate(("book.read", "book.close", "book.report"))
        ]
        return Plan(self.case, steps, title="book")

    def _act(self, running: Running) -> Outcome:
        self.order.append(running.step.verb)
        return Outcome()

    def go(self, *, stop: bool = True) -> list[gate.Waiting]:
        may, waiting = gate.divide(self.case, self.plan(), {"book.close": NEED}, stop=stop)
        self.report = may.apply()
        return waiting


def say(case: Case, keys: dict[str, Path], by: str, verb: Verb = Verb.APPROVE, **more: Any) -> Path:
    (held,) = gate.asked(case)
    return votes.cast(
        case, step=held.step, what=held.verb, by=by, verb=verb, key=more.pop("key", keys[by]), **more
    )


def test_a_playbook_stops_before_the_step_that_waits_and_says_what_it_needs(case: Case) -> None:
    ran = Ran(case)
    waiting = ran.go()
    assert ran.order == ["book.read"]
    error = gate.refuse(case, waiting, ran.report)
    assert error.exit_code == 4
    assert "book.close waits for approval: it needs 2 people with the role ir-lead, not ana" in str(error)
    assert "irkit case approve C-1 --step book.close" in str(error)
    ran.go()
    asked = [e for e in case.journal.entries if "approval_asked" in e.body]
    assert len(asked) == 1, "what is asked for is asked once"


def test_without_stop_the_step_waits_alone(case: Case) -> None:
    ran = Ran(case)
    assert [w.verb for w in ran.go(stop=False)] == ["book.close"]
    assert ran.order == ["book.read", "book.report"]


def test_with_two_approvals_it_runs_and_the_journal_says_on_whose_word(
    case: Case, keys: dict[str, Path]
) -> None:
    ran = Ran(case)
    ran.go()
    say(case, keys, "bea")
    assert [w.decision.by for w in ran.go()] == [("bea",)]
    say(case, keys, "dan")
    assert ran.go() == []
    assert ran.order == ["book.read", "book.close", "book.report"]
    told = [e.body["what"] for e in case.journal.entries if "approved" in e.body]
    assert told == ["book.close runs now, approved by bea, dan"]
    assert gate.asked(case) == []
    assert verify(case.root).sound


def test_the_requesters_own_approval_does_not_count(case: Case, keys: dict[str, Path]) -> None:
    ran = Ran(case)
    ran.go()
    for name in ("ana", "bea"):
        say(case, keys, name)
    (held,) = ran.go()
    assert held.decision.passed_over == ("ana: ana asked for the step and cannot approve it",)


def test_an_approval_under_anothers_name_does_not_count(case: Case, keys: dict[str, Path]) -> None:
    ran = Ran(case)
    ran.go()
    say(case, keys, "bea", key=keys["ana"])
    say(case, keys, "dan", key=keys["ana"])
    (held,) = ran.go()
    assert len(held.decision.passed_over) == 2
    assert all("not signed with the key" in line for line in held.decision.passed_over)


def test_an_approval_whose_file_was_changed_or_lost_does_not_count(case: Case, keys: dict[str, Path]) -> None:
    ran = Ran(case)
    ran.go()
    changed, lost = say(case, keys, "bea"), say(case, keys, "dan")
    changed.chmod(0o600)
    changed.write_bytes(changed.read_bytes().replace(b"bea", b"dan"))
    lost.unlink()
    assert ran.go()[0].decision.by == ()


def test_an_approval_of_one_step_is_none_of_the_same_step_with_other_arguments(
    case: Case, keys: dict[str, Path]
) -> None:
    ran = Ran(case)
    ran.go()
    for name in ("bea", "dan"):
        say(case, keys, name)
    other = Step(verb="book.close", target="t", title="close more", args={"more": 1}, act=lambda _: Outcome())
    _, waiting = gate.divide(case, Plan(case, [other], title="x"), {"book.close": NEED}, stop=True)
    assert [w.verb for w in waiting] == ["book.close"]


def test_an_approval_that_is_taken_back_before_the_step_runs_holds_it(
    case: Case, keys: dict[str, Path]
) -> None:
    ran = Ran(case)
    ran.go()
    for name in ("bea", "dan"):
        say(case, keys, name)
    may, waiting = gate.divide(case, ran.plan(), {"book.close": NEED}, stop=True)
    assert waiting == []
    say(case, keys, "dan", Verb.DENY, reason="legal says wait")
    failed = next(s for s in may.apply().steps if s.verb == "book.close")
    assert failed.status is Status.FAILED
    assert "denied by dan: legal says wait" in failed.why
    assert "book.close" not in ran.order


def test_breaking_the_glass_runs_it_alone_and_the_report_shows_it(case: Case, keys: dict[str, Path]) -> None:
    from irkit.report.events import timeline

    ran = Ran(case)
    ran.go()
    say(case, keys, "eve", Verb.BREAK_GLASS, reason="data is leaving <b>now</b>")
    assert ran.go() == []
    assert "book.close" in ran.order
    shown = [e.what for e in timeline(case)]
    assert "note: eve BREAKS THE GLASS for book.close: data is leaving <b>now</b>" in shown
    assert any(s.startswith("note: BREAK GLASS: book.close runs now, eve broke the glass") for s in shown)


def test_a_case_without_approvers_lets_nothing_run_that_asks(tmp_path: Path) -> None:
    case = Case.open("C-2", region="us-east-1", cases=tmp_path / "cases")
    ran = Ran(case)
    waiting = ran.go()
    assert "nobody is named who could approve" in waiting[0].decision.why
    assert "--source approvers=FILE" in str(gate.refuse(case, waiting, None))


def test_the_approvers_file_can_ask_for_a_verb_wherever_it_comes_from(case: Case, approvers: Path) -> None:
    held = json.loads(approvers.read_text())
    approvers.write_text(json.dumps(held | {"require": {"book": {"role": "ir-lead"}}}))
    _, waiting = gate.divide(case, Ran(case).plan(), {}, stop=False)
    assert len(waiting) == 3
    approvers.write_text(json.dumps(held | {"require": {"boo": {"role": "ir-lead"}}}))
    assert gate.divide(case, Ran(case).plan(), {}, stop=False)[1] == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"people": []}, "at least 1 item"),
        ({"poeple": []}, "Extra inputs are not permitted"),
        ({"require": {"x": {"role": "ir-lead", "number": 0}}}, "greater than or equal to 1"),
        ({"schema": "irkit/approvers/2"}, "should match pattern"),
    ],
)
def test_a_wrong_approvers_file_is_refused_with_its_fault(approvers: Path, change: Any, says: str) -> None:
    approvers.write_text(json.dumps(json.loads(approvers.read_text()) | change))
    with pytest.raises(BadInput, match=says):
        registry.load(approvers)


def test_two_people_with_one_key_are_refused(approvers: Path) -> None:
    held = json.loads(approvers.read_text())
    held["people"][1]["public_key"] = held["people"][0]["public_key"] + "\n"
    approvers.write_text(json.dumps(held))
    with pytest.raises(BadInput, match="two people have one key"):
        registry.load(approvers)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no approvers file"):
        registry.load(tmp_path / "none.yaml")
