"""Rounds of questions: what a reader wants to see of one instance, key, principal, or of the whole account.

`investigate_instance` draws findings from the same tables; a round is what stands beside them: the rows.
"""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TypeAlias

from irkit.evidence.items import safe_name
from irkit.hunt.answer import Answer
from irkit.hunt.ask import ask
from irkit.hunt.intruder import Subject, follow, is_address
from irkit.tables import HasTables, Tables

Where: TypeAlias = Tables | HasTables | Path | str


def cloudtrail_round(where: Where, subject: Subject) -> dict[str, Answer]:
    """Who held the credentials, from where, what they did, made, read and shared; by a name for each answer."""
    with nullcontext(where) if isinstance(where, Tables) else Tables.open(where) as tables:
        intruder = follow(tables, subject)
        keys = (*intruder.stolen_keys, *intruder.issued_keys)
        answers = {
            "coverage": ask(tables, "coverage"),
            "credentials-used-elsewhere": ask(
                tables,
                "credentials_used_elsewhere",
                instance_id=subject.instance_id,
                addresses=subject.addresses,
            ),
            "created-credentials": ask(tables, "created_credentials"),
            "shared-snapshots": ask(tables, "shared_snapshots"),
            "log-tampering": ask(tables, "log_tampering"),
            "enumeration-bursts": ask(tables, "enumeration_bursts"),
            "responder-calls": ask(tables, "responder_calls"),
            "denied-calls": ask(tables, "denied_calls"),
        }
        for number, key in enumerate(keys, 1):
            answers[f"calls-of-key-{number}"] = ask(tables, "calls_of_access_key", access_key_id=key)
        for number, key in enumerate(intruder.stolen_keys, 1):
            answers[f"issued-keys-{number}"] = ask(tables, "issued_keys", access_key_id=key)
            answers[f"role-chain-{number}"] = ask(tables, "role_chain", access_key_id=key)
        if intruder.addresses:
            answers["keys-at-the-intruders-addresses"] = ask(
                tables, "keys_at_address", addresses=intruder.addresses
            )
        if keys:
            answers["objects-read-by-the-intruder"] = ask(tables, "objects_read", access_keys=keys)
            answers["secrets-read"] = ask(tables, "secrets_read")
    return answers


def network_round(where: Where, subject: Subject) -> dict[str, Answer]:
    """What left the instance and where to, who came in, and what beats like a machine; by a name for each answer."""
    with nullcontext(where) if isinstance(where, Tables) else Tables.open(where) as tables:
        return {
            "flow-coverage": ask(tables, "flow_coverage"),
            "outbound-by-destination": ask(tables, "outbound_by_destination", addresses=subject.addresses),
            "inbound-to-instance": ask(tables, "inbound_to_instance", addresses=subject.addresses),
            "beacons": ask(tables, "beacons", addresses=subject.addresses),
            "top-talkers": ask(tables, "top_talkers"),
            "rejected-probes": ask(tables, "rejected_probes"),
        }


def key_round(where: Where, access_key_id: str) -> dict[str, Answer]:
    """Everything one access key did: its chain, from where it was used, what it called, was refused, made and read."""
    with nullcontext(where) if isinstance(where, Tables) else Tables.open(where) as tables:
        calls = ask(tables, "calls_of_access_key", access_key_id=access_key_id)
        addresses = tuple(filter(is_address, calls.values("source_ip")))
        answers = {
            "coverage": ask(tables, "coverage"),
            "first-and-last-seen": ask(tables, "first_and_last_seen", value=access_key_id),
            "role-chain": ask(tables, "role_chain", access_key_id=access_key_id),
            "issued-keys": ask(tables, "issued_keys", access_key_id=access_key_id),
            "apis": ask(tables, "apis_of_access_key", access_key_id=access_key_id),
            "calls": calls,
            "objects-read": ask(tables, "objects_read", access_keys=(access_key_id,)),
        }
        if addresses:
            answers["keys-at-its-addresses"] = ask(tables, "keys_at_address", addresses=addresses)
    return answers


def principal_round(where: Where, principal: str) -> dict[str, Answer]:
    """Everything one principal did (an ARN of a user, role or session): its keys and sessions, its calls, refusals."""
    with nullcontext(where) if isinstance(where, Tables) else Tables.open(where) as tables:
        keys = ask(tables, "access_keys_of_principal", principal=principal)
        answers = {
            "coverage": ask(tables, "coverage"),
            "access-keys": keys,
            "calls": ask(tables, "calls_of_principal", principal=principal),
            "denied-calls": ask(tables, "denied_calls", principal=principal),
        }
        if ":role/" in principal:
            answers["sessions"] = ask(tables, "sessions_of_role", role=principal)
        for key in keys.values("access_key_id"):
            answers[f"role-chain-{safe_name(key)}"] = ask(tables, "role_chain", access_key_id=key)
    return answers


def data_round(where: Where) -> dict[str, Answer]:
    """What data was read, shared and taken out in the whole account: objects, secrets, snapshots and images."""
    with nullcontext(where) if isinstance(where, Tables) else Tables.open(where) as tables:
        return {
            "coverage": ask(tables, "coverage"),
            "objects-read": ask(tables, "objects_read"),
            "secrets-read": ask(tables, "secrets_read"),
            "shared-snapshots": ask(tables, "shared_snapshots"),
        }


def persistence_round(where: Where) -> dict[str, Answer]:
    """How someone could stay or rise in the whole account: new credentials, new permissions, blinded logs, logins."""
    with nullcontext(where) if isinstance(where, Tables) else Tables.open(where) as tables:
        return {
            "coverage": ask(tables, "coverage"),
            "created-credentials": ask(tables, "created_credentials"),
            "permission-changes": ask(tables, "permission_changes"),
            "log-tampering": ask(tables, "log_tampering"),
            "console-logins": ask(tables, "console_logins"),
            "denied-calls": ask(tables, "denied_calls"),
            "enumeration-bursts": ask(tables, "enumeration_bursts"),
        }
