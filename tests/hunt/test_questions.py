from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from irkit.hunt import Answer, Question, ask, questions
from irkit.hunt.question import REQUIRED
from irkit.logs import ingest
from irkit.tables import Tables
from tests.hunt import world as w
from tests.hunt import world_more
from tests.logs.builders import ACCOUNT, DATASETS, at, flow, record, write_flows, write_trail

GIVEN: dict[str, Any] = {
    "access_key_id": w.KEY,
    "principal": f"arn:aws:iam::{ACCOUNT}:role/Web",
    "role": "Web",
    "addresses": w.OUTSIDE,
    "instance_id": w.INSTANCE,
    "value": w.OUTSIDE,
    "moment": "2026-11-20T10:45:00Z",
    "agent": "Stolen-Tool",
    "resource": w.BUCKET,
}
_OF_THE_MACHINE = ("flows_after", "flows_with_address", "before_and_after")
ALL = [pytest.param(question, id=question.name) for question in questions()]


def _ask(tables: Tables, question: Question) -> Answer:
    given = GIVEN | ({"addresses": w.OWN} if question.name in _OF_THE_MACHINE else {})
    params = {p.name: given[p.name] for p in question.params if p.default is REQUIRED}
    return ask(tables, question.name, **params)


def _check(answer: Answer) -> None:
    """The answer has the question's columns with the types that the question names."""
    assert list(answer.frame.columns) == [column.name for column in answer.question.columns]
    for column in answer.question.columns:
        kind = str(answer.frame[column.name].dtype).lower()
        match column.type:
            case "TIMESTAMP":
                assert kind.startswith("datetime64"), column
                assert "utc" in kind, column
            case "BIGINT" | "INTEGER":
                assert kind == "int64", column
            case "BOOLEAN":
                assert kind in ("bool", "boolean"), column
            case "DOUBLE":
                assert kind == "float64", column
            case "VARCHAR":
                assert kind == "str", column


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tables]:
    with Tables.open(tmp_path_factory.mktemp("empty")) as opened:
        yield opened


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tables]:
    if not DATASETS.is_dir():
        pytest.skip("the shared data sets are not beside the checkout")
    into = tmp_path_factory.mktemp("real")
    ingest(DATASETS, into)
    with Tables.open(into) as opened:
        yield opened


@pytest.fixture(scope="module")
def more(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tables]:
    with Tables.open(world_more.build(tmp_path_factory.mktemp("more"))) as opened:
        yield opened


@pytest.mark.parametrize("question", ALL)
def test_every_question_answers_in_its_schema(more: Tables, question: Question) -> None:
    answer = _ask(more, question)
    _check(answer)
    assert len(answer) > 0


@pytest.mark.parametrize("question", ALL)
def test_every_question_answers_empty_tables(empty: Tables, question: Question) -> None:
    answer = _ask(empty, question)
    _check(answer)
    assert len(answer) == 0


@pytest.mark.parametrize("question", ALL)
def test_every_question_runs_on_real_records(real: Tables, question: Question) -> None:
    _check(_ask(real, question))


@pytest.mark.parametrize("question", ALL)
def test_every_question_explains_itself(question: Question) -> None:
    assert question.title
    assert question.doc.endswith(".")
    assert all(param.doc for param in question.params)
    assert bool(question.sql) != bool(question.walk)


def test_there_are_no_two_questions_of_one_name() -> None:
    names = [question.name for question in questions()]
    assert len(set(names)) == len(names) >= 55


def test_calls_of_an_access_key_come_in_order_of_time(tables: Tables) -> None:
    answer = ask(tables, "calls_of_access_key", access_key_id=w.SECOND_KEY)
    assert len(answer) == 33
    assert answer.frame["event_time"].is_monotonic_increasing
    assert answer.values("source_ip") == (w.OUTSIDE,)


def test_a_time_window_limits_what_is_answered(tables: Tables) -> None:
    answer = ask(
        tables, "calls_of_access_key", access_key_id=w.SECOND_KEY, since=at(55), until="2026-11-20T10:56:00Z"
    )
    assert answer.values("event_name") == ("ModifySnapshotAttribute",)


def test_a_role_means_all_its_sessions_and_a_user_can_be_named(tables: Tables) -> None:
    role = ask(tables, "calls_of_principal", principal=f"arn:aws:iam::{ACCOUNT}:role/Export")
    assert set(role.values("access_key_id")) == {w.SECOND_KEY, w.NIGHTLY_KEY}
    assert ask(tables, "calls_of_principal", principal="svc-backup").values("event_name") == ("ListBuckets",)


def test_keys_of_a_principal_are_summed_up(tables: Tables) -> None:
    (row,) = ask(
        tables, "access_keys_of_principal", principal=f"arn:aws:sts::{ACCOUNT}:assumed-role/Web/{w.INSTANCE}"
    ).rows()
    assert (row["access_key_id"], row["denied"], row["addresses"]) == (w.KEY, 3, 4)


def test_calls_and_keys_at_an_address_are_found(tables: Tables) -> None:
    assert set(ask(tables, "calls_from_address", addresses=[w.LATER]).values("access_key_id")) == {
        w.PLANTED_KEY
    }
    keys = ask(tables, "keys_at_address", addresses=f"{w.OUTSIDE}, {w.LATER}").values("access_key_id")
    assert set(keys) == {w.KEY, w.SECOND_KEY, w.THIRD_KEY, w.PLANTED_KEY}


def test_sessions_of_a_role_are_told_apart(tables: Tables) -> None:
    sessions = ask(tables, "sessions_of_role", role="Web").values("ui_arn")
    assert sessions == tuple(
        f"arn:aws:sts::{ACCOUNT}:assumed-role/Web/{name}" for name in (w.INSTANCE, w.SIBLING)
    )


def test_an_instances_own_addresses_and_aws_services_are_not_elsewhere(tables: Tables) -> None:
    answer = ask(
        tables, "credentials_used_elsewhere", instance_id=w.INSTANCE, addresses=(w.OWN, w.OWN_PUBLIC)
    )
    assert answer.values("source_ip") == (w.OUTSIDE,)
    assert answer.values("user_agent") == (w.HOSTILE_AGENT,)


def test_no_known_address_means_that_all_use_is_shown(tables: Tables) -> None:
    answer = ask(tables, "credentials_used_elsewhere", instance_id=w.INSTANCE, addresses=())
    assert set(answer.values("source_ip")) == {w.OUTSIDE, w.OWN, w.OWN_PUBLIC}


def test_a_value_is_found_whatever_it_is(tables: Tables) -> None:
    seen = ask(tables, "first_and_last_seen", value=w.PLANTED_KEY).values("seen_as")
    assert set(seen) == {"created_access_key_id", "access_key_id"}
    assert ask(tables, "first_and_last_seen", value=w.POOL).values("seen_as") == ("dstaddr", "srcaddr")


def test_console_logins_show_the_second_factor(tables: Tables) -> None:
    (row,) = ask(tables, "console_logins").rows()
    assert (row["console_login_result"], row["mfa_used"]) == ("Success", True)


def test_the_responders_own_calls_are_told_apart(tables: Tables) -> None:
    assert ask(tables, "responder_calls").values("event_name") == ("DescribeInstances",)


def test_activity_is_counted_by_hour_and_principal(tables: Tables) -> None:
    frame = ask(tables, "api_activity").frame
    assert frame["calls"].sum() == len(w.trail_records())
    assert str(frame["hour"].dt.tz) == "UTC"


def test_apis_of_a_key_are_counted(tables: Tables) -> None:
    rows = {row["api"]: row for row in ask(tables, "apis_of_access_key", access_key_id=w.KEY).rows()}
    assert rows["iam:CreateUser"]["denied"] == 1
    assert rows["s3:GetObject"]["calls"] == 18


def test_every_service_s_way_to_refuse_counts_as_denied(tmp_path: Path) -> None:
    codes = [
        "AccessDenied",
        "AccessDeniedException",
        "Client.UnauthorizedOperation",
        "UnauthorizedAccess",
        "403",
    ]
    others = ["ThrottlingException", "NoSuchKey", None]
    write_trail(tmp_path / "raw.json", [record(error=code) for code in codes + others])
    ingest(tmp_path / "raw.json", tmp_path / "tables")
    assert set(ask(tmp_path / "tables", "denied_calls").values("error_code")) == set(codes)


def test_denied_calls_can_be_narrowed_to_a_principal(tables: Tables) -> None:
    answer = ask(tables, "denied_calls", principal=f"arn:aws:iam::{ACCOUNT}:user/admin")
    assert set(answer.values("api")) == {"iam:ListRoles", "cloudtrail:StopLogging"}


def test_a_burst_of_looking_around_stands_out(tables: Tables) -> None:
    (row,) = ask(tables, "enumeration_bursts").rows()
    assert (row["access_key_id"], row["source_ip"], row["apis"]) == (w.KEY, w.OUTSIDE, 12)


def test_changes_around_a_time_leave_reading_out(tables: Tables) -> None:
    answer = ask(tables, "who_did_around", moment=at(45), minutes=2)
    assert answer.values("event_name") == ("CreateUser", "RunInstances", "CreateAccessKey")


def test_rare_agents_and_apis_come_first(tables: Tables) -> None:
    assert ask(tables, "user_agents").values("user_agent")[0].startswith("Boto3/1.4 irkit")
    assert "iam:CreateUser" in ask(tables, "rare_apis").values("api")


def test_credentials_issued_by_a_key_and_by_all_are_listed(tables: Tables) -> None:
    mine = ask(tables, "issued_keys", access_key_id=w.KEY).values("issued_access_key_id")
    assert mine == (w.PLANTED_KEY, w.SECOND_KEY)
    assert len(ask(tables, "issued_keys")) == 6


def test_a_role_chain_is_walked_both_ways(tables: Tables) -> None:
    rows = ask(tables, "role_chain", access_key_id=w.SECOND_KEY).rows()
    assert {(r["hop"], r["issued_access_key_id"]) for r in rows} == {
        (1, w.THIRD_KEY),
        (-1, w.SECOND_KEY),
        (-2, w.KEY),
    }


def test_a_role_chain_that_bites_its_tail_ends(tmp_path: Path) -> None:
    def issue(parent: str, child: str, minutes: float) -> dict[str, Any]:
        identity = w.role_session("R", "s", parent)
        return w.assume_role("R", "s", child, minutes, identity=identity)

    one, two = "ASIAONE0000000000000", "ASIATWO0000000000000"
    write_trail(tmp_path / "raw.json", [issue(one, two, 1), issue(two, one, 2)])
    ingest(tmp_path / "raw.json", tmp_path / "tables")
    assert len(ask(tmp_path / "tables", "role_chain", access_key_id=one)) == 4


def test_created_credentials_name_the_user_and_the_key(tables: Tables) -> None:
    rows = ask(tables, "created_credentials").rows()
    assert ("svc-backup", w.PLANTED_KEY, False) in {
        (r["target"], r["created_access_key_id"], r["denied"]) for r in rows
    }
    assert ("support", None, True) in {(r["target"], r["created_access_key_id"], r["denied"]) for r in rows}


def test_permission_changes_name_the_policy(tmp_path: Path) -> None:
    request = {"userName": "bob", "policyArn": "arn:aws:iam::aws:policy/AdministratorAccess"}
    write_trail(tmp_path / "raw.json", [record("iam:AttachUserPolicy", request=request)])
    ingest(tmp_path / "raw.json", tmp_path / "tables")
    (row,) = ask(tmp_path / "tables", "permission_changes").rows()
    assert (row["target"], row["policy"]) == ("bob", "arn:aws:iam::aws:policy/AdministratorAccess")


def test_attempts_to_blind_the_logs_are_listed_refused_or_not(tables: Tables) -> None:
    rows = ask(tables, "log_tampering").rows()
    assert [(r["event_name"], r["target"], r["denied"]) for r in rows] == [("StopLogging", "t", True)] * 2


@pytest.mark.parametrize(
    ("call", "request_", "shared"),
    [
        ("ec2:ModifySnapshotAttribute", {"snapshotId": "s", "createVolumePermission": {"add": {"items": [
            {"userId": "777777777777"}, {"group": "all"}, {"userId": ACCOUNT}]}}}, ["777777777777", "all"]),
        ("ec2:ModifyImageAttribute", {"imageId": "s", "launchPermission": {"add": {"items": [
            {"userId": "777777777777"}]}}}, ["777777777777"]),
        ("ec2:ModifySnapshotAttribute", {"snapshotId": "s", "createVolumePermission": {"remove": {"items": [
            {"userId": "777777777777"}]}}}, []),
        ("ec2:ModifySnapshotAttribute", {"snapshotId": "s", "operationType": "add", "userIdSet": {"items": [
            {"userId": "777777777777"}]}}, ["777777777777"]),
        ("rds:ModifyDBSnapshotAttribute", {"dBSnapshotIdentifier": "s", "attributeName": "restore",
            "valuesToAdd": ["777777777777"]}, ["777777777777"]),
        ("ec2:ModifySnapshotAttribute", {"snapshotId": "s", "createVolumePermission": "odd"}, []),
        ("ec2:ModifySnapshotAttribute", ["odd"], []),
    ],
)  # fmt: skip
def test_sharing_is_found_in_every_form_that_aws_writes(
    tmp_path: Path, call: str, request_: Any, shared: list[str]
) -> None:
    write_trail(tmp_path / "raw.json", [record(call, request=request_, read_only=False)])
    ingest(tmp_path / "raw.json", tmp_path / "tables")
    rows = ask(tmp_path / "tables", "shared_snapshots").rows()
    assert [(r["resource_id"], r["shared_with"]) for r in rows] == [("s", account) for account in shared]


def test_objects_read_are_counted_with_their_bytes(tables: Tables) -> None:
    (row,) = ask(tables, "objects_read", access_keys=[w.SECOND_KEY]).rows()
    assert (row["bucket"], row["reads"], row["objects"], row["bytes_out"]) == (w.BUCKET, 31, 30, 31000)
    assert len(ask(tables, "objects_read")) == 3


def test_secrets_that_were_read_are_named(tables: Tables) -> None:
    assert ask(tables, "secrets_read").values("secret") == ("db",)


def test_coverage_tells_days_regions_and_categories(tables: Tables) -> None:
    rows = ask(tables, "coverage").rows()
    assert {(r["day"], r["aws_region"], r["event_category"]) for r in rows} == {
        ("2026-11-20T00:00:00Z", "us-east-1", "Data"),
        ("2026-11-20T00:00:00Z", "us-east-1", "Management"),
    }


def test_flow_coverage_counts_what_aws_skipped(tmp_path: Path) -> None:
    begin = int(at(0).timestamp())
    gap = f"2 {ACCOUNT} eni-0123456789abcdef0 - - - - - - - {begin} {begin + 60} - SKIPDATA"
    write_flows(tmp_path / "f.log", [flow("10.0.0.1", "10.0.0.2", 1, 2, 3), gap])
    ingest(tmp_path / "f.log", tmp_path / "tables")
    (row,) = ask(tmp_path / "tables", "flow_coverage").rows()
    assert (row["records"], row["skipped"], row["empty"]) == (2, 1, 0)


def test_outbound_names_destinations_and_not_visitors(tables: Tables) -> None:
    rows = ask(tables, "outbound_by_destination", addresses=w.OWN).rows()
    assert [(r["external_ip"], r["port"]) for r in rows] == [(w.DROP, 443), (w.MIRROR, 443), (w.POOL, 3333)]
    assert (rows[0]["bytes_out"], rows[0]["bytes_in"]) == (45_000_000, 450_000)


def test_inbound_names_visitors_and_what_was_rejected(tables: Tables) -> None:
    rows = ask(tables, "inbound_to_instance", addresses=w.OWN).rows()
    assert {(r["external_ip"], r["port"]) for r in rows if r["accepted"]} == {(w.WEB, 80), ("192.0.2.99", 80)}
    assert sum(r["rejected"] for r in rows) == 20


def test_a_conversation_every_minute_is_a_beacon(tables: Tables) -> None:
    rows = {r["external_ip"]: r for r in ask(tables, "beacons", addresses=w.OWN).rows()}
    assert rows[w.POOL]["period_seconds"] == pytest.approx(60)
    assert rows[w.POOL]["flows"] == 60


def test_irregular_traffic_is_no_beacon(tmp_path: Path) -> None:
    lines = [flow("10.0.0.1", "203.0.113.1", 40000 + n, 443, 10, minutes=n * n / 7) for n in range(60)]
    write_flows(tmp_path / "f.log", lines)
    ingest(tmp_path / "f.log", tmp_path / "tables")
    assert len(ask(tmp_path / "tables", "beacons")) == 0


def test_flows_after_containment_show_what_still_passes(tables: Tables) -> None:
    answer = ask(tables, "flows_after", moment=at(88.5), addresses=w.OWN)
    assert set(answer.values("dstaddr")) == {w.POOL, w.OWN}
    assert answer.values("action") == ("ACCEPT",)


def test_flow_records_of_an_address_are_listed(tables: Tables) -> None:
    assert len(ask(tables, "flows_with_address", addresses=[w.DROP])) == 10


def test_talkers_come_with_most_bytes_first(tables: Tables) -> None:
    (row,) = ask(tables, "top_talkers", most=1).rows()
    assert (row["srcaddr"], row["dstaddr"]) == (w.OWN, w.DROP)


def test_probes_that_were_turned_away_are_counted_by_port(tables: Tables) -> None:
    (row,) = ask(tables, "rejected_probes").rows()
    assert (row["srcaddr"], row["rejected"], row["ports"], row["accepted"]) == ("203.0.113.200", 20, 20, 0)


def test_bytes_by_hour_add_up(tables: Tables) -> None:
    hours = ask(tables, "bytes_by_hour", addresses=w.OWN).frame
    assert hours["bytes_out"].sum() >= 45_000_000
    assert isinstance(hours["hour"].iloc[0], pd.Timestamp)
