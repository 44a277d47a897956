from __future__ import annotations

from pathlib import Path

from irkit.journal import Kind
from irkit.plan import Outcome, Plan
from irkit.report.casebook import read
from irkit.report.steps import steps_of
from tests.report import cases
from tests.report.conftest import Reported


def test_each_step_stands_as_the_journal_last_said(investigated: Reported) -> None:
    standing = {step.verb: step.standing for step in steps_of(investigated.case.journal.entries)}
    assert standing == {
        "metadata.read": "done",
        "console.screenshot": "done",
        "guard.termination": "done",
        "guard.stop": "skipped",
        "disks.snapshots": "done",
        "network.quarantine": "done",
        "identity.deny": "failed",
        "host.facts": "done in part",
        "fleet.standby": "interrupted",
    }


def test_a_step_that_failed_and_then_worked_is_done_and_keeps_all_its_entries(tmp_path: Path) -> None:
    case, tries = cases.opened(tmp_path), []

    def act(_: object) -> Outcome:
        tries.append(1)
        if len(tries) == 1:
            raise ValueError("not yet")
        return Outcome()

    plan = Plan(case, [cases.step("a.b", "i-1", "Try", act)], title="t")
    plan.apply()
    plan.apply()
    (step,) = steps_of(case.journal.entries)
    assert step.standing == "done"
    assert len(step.entries) == 4
    assert step.why == ""


def test_a_step_that_was_taken_back_is_undone(tmp_path: Path) -> None:
    case = cases.opened(tmp_path)
    plan = Plan(case, [cases.step("a.b", "i-1", "Do", lambda _: Outcome())], title="t")
    plan.apply()
    case.journal.append(Kind.UNDONE, step=plan.steps[0].id(case.id), verb="a.b")
    (step,) = steps_of(case.journal.entries)
    assert (step.standing, step.title, step.target) == ("undone", "Do", "i-1")


def test_the_notebook_that_makes_the_report_is_running_not_interrupted(tmp_path: Path) -> None:
    case = cases.opened(tmp_path)
    case.journal.append(
        Kind.INTENDED, step="ab", verb="ec2-compromise.report", target="report/final-report", title="Report"
    )
    book = read(case)
    assert [(step.standing, step.notebook) for step in book.steps] == [("running", True)]
