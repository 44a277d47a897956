from __future__ import annotations

from types import SimpleNamespace

from irkit import capture
from irkit.case import Case
from irkit.plan import Report, Status


def apply(world: SimpleNamespace, case: Case) -> Report:
    return capture.plan(case, world.instance_id, only=["console"]).apply()


def test_screenshot_and_output_are_kept_without_waking_the_screen(world: SimpleNamespace, case: Case) -> None:
    report = apply(world, case)
    assert report.exit_code == 0
    picture, text = (case.evidence.items(kind=f"console-{k}")[0] for k in ("screenshot", "output"))
    assert case.evidence.read(picture).startswith(b"\xff\xd8\xff")
    assert b"login:" in case.evidence.read(text)
    assert picture.notes["params"] == {"WakeUp": False}
    assert text.notes["params"] == {"Latest": True}


def test_an_instance_without_the_latest_output_gives_the_older_one(
    world: SimpleNamespace, case: Case
) -> None:
    world.sim.faults.inject("ec2", "GetConsoleOutput", "UnsupportedOperation")
    assert apply(world, case).exit_code == 0
    assert case.evidence.items(kind="console-output")[0].notes["params"] == {"Latest": False}


def test_an_unavailable_screenshot_is_missing_with_its_reason_and_the_output_is_kept(
    world: SimpleNamespace, case: Case
) -> None:
    world.sim.faults.inject(
        "ec2", "GetConsoleScreenshot", "UnsupportedOperation", times=9, message="bare metal"
    )
    report = apply(world, case)
    assert report.exit_code == 3
    assert report.steps[0].status is Status.DONE
    assert "console screenshot" in report.steps[0].missing[0]
    assert [i.kind for i in case.evidence.items()] == ["console-output"]


def test_an_answer_that_is_not_aws_is_missing_too(world: SimpleNamespace, case: Case) -> None:
    world.sim.faults.inject("ec2", "GetConsoleScreenshot", "Odd", times=9, message="no XML: \x01\x02")
    report = apply(world, case)
    assert report.exit_code == 3
    assert [i.kind for i in case.evidence.items()] == ["console-output"]


def test_what_an_interrupted_run_kept_is_not_taken_twice(world: SimpleNamespace, case: Case) -> None:
    world.sim.faults.inject("ec2", "GetConsoleOutput", "UnauthorizedOperation", status=403, times=9)
    first = capture.plan(case, world.instance_id, only=["console"])
    first.apply()
    world.sim.faults.clear()
    from irkit.journal import Kind

    case.journal.append(Kind.INTENDED, step=first.steps[0].id(case.id), verb="capture.console")
    assert apply(world, case).exit_code == 0
    assert sorted(i.kind for i in case.evidence.items()) == ["console-output", "console-screenshot"]
