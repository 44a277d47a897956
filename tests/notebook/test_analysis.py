"""The notebooks that need no AWS, run by papermill on a case that holds one break-in."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from irkit.case import Case
from irkit.errors import InvalidParameter
from irkit.notebook.runner import Execution, execute
from irkit.report import casebook
from irkit.report.exports import FORMATS
from tests.hunt import world
from tests.logs.builders import ACCOUNT, write_trail
from tests.report import cases

pytest.importorskip("papermill")
Run = Callable[..., Execution]


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("logs")
    write_trail(folder / "trail.json.gz", world.trail_records())
    return folder


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return cases.opened(tmp_path_factory.mktemp("cases"))


@pytest.fixture(scope="module")
def run(case: Case, logs: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Runs a notebook with the logs as its source, and applies it."""
    out = tmp_path_factory.mktemp("executed")

    def run_it(name: str, **more: Any) -> Execution:
        given = {"case_id": case.id, "cases": str(case.root.parent), **more}
        return execute(name, given, out / f"{name.replace('/', '-')}.ipynb", timeout=120)

    first = {"source": str(logs), "days": 3650, "mode": "apply"}
    assert run_it("analyze/persistence-and-escalation", **first).status == "done"
    return run_it


def answer(case: Case, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        (case.active / "artifacts" / "answers" / f"{name}.json").read_text(encoding="ascii")
    )
    return found


def test_one_keys_notebook_takes_the_findings_to_the_report(run: Run, case: Case) -> None:
    ran = run("analyze/access-key", access_key_id=world.KEY, addresses=[world.OUTSIDE])
    assert (ran.status, ran.missing) == ("done", ())
    assert answer(case, f"{world.KEY}-calls")["total"] > 5
    found = {f.id: f for f in casebook.read(case).findings}
    assert found["leaked-key-used"].facts["address"] == (world.OUTSIDE,)
    assert found["persistence"].facts["access_key"] == (world.PLANTED_KEY,)


def test_a_principals_notebook_follows_each_of_its_keys(run: Run, case: Case) -> None:
    role = f"arn:aws:iam::{ACCOUNT}:role/Web"
    assert run("analyze/principal-sessions", principal=role).status == "done"
    about = f"arn_aws_iam_{ACCOUNT}_role_Web"
    keys = {row["access_key_id"] for row in answer(case, f"{about}-access-keys")["rows"]}
    assert world.KEY in keys
    assert answer(case, f"{about}-role-chain-{world.KEY}")["rows"]
    assert answer(case, f"{about}-sessions")["rows"]


def test_persistence_is_asked_of_the_whole_account(run: Run, case: Case) -> None:
    del run
    made = {row["created_access_key_id"] for row in answer(case, "created-credentials")["rows"]}
    assert world.PLANTED_KEY in made
    assert answer(case, "log-tampering")["rows"]


def test_data_that_left_is_asked_of_the_whole_account(run: Run, case: Case) -> None:
    assert run("analyze/s3-access-and-exfiltration").status == "done"
    assert world.BUCKET in {row["bucket"] for row in answer(case, "objects-read")["rows"]}
    assert answer(case, "shared-snapshots")["rows"]


def test_sigma_rules_are_asked_in_a_notebook(run: Run, case: Case) -> None:
    ran = run("analyze/detections")
    assert (ran.status, ran.missing) == ("done", ())
    kept = json.loads((case.active / "artifacts" / "detections.json").read_text(encoding="ascii"))
    told = json.dumps(kept)
    assert "CreateAccessKey" in told
    assert "An Instance Role Looks Around" in told


def test_the_timeline_is_written_for_other_tools(run: Run, case: Case) -> None:
    ran = run("report/timeline")
    assert ran.status == "done"
    assert {w["name"] for w in ran.written} >= {FORMATS["timesketch"].file, FORMATS["csv"].file}
    assert (case.active / "reports" / FORMATS["timesketch"].file).stat().st_size > 0


def test_in_plan_mode_nothing_is_read_and_the_questions_have_no_answers(logs: Path, tmp_path: Path) -> None:
    case = cases.opened(tmp_path / "cases")
    given = {"case_id": case.id, "cases": str(case.root.parent), "source": str(logs)}
    ran = execute("analyze/s3-access-and-exfiltration", given, tmp_path / "out.ipynb", timeout=120)
    assert ran.status == "planned"
    assert answer(case, "objects-read")["rows"] == []
    assert not case.evidence.items()


@pytest.mark.parametrize(
    ("name", "given", "fault"),
    [
        ("analyze/access-key", {"access_key_id": "wJalrXUtnFEMI"}, "is not an access key id"),
        ("analyze/access-key", {}, "parameter access_key_id is missing"),
        ("analyze/access-key", {"access_key_id": world.KEY, "addresses": ["here"]}, "addresses"),
        ("analyze/principal-sessions", {"principal": "Web"}, "is not the ARN of a principal"),
        ("analyze/principal-sessions", {"principal": "arn:aws:iam::1:user/x' or 1"}, "is not the ARN"),
    ],
)
def test_what_cannot_be_asked_about_is_refused_before_a_kernel_starts(
    name: str, given: dict[str, Any], fault: str, case: Case, tmp_path: Path
) -> None:
    named = {"case_id": case.id, "cases": str(case.root.parent)}
    with pytest.raises(InvalidParameter, match=fault):
        execute(name, named | given, tmp_path / "out.ipynb", timeout=60)
    assert not list(tmp_path.iterdir())
