from __future__ import annotations

import json
import re
from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.sim.scenarios.conftest import Paper

REQUIRED = {
    "eventVersion", "userIdentity", "eventTime", "eventSource", "eventName", "awsRegion", "sourceIPAddress",
    "userAgent", "requestParameters", "responseElements", "requestID", "eventID", "readOnly", "eventType",
    "managementEvent", "recipientAccountId", "eventCategory",
}  # fmt: skip
LAYOUT = re.compile(
    r"audit/AWSLogs/(\d{12})/CloudTrail/([a-z0-9-]+)/(\d{4}/\d\d/\d\d)/"
    r"\1_CloudTrail_\2_\d{8}T\d{4}Z_[A-Za-z0-9]{16}\.json\.gz"
)


def test_there_is_an_ordinary_account_around_the_intruder(paper: Paper) -> None:
    assert 20_000 <= len(paper.background) <= 40_000
    assert len(paper.attack.records) < len(paper.background) / 50


def test_every_record_has_the_fields_that_aws_requires(delivered_records: list[dict[str, Any]]) -> None:
    assert all(record.keys() >= REQUIRED for record in delivered_records)
    assert all(datetime.strptime(r["eventTime"], "%Y-%m-%dT%H:%M:%S%z") for r in delivered_records)


def test_no_two_records_share_an_event_id(delivered_records: list[dict[str, Any]]) -> None:
    repeated = [name for name, count in Counter(r["eventID"] for r in delivered_records).items() if count > 1]
    assert repeated == []


def test_files_lie_where_aws_puts_them_and_hold_everything_once(
    paper: Paper, delivered_records: list[dict[str, Any]]
) -> None:
    assert all(LAYOUT.fullmatch(key) for key, _ in paper.delivered())
    assert len(delivered_records) == len(paper.records)


def test_no_file_is_dated_after_the_world_ends(paper: Paper) -> None:
    last = f"{paper.story.times.at:%Y%m%dT%H%MZ}"
    assert all(key.split("_")[-2] <= last for key, _ in paper.delivered())


def test_the_same_seed_and_time_deliver_the_same_bytes(
    paper: Paper, write_down: Callable[[int], Paper]
) -> None:
    again = write_down(7)
    assert again.delivered() == paper.delivered()
    assert again.flows.files == paper.flows.files
    assert again.truth == paper.truth


def test_every_fact_of_the_trail_occurs_in_its_records(paper: Paper) -> None:
    text = "\n".join(json.dumps(record) for record in paper.attack.records)
    counted = {"object_count", "bytes_read", "api_call", "denied_call"}
    for fact in paper.truth["facts"]:
        if fact["how"] == "cloudtrail" and fact["kind"] not in counted:
            assert fact["value"] in text, fact["id"]


def outside_use(paper: Paper) -> list[dict[str, Any]]:
    """The rule: role sessions of an instance, from an address that is not the instance's, by no VPC endpoint."""
    hosts = {
        h.instance: {h.private_ip, h.public_ip}
        for h in (paper.story.estate.suspect, paper.story.estate.sibling)
    }
    return [
        record
        for record in paper.records
        if (name := str(record["userIdentity"].get("principalId", "")).partition(":")[2]) in hosts
        and record["sourceIPAddress"] not in hosts[name]
        and "vpcEndpointId" not in record
    ]


def test_an_address_rule_finds_the_stolen_key_and_nothing_else(paper: Paper) -> None:
    found = outside_use(paper)
    assert {r["userIdentity"]["accessKeyId"] for r in found} == {paper.value("stolen-key")}
    assert {r["sourceIPAddress"] for r in found} == {paper.value("api-address")}
    assert min(r["eventTime"] for r in found) == paper.value("first-use")
    assert max(r["eventTime"] for r in found) == paper.value("last-use")


def test_the_instance_goes_on_using_the_key_that_was_stolen(paper: Paper) -> None:
    own = [
        record
        for record in paper.background
        if record["userIdentity"].get("accessKeyId") == paper.value("stolen-key")
        and record["eventTime"] > paper.value("first-use")
    ]
    assert len(own) > 20


def issued_by(records: list[dict[str, Any]], key: str) -> set[str]:
    return {
        (r["responseElements"].get("credentials") or r["responseElements"]["accessKey"])["accessKeyId"]
        for r in records
        if r["userIdentity"].get("accessKeyId") == key
        and r["eventName"] in {"AssumeRole", "CreateAccessKey"}
        and r["responseElements"]
    }


def test_lineage_leads_from_the_stolen_key_to_the_other_two(paper: Paper) -> None:
    assert issued_by(paper.records, paper.value("stolen-key")) == {
        paper.value("export-key"),
        paper.value("planted-key"),
    }


def test_the_download_adds_up(paper: Paper) -> None:
    read = [
        r
        for r in paper.records
        if r["userIdentity"].get("accessKeyId") == paper.value("export-key") and r["eventName"] == "GetObject"
    ]
    assert len({r["requestParameters"]["key"] for r in read}) == int(paper.value("objects"))
    assert sum(r["additionalEventData"]["bytesTransferredOut"] for r in read) == int(
        paper.value("bytes-read")
    )
    assert {r["requestParameters"]["bucketName"] for r in read} == {paper.value("bucket")}


def test_refused_calls_of_the_intruder_are_all_in_the_truth(paper: Paper) -> None:
    keys = {paper.value("stolen-key"), paper.value("export-key"), paper.value("planted-key")}
    refused = {
        f"{r['eventSource'].partition('.')[0]}:{r['eventName']}"
        for r in outside_use(paper)
        + [r for r in paper.records if r["userIdentity"].get("accessKeyId") in keys]
        if "errorCode" in r and r["sourceIPAddress"] != paper.story.estate.suspect.private_ip
    }
    assert refused == paper.values("denied_call")
    assert "cloudtrail:StopLogging" in refused


@pytest.mark.parametrize("call", ["CreateAccessKey", "ModifySnapshotAttribute", "AssumeRole", "GetObject"])
def test_the_ordinary_account_makes_the_same_calls_for_good_reasons(paper: Paper, call: str) -> None:
    assert any(record["eventName"] == call for record in paper.background)


def test_every_session_key_of_a_role_was_issued_in_the_log_or_before_it(paper: Paper) -> None:
    issued = {
        r["responseElements"]["credentials"]["accessKeyId"]
        for r in paper.records
        if r["eventName"] in {"AssumeRole", "AssumeRoleWithSAML"} and r["responseElements"]
    }
    early = f"{paper.story.times.begin:%Y-%m-%dT%H:%M:%SZ}"
    for record in paper.records:
        identity = record["userIdentity"]
        context = identity.get("sessionContext", {})
        if identity.get("accessKeyId", "").startswith("ASIA"):
            assert identity["accessKeyId"] in issued or context["attributes"]["creationDate"] < early


def test_nobody_else_calls_from_the_addresses_of_the_intruder(paper: Paper) -> None:
    theirs = {paper.value("api-address"), paper.value("later-address"), paper.value("web-address")}
    assert not [record for record in paper.background if record["sourceIPAddress"] in theirs]


def test_hostile_text_reaches_the_log_unchanged(
    paper: Paper, delivered_records: list[dict[str, Any]]
) -> None:
    agents = {record["userAgent"] for record in delivered_records}
    hostile = {h["value"] for h in paper.truth["hostile"] if h["how"] == "cloudtrail"}
    assert len(hostile) == 4
    assert hostile <= agents
