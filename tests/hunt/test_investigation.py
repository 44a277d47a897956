from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from irkit.findings import Finding
from irkit.hunt import Subject, investigate_instance, investigate_key
from irkit.tables import Tables
from tests.hunt import world as w
from tests.hunt.world import SUBJECT, host_facts
from tests.logs.builders import ACCOUNT, at

_EXPORT = f"arn:aws:sts::{ACCOUNT}:assumed-role/Export/backup-1"


@pytest.fixture(scope="module")
def found(tables: Tables) -> dict[str, Finding]:
    return {finding.id: finding for finding in investigate_instance(tables, SUBJECT, host_facts())}


def _values(found: dict[str, Finding], kind: str) -> set[str]:
    return {value for finding in found.values() for value in finding.facts.get(kind, ())}


def test_stolen_credentials_are_told_from_the_instances_own_use(found: dict[str, Finding]) -> None:
    facts = found["stolen-credentials"].facts
    assert facts["access_key"] == (w.KEY,)
    assert facts["address"] == (w.OUTSIDE,)
    assert facts["session"] == (f"arn:aws:sts::{ACCOUNT}:assumed-role/Web/{w.INSTANCE}",)
    assert facts["principal"] == (f"arn:aws:iam::{ACCOUNT}:role/Web",)
    assert facts["time_first_use"] == ("2026-11-20T10:40:00Z",)
    assert facts["time_last_use"] == ("2026-11-20T11:00:00Z",)


def test_credentials_that_the_intruder_got_are_followed_over_every_hop(found: dict[str, Finding]) -> None:
    assert _values(found, "access_key") == {w.KEY, w.SECOND_KEY, w.THIRD_KEY, w.PLANTED_KEY}
    assert found["role-chain"].facts["session"] == (_EXPORT,)
    assert _values(found, "user") == {"svc-backup"}


def test_a_created_key_leads_to_the_address_where_it_was_used(found: dict[str, Finding]) -> None:
    used = found[f"created-key-used-{w.PLANTED_KEY[-8:].lower()}"]
    assert used.facts["address"] == (w.LATER,)


def test_objects_are_counted_once_and_the_nightly_jobs_are_not_counted(found: dict[str, Finding]) -> None:
    read = found[f"objects-read-{w.BUCKET}"].facts
    assert read["object_count"] == ("30",)
    assert read["bytes_read"] == ("31000",)
    assert _values(found, "bucket") == {w.BUCKET}


def test_only_the_intruders_sharing_is_reported(found: dict[str, Finding]) -> None:
    assert _values(found, "snapshot") == {"snap-0stolen"}
    assert _values(found, "account") == {w.BAD_ACCOUNT}


def test_refusals_and_tampering_are_the_intruders_only(found: dict[str, Finding]) -> None:
    assert _values(found, "denied_call") == {"iam:CreateUser", "ec2:RunInstances", "cloudtrail:StopLogging"}
    assert found["log-tampering"].severity == "high"
    assert "refused" in found["log-tampering"].statement


def test_secrets_read_with_a_key_three_hops_away_are_found(found: dict[str, Finding]) -> None:
    assert found["secrets-read"].facts["secret"] == ("db",)


def test_the_pool_is_told_from_what_every_machine_talks_to(found: dict[str, Finding]) -> None:
    assert _values(found, "pool") == {f"{w.POOL}:3333"}
    assert found["pool"].facts["bytes_out"] == ("60000",)
    assert found["pool"].confidence == "high"


def test_exfiltration_is_told_from_answers_and_updates(found: dict[str, Finding]) -> None:
    assert found["exfiltration"].facts == {"address": (w.DROP,), "bytes_out": ("45000000",)}
    assert found["exfiltration"].confidence == "high"


def test_what_the_host_says_is_found_with_its_times(found: dict[str, Finding]) -> None:
    assert _values(found, "time_entry") == {"2026-11-20T10:15:00Z"}
    assert _values(found, "process") == {"/var/tmp/.x/kworkerd"}
    assert _values(found, "ssh_key") == {"SHA256:evil"}
    assert _values(found, "file") == {
        "/var/www/html/uploads/x.php",
        "/etc/cron.d/x",
        "/home/u/.ssh/authorized_keys",
    }
    assert len(_values(found, "cron")) == 1


def test_every_address_in_the_findings_is_the_intruders(found: dict[str, Finding]) -> None:
    assert _values(found, "address") == {w.OUTSIDE, w.LATER, w.WEB, w.POOL, w.DROP}


def test_findings_come_in_order_of_time_with_distinct_ids_and_a_basis(tables: Tables) -> None:
    findings = investigate_instance(tables, SUBJECT, host_facts())
    times = [f.first_seen for f in findings if f.first_seen]
    assert times == sorted(times)
    assert len({f.id for f in findings}) == len(findings)
    assert all(f.basis and f.facts and f.attack for f in findings)
    assert json.loads(json.dumps([f.to_dict() for f in findings]))


def test_without_host_facts_the_network_findings_are_less_sure(tables: Tables) -> None:
    found = {f.id: f for f in investigate_instance(tables, SUBJECT)}
    assert found["pool"].confidence == "medium"
    assert found["exfiltration"].facts["address"] == (w.DROP,)
    assert "stolen-credentials" in found
    assert not [f for f in found if f.startswith(("web-shell", "cron", "ssh-key"))]


def test_an_instance_that_nobody_broke_into_has_no_findings(tables: Tables) -> None:
    sibling = Subject(instance_id=w.SIBLING, account=ACCOUNT, addresses=(w.OTHER,))
    assert investigate_instance(tables, sibling) == []


def test_empty_tables_give_no_findings(tmp_path: Path) -> None:
    assert investigate_instance(tmp_path, SUBJECT) == []


@pytest.mark.parametrize(
    "facts",
    [
        {"processes": None, "files": "x", "keys": [None, 3], "cron": [{}], "requests": [{"target": "//["}]},
        {"files": [{"path": "/a.php", "code": True}], "requests": [{"target": "http://[bad", "status": 200}]},
        {
            "processes": [{"deleted": True, "exe": 5}, {"deleted": "yes", "exe": "/x"}],
            "sockets": [{"remote": 1}],
        },
        {
            "cron": [{"command": "curl http://999.1.1.1/x", "file": "<b>"}],
            "histories": [{"lines": [1, None]}],
        },
    ],
)
def test_host_facts_of_any_shape_do_not_stop_the_walk(tables: Tables, facts: dict[str, Any]) -> None:
    assert investigate_instance(tables, SUBJECT, facts)


def test_a_web_shell_that_nobody_asked_for_is_less_sure(tables: Tables) -> None:
    facts = host_facts() | {"requests": []}
    found = {f.id: f for f in investigate_instance(tables, SUBJECT, facts)}
    shell = next(f for name, f in found.items() if name.startswith("web-shell"))
    assert (shell.confidence, shell.first_seen) == ("medium", None)
    assert not [name for name in found if name.startswith("ssh-key")]


def test_the_time_of_a_finding_is_when_it_happened(found: dict[str, Finding]) -> None:
    assert found["snapshot-shared"].first_seen == at(55)


def test_a_leaked_key_leads_to_the_same_intruder_as_the_instance_does(tables: Tables) -> None:
    by_key = {f.id: f for f in investigate_key(tables, w.KEY, addresses=[w.OUTSIDE])}
    by_instance = {f.id: f for f in investigate_instance(tables, SUBJECT)}
    assert by_key["leaked-key-used"].facts == by_instance["stolen-credentials"].facts
    assert f"{w.KEY} made" in by_key["leaked-key-used"].statement
    same = by_key.keys() & by_instance.keys()
    assert {"enumeration", "persistence", "role-chain", "log-tampering", "snapshot-shared"} <= same
    assert {name: by_key[name].to_dict() for name in same} == {
        name: by_instance[name].to_dict() for name in same
    }


def test_without_the_intruders_addresses_every_use_of_the_key_counts(tables: Tables) -> None:
    (used,) = [f for f in investigate_key(tables, w.KEY) if f.id == "leaked-key-used"]
    assert {w.OUTSIDE, w.OWN_PUBLIC} & set(used.facts["address"]) == set(used.facts["address"]) & {
        w.OUTSIDE,
        w.OWN_PUBLIC,
    }
    assert len(used.facts["address"]) > 1


def test_a_key_that_nobody_used_gives_no_finding(tables: Tables) -> None:
    assert investigate_key(tables, "AKIANEVERUSED0000000") == []
    assert investigate_key(tables, "' or true --") == []
    assert investigate_key(tables, w.KEY, addresses=["192.0.2.77"]) == []
