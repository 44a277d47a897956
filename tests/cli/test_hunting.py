"""`irkit logs detect` and `irkit logs athena`, as a shell sees them."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
import yaml
from click.testing import CliRunner

from irkit.case import Case
from irkit.cli.logs import logs
from irkit.errors import BadInput, NotFound
from irkit.sim import Simulator
from tests.hunt import world as w
from tests.logs.builders import ACCOUNT, write_trail


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return w.build(tmp_path_factory.mktemp("world"))


def _rule(folder: Path, name: str, selection: object, **more: object) -> Path:
    told = {
        "title": f"=cmd {name}",
        "logsource": {"product": "aws", "service": "cloudtrail"},
        "detection": {"s": selection, "condition": "s"},
    } | more
    (folder / f"{name}.yml").write_text(yaml.safe_dump(told))
    return folder


def test_detect_prints_a_table_and_says_what_was_run(tables: Path, tmp_path: Path) -> None:
    rules = _rule(tmp_path, "made", {"eventName": "CreateAccessKey"}, level="high")
    result = CliRunner().invoke(
        logs, ["detect", "--rules", str(rules), "--from", str(tables)], catch_exceptions=False
    )
    assert result.exit_code == 0
    assert "high      =cmd made" in result.output
    assert "1 rule run, 1 matched; 0 refused, 0 for other logs" in result.stderr


def test_detect_writes_events_as_csv_that_no_spreadsheet_runs(tables: Path, tmp_path: Path) -> None:
    rules = _rule(tmp_path, "agent", {"userAgent|contains": "<script>"})
    result = CliRunner().invoke(
        logs, ["detect", "--rules", str(rules), "--from", str(tables), "--format", "csv"]
    )
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    assert len(rows) > 10
    assert {row["rule"] for row in rows} == {"'=cmd agent"}
    assert rows[0]["event_time"].startswith("2026-11-20")


def test_detect_with_the_rules_that_come_along_gives_json(tables: Path) -> None:
    result = CliRunner().invoke(
        logs, ["detect", "--from", str(tables), "--format", "json"], catch_exceptions=False
    )
    told = json.loads(result.stdout)
    assert result.exit_code == 0
    assert told["rules"] + told["correlations"] >= 50
    assert "An Instance Role Looks Around" in {match["title"] for match in told["matches"]}


def test_a_rule_that_was_not_run_ends_with_3_and_a_strange_field_with_a_warning(
    tables: Path, tmp_path: Path
) -> None:
    _rule(tmp_path, "bad", {"eventName|nonsense": "x"})
    _rule(tmp_path, "strange", {"status": "success"})
    result = CliRunner().invoke(logs, ["detect", "--rules", str(tmp_path), "--from", str(tables)])
    assert result.exit_code == 3
    assert "not run  bad.yml" in result.stderr
    assert "strange.yml: CloudTrail has no field status" in result.stderr


def test_detect_needs_one_place_to_look(tables: Path, tmp_path: Path) -> None:
    assert isinstance(CliRunner().invoke(logs, ["detect"], env={"IRKIT_CASE": None}).exception, BadInput)
    missing = CliRunner().invoke(logs, ["detect", "--from", str(tmp_path / "none")])
    assert isinstance(missing.exception, NotFound)


@pytest.fixture
def account(tmp_path: Path) -> Iterator[Path]:
    before = dict(os.environ)
    with Simulator.start(workdir=tmp_path / "sim") as sim:
        os.environ.update(sim.env())
        s3 = boto3.client("s3", region_name="us-east-1")
        for bucket in ("shell-logs", "shell-results"):
            s3.create_bucket(Bucket=bucket)
        trail = write_trail(tmp_path / "t.json.gz", w.trail_records())
        s3.upload_file(
            str(trail), "shell-logs", f"AWSLogs/{ACCOUNT}/CloudTrail/us-east-1/2026/11/20/t.json.gz"
        )
        here = os.environ["IRKIT_SIMULATED"]
        Case.open(
            "2026-11-sh", region="us-east-1", cases=tmp_path / "cases", responder="ana", simulated=here
        ).close()
        yield tmp_path / "cases"
    os.environ.clear()
    os.environ.update(before)


def test_athena_is_planned_set_up_estimated_and_asked_in_a_shell(account: Path) -> None:
    where = ["--case", "2026-11-sh", "--cases", str(account)]
    make = ["athena", "setup", *where, "--trail", "s3://shell-logs", "--account", ACCOUNT, "--log-region", "us-east-1",
            "--first-day", "2026-11-01", "--output", "s3://shell-results/a/"]  # fmt: skip
    shown = CliRunner().invoke(logs, make, catch_exceptions=False)
    assert "nothing is done yet" in shown.output
    assert not boto3.client("glue", region_name="us-east-1").get_databases()["DatabaseList"]
    done = CliRunner().invoke(logs, [*make, "--apply"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    ask = ["athena", "ask", "secrets_read", *where]
    estimate = CliRunner().invoke(logs, [*ask, "--estimate"], catch_exceptions=False)
    assert "1 object," in estimate.stderr
    assert estimate.stdout == ""
    answer = CliRunner().invoke(logs, [*ask, "--format", "csv"], catch_exceptions=False)
    (row,) = list(csv.DictReader(io.StringIO(answer.stdout)))
    assert row["secret"] == "db"
    refused = CliRunner().invoke(logs, [*ask, "--limit-gib", "nonsense"])
    assert refused.exit_code == 2
