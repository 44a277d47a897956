from __future__ import annotations

from collections.abc import Iterator

import pytest

from irkit.hunt import ask
from irkit.tables import Tables
from tests.hunt import world as w
from tests.hunt import world_more
from tests.logs.builders import ACCOUNT, at


@pytest.fixture(scope="module")
def more(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tables]:
    with Tables.open(world_more.build(tmp_path_factory.mktemp("more"))) as opened:
        yield opened


def test_what_is_new_is_told_from_what_the_baseline_knows(more: Tables) -> None:
    rows = {(r["what"], r["value"]) for r in ask(more, "new_since", moment=at(39)).rows()}
    assert {("address", w.OUTSIDE), ("region", "ap-east-1"), ("agent", w.HOSTILE_AGENT)} <= rows
    assert ("principal", f"arn:aws:iam::{ACCOUNT}:user/svc-backup") in rows
    assert ("region", "us-east-1") not in rows
    assert ("address", w.OWN) not in rows


def test_what_is_new_for_a_principal_leaves_out_principals_that_are_new_themselves(more: Tables) -> None:
    rows = ask(more, "new_for_principal", moment=at(39)).rows()
    web = {(r["what"], r["value"]) for r in rows if r["principal"].endswith("role/Web")}
    assert {("address", w.OUTSIDE), ("api", "sts:GetCallerIdentity")} <= web
    assert ("address", w.OWN) not in web
    assert not [r for r in rows if r["principal"].endswith("user/svc-backup")]


def test_a_key_in_two_places_at_once_is_told_by_its_returns(more: Tables) -> None:
    rows = {(r["from_ip"], r["to_ip"]): r for r in ask(more, "address_changes", minutes=5).rows()}
    row = rows["203.0.113.77", "192.0.2.77"]
    assert (row["access_key_id"], row["returns"], row["shortest_seconds"]) == (world_more.TRAVELLER, 2, 120)


def test_ways_to_more_permissions_come_with_when_they_were_used(more: Tables) -> None:
    rows = {(r["path"], r["target"] or r["role"]): r for r in ask(more, "privilege_escalation").rows()}
    assert rows["credentials of another user", "svc-backup"]["used_at"] == "2026-11-20T11:25:00Z"
    assert rows["credentials of another user", "svc-rotated"]["used_at"] is None
    assert rows["trust of a role", "Deeper"]["used_at"] == "2026-11-20T11:04:00Z"
    assert rows["role passed to an instance", "Admin"]["event_name"] == "RunInstances"
    assert len([1 for path, _ in rows if path == "role passed to an instance"]) == 1


def test_what_was_made_to_last_and_protection_taken_away_are_listed(more: Tables) -> None:
    lasting = {(r["kind"], r["event_name"]) for r in ask(more, "persistence").rows()}
    assert {("long session", "GetFederationToken"), ("key or password", "CreateAccessKey")} <= lasting
    removed = {(r["kind"], r["denied"]) for r in ask(more, "protection_removed").rows()}
    assert removed == {("encryption", False), ("second factor", True)}


def test_volume_is_summed_by_prefix(more: Tables) -> None:
    rows = {(r["prefix"], r["principal"]): r for r in ask(more, "bytes_by_prefix", bucket="assets").rows()}
    reports = rows["reports/", f"arn:aws:iam::{ACCOUNT}:role/Web"]
    assert (reports["objects"], reports["bytes_out"]) == (2, 5500)
    assert rows["", f"arn:aws:iam::{ACCOUNT}:user/traveller"]["bytes_out"] == 5


def test_copies_and_exports_name_source_and_destination(more: Tables) -> None:
    rows = [(r["resource"], r["destination"]) for r in ask(more, "copies_and_exports").rows()]
    assert rows == [("snap-0copied", "ap-east-1"), ("arn:aws:rds:x", "outside")]


def test_decryptions_asked_for_directly_are_told_from_those_of_services(more: Tables) -> None:
    rows = ask(more, "kms_use").rows()
    assert [(r["key_arn"], r["through"]) for r in rows if r["key_arn"]] == [("alias/app", None)]


def test_calls_about_a_resource_and_of_a_program_are_found(more: Tables) -> None:
    assert ask(more, "calls_about", resource="snap-0stolen").values("event_name") == (
        "ModifySnapshotAttribute",
    )
    assert len(ask(more, "calls_of_agent", agent="STOLEN-TOOL")) == 9


def test_keys_are_summed_up_with_regions_and_programs(more: Tables) -> None:
    (row,) = [r for r in ask(more, "keys_summary").rows() if r["access_key_id"] == world_more.TRAVELLER]
    assert (row["regions"], row["addresses"]) == (2, 3)


def test_gaps_name_the_day_without_records_and_what_was_never_recorded(more: Tables) -> None:
    rows = {(r["aws_region"], r["event_category"]): r for r in ask(more, "coverage_gaps").rows()}
    quiet = rows["us-east-1", "Management"]
    assert (quiet["days_missing"], quiet["first_missing"]) == (1, "2026-11-21T00:00:00Z")
    assert rows["us-east-1", "Insight"]["records"] == 0
    assert rows["us-east-1", "Insight"]["days_with_records"] == 0


def test_a_port_scan_is_told_from_answers(more: Tables) -> None:
    rows = {(r["srcaddr"], r["dstaddr"]): r["ports"] for r in ask(more, "port_scans").rows()}
    assert rows == {(world_more.SCANNER, w.OWN): 40, ("203.0.113.200", w.OWN): 20}


def test_a_search_for_a_service_is_a_host_scan(more: Tables) -> None:
    (row,) = ask(more, "host_scans").rows()
    assert (row["srcaddr"], row["dstport"], row["hosts"], row["rejected"]) == (
        world_more.GUESSER,
        3389,
        30,
        30,
    )


def test_who_was_turned_away_and_then_let_in_is_named(more: Tables) -> None:
    (row,) = ask(more, "rejected_then_accepted").rows()
    assert (row["srcaddr"], row["dstaddr"], row["bytes"]) == (world_more.GUESSER, "10.0.9.5", 900)
    assert row["first_rejected"] < row["first_accepted"]


def test_a_connection_that_stays_open_is_named_once(more: Tables) -> None:
    rows = {r["dstaddr"]: r for r in ask(more, "long_connections").rows()}
    assert rows[world_more.TUNNEL]["minutes"] >= 87
    assert w.DROP not in rows


def test_a_list_of_addresses_is_looked_for_in_every_table(more: Tables) -> None:
    found = {
        (r["seen_in"], r["address"])
        for r in ask(more, "indicator_matches", addresses=[w.OUTSIDE, w.POOL, w.WEB, "192.0.2.254"]).rows()
    }
    assert found == {
        ("cloudtrail.source_ip", w.OUTSIDE),
        ("s3_access.source_ip", w.OUTSIDE),
        ("flow.srcaddr", w.POOL),
        ("flow.dstaddr", w.POOL),
        ("dns.first_answer", w.POOL),
        ("flow.srcaddr", w.WEB),
        ("flow.dstaddr", w.WEB),
        ("elb.client_ip", w.WEB),
    }


def test_before_and_after_shows_what_containment_did_not_stop(more: Tables) -> None:
    rows = {
        r["peer"]: r
        for r in ask(more, "before_and_after", moment=at(72.5), addresses=w.OWN, minutes=75).rows()
    }
    assert rows[w.DROP]["accepted_before"] == 6
    assert rows[w.DROP]["accepted_after"] == 4
    assert rows["203.0.113.200"]["accepted_after"] == 0


def test_other_logs_answer_too(more: Tables) -> None:
    (bucket,) = ask(more, "bucket_requests").rows()
    assert (bucket["requests"], bucket["bytes_out"], bucket["refused"]) == (3, 15, 1)
    names = ask(more, "names_looked_up").rows()
    assert (names[0]["query_name"], names[0]["machines"]) == ("pool.example.", 1)
    assert ask(more, "names_looked_up", part="POOL").values("query_name") == ("pool.example.",)
    (web,) = ask(more, "web_requests").rows()
    assert (web["urls"], web["failed"]) == (2, 1)
