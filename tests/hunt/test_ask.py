from __future__ import annotations

import copy
import csv
import io
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from irkit.errors import BadInput, InvalidParameter, NotFound
from irkit.hunt import ask, question, questions
from irkit.logs import ingest
from irkit.tables import Tables
from tests.hunt import world as w
from tests.logs.builders import at, record, write_trail


@dataclass
class _Case:
    tables_dir: Path


def test_tables_a_folder_and_a_case_can_be_asked(tables: Tables) -> None:
    counts = {
        len(ask(where, "secrets_read"))
        for where in (tables, tables.folder, str(tables.folder), _Case(tables.folder))
    }
    assert counts == {1}


def test_a_question_that_does_not_exist_suggests_one_that_does(tables: Tables) -> None:
    with pytest.raises(NotFound, match=r"did you mean .*calls_of_access_key"):
        ask(tables, "calls_of_acces_key")


@pytest.mark.parametrize(
    ("name", "params", "told"),
    [
        ("calls_of_access_key", {}, "needs access_key_id"),
        ("calls_of_access_key", {"access_key_id": "nonsense'; drop"}, "access key id"),
        ("calls_of_access_key", {"access_key_id": w.KEY, "sice": "x"}, "no parameter 'sice'"),
        ("calls_of_access_key", {"access_key_id": w.KEY, "since": "yesterday"}, "is no time"),
        ("calls_from_address", {"addresses": "10.0.0.1, host"}, "is no addresses"),
        ("credentials_used_elsewhere", {"instance_id": "i-1", "addresses": ""}, "instance id"),
        ("top_talkers", {"most": "many"}, "whole number"),
        ("top_talkers", {"most": True}, "whole number"),
        ("beacons", {"jitter": "x"}, "is no number"),
        ("calls_of_principal", {"principal": 5}, "give text"),
    ],
)
def test_a_bad_parameter_is_named_in_one_line(
    tables: Tables, name: str, params: dict[str, Any], told: str
) -> None:
    with pytest.raises(InvalidParameter) as refused:
        ask(tables, name, **params)
    assert told in str(refused.value)
    assert "\n" not in str(refused.value)


def test_parameters_may_be_text_as_on_a_command_line(tables: Tables) -> None:
    answer = ask(
        tables,
        "calls_of_access_key",
        access_key_id=w.SECOND_KEY,
        since="2026-11-20 10:55",
        until="2026-11-20T11:55:00+01:00",
    )
    assert len(answer) == 0
    assert len(ask(tables, "top_talkers", most="2")) == 2
    assert len(ask(tables, "calls_of_access_key", access_key_id=w.SECOND_KEY, since="2026-11-20 10:55")) == 2


def test_what_a_user_gives_is_never_part_of_the_sql(tables: Tables) -> None:
    hostile = "x' or '1'='1"
    assert len(ask(tables, "calls_of_principal", principal=hostile)) == 0
    assert len(ask(tables, "first_and_last_seen", value=hostile)) == 0


def test_an_answer_says_what_it_was_drawn_from(tables: Tables) -> None:
    answer = ask(tables, "secrets_read")
    assert "CloudTrail records of 1 region, 2026-11-20T10:00:00Z" in answer.coverage
    assert repr(answer) == "Answer(secrets_read of cloudtrail: 119 rows scanned, 1 row)"
    assert answer.frame.attrs["provenance"] == answer.provenance
    assert answer.frame.attrs["rows_scanned"] == 119
    assert (
        ask(tables, "issued_keys", access_key_id=w.KEY)
        .summary()
        .startswith("Credentials that were issued (access_key_id=")
    )


def test_an_answer_reads_like_its_data_frame(tables: Tables) -> None:
    answer = ask(tables, questions.calls_of_access_key, access_key_id=w.SECOND_KEY)
    assert (answer["source_ip"] == w.OUTSIDE).all()
    assert len(answer.head(3)) == 3
    assert set(answer.groupby("event_name").size().index) == {
        "GetObject",
        "ModifySnapshotAttribute",
        "AssumeRole",
    }
    assert "groupby" in dir(answer)
    assert copy.copy(answer).provenance == answer.provenance
    with pytest.raises(AttributeError, match="no_such"):
        answer.no_such  # noqa: B018


def test_questions_complete_by_name() -> None:
    assert {"beacons", "role_chain"} <= set(dir(questions))
    assert questions.beacons.name == "beacons"
    assert len(questions) == len(questions()) == len(list(questions))
    assert "<table" in questions._repr_html_()
    with pytest.raises(AttributeError, match="no question 'nonsense'"):
        questions.nonsense  # noqa: B018


def test_csv_of_an_answer_is_safe_for_a_spreadsheet_and_a_terminal(tmp_path: Path) -> None:
    hostile = ["=cmd|' /C calc'!A0", "\x1b[2J+1", "a\nb,c", "@sum(1)"]
    write_trail(tmp_path / "raw" / "t.json", [record(userAgent=agent) for agent in hostile])
    ingest(tmp_path / "raw", tmp_path / "tables")
    answer = ask(tmp_path / "tables", "user_agents")
    text = str(answer.to_csv())
    cells = [row[0] for row in csv.reader(io.StringIO(text))][1:]
    assert len(cells) == 4
    assert not [cell for cell in cells if cell[0] in "=+-@\t\r" or "\x1b" in cell or "\n" in cell]
    answer.to_csv(tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_text() == text


def test_an_answer_is_json_with_none_for_what_is_missing(tables: Tables) -> None:
    answer = ask(tables, "created_credentials")
    data = json.loads(json.dumps(answer.to_dict(), allow_nan=False))
    assert data["rows"][0]["created_access_key_id"] is not None
    assert any(row["created_access_key_id"] is None for row in data["rows"])
    assert data["rows"][0]["event_time"] == "2026-11-20T10:05:00Z"


def test_html_is_escaped_capped_and_counts_what_is_left_out(tables: Tables) -> None:
    answer = ask(tables, "calls_of_access_key", access_key_id=w.KEY)
    html = answer.html(rows=5)
    assert f"{len(answer) - 5} more rows" in html
    full = answer._repr_mimebundle_()["text/html"]
    assert "<script>" not in full
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in full


def test_times_in_a_frame_are_aware_utc(tables: Tables) -> None:
    frame = ask(tables, "calls_of_access_key", access_key_id=w.KEY).to_frame()
    assert frame["event_time"].min().to_pydatetime() == at(0)


def test_a_file_in_place_of_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("")
    with pytest.raises(BadInput, match="not a folder"):
        ask(tmp_path / "x", "coverage")


def test_a_folder_with_glob_characters_and_quotes_in_its_name_is_read_right(tmp_path: Path) -> None:
    folder = w.build(tmp_path / "it's [a] *case?")
    assert len(ask(folder, "secrets_read")) == 1


def test_a_question_shows_how_it_is_asked() -> None:
    assert repr(question("secrets_read")).startswith("secrets_read(since=…, until=…): ")


@pytest.mark.parametrize("asked", [pytest.param(q, id=q.name) for q in questions() if q.sql])
def test_the_sql_keeps_to_the_portable_subset(asked: Any) -> None:
    sql = asked.sql.lower()
    for word in (
        r"\bqualify\b",
        r"\bfilter\s*\(",
        r"time_bucket",
        r"\blist_",
        r"\[\d*:",
        r"::",
        r"group by all",
        r"any_value",
    ):
        assert not re.search(word, sql), word
    assert set(re.findall(r"\$(?:given_)?([a-z_]+)", re.sub(r"'\$[^']*'", "", sql))) == {
        p.name for p in asked.params
    }
